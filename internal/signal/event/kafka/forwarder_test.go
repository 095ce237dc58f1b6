package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/event"
	"github.com/gantry-platform/gantry/internal/signal/event/kafka"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// broker answers as one does, by the topic; the real one is in conformance/kafka.
type broker struct {
	mu      sync.Mutex
	down    bool
	refuses map[string]error // by topic
	records []*kgo.Record
}

func (b *broker) ProduceSync(_ context.Context, records ...*kgo.Record) kgo.ProduceResults {
	b.mu.Lock()
	defer b.mu.Unlock()
	var results kgo.ProduceResults
	for _, r := range records {
		err := b.refuses[r.Topic]
		if errors.Is(err, kerr.MessageTooLarge) && !slices.ContainsFunc(records, func(r *kgo.Record) bool { return strings.Contains(string(r.Value), `"id":"b"`) }) {
			err = nil // it was not this one
		}
		if b.down {
			err = errors.New("no broker answers")
		}
		if err == nil {
			b.records = append(b.records, r)
		}
		results = append(results, kgo.ProduceResult{Record: r, Err: err})
	}
	return results
}

// got are the ids that arrived, without repetitions.
func (b *broker) got() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var ids []string
	for _, r := range b.records {
		if id := string(r.Headers[0].Value); !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

func (b *broker) set(down bool, refuses map[string]error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down, b.refuses = down, maps.Clone(refuses)
}

func room(t *testing.T, folder string) *event.Room {
	t.Helper()
	r, err := event.Open(event.Options{Folder: folder})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func forward(t *testing.T, from *event.Room, to kafka.Producer, folder string, registry prometheus.Registerer) *kafka.Forwarder {
	t.Helper()
	f, err := kafka.New(kafka.Options{Source: from, Producer: to, Folder: folder, Prefix: "gantry.", Logger: slog.New(slog.DiscardHandler), Registerer: registry})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func emit(t *testing.T, r *event.Room, topic string, ids ...string) {
	t.Helper()
	var events []event.Event
	for _, id := range ids {
		events = append(events, event.Event{ID: id, Topic: topic, Service: "loan", TraceID: signal.TraceID{1}, SpanID: signal.SpanID{2},
			Fields: []signal.Attribute{{Key: "amount", Value: event.Int(3000)}}})
	}
	if receipt, err := r.Emit(t.Context(), "prod", events); err != nil || receipt.Stored != len(ids) {
		t.Fatalf("%+v, %v", receipt, err)
	}
}

// lag reads the metric.
func lag(t *testing.T, registry *prometheus.Registry) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "gantry_events_kafka_lag" {
			return family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatal("no lag")
	return 0
}

func TestForward(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r, b, registry := room(t, folder), &broker{}, prometheus.NewRegistry()
		emit(t, r, "loan.granted", "a", "b")
		b.set(true, nil)
		f := forward(t, r, b, folder, registry)
		time.Sleep(time.Minute)
		emit(t, r, "loan.granted", "c") // a dead Kafka costs nothing
		if got, n := b.got(), lag(t, registry); len(got) > 0 || n != 3 || f.Needed() != 1 {
			t.Errorf("%q arrived, the lag is %v", got, n)
		}
		b.set(false, nil)
		time.Sleep(time.Minute)
		if got, n := b.got(), lag(t, registry); !slices.Equal(got, []string{"a", "b", "c"}) || n != 0 || f.Needed() != 4 {
			t.Errorf("%q arrived, the lag is %v", got, n)
		}
		f.Close()
		record := b.records[0]
		headers := map[string]string{}
		for _, h := range record.Headers {
			headers[h.Key] = string(h.Value)
		}
		if record.Topic != "gantry.prod.loan.granted" || string(record.Key) != "01000000000000000000000000000000" || !strings.Contains(string(record.Value), `"fields":{"amount":3000}`) ||
			headers["service"] != "loan" || headers["traceparent"] != "00-01000000000000000000000000000000-0200000000000000-01" {
			t.Errorf("%s %s %s %v", record.Topic, record.Key, record.Value, headers)
		}

		// What is forwarded is not forwarded again after a restart, and what came meanwhile is.
		n := len(b.records)
		emit(t, r, "loan.granted", "d")
		f = forward(t, r, b, folder, prometheus.NewRegistry())
		time.Sleep(time.Minute)
		f.Close()
		if len(b.records) != n+1 || !slices.Equal(b.got(), []string{"a", "b", "c", "d"}) {
			t.Errorf("%q", b.got())
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestDeadLetters(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "dead-letters.jsonl")
	if err := os.WriteFile(path, []byte(`{"cut sh`), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		r, b := room(t, folder), &broker{}
		refuses := map[string]error{"gantry.prod.large": kerr.MessageTooLarge, "gantry.prod.forbidden": fmt.Errorf("produce: %w", kerr.TopicAuthorizationFailed),
			"gantry.prod.missing": kerr.UnknownTopicOrPartition, "gantry.prod.busy": kerr.NotEnoughReplicas, "gantry.prod.locked": kerr.SaslAuthenticationFailed}
		b.set(false, refuses)
		f := forward(t, r, b, folder, prometheus.NewRegistry())
		emit(t, r, "good", "a")
		emit(t, r, "large", "b", "b2")
		emit(t, r, "forbidden", "c")
		emit(t, r, "missing", "d")
		emit(t, r, "busy", "e")
		emit(t, r, "locked", "f")
		emit(t, r, "good", "g")
		time.Sleep(10 * time.Minute)
		if needed := f.Needed(); needed > 6 {
			t.Errorf("it went on to %d without e and f", needed)
		}
		delete(refuses, "gantry.prod.busy")
		delete(refuses, "gantry.prod.locked")
		b.set(false, refuses)
		time.Sleep(time.Minute)
		f.Close()
		got := b.got()
		slices.Sort(got)
		if !slices.Equal(got, []string{"a", "b2", "e", "f", "g"}) {
			t.Errorf("%q", got)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	letters, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(letters)), "\n")
	for _, id := range []string{"b", "c", "d"} {
		if n := strings.Count(string(letters), `"id":"`+id+`"`); n != 1 {
			t.Errorf("%s is %d times among the dead letters", id, n)
		}
		if !slices.ContainsFunc(lines[1:], func(line string) bool {
			return strings.HasPrefix(line, `{"at":`) && strings.Contains(line, `"id":"`+id+`"`) && strings.HasSuffix(line, "}}")
		}) {
			t.Errorf("%s is not among the dead letters:\n%s", id, letters)
		}
	}
	for _, id := range []string{"a", "b2", "e", "f", "g"} {
		if strings.Contains(string(letters), `"id":"`+id+`"`) {
			t.Errorf("%s is among the dead letters", id)
		}
	}
}

func TestConnect(t *testing.T) {
	client, err := kafka.Connect(kafka.Connection{Brokers: []string{"127.0.0.1:1"}, Mechanism: kafka.ScramSHA512, User: "u", Password: "p"})
	if err != nil {
		t.Fatal(err)
	}
	client.Close()
	if _, err := kafka.Connect(kafka.Connection{Brokers: []string{"127.0.0.1:1"}, Mechanism: "magic"}); err == nil {
		t.Error("magic works")
	}
}
