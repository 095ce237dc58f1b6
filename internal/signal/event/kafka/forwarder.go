package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/gantry-platform/gantry/internal/signal/event"
)

const (
	// batchEvents and batchBytes bound what is in flight.
	batchEvents = 2000
	batchBytes  = 4 << 20
	// The pauses after a failure grow from the first to the last.
	firstPause, lastPause = 100 * time.Millisecond, 15 * time.Second
	// topicPatience is how long a topic that is not there may take to be made before its events are dead letters.
	topicPatience = time.Minute
	// deliveryTimeout is how long records are tried before their events are read again: a broker that restarts takes some seconds. The client has a bound of its
	// own for that, which it counts from a record's timestamp: events that waited out an outage would be too old for it before they are sent.
	deliveryTimeout = 20 * time.Second
	// maxTopic bounds a name of a topic, which is Kafka's own bound.
	maxTopic = 249
)

// Source is the log of events; [event.Room] is one.
type Source interface {
	After(sequence uint64, most, bytes int) ([]event.Stored, error)
	Last() (sequence uint64, changed <-chan struct{})
}

// Producer sends records; [kgo.Client] is one.
type Producer interface {
	// ProduceSync sends records and waits for what became of each.
	ProduceSync(ctx context.Context, records ...*kgo.Record) kgo.ProduceResults
}

// Options say what a [Forwarder] works with.
type Options struct {
	Source   Source
	Producer Producer
	// Folder holds the cursor and the dead letters.
	Folder string
	// Prefix begins the names of topics.
	Prefix     string
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	// TopicPatience is how long a missing topic is waited for. Default: a minute.
	TopicPatience time.Duration
}

// Forwarder forwards until it is closed.
type Forwarder struct {
	Options
	cursor  atomic.Uint64
	letters *deadLetters
	metrics *metrics
	stop    context.CancelFunc
	done    sync.WaitGroup

	// The worker's own: missing is since when a topic is not there, and settled are the events behind the cursor that have arrived or are dead letters, while
	// others before them are tried again.
	missing map[string]time.Time
	settled map[uint64]struct{}
}

// New reads the cursor and begins to forward.
func New(o Options) (*Forwarder, error) {
	if o.TopicPatience <= 0 {
		o.TopicPatience = topicPatience
	}
	if err := os.MkdirAll(o.Folder, 0o700); err != nil {
		return nil, err
	}
	f := &Forwarder{Options: o, missing: map[string]time.Time{}, settled: map[uint64]struct{}{}}
	if err := f.load(); err != nil {
		return nil, err
	}
	var err error
	if f.letters, err = openLetters(filepath.Join(o.Folder, "dead-letters.jsonl")); err != nil {
		return nil, err
	}
	if f.metrics, err = newMetrics(f, o.Registerer); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	f.done.Go(func() { f.run(ctx) })
	return f, nil
}

// Needed is the first event that is not forwarded yet.
func (f *Forwarder) Needed() uint64 { return f.cursor.Load() + 1 }

// Close ends the forwarding. What is under way is sent again after the next start.
func (f *Forwarder) Close() {
	f.stop()
	f.done.Wait()
	if err := f.letters.close(); err != nil {
		f.Logger.Warn("closing the dead letters", "reason", err)
	}
}

func (f *Forwarder) cursorPath() string { return filepath.Join(f.Folder, "kafka-cursor") }

// load reads how far the log is forwarded. Without a cursor everything in the log is to do.
func (f *Forwarder) load() error {
	data, err := os.ReadFile(f.cursorPath())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	cursor, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64)
	if err != nil {
		f.Logger.Error("the cursor of Kafka cannot be read: the whole log is forwarded again", "file", f.cursorPath(), "reason", err)
		return nil
	}
	if last, _ := f.Source.Last(); cursor > last {
		f.Logger.Error("the log of events is behind what was forwarded: it was restored or lost its end", "forwarded", cursor, "log", last)
		cursor = last
	}
	f.cursor.Store(cursor)
	return nil
}

func (f *Forwarder) run(ctx context.Context) {
	pause := firstPause
	for ctx.Err() == nil {
		_, changed := f.Source.Last()
		events, err := f.Source.After(f.cursor.Load(), batchEvents, batchBytes)
		if err == nil && len(events) == 0 {
			select {
			case <-changed:
			case <-ctx.Done():
			}
			continue
		}
		if err == nil {
			err = f.forward(ctx, events)
		}
		if err == nil {
			pause = firstPause
			continue
		}
		if ctx.Err() != nil {
			return
		}
		f.metrics.failures.Inc()
		f.Logger.Warn("events are not forwarded to Kafka; they wait in the log", "again in", pause, "reason", err)
		sleep(ctx, pause+rand.N(pause))
		pause = min(2*pause, lastPause)
	}
}

// forward sends events and moves the cursor behind them, or fails when some of them have neither arrived nor are refused for good.
func (f *Forwarder) forward(ctx context.Context, events []event.Stored) error {
	records := make([]*kgo.Record, 0, len(events))
	eventOf := make(map[*kgo.Record]*event.Stored, len(events))
	for i := range events {
		if _, settled := f.settled[events[i].Sequence]; settled {
			continue
		}
		record, err := f.record(&events[i])
		if err == nil {
			records = append(records, record)
			eventOf[record] = &events[i]
			continue
		}
		if err := f.bury(&events[i], err); err != nil {
			return err
		}
	}
	var pending []error
	for _, result := range f.produce(ctx, records...) {
		topic := result.Record.Topic
		if ofBatch(result.Err) {
			// The broker judges a batch as a whole: alone, the record shows whether it is to blame.
			result.Err = f.produce(ctx, result.Record).FirstErr()
		}
		switch {
		case result.Err == nil:
			delete(f.missing, topic)
			f.settled[eventOf[result.Record].Sequence] = struct{}{}
			f.metrics.sent.Inc()
		case f.final(topic, result.Err):
			if err := f.bury(eventOf[result.Record], result.Err); err != nil {
				return err
			}
		default:
			pending = append(pending, fmt.Errorf("topic %s: %w", topic, result.Err))
		}
	}
	if len(pending) > 0 {
		return pending[0]
	}
	if err := f.letters.sync(); err != nil {
		return err
	}
	last := events[len(events)-1].Sequence
	if err := event.WriteFile(f.cursorPath(), []byte(strconv.FormatUint(last, 10)+"\n")); err != nil {
		return err
	}
	f.cursor.Store(last)
	clear(f.settled)
	return nil
}

func (f *Forwarder) produce(ctx context.Context, records ...*kgo.Record) kgo.ProduceResults {
	bounded, cancel := context.WithTimeout(ctx, deliveryTimeout)
	defer cancel()
	for _, record := range records {
		record.Context = nil // the client leaves that of the last try in it
	}
	results := f.Producer.ProduceSync(bounded, records...)
	for i := range results {
		if errors.Is(results[i].Err, context.DeadlineExceeded) {
			results[i].Err = fmt.Errorf("no broker took it within %v: %w", deliveryTimeout, results[i].Err)
		}
	}
	return results
}

// ofBatch tells a refusal that one record brings upon all that went with it.
func ofBatch(err error) bool {
	for _, of := range []error{kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidRecord, kerr.CorruptMessage} {
		if errors.Is(err, of) {
			return true
		}
	}
	return false
}

// final tells an error that trying again does not mend.
func (f *Forwarder) final(topic string, err error) bool {
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		since, waiting := f.missing[topic]
		if !waiting {
			f.missing[topic] = time.Now()
			return false
		}
		return time.Since(since) > f.TopicPatience
	}
	var refusal *kerr.Error
	return errors.As(err, &refusal) && !refusal.Retriable && !transient(refusal)
}

// transient are errors that Kafka calls not retriable, and that yet say nothing of the record: somebody mends them at the broker.
func transient(e *kerr.Error) bool {
	for _, other := range []*kerr.Error{kerr.ClusterAuthorizationFailed, kerr.SaslAuthenticationFailed, kerr.UnsupportedSaslMechanism, kerr.TransactionalIDAuthorizationFailed,
		kerr.OutOfOrderSequenceNumber, kerr.UnknownProducerID, kerr.InvalidProducerEpoch, kerr.ProducerFenced, kerr.UnknownServerError, kerr.InvalidProducerIDMapping} {
		if e.Code == other.Code {
			return true
		}
	}
	return false
}

func (f *Forwarder) bury(e *event.Stored, reason error) error {
	f.metrics.dead.Inc()
	f.Logger.Error("Kafka refuses an event for good; it is among the dead letters", "topic", e.Topic, "id", e.ID, "reason", reason)
	f.settled[e.Sequence] = struct{}{}
	return f.letters.add(e, reason)
}

func (f *Forwarder) record(e *event.Stored) (*kgo.Record, error) {
	topic := f.Prefix + e.Namespace + "." + e.Topic
	if len(topic) > maxTopic {
		return nil, fmt.Errorf("the name of the topic has %d bytes, and Kafka takes %d", len(topic), maxTopic)
	}
	value, err := e.Encode()
	if err != nil {
		return nil, err
	}
	record := &kgo.Record{Topic: topic, Key: []byte(e.ID), Value: value, Timestamp: e.Time, Headers: []kgo.RecordHeader{
		{Key: "id", Value: []byte(e.ID)}, {Key: "namespace", Value: []byte(e.Namespace)}, {Key: "topic", Value: []byte(e.Topic)}}}
	if e.Service != "" {
		record.Headers = append(record.Headers, kgo.RecordHeader{Key: "service", Value: []byte(e.Service)})
	}
	if !e.TraceID.IsZero() {
		record.Key = []byte(e.TraceID.String())
		if !e.SpanID.IsZero() {
			record.Headers = append(record.Headers, kgo.RecordHeader{Key: "traceparent", Value: []byte("00-" + e.TraceID.String() + "-" + e.SpanID.String() + "-01")})
		}
	}
	return record, nil
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// metrics are the forwarder's own.
type metrics struct{ sent, dead, failures prometheus.Counter }

func newMetrics(f *Forwarder, registerer prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		sent:     counter("gantry_events_kafka_sent_total", "Business events that Kafka has acknowledged."),
		dead:     counter("gantry_events_kafka_dead_letters_total", "Business events that Kafka refused for good."),
		failures: counter("gantry_events_kafka_failures_total", "Batches that will be tried again."),
	}
	lag := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gantry_events_kafka_lag", Help: "Business events in the log that are not forwarded yet."}, func() float64 {
		last, _ := f.Source.Last()
		return float64(last - min(last, f.cursor.Load()))
	})
	if registerer == nil {
		return m, nil
	}
	for _, collector := range []prometheus.Collector{m.sent, m.dead, m.failures, lag} {
		if err := registerer.Register(collector); err != nil {
			return nil, err
		}
	}
	return m, nil
}
