package series_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/gantry-platform/gantry/internal/signal/series"
)

// neighbours are other nodes in the same process: what one answers the other reads, as over the wire.
type neighbours map[string]*series.Store

func (n neighbours) Others() []series.Peer {
	var peers []series.Peer
	for id := range n {
		peers = append(peers, series.Peer{ID: id, Name: id, Absent: id == "absent"})
	}
	return peers
}

func (n neighbours) SelectSeries(ctx context.Context, id string, selection series.Selection) (io.ReadCloser, error) {
	reader, writer := io.Pipe()
	stop := context.AfterFunc(ctx, func() { reader.CloseWithError(ctx.Err()) })
	go func() {
		defer stop()
		switch store := n[id]; {
		case store == nil:
			writer.CloseWithError(errors.New("it is away"))
		case id == "breaks":
			var whole strings.Builder
			err := store.AnswerSelect(ctx, selection, &whole)
			_, _ = io.WriteString(writer, whole.String()[:whole.Len()*2/3])
			writer.CloseWithError(errors.Join(err, errors.New("it broke off")))
		default:
			writer.CloseWithError(store.AnswerSelect(ctx, selection, writer))
		}
	}()
	return reader, nil
}

func (n neighbours) ListSeriesLabels(ctx context.Context, id string, selection series.Selection, name string, limit int) ([]string, error) {
	if n[id] == nil {
		return nil, errors.New("it is away")
	}
	return n[id].AnswerLabels(ctx, selection, name, limit)
}

func TestAQueryIsAboutAllNodes(t *testing.T) {
	now := time.Now()
	other := open(t, series.Options{})
	one := open(t, series.Options{Peers: neighbours{"n2": other}})
	for name, s := range map[string]*series.Store{"n1": one, "n2": other} {
		for minute := -5; minute <= 0; minute++ {
			at := now.Add(time.Duration(minute) * time.Minute)
			for _, namespace := range []string{"default", "staging"} {
				put(t, s, set("__name__", "requests_total", "namespace", namespace, "node", name), at, float64(60*(minute+5)))
			}
			a := s.Appender(context.Background())
			count := uint64(minute + 6)
			h := &histogram.Histogram{Count: count, Sum: float64(count), PositiveSpans: []histogram.Span{{Length: 1}}, PositiveBuckets: []int64{int64(count)}}
			if _, err := a.AppendHistogram(0, set("__name__", "seconds", "namespace", "default", "node", name), at.UnixMilli(), h, nil); err != nil {
				t.Fatal(err)
			}
			if err := a.Commit(); err != nil {
				t.Fatal(err)
			}
		}
	}
	// The same series on both nodes, as after a scraped instance has moved.
	put(t, other, set("__name__", "moved", "namespace", "default"), now.Add(-time.Minute), 1)
	put(t, one, set("__name__", "moved", "namespace", "default"), now, 2)
	for query, want := range map[string]float64{
		`count(requests_total)`:                         4,
		`sum(rate(requests_total[4m]))`:                 4,
		`histogram_count(sum(seconds))`:                 12,
		`count_over_time(moved[5m])`:                    2,
		`moved`:                                         2,
		`count(requests_total{node=~"n2",node!="n1"})`:  2,
		`count(requests_total{namespace!~"default|x"})`: 2,
	} {
		if got := value(t, one, query, now); math.Abs(got-want) > 0.001 {
			t.Errorf("%s is %v, want %v", query, got, want)
		}
	}
	v, warnings, err := one.In("staging").Instant(context.Background(), `requests_total or moved`, now)
	if err != nil || len(v) != 2 || len(warnings) != 0 {
		t.Errorf("staging: %v, %v, %v", v, warnings, err)
	}
	q, err := one.In("staging").Querier(0, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if values, _, err := q.LabelValues(context.Background(), "node", nil); err != nil || fmt.Sprint(values) != "[n1 n2]" {
		t.Errorf("nodes: %v, %v", values, err)
	}
	// What is its own, a node reads without the others.
	own, err := one.Own("staging").Querier(0, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	if values, _, err := own.LabelValues(context.Background(), "node", nil); err != nil || fmt.Sprint(values) != "[n1]" {
		t.Errorf("own nodes: %v, %v", values, err)
	}
	chunks, err := one.Whole().ChunkQuerier(now.Add(-time.Hour).UnixMilli(), now.UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	defer chunks.Close()
	found, samples := 0, 0
	for all := chunks.Select(context.Background(), true, nil, labels.MustNewMatcher(labels.MatchEqual, "__name__", "requests_total")); all.Next(); found++ {
		for it := all.At().Iterator(nil); it.Next(); {
			for in := it.At().Chunk.Iterator(nil); in.Next() != chunkenc.ValNone; {
				samples++
			}
		}
	}
	if found != 4 || samples != 24 {
		t.Errorf("%d series and %d samples by chunks, want 4 and 24", found, samples)
	}
}

func TestANodeThatIsNotThereIsMissedButByAlerts(t *testing.T) {
	now := time.Now()
	s := open(t, series.Options{Peers: neighbours{"absent": nil}})
	put(t, s, set("__name__", "a", "namespace", "default"), now, 1)
	v, warnings, err := s.In("default").Instant(t.Context(), `a`, now)
	if err != nil || len(v) != 1 || len(warnings) != 1 || !strings.Contains(warnings[0], "node absent are missing: it is not there") {
		t.Errorf("%v, %q, %v", v, warnings, err)
	}
	if v, warnings, err = s.In("default").Live().Instant(t.Context(), `a`, now); err != nil || len(v) != 1 || len(warnings) > 0 {
		t.Errorf("%v, %q, %v", v, warnings, err)
	}
	q, err := s.In("default").Querier(0, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if names, missing, err := q.LabelNames(t.Context(), nil); err != nil || len(names) == 0 || len(missing) != 1 {
		t.Errorf("%v, %v, %v", names, missing, err)
	}
}

func TestANodeThatDoesNotAnswerIsAWarning(t *testing.T) {
	now := time.Now()
	breaks := open(t, series.Options{})
	s := open(t, series.Options{Peers: neighbours{"away": nil, "breaks": breaks}})
	put(t, s, set("__name__", "a", "namespace", "default"), now, 1)
	for i := range 50 {
		put(t, breaks, set("__name__", "a", "namespace", "default", "i", fmt.Sprint(i)), now, 1)
	}
	v, warnings, err := s.Instant(context.Background(), `a`, now)
	if err != nil || len(v) < 2 || len(v) > 50 {
		t.Fatalf("%d series, %v; want ours and a part of the other's", len(v), err)
	}
	if text := strings.Join(warnings, "\n"); !strings.Contains(text, "node away") || !strings.Contains(text, "node breaks") {
		t.Errorf("warnings: %q", text)
	}
	q, err := s.Whole().Querier(0, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	values, missing, err := q.LabelValues(context.Background(), "__name__", nil)
	if err != nil || fmt.Sprint(values) != "[a]" || len(missing) != 1 {
		t.Errorf("names: %v, %v, %v", values, missing, err)
	}
}
