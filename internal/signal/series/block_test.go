package series_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/internal/signal/series"
)

// eventually waits for a condition.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("not in 30 s: %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// history fills a store with a sample a minute of the last hours and waits until blocks are cut.
func history(t testing.TB, s *series.Store, now time.Time, hours int) (samples int) {
	t.Helper()
	a := s.Appender(context.Background())
	for at := now.Add(-time.Duration(hours) * time.Hour); !at.After(now); at = at.Add(time.Minute) {
		if _, err := a.Append(0, set("__name__", "loans", "namespace", "default"), at.UnixMilli(), float64(samples)); err != nil {
			t.Fatal(err)
		}
		samples++
	}
	if err := a.Commit(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "blocks are cut", func() bool {
		blocks := s.Blocks()
		return len(blocks) > 0 && s.Whole().Stats(1).NumSeries == 1 && now.UnixMilli()-blocks[len(blocks)-1].MaxTime < 3*time.Hour.Milliseconds()
	})
	return samples
}

func TestBlocksAreCutAndReadAgain(t *testing.T) {
	now, dir := time.Now(), t.TempDir()
	s := open(t, series.Options{Dir: dir, Upkeep: 10 * time.Millisecond})
	samples := history(t, s, now, 10)
	if got := value(t, s, "count_over_time(loans[11h])", now); int(got) != samples {
		t.Errorf("%v samples, want %d", got, samples)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, series.Options{Dir: dir})
	if got := value(t, again, "count_over_time(loans[11h])", now); int(got) != samples {
		t.Errorf("%v samples after a restart, want %d", got, samples)
	}
}

func TestBlocksThatCannotBeReadAreSetAside(t *testing.T) {
	now, dir := time.Now(), t.TempDir()
	// With a short retention blocks are not joined, so that there are some.
	s := open(t, series.Options{Dir: dir, Upkeep: 10 * time.Millisecond, Retention: 20 * time.Hour})
	history(t, s, now, 12)
	blocks := s.Blocks()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if len(blocks) < 3 {
		t.Fatalf("%d blocks, want three to break", len(blocks))
	}
	for i, file := range []string{"meta.json", "index"} {
		path := filepath.Join(dir, blocks[i].ULID.String(), file)
		if err := os.Truncate(path, size(t, path)/2); err != nil {
			t.Fatal(err)
		}
	}
	var log lines
	again := open(t, series.Options{Dir: dir, Logger: log.logger(), Retention: 20 * time.Hour})
	if got := value(t, again, "loans", now); got == 0 {
		t.Error("the newest sample is gone")
	}
	if got := len(again.Blocks()); got != len(blocks)-2 {
		t.Errorf("%d blocks are left, want %d", got, len(blocks)-2)
	}
	aside, err := os.ReadDir(filepath.Join(dir, "set-aside"))
	if err != nil || len(aside) != 2 {
		t.Errorf("set aside: %v, %v", aside, err)
	}
	for i := range 2 {
		if !strings.Contains(log.String(), blocks[i].ULID.String()) {
			t.Errorf("the log does not name block %s", blocks[i].ULID)
		}
	}
}

func TestBlocksGoBySize(t *testing.T) {
	now := time.Now()
	s := open(t, series.Options{Upkeep: 10 * time.Millisecond, RetentionSize: 1})
	a := s.Appender(context.Background())
	for at := now.Add(-10 * time.Hour); !at.After(now); at = at.Add(time.Minute) {
		if _, err := a.Append(0, set("__name__", "loans", "namespace", "default"), at.UnixMilli(), 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Commit(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "only the newest hours are left", func() bool {
		v, _, err := s.Instant(context.Background(), "count_over_time(loans[11h])", now)
		return err == nil && len(v) == 1 && v[0].F < 3*60+1
	})
}
