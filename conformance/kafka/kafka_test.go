// Package kafka_test forwards business events to a real broker, kills both sides meanwhile, and counts.
package kafka_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/gantry-platform/gantry/conformance/harness"
)

// patience bounds every wait: a broker takes some seconds to start on a busy machine.
const patience = 90 * time.Second

// broker is Kafka in one process, broker and controller (KRaft), with its data and ports kept over restarts.
type broker struct {
	t                *testing.T
	address, control string
	config           string
	process          *harness.Process
}

func libraries() string { return filepath.Join("java", "target", "lib", "*") }

func newBroker(t *testing.T) *broker {
	harness.Maven(t, "java")
	b := &broker{t: t, address: harness.FreeAddress(t), control: harness.FreeAddress(t)}
	folder := t.TempDir()
	b.config = filepath.Join(folder, "server.properties")
	config := strings.Join([]string{"process.roles=broker,controller", "node.id=1", "controller.quorum.voters=1@" + b.control,
		"listeners=PLAINTEXT://" + b.address + ",CONTROLLER://" + b.control, "advertised.listeners=PLAINTEXT://" + b.address, "controller.listener.names=CONTROLLER",
		"log.dirs=" + filepath.Join(folder, "data"), "offsets.topic.replication.factor=1", "num.partitions=1", "auto.create.topics.enable=true", ""}, "\n")
	if err := os.WriteFile(b.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	format := exec.CommandContext(ctx, "java", "-Xmx128m", "-cp", libraries(), "kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", b.config)
	if output, err := format.CombinedOutput(); err != nil {
		t.Fatalf("format: %v\n%s", err, output)
	}
	b.start()
	return b
}

func (b *broker) start() {
	b.t.Helper()
	b.process = harness.Run(b.t, "java", "-Xmx384m", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", libraries(), "kafka.Kafka", b.config)
	harness.Eventually(b.t, patience, "Kafka listens", func() error {
		conn, err := net.Dial("tcp", b.address)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

func (b *broker) kill() {
	b.process.Signal(syscall.SIGKILL)
	b.process.Wait()
}

// create makes a topic with a bound on its messages.
func (b *broker) create(topic, maxBytes string) {
	b.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.address))
	if err != nil {
		b.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	request := kmsg.NewPtrCreateTopicsRequest()
	wanted := kmsg.NewCreateTopicsRequestTopic()
	wanted.Topic, wanted.NumPartitions, wanted.ReplicationFactor = topic, 1, 1
	bound := kmsg.NewCreateTopicsRequestTopicConfig()
	bound.Name, bound.Value = "max.message.bytes", &maxBytes
	wanted.Configs = append(wanted.Configs, bound)
	request.Topics = append(request.Topics, wanted)
	answer, err := request.RequestWith(ctx, client)
	if err == nil {
		err = kerr.ErrorForCode(answer.Topics[0].ErrorCode)
	}
	if err != nil {
		b.t.Fatalf("making the topic %s: %v", topic, err)
	}
}

// consumer reads topics from their beginning.
type consumer struct {
	mu   sync.Mutex
	seen map[string]int // by id: how often
	last *kgo.Record
}

func (b *broker) consume(topics ...string) *consumer {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.address), kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.MetadataMinAge(100*time.Millisecond),
		kgo.MetadataMaxAge(time.Second))
	if err != nil {
		b.t.Fatal(err)
	}
	c := &consumer{seen: map[string]int{}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.last = r
				for _, h := range r.Headers {
					if h.Key == "id" {
						c.seen[string(h.Value)]++
					}
				}
			})
		}
	}()
	b.t.Cleanup(func() {
		cancel()
		<-done
		client.Close()
	})
	return c
}

// lacks counts the ids that did not come, and those that came more than once.
func (c *consumer) lacks(ids []string) (missing, repeated int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		switch n := c.seen[id]; {
		case n == 0:
			missing++
		case n > 1:
			repeated++
		}
	}
	return missing, repeated
}

func (c *consumer) await(t *testing.T, ids []string) (repeated int) {
	t.Helper()
	harness.Eventually(t, patience, "every event is in Kafka", func() error {
		var missing int
		if missing, repeated = c.lacks(ids); missing > 0 {
			return fmt.Errorf("%d of %d are missing", missing, len(ids))
		}
		return nil
	})
	return repeated
}

// emit sends one event, and tells whether it was acknowledged.
func emit(s *harness.Server, topic, id, text string) error {
	return emitAt(s, topic, id, text, time.Now())
}

func emitAt(s *harness.Server, topic, id, text string, at time.Time) error {
	body, err := json.Marshal(map[string]any{"id": id, "service": "loan", "time": at.UTC().Format(time.RFC3339Nano), "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
		"fields": map[string]any{"text": text, "amount": 3000}})
	if err != nil {
		return err
	}
	request, err := http.NewRequest(http.MethodPost, "http://"+s.HTTP+"/events/v1/"+topic, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+s.AdminToken)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, answer)
	}
	return err
}

func TestForwarding(t *testing.T) {
	b := newBroker(t)
	s := harness.Start(t, "--events-kafka-brokers", b.address, "--events-kafka-prefix", "bank.")
	c := b.consume("bank.default.loan.granted", "bank.default.large", "bank.default.waited")

	// In the background events come all the time; what is acknowledged is written down.
	var mu sync.Mutex
	var acknowledged []string
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			id := fmt.Sprintf("e-%d", n)
			if emit(s, "loan.granted", id, "") == nil {
				mu.Lock()
				acknowledged = append(acknowledged, id)
				mu.Unlock()
			}
		}
	}()
	snapshot := func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), acknowledged...)
	}
	more := func(what string, n int) {
		t.Helper()
		before := len(snapshot())
		harness.Eventually(t, patience, what, func() error {
			if got := len(snapshot()) - before; got < n {
				return fmt.Errorf("%d events were taken", got)
			}
			return nil
		})
	}
	more("events are taken", 300)
	c.await(t, snapshot())
	c.mu.Lock()
	record := c.last
	c.mu.Unlock()
	var value struct {
		ID, Topic, Namespace string
		Fields               map[string]any
	}
	if err := json.Unmarshal(record.Value, &value); err != nil || value.Topic != "loan.granted" || value.Namespace != "default" || value.Fields["amount"] != 3000.0 ||
		string(record.Key) != "4bf92f3577b34da6a3ce929d0e0e4736" {
		t.Errorf("%v: %s %s", err, record.Key, record.Value)
	}

	// A dead broker slows nobody down.
	b.kill()
	more("events are taken without Kafka", 300)
	// The server is killed with events that are not forwarded yet, again and again.
	for range 3 {
		s.Kill()
		s.Restart()
		more("events are taken again", 100)
	}
	b.start()
	more("events are taken with Kafka again", 100)
	s.Kill()
	s.Restart()
	close(stop)
	<-stopped
	ids := snapshot()
	repeated := c.await(t, ids)
	t.Logf("%d events were acknowledged and are all in Kafka, %d of them more than once", len(ids), repeated)

	// Events that waited out an outage are tried as long as new ones, though the topic has to be made first.
	if err := emitAt(s, "waited", "old", "", time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	c.await(t, []string{"old"})
	if said := s.Output(); strings.Contains(said, "timed out") {
		t.Errorf("an event is given up for its age:\n%s", said)
	}

	// What the broker refuses for good is among the dead letters, and holds nothing up.
	b.create("bank.default.large", "600")
	if err := emit(s, "large", "small-enough", ""); err != nil {
		t.Fatal(err)
	}
	if err := emit(s, "large", "too-large", incompressible()); err != nil {
		t.Fatal(err)
	}
	if err := emit(s, "large", "behind-it", ""); err != nil {
		t.Fatal(err)
	}
	c.await(t, []string{"small-enough", "behind-it"})
	letters, err := os.ReadFile(filepath.Join(s.Data, "events", "dead-letters.jsonl"))
	if err != nil || strings.Count(string(letters), "\n") != 1 || !strings.Contains(string(letters), `"id":"too-large"`) || !strings.Contains(string(letters), "MESSAGE_TOO_LARGE") {
		t.Errorf("%v: %.500s", err, letters)
	}
	if missing, _ := c.lacks([]string{"too-large"}); missing != 1 {
		t.Error("what is too large is in Kafka")
	}
}

// incompressible is a text of 2 KB that stays as long when it is compressed.
func incompressible() string {
	var b strings.Builder
	for n := uint64(1); b.Len() < 2000; {
		n = n*6364136223846793005 + 1442695040888963407
		fmt.Fprintf(&b, "%x", n)
	}
	return b.String()
}
