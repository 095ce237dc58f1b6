package event_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/event"
)

// series takes samples.
type series struct{ samples map[string]float64 }

func (s *series) Appender(context.Context) storage.Appender { return &appender{to: s} }

type appender struct {
	storage.Appender
	to *series
}

func (a *appender) Append(ref storage.SeriesRef, l labels.Labels, _ int64, v float64) (storage.SeriesRef, error) {
	a.to.samples[l.String()] = v
	return ref, nil
}
func (a *appender) Commit() error   { return nil }
func (a *appender) Rollback() error { return nil }

func TestCounts(t *testing.T) {
	s := &series{samples: map[string]float64{}}
	room := open(t, t.TempDir(), func(o *event.Options) { o.Series = s })
	for range 2 {
		emit(t, room, "prod", event.Event{ID: "same", Topic: "loan", Service: "loan-service"}, event.Event{Topic: "loan", Service: "loan-service"},
			event.Event{Topic: "loan", Service: "loan-service", Outcome: signal.Refused})
		if err := room.FlushCounts(); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]float64{
		`{__name__="gantry_business_events_total", namespace="prod", node="n1", outcome="success", service="loan-service", topic="loan"}`: 3,
		`{__name__="gantry_business_events_total", namespace="prod", node="n1", outcome="refused", service="loan-service", topic="loan"}`: 2,
	}
	if diff := cmp.Diff(want, s.samples); diff != "" {
		t.Error(diff)
	}
}
