package kafka

import (
	"crypto/tls"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/gantry-platform/gantry/internal/fault"
)

const (
	// linger joins the records of a batch into few requests.
	linger = 5 * time.Millisecond
	// unknownTopicRetries is low, since the forwarder itself tries again.
	unknownTopicRetries = 2
)

// Mechanisms of SASL.
const (
	Plain       = "PLAIN"
	ScramSHA256 = "SCRAM-SHA-256"
	ScramSHA512 = "SCRAM-SHA-512"
)

// Connection says where the brokers are.
type Connection struct {
	Brokers []string
	// TLS is nil for plain text.
	TLS *tls.Config
	// Mechanism is empty for none.
	Mechanism, User, Password string
}

// Connect makes a producer. It does not wait for the brokers. Close it after the forwarder.
func Connect(c Connection) (*kgo.Client, error) {
	options := []kgo.Opt{kgo.SeedBrokers(c.Brokers...), kgo.ClientID("gantry"), kgo.AllowAutoTopicCreation(), kgo.ProducerLinger(linger),
		kgo.UnknownTopicRetries(unknownTopicRetries), kgo.MaxBufferedRecords(batchEvents),
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.ProducerBatchCompression(kgo.ZstdCompression(), kgo.NoCompression())}
	if c.TLS != nil {
		options = append(options, kgo.DialTLSConfig(c.TLS))
	}
	if c.Mechanism != "" {
		mechanism, err := c.sasl()
		if err != nil {
			return nil, err
		}
		options = append(options, kgo.SASL(mechanism))
	}
	return kgo.NewClient(options...)
}

func (c *Connection) sasl() (sasl.Mechanism, error) {
	switch c.Mechanism {
	case Plain:
		return plain.Auth{User: c.User, Pass: c.Password}.AsMechanism(), nil
	case ScramSHA256:
		return scram.Auth{User: c.User, Pass: c.Password}.AsSha256Mechanism(), nil
	case ScramSHA512:
		return scram.Auth{User: c.User, Pass: c.Password}.AsSha512Mechanism(), nil
	default:
		return nil, fault.New(fault.Invalid, "setting.bad_value", "%q is no mechanism of SASL", c.Mechanism).At("events-kafka-mechanism").
			Hinted("use %s, %s or %s", Plain, ScramSHA256, ScramSHA512)
	}
}
