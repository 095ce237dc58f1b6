package trace_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/trace"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func open(tb testing.TB, options trace.Options) *trace.Store {
	tb.Helper()
	if options.Clock == nil {
		options.Clock = func() time.Time { return noon.Add(time.Minute) }
	}
	s, err := trace.Open(options)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func flush(tb testing.TB, s *trace.Store) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := s.Flush(ctx); err != nil {
		tb.Fatal(err)
	}
}

func check(t *testing.T, s *trace.Store, namespace string, want map[signal.TraceID][]signal.Span) {
	t.Helper()
	for id, spans := range want {
		got, err := s.Trace(t.Context(), namespace, id, signal.Range{})
		if err != nil || len(got.Partial) > 0 {
			t.Fatalf("%v, %v", err, got.Partial)
		}
		if got := normal(got.Spans); !reflect.DeepEqual(got, spans) {
			t.Fatalf("trace %s is\n%+v, not\n%+v", id, got, spans)
		}
	}
}

// What was written is read back whole: from memory, from a block, after a restart from the log and from blocks, and after merging.
func TestWhatIsWrittenIsRead(t *testing.T) {
	dir := t.TempDir()
	s := open(t, trace.Options{Dir: dir})
	f := newFleet(1, noon)
	var batches []*signal.Batch
	more := func(traces int) {
		for range traces {
			spans := f.trace()
			// A trace comes in two requests, the later part first.
			for _, part := range [][]span{spans[3:], spans[:3]} {
				b := batch(t, "default", noon, part)
				batches = append(batches, b)
				write(t, s, b)
			}
		}
	}
	more(40)
	check(t, s, "default", expected(batches...))
	flush(t, s)
	check(t, s, "default", expected(batches...))
	for range 5 {
		more(30)
		flush(t, s)
	}
	more(40)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, trace.Options{Dir: dir})
	check(t, s, "default", expected(batches...))
	flush(t, s)
	if err := s.Compact(); err != nil {
		t.Fatal(err)
	}
	if blocks := files(t, filepath.Join(dir, "blocks")); len(blocks) > 2 {
		t.Errorf("after merging there are %v", blocks)
	}
	check(t, s, "default", expected(batches...))
	if logs := files(t, filepath.Join(dir, "wal")); len(logs) != 1 {
		t.Errorf("the log is %v", logs)
	}
}

func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestNamespacesAreApart(t *testing.T) {
	s := open(t, trace.Options{Dir: t.TempDir()})
	f := newFleet(2, noon)
	spans := f.trace()
	a, b := batch(t, "default", noon, spans[:3]), batch(t, "test", noon, spans[2:])
	write(t, s, a)
	write(t, s, b)
	for range 2 {
		check(t, s, "default", expected(a))
		check(t, s, "test", expected(b))
		for namespace, count := range map[string]int{"default": 1, "other": 0} {
			found, err := s.Search(t.Context(), signal.TraceQuery{Namespace: namespace})
			if err != nil || len(found.Traces) != count {
				t.Errorf("%s has %d traces, %v", namespace, len(found.Traces), err)
			}
		}
		if services, err := s.Services(t.Context(), "test", signal.Range{}); err != nil || strings.Join(services, " ") != "bureau loan risk" {
			t.Errorf("services %v, %v", services, err)
		}
		if endpoints, err := s.Endpoints(t.Context(), "default", "portal", signal.KindServer, signal.Range{}); err != nil || strings.Join(endpoints, " ") != "POST /loans" {
			t.Errorf("endpoints %v, %v", endpoints, err)
		}
		flush(t, s)
	}
}

// A search finds what a look at every span finds, in memory and in blocks.
func TestSearchFindsWhatThereIs(t *testing.T) {
	s := open(t, trace.Options{Dir: t.TempDir()})
	f := newFleet(3, noon)
	var all []*signal.Batch
	for i := range 300 {
		b := batch(t, "default", noon, f.trace())
		all = append(all, b)
		write(t, s, b)
		if i%100 == 50 {
			flush(t, s)
		}
	}
	queries := map[string]signal.TraceQuery{
		"everything":         {},
		"service":            {Service: "risk"},
		"endpoint":           {Service: "loan", Endpoint: "POST /approve"},
		"kind":               {Kind: signal.KindClient, Service: "loan"},
		"failed":             {Outcomes: []signal.Outcome{signal.Failed}},
		"failed or refused":  {Outcomes: []signal.Outcome{signal.Failed, signal.Refused}, Service: "portal"},
		"slow":               {MinDuration: 150 * time.Millisecond, Service: "portal"},
		"between":            {MinDuration: 100 * time.Millisecond, MaxDuration: 120 * time.Millisecond},
		"order":              {Attributes: []signal.Match{{Key: "order.no", Text: "L00000123"}}},
		"grade and route":    {Attributes: []signal.Match{{Key: "customer.grade", Text: "B"}, {Key: "http.route", Text: "/loans"}}},
		"number":             {Attributes: []signal.Match{{Key: "http.response.status_code", Text: "500"}}},
		"truth":              {Attributes: []signal.Match{{Key: "loan.first", Text: "true"}}},
		"packed":             {Attributes: []signal.Match{{Key: "rare.123", Text: "odd"}}},
		"of the resource":    {Attributes: []signal.Match{{Key: "service.version", Text: "1.2"}}, Service: "bureau"},
		"lane and version":   {Lane: "blue", Version: "1.2", Instance: "risk-1"},
		"another lane":       {Lane: "green"},
		"no such value":      {Attributes: []signal.Match{{Key: "order.no", Text: "L9"}}},
		"no such key":        {Attributes: []signal.Match{{Key: "nothing", Text: ""}}},
		"of another span":    {Service: "bureau", Attributes: []signal.Match{{Key: "order.no", Text: "L00000123"}}},
		"a part of the time": {Since: noon.Add(100 * time.Millisecond), Until: noon.Add(200 * time.Millisecond)},
		"decimal":            {Attributes: []signal.Match{{Key: "loan.amount", Text: "1.5"}}},
	}
	for name, q := range queries {
		q.Namespace, q.Limit = "default", 1000
		want := map[signal.TraceID]bool{}
		for _, b := range all {
			for i := range b.Spans {
				if trace.Matches(q, noon.Add(2*time.Minute), &b.Spans[i]) {
					want[b.Spans[i].TraceID] = true
				}
			}
		}
		got, err := s.Search(t.Context(), q)
		if err != nil || got.Truncated || len(got.Partial) > 0 {
			t.Fatalf("%s: %v, %+v", name, err, got.Partial)
		}
		if len(got.Traces) != len(want) {
			t.Errorf("%s: %d traces, not %d", name, len(got.Traces), len(want))
		}
		for _, summary := range got.Traces {
			if !want[summary.TraceID] || summary.Spans < 6 || summary.RootService != "portal" || !summary.Complete || len(summary.Matched) == 0 || summary.Services["loan"] != 2 {
				t.Errorf("%s: %+v", name, summary)
			}
		}
		if !slices.IsSortedFunc(got.Traces, func(a, b signal.TraceSummary) int { return b.Start.Compare(a.Start) }) {
			t.Errorf("%s: not the newest first", name)
		}
	}
	if got, err := s.Search(t.Context(), signal.TraceQuery{Namespace: "default", Limit: 7}); err != nil || len(got.Traces) != 7 || got.Traces[0].Start.Sub(noon) != 300*time.Millisecond {
		t.Errorf("the newest are %+v, %v", got.Traces, err)
	}
	for name, q := range map[string]signal.TraceQuery{"limit": {Namespace: "default", Limit: 1001}, "namespace": {}, "until": {Namespace: "default", Since: noon, Until: noon.Add(-1)},
		"min_duration": {Namespace: "default", MinDuration: 2, MaxDuration: 1}, "attributes": {Namespace: "default", Attributes: make([]signal.Match, 17)}} {
		_, err := s.Search(t.Context(), q)
		if f, ok := fault.As(err); !ok || f.Code != fault.Invalid || f.Field != name {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An exporter that lost an answer sends again: nothing is there twice.
func TestRepeatsAreOne(t *testing.T) {
	s := open(t, trace.Options{Dir: t.TempDir()})
	b := batch(t, "default", noon, newFleet(4, noon).trace())
	for range 2 {
		write(t, s, b)
		write(t, s, b)
		check(t, s, "default", expected(b))
		flush(t, s)
		check(t, s, "default", expected(b))
	}
}

// A log that was cut, overwritten or filled with anything keeps its other batches, and never stops the start.
func TestDamagedLog(t *testing.T) {
	source := t.TempDir()
	s := open(t, trace.Options{Dir: source})
	f := newFleet(5, noon)
	var batches []*signal.Batch
	for range 5 {
		batches = append(batches, batch(t, "default", noon, f.trace()))
		write(t, s, batches[len(batches)-1])
	}
	log, err := os.ReadFile(files(t, filepath.Join(source, "wal"))[0])
	if err != nil {
		t.Fatal(err)
	}
	middle := len(log) / 2
	for name, c := range map[string]struct {
		damage func([]byte) []byte
		kept   int // at least
	}{
		"whole":                {func(b []byte) []byte { return b }, 5},
		"torn":                 {func(b []byte) []byte { return b[:len(b)-10] }, 4},
		"zeros behind":         {func(b []byte) []byte { return append(b, make([]byte, 5000)...) }, 5},
		"a byte in the middle": {func(b []byte) []byte { b[middle] ^= 0xff; return b }, 4},
		"a hole":               {func(b []byte) []byte { copy(b[middle:], make([]byte, 50)); return b }, 3},
		"the beginning":        {func(b []byte) []byte { copy(b, make([]byte, 4)); return b }, 5},
		"a cut beginning":      {func(b []byte) []byte { return b[:3] }, 0},
		"empty":                {func([]byte) []byte { return nil }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.MkdirAll(filepath.Join(dir, "wal"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "wal", "0000000000000001.wal"), c.damage(slices.Clone(log)), 0o600); err != nil {
				t.Fatal(err)
			}
			s := open(t, trace.Options{Dir: dir})
			kept := 0
			for id, spans := range expected(batches...) {
				got, err := s.Trace(t.Context(), "default", id, signal.Range{})
				if err != nil {
					t.Fatal(err)
				}
				if len(got.Spans) > 0 {
					kept++
					if !reflect.DeepEqual(normal(got.Spans), spans) {
						t.Errorf("trace %s is damaged", id)
					}
				}
			}
			if kept < c.kept {
				t.Errorf("%d traces are kept, not %d", kept, c.kept)
			}
			more := batch(t, "default", noon, f.trace())
			write(t, s, more)
			flush(t, s)
			check(t, s, "default", expected(more))
		})
	}
}

// A block that cannot be read is named in answers; the others are read.
func TestDamagedBlock(t *testing.T) {
	dir := t.TempDir()
	s := open(t, trace.Options{Dir: dir})
	f := newFleet(6, noon)
	bad := batch(t, "default", noon, f.trace())
	write(t, s, bad)
	flush(t, s)
	path := files(t, filepath.Join(dir, "blocks"))[0]
	good := batch(t, "default", noon, f.trace())
	write(t, s, good)
	flush(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, damaged := range map[string][]byte{"empty": {}, "cut": content[:len(content)/2], "overwritten": append(make([]byte, len(content)-300), content[len(content)-300:]...)} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(filepath.Dir(path), "x.parquet.tmp"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			s := open(t, trace.Options{Dir: dir})
			defer s.Close()
			got, err := s.Trace(t.Context(), "default", good.Spans[0].TraceID, signal.Range{})
			if err != nil || len(got.Spans) != len(good.Spans) || len(got.Partial) != 1 || got.Partial[0] != filepath.Base(path) {
				t.Errorf("%d spans, partial %v, %v", len(got.Spans), got.Partial, err)
			}
			found, err := s.Search(t.Context(), signal.TraceQuery{Namespace: "default"})
			if err != nil || len(found.Partial) == 0 || len(found.Traces) != 1 {
				t.Errorf("%d traces, partial %v, %v", len(found.Traces), found.Partial, err)
			}
			listed, err := s.Attributes(t.Context(), signal.AttributeQuery{Namespace: "default"})
			if err != nil || len(listed.Partial) != 1 || listed.Spans != len(good.Spans) {
				t.Errorf("attributes of %d spans, partial %v, %v", listed.Spans, listed.Partial, err)
			}
		})
	}
}

// A crash between writing a block and removing its log must not double spans, and neither one in the middle of a merge.
func TestLeftOversOfACrash(t *testing.T) {
	dir := t.TempDir()
	s := open(t, trace.Options{Dir: dir})
	f := newFleet(7, noon)
	var batches []*signal.Batch
	var kept [][]byte
	var names []string
	keep := func(paths []string) {
		for _, path := range paths {
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			names, kept = append(names, path), append(kept, content)
		}
	}
	for range 4 {
		batches = append(batches, batch(t, "default", noon, f.trace()))
		write(t, s, batches[len(batches)-1])
		keep(files(t, filepath.Join(dir, "wal")))
		flush(t, s)
	}
	keep(files(t, filepath.Join(dir, "blocks")))
	if err := s.Compact(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		if err := os.WriteFile(name, kept[i], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s = open(t, trace.Options{Dir: dir})
	check(t, s, "default", expected(batches...))
	if blocks, logs := files(t, filepath.Join(dir, "blocks")), files(t, filepath.Join(dir, "wal")); len(blocks) != 1 || len(logs) != 1 {
		t.Errorf("left are %v and %v", blocks, logs)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	dir := t.TempDir()
	s := open(t, trace.Options{Dir: dir, Memory: 64 << 10, HeadSpans: 1 << 30, HeadAge: time.Hour})
	f := newFleet(8, noon)
	// Nothing can become a block while its folder cannot be written.
	if err := os.RemoveAll(filepath.Join(dir, "blocks")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "blocks"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var taken []*signal.Batch
	for range 1000 {
		b := batch(t, "default", noon, f.trace())
		err := s.Write(t.Context(), b)
		if err != nil {
			if !fault.Is(err, fault.Exhausted) {
				t.Fatal(err)
			}
			break
		}
		taken = append(taken, b)
	}
	if len(taken) < 5 || len(taken) == 1000 || s.Pressure() > 1 {
		t.Errorf("%d batches at a pressure of %f", len(taken), s.Pressure())
	}
	check(t, s, "default", expected(taken...))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "blocks")); err != nil {
		t.Fatal(err)
	}
	s = open(t, trace.Options{Dir: dir})
	check(t, s, "default", expected(taken...))
}

func TestFullDisk(t *testing.T) {
	s := open(t, trace.Options{Dir: t.TempDir(), MinFree: 1 << 60})
	err := s.Write(t.Context(), batch(t, "default", noon, newFleet(9, noon).trace()))
	if f, ok := fault.As(err); !ok || f.Code != fault.Unavailable || f.Reason != "traces.disk_full" {
		t.Errorf("%v", err)
	}
	if s.Pressure() != 0 {
		t.Errorf("what was refused is still counted: %f", s.Pressure())
	}
}

func TestRetention(t *testing.T) {
	dir := t.TempDir()
	var mu sync.Mutex
	now := noon
	clock := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}
	s := open(t, trace.Options{Dir: dir, Clock: clock, Retention: 48 * time.Hour})
	var days []*signal.Batch
	for day := range 4 {
		mu.Lock()
		now = noon.Add(time.Duration(day) * 24 * time.Hour)
		mu.Unlock()
		flush(t, s) // or the head would still be of the day before
		b := batch(t, "default", clock(), newFleet(uint64(day), clock()).trace())
		write(t, s, b)
		flush(t, s)
		days = append(days, b)
	}
	s.Retain()
	for day, b := range days {
		got, err := s.Trace(t.Context(), "default", b.Spans[0].TraceID, signal.Range{})
		if err != nil || (len(got.Spans) > 0) != (day >= 1) {
			t.Errorf("day %d has %d spans, %v", day, len(got.Spans), err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, trace.Options{Dir: dir, Clock: clock, RetentionSize: 1})
	s.Retain()
	if left := files(t, filepath.Join(dir, "blocks")); len(left) != 0 {
		t.Errorf("over the size are %v", left)
	}
}

func TestSamplingKeepsWhatWentWrong(t *testing.T) {
	s := open(t, trace.Options{Dir: t.TempDir(), Sampling: &trace.Sampling{Share: 0.2, Slow: 200 * time.Millisecond}})
	f := newFleet(10, noon)
	want := map[signal.TraceID]bool{}
	others, kept := 0, 0
	var ids []signal.TraceID
	for range 1000 {
		b := batch(t, "default", noon, f.trace())
		write(t, s, b)
		id := b.Spans[0].TraceID
		ids = append(ids, id)
		want[id] = slices.ContainsFunc(b.Spans, func(s signal.Span) bool {
			return s.Outcome == signal.Failed || s.Duration >= int64(200*time.Millisecond)
		})
	}
	flush(t, s)
	for _, id := range ids {
		got, err := s.Trace(t.Context(), "default", id, signal.Range{})
		if err != nil {
			t.Fatal(err)
		}
		if want[id] && len(got.Spans) < 6 {
			t.Fatalf("a failed or slow trace has %d spans", len(got.Spans))
		}
		if !want[id] {
			others++
			if len(got.Spans) > 0 {
				kept++
			}
		}
	}
	if share := float64(kept) / float64(others); share < 0.15 || share > 0.25 {
		t.Errorf("of the others %f are kept", share)
	}
}

func TestConcurrentWritesAndReads(t *testing.T) {
	s := open(t, trace.Options{Dir: t.TempDir(), HeadSpans: 500})
	var writers sync.WaitGroup
	written := make([][]*signal.Batch, 4)
	for i := range written {
		f := newFleet(uint64(20+i), noon)
		for range 100 {
			written[i] = append(written[i], batch(t, fmt.Sprintf("n%d", i%2), noon, f.trace()))
		}
		writers.Go(func() {
			for _, b := range written[i] {
				if err := s.Write(context.Background(), b); err != nil {
					t.Error(err)
				}
				// What was acknowledged is seen at once.
				if got, err := s.Trace(context.Background(), b.Namespace, b.Spans[0].TraceID, signal.Range{}); err != nil || len(got.Spans) != len(b.Spans) {
					t.Errorf("%d spans of %d, %v", len(got.Spans), len(b.Spans), err)
				}
			}
		})
	}
	writers.Go(func() {
		for range 20 {
			if _, err := s.Search(context.Background(), signal.TraceQuery{Namespace: "n0", Service: "loan"}); err != nil {
				t.Error(err)
			}
			if err := s.Compact(); err != nil {
				t.Error(err)
			}
		}
	})
	writers.Wait()
	flush(t, s)
	for _, batches := range written {
		check(t, s, batches[0].Namespace, expected(batches...))
	}
}

func TestClosedStoreRefuses(t *testing.T) {
	s := open(t, trace.Options{Dir: t.TempDir()})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), batch(t, "default", noon, newFleet(1, noon).trace())); !fault.Is(err, fault.Unavailable) {
		t.Errorf("%v", err)
	}
	if err := s.Flush(t.Context()); !errors.Is(err, trace.ErrClosed) {
		t.Errorf("%v", err)
	}
}
