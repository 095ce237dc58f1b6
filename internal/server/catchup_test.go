package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gantry-platform/gantry/internal/protocol/peer"
	"github.com/gantry-platform/gantry/internal/signal/event"
)

// feedFunc is a feed of another node.
type feedFunc func(context.Context, event.Query) (event.Result, error)

func (f feedFunc) Changes(ctx context.Context, q event.Query) (event.Result, error) { return f(ctx, q) }

func openRoom(t *testing.T) *event.Room {
	room, err := event.Open(event.Options{Folder: t.TempDir(), DiskFree: func() uint64 { return 1 << 40 }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := room.Close(); err != nil {
			t.Error(err)
		}
	})
	return room
}

func record(t *testing.T, room *event.Room, from, to int) {
	var changes []event.Event
	for i := from; i < to; i++ {
		changes = append(changes, event.Event{ID: fmt.Sprint(i), Topic: "instance.registered", Time: time.Now()})
	}
	if err := room.Record(t.Context(), "default", changes); err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, room *event.Room) (n int) {
	after := uint64(0)
	for {
		found, err := room.Changes(t.Context(), event.Query{Namespace: "default", After: &after, Limit: event.MaxLimit})
		if err != nil {
			t.Fatal(err)
		}
		if n += len(found.Events); len(found.Events) < event.MaxLimit {
			return n
		}
		after = found.Next
	}
}

// TestCatchUp has a node that knows the first of many changes ask one that knows all, one that knows some and is silent at first, and one that cannot tell.
func TestCatchUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own, all, some := openRoom(t), openRoom(t), openRoom(t)
		record(t, own, 0, 700)
		record(t, all, 0, 3500)
		record(t, some, 3000, 4000)
		tries := 0
		c := &catchUp{room: own, path: filepath.Join(t.TempDir(), "complete"), log: slog.New(slog.DiscardHandler), lacking: make(chan struct{}, 1), newest: map[string]time.Time{"default": time.Now()},
			namespaces: func() []string { return []string{"default", "empty"} },
			others: func() map[string]peer.ChangeFeed {
				return map[string]peer.ChangeFeed{"all": all,
					"some": feedFunc(func(ctx context.Context, q event.Query) (event.Result, error) {
						if tries++; tries < 3 {
							return event.Result{}, errors.New("it is starting")
						}
						return some.Changes(ctx, q)
					}),
					"old": feedFunc(func(context.Context, event.Query) (event.Result, error) {
						return event.Result{}, fmt.Errorf("unknown method: %w", errors.ErrUnsupported)
					})}
			}}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); c.run(ctx) }()
		noted := func() (at time.Time) {
			if info, err := os.Stat(c.path); err == nil {
				at = info.ModTime()
			}
			return at
		}
		began := time.Now()
		time.Sleep(catchUpPause)
		synctest.Wait()
		if got := count(t, own); got != 3500 || !noted().IsZero() {
			t.Fatalf("%d changes after what one node told, and complete up to %s", got, noted())
		}
		time.Sleep(3 * catchUpPause)
		synctest.Wait()
		if got := count(t, own); got != 4000 || noted().Before(began) {
			t.Fatalf("%d changes after what both told, and complete up to %s", got, noted())
		}

		// What is missed later is asked for when that is known, and nothing is complete while a feed waits.
		time.Sleep(time.Hour)
		record(t, all, 4000, 4001)
		c.behind.Add(1)
		before := noted()
		time.Sleep(5 * completeEvery)
		synctest.Wait()
		if got := count(t, own); got != 4000 || !noted().Equal(before) {
			t.Fatalf("%d changes while a feed is behind, and complete up to %s, not %s", got, noted(), before)
		}
		c.behind.Add(-1)
		c.lacks()
		synctest.Wait()
		if got := count(t, own); got != 4001 || !noted().After(before) {
			t.Fatalf("%d changes, and complete up to %s", got, noted())
		}
		stop()
		<-ended
	})
}
