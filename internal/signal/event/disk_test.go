package event_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/signal/event"
)

// TestFullDisk refuses events and changes while the disk has less than the minimum, and takes them again by itself.
func TestFullDisk(t *testing.T) {
	var free atomic.Uint64
	free.Store(100)
	registry := prometheus.NewRegistry()
	room := open(t, t.TempDir(), func(o *event.Options) {
		o.MinimumFree, o.DiskFree, o.Registerer = 100, free.Load, registry
	})
	emit(t, room, "default", event.Event{ID: "before", Topic: "loan"})
	free.Store(99)
	_, err := room.Emit(t.Context(), "default", []event.Event{{ID: "full", Topic: "loan"}})
	if f, ok := fault.As(err); !ok || f.Code != fault.Unavailable || f.Reason != "event.disk_full" || f.Hint == "" {
		t.Fatalf("an event on a full disk: %v", err)
	}
	if err := room.Record(t.Context(), "default", []event.Event{{ID: "change", Topic: "release.publish"}}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a change on a full disk: %v", err)
	}
	if ids := query(t, room, event.Query{Namespace: "default"}); !slices.Equal(ids, []string{"before"}) {
		t.Errorf("on a full disk there are %v", ids)
	}
	want := `# HELP gantry_events_refused_total Business events that were not taken, by reason.
# TYPE gantry_events_refused_total counter
gantry_events_refused_total{reason="event.disk_full"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "gantry_events_refused_total"); err != nil {
		t.Error(err)
	}
	free.Store(100)
	emit(t, room, "default", event.Event{ID: "full", Topic: "loan"})
	if ids := query(t, room, event.Query{Namespace: "default"}); len(ids) != 2 {
		t.Errorf("with room again there are %v", ids)
	}
}

// TestFailuresForgetNothing has more writes fail than ids are remembered: what was durable before is known still.
func TestFailuresForgetNothing(t *testing.T) {
	room := open(t, t.TempDir(), func(o *event.Options) { o.Rate = 1e9 })
	emit(t, room, "default", event.Event{ID: "first", Topic: "loan"})
	batch := make([]event.Event, event.MaxBatch)
	for round := range 1<<16/event.MaxBatch + 2 {
		for i := range batch {
			batch[i] = event.Event{ID: fmt.Sprintf("lost-%d-%d", round, i), Topic: "loan"}
		}
		room.BreakFile()
		if _, err := room.Emit(t.Context(), "default", batch); !fault.Is(err, fault.Unavailable) {
			t.Fatalf("a write to a closed file: %v", err)
		}
		emit(t, room, "default", event.Event{ID: fmt.Sprintf("kept-%d", round), Topic: "loan"})
	}
	receipt, err := room.Emit(t.Context(), "default", []event.Event{{ID: "first", Topic: "loan"}, {ID: "new", Topic: "loan"}, {ID: "new", Topic: "loan"}})
	if err != nil || receipt.Known != 2 || receipt.Stored != 1 {
		t.Errorf("sent again: %+v, %v", receipt, err)
	}
}
