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

// TestCatchUpTakesTheNewest has a node ask for more than it takes, in two namespaces: what it has then is the newest of both, in order, and a second node that tells the
// same adds nothing.
func TestCatchUpTakesTheNewest(t *testing.T) {
	own := openRoom(t)
	began := time.Now().Add(-time.Hour)
	const most, each = 3000, 3700
	tell := feedFunc(func(_ context.Context, q event.Query) (result event.Result, _ error) {
		for i := *q.After; i < min(each, *q.After+event.MaxLimit); i++ {
			result.Events = append(result.Events, event.Stored{Event: event.Event{ID: fmt.Sprint(i), Topic: "instance.registered", Time: began.Add(time.Duration(i) * time.Millisecond)}})
		}
		result.Next = *q.After + uint64(len(result.Events))
		return result, nil
	})
	c := &catchUp{room: own, most: most, log: slog.New(slog.DiscardHandler), newest: map[string]time.Time{}, namespaces: func() []string { return []string{"default", "other"} },
		others: func() map[string]peer.ChangeFeed { return map[string]peer.ChangeFeed{"n2": tell, "n3": tell} }}
	c.gather(t.Context())
	for _, namespace := range c.namespaces() {
		after, want := uint64(0), each-most/2
		for {
			found, err := own.Changes(t.Context(), event.Query{Namespace: namespace, After: &after, Limit: event.MaxLimit})
			if err != nil {
				t.Fatal(err)
			}
			for i := range found.Events {
				if found.Events[i].ID != fmt.Sprint(want) {
					t.Fatalf("%s: change %s where %d comes", namespace, found.Events[i].ID, want)
				}
				want++
			}
			if len(found.Events) < event.MaxLimit && !found.Truncated {
				break
			}
			after = found.Next
		}
		if want != each {
			t.Errorf("%s: the newest is %d of %d", namespace, want, each)
		}
	}
}

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
		c := &catchUp{room: own, path: filepath.Join(t.TempDir(), "complete"), most: catchUpMost, log: slog.New(slog.DiscardHandler), lacking: make(chan struct{}, 1), newest: map[string]time.Time{"default": time.Now()},
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
