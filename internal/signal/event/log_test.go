package event_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/event"
)

// copyFolder is what a disk holds when the process is killed now.
func copyFolder(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestWhatIsAcknowledgedSurvives(t *testing.T) {
	folder := t.TempDir()
	room := open(t, folder, nil)
	var senders sync.WaitGroup
	var mu sync.Mutex
	var want []string
	for s := range 20 {
		senders.Go(func() {
			for i := range 20 {
				id := fmt.Sprintf("%d-%d", s, i)
				if receipt, err := room.Emit(t.Context(), "prod", []event.Event{{ID: id, Topic: "t", Fields: fields("i", i)}}); err != nil || receipt.Stored != 1 {
					t.Errorf("%+v, %v", receipt, err)
				}
				mu.Lock()
				want = append(want, id)
				mu.Unlock()
			}
		})
	}
	senders.Wait()
	slices.Sort(want)
	killed := copyFolder(t, folder)
	logs, err := filepath.Glob(filepath.Join(killed, "events", "*.log"))
	if err != nil || len(logs) != 1 {
		t.Fatalf("%q, %v", logs, err)
	}
	whole, err := os.ReadFile(logs[0])
	if err != nil {
		t.Fatal(err)
	}
	line := event.Frame(nil, []byte(`{"half": "an event that nobody was told is safe"}`))
	for name, torn := range map[string][]byte{"whole": nil, "half a header": line[:3], "half a frame": line[:20], "a damaged frame": append(slices.Clone(line[:20]), make([]byte, len(line)-20)...),
		"zeros": make([]byte, 4096), "a frame of 4 GB": {0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5}} {
		if err := os.WriteFile(logs[0], append(slices.Clone(whole), torn...), 0o600); err != nil {
			t.Fatal(err)
		}
		again := open(t, killed, nil)
		emit(t, again, "prod", event.Event{ID: name, Topic: "t"})
		got := query(t, again, event.Query{Namespace: "prod", Limit: event.MaxLimit})
		if len(got) == 0 || got[0] != name {
			t.Fatalf("%s: the newest is not there: %q", name, got)
		}
		old := slices.DeleteFunc(got, func(id string) bool { return !slices.Contains(want, id) })
		if slices.Sort(old); !slices.Equal(old, want) {
			t.Errorf("%s: %d of %d are there", name, len(old), len(want))
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(killed, "events")); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(killed, "events"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
}

// fill emits more than a segment holds, and answers the number of events.
func fill(t *testing.T, room *event.Room, prefix string) int {
	t.Helper()
	n := 0
	for size := 0; size < event.SegmentBytes; size += 100 * 3 * event.MaxText {
		var batch []event.Event
		for range 100 {
			n++
			batch = append(batch, event.Event{ID: fmt.Sprintf("%s%d", prefix, n), Topic: "t", TraceID: signal.TraceID{1, byte(n), byte(n >> 8)},
				Fields: fields("a", strings.Repeat("x", event.MaxText), "b", strings.Repeat("y", event.MaxText), "c", strings.Repeat("z", event.MaxText))})
		}
		emit(t, room, "prod", batch...)
	}
	return n
}

// sealed waits until so many segments are compressed.
func sealed(t *testing.T, folder string, n int) []string {
	t.Helper()
	for limit := time.Now().Add(30 * time.Second); ; {
		raw, _ := filepath.Glob(filepath.Join(folder, "events", "*.log"))
		files, _ := filepath.Glob(filepath.Join(folder, "events", "*.jsonl.zst"))
		if len(files) == n && len(raw) <= 1 {
			return files
		}
		if time.Now().After(limit) {
			t.Fatalf("sealed: %q, raw: %q", files, raw)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestSealedSegments(t *testing.T) {
	folder := t.TempDir()
	room := open(t, folder, event.SmallSegments)
	n := fill(t, room, "e")
	files := sealed(t, folder, 1)
	emit(t, room, "prod", event.Event{ID: "last", Topic: "u"})
	compressed, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	decoder, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	if text, err := decoder.DecodeAll(compressed, nil); err != nil || strings.Count(string(text), "\n") != n {
		t.Errorf("%d lines of %d, %v", strings.Count(string(text), "\n"), n, err)
	}
	check := func(room *event.Room) {
		t.Helper()
		if got := query(t, room, event.Query{Namespace: "prod", TraceID: signal.TraceID{1, 7}}); !slices.Equal(got, []string{"e7"}) {
			t.Errorf("%q", got)
		}
		if got := query(t, room, event.Query{Namespace: "prod", Limit: 2}); !slices.Equal(got, []string{"last", fmt.Sprintf("e%d", n)}) {
			t.Errorf("%q", got)
		}
		events, err := room.After(uint64(n-1), 10, 1<<20)
		if err != nil || len(events) != 2 || events[0].Sequence != uint64(n) || events[1].ID != "last" {
			t.Errorf("%d events, %v", len(events), err)
		}
		if last, _ := room.Last(); last != uint64(n+1) {
			t.Errorf("the last is %d", last)
		}
	}
	check(room)
	if err := room.Close(); err != nil {
		t.Fatal(err)
	}
	// The description is a hint, and a crash may leave the segment twice.
	if err := os.Remove(strings.TrimSuffix(files[0], ".jsonl.zst") + ".meta.json"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(strings.TrimSuffix(files[0], ".jsonl.zst")+".log", []byte("what was being removed"), 0o600); err != nil {
		t.Fatal(err)
	}
	room = open(t, folder, event.SmallSegments)
	check(room)
	if err := room.Close(); err != nil {
		t.Fatal(err)
	}
	// A damaged segment costs what cannot be read, never the start.
	if err := os.WriteFile(files[0], compressed[:len(compressed)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	room = open(t, folder, event.SmallSegments)
	result, err := room.Query(t.Context(), event.Query{Namespace: "prod"})
	if err != nil || len(result.Partial) != 1 || len(result.Events) == 0 || result.Events[0].ID != "last" {
		t.Errorf("%d events, %q, %v", len(result.Events), result.Partial, err)
	}
	emit(t, room, "prod", event.Event{ID: "later", Topic: "u"})
	if last, _ := room.Last(); last != uint64(n+2) {
		t.Errorf("the last is %d", last)
	}
}

func TestRetention(t *testing.T) {
	t.Run("age", func(t *testing.T) {
		folder := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			room := open(t, folder, func(o *event.Options) { o.MaxAge = 3 * time.Hour })
			var needed atomic.Uint64
			needed.Store(1)
			room.Need(needed.Load)
			emit(t, room, "prod", event.Event{ID: "old", Topic: "t"})
			time.Sleep(2 * time.Hour)
			emit(t, room, "prod", event.Event{ID: "new", Topic: "t"})
			if got := query(t, room, event.Query{Namespace: "prod"}); !slices.Equal(got, []string{"new", "old"}) {
				t.Errorf("%q", got)
			}
			time.Sleep(2 * time.Hour)
			if got := query(t, room, event.Query{Namespace: "prod"}); !slices.Equal(got, []string{"new", "old"}) {
				t.Errorf("somebody still has to read it: %q", got)
			}
			needed.Store(2)
			time.Sleep(2 * time.Minute)
			if got := query(t, room, event.Query{Namespace: "prod"}); !slices.Equal(got, []string{"new"}) {
				t.Errorf("%q", got)
			}
			room.Close()
		})
	})
	t.Run("size", func(t *testing.T) {
		folder := t.TempDir()
		room := open(t, folder, func(o *event.Options) { o.MaxBytes = 1; event.SmallSegments(o) })
		room.Need(func() uint64 { return 1 })
		n := fill(t, room, "e")
		emit(t, room, "prod", event.Event{ID: "last", Topic: "u"})
		for limit := time.Now().Add(30 * time.Second); !slices.Equal(query(t, room, event.Query{Namespace: "prod", Limit: 2}), []string{"last"}); {
			if time.Now().After(limit) {
				t.Fatal("the log stays too large")
			}
			time.Sleep(time.Millisecond)
		}
		if events, err := room.After(0, 10, 1<<20); err != nil || len(events) != 1 || events[0].Sequence != uint64(n+1) {
			t.Errorf("%d events, %v", len(events), err)
		}
	})
}

func TestFailedWrite(t *testing.T) {
	folder := t.TempDir()
	room := open(t, folder, nil)
	emit(t, room, "prod", event.Event{ID: "before", Topic: "t"})
	room.BreakFile()
	if _, err := room.Emit(t.Context(), "prod", []event.Event{{ID: "again", Topic: "t"}}); !fault.Is(err, fault.Unavailable) {
		t.Fatalf("%v", err)
	}
	emit(t, room, "prod", event.Event{ID: "again", Topic: "t"}, event.Event{ID: "after", Topic: "t"})
	want := []string{"after", "again", "before"}
	if got := query(t, room, event.Query{Namespace: "prod"}); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if err := room.Close(); err != nil {
		t.Fatal(err)
	}
	if got := query(t, open(t, folder, nil), event.Query{Namespace: "prod"}); !slices.Equal(got, want) {
		t.Errorf("after a restart: %q", got)
	}
}
