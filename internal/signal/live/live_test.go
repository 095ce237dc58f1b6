package live_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/signal/event"
	"github.com/gantry-platform/gantry/internal/signal/live"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func watch(t *testing.T, room *live.Room, namespace string) *live.Watcher {
	t.Helper()
	w, err := room.Watch(namespace)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

func next(t *testing.T, w *live.Watcher) live.News {
	t.Helper()
	news, err := w.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return news
}

func change(id string) []event.Stored { return []event.Stored{{Event: event.Event{ID: id}}} }

func TestTheFirstNewsComeAtOnceAndOthersTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		room := &live.Room{}
		room.Moved("prod", live.Services) // nobody watches
		w, began := watch(t, room, "prod"), time.Now()
		room.Moved("staging", live.Services)
		room.Moved("prod", live.Services)
		if news := next(t, w); news.Hint == nil || *news.Hint != (live.Numbers{Services: 1}) || time.Since(began) != 0 {
			t.Errorf("%+v after %s", news.Hint, time.Since(began))
		}
		for range 100 {
			room.Moved("prod", live.Services)
			room.Moved("prod", live.Documents)
			room.Moved("prod", live.Alerts)
		}
		if news := next(t, w); news.Hint == nil || *news.Hint != (live.Numbers{Services: 101, Documents: 100, Alerts: 100}) || time.Since(began) != live.HintPause {
			t.Errorf("%+v after %s", news.Hint, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if news, err := w.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nothing moved: %+v, %v", news, err)
		}
	})
}

func TestAChangeDoesNotWaitForAHint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		room := &live.Room{}
		w := watch(t, room, "prod")
		room.Moved("prod", live.Services)
		next(t, w)
		began := time.Now()
		room.Moved("prod", live.Services)
		go func() {
			time.Sleep(50 * time.Millisecond)
			room.Changed("prod", change("a"))
		}()
		if news := next(t, w); len(news.Changes) != 1 || news.Changes[0].ID != "a" || time.Since(began) > live.ChangePause {
			t.Errorf("%+v after %s", news, time.Since(began))
		}
		if news := next(t, w); news.Hint == nil || time.Since(began) != live.HintPause {
			t.Errorf("%+v after %s", news, time.Since(began))
		}
	})
}

func TestASlowReaderMissesChangesAndIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		room := &live.Room{}
		slow, fast := watch(t, room, "prod"), watch(t, room, "prod")
		for i := range 1000 {
			room.Changed("prod", change(fmt.Sprint(i)))
			if i == 0 {
				next(t, fast)
			}
		}
		news := next(t, slow)
		if n := len(news.Changes); n != 256 || news.Changes[n-1].ID != "999" || news.Hint == nil || news.Hint.Missed != 744 {
			t.Errorf("%d changes, %+v", n, news.Hint)
		}
		if news := next(t, fast); len(news.Changes) != 0 || news.Hint.Missed != 743 {
			t.Errorf("%d changes, %+v", len(news.Changes), news.Hint)
		}
		if news := next(t, fast); len(news.Changes) != 256 || news.Hint != nil {
			t.Errorf("%d changes, %+v", len(news.Changes), news.Hint)
		}
	})
}

func TestManyWatchersOfAStormSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		room := &live.Room{}
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		told := make([]int, 200)
		for i := range told {
			w := watch(t, room, "prod")
			all.Go(func() {
				for {
					if _, err := w.Next(ctx); err != nil {
						return
					}
					told[i]++
				}
			})
		}
		// Ten seconds of a thousand movements a second.
		for range 10_000 {
			room.Moved("prod", live.Services)
			time.Sleep(time.Millisecond)
		}
		cancel()
		all.Wait()
		for i, n := range told {
			if n < 15 || n > 21 {
				t.Fatalf("watcher %d was told %d times in 10 s", i, n)
			}
		}
	})
}

func TestWatchersAreBoundedAndLeave(t *testing.T) {
	room := &live.Room{}
	var all []*live.Watcher
	for {
		w, err := room.Watch("prod")
		if err != nil {
			if !fault.Is(err, fault.Exhausted) {
				t.Fatal(err)
			}
			break
		}
		all = append(all, w)
	}
	if len(room.Watched()) != 1 || len(all) < 1000 {
		t.Errorf("%d watchers of %q", len(all), room.Watched())
	}
	for _, w := range all {
		w.Close()
		w.Close()
	}
	if len(room.Watched()) != 0 {
		t.Errorf("%q are still watched", room.Watched())
	}
	watch(t, room, "prod")
}
