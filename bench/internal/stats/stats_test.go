package stats_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/bench/internal/stats"
)

func TestSummarize(t *testing.T) {
	for _, c := range []struct {
		name             string
		runs             []float64
		median, min, max float64
	}{
		{"none", nil, 0, 0, 0},
		{"one", []float64{7}, 7, 7, 7},
		{"odd", []float64{9, 1, 5}, 5, 1, 9},
		{"even", []float64{4, 1, 3, 2}, 2.5, 1, 4},
		{"an outlier does not move the median", []float64{10, 11, 1000, 12, 9}, 11, 9, 1000},
	} {
		t.Run(c.name, func(t *testing.T) {
			given := slices.Clone(c.runs)
			got := stats.Summarize(given)
			if got.Median != c.median || got.Min != c.min || got.Max != c.max {
				t.Errorf("Summarize(%v) = %+v", c.runs, got)
			}
			if !slices.Equal(got.Runs, c.runs) || !slices.Equal(given, c.runs) {
				t.Errorf("runs %v and argument %v, want both in the order %v", got.Runs, given, c.runs)
			}
			if len(given) > 0 {
				given[0]++
				if got.Runs[0] == given[0] {
					t.Error("the summary shares the caller's slice")
				}
			}
		})
	}
}

func TestQuantile(t *testing.T) {
	hundred := make([]int, 100)
	for i := range hundred {
		hundred[i] = i + 1
	}
	rand.Shuffle(len(hundred), func(i, j int) { hundred[i], hundred[j] = hundred[j], hundred[i] })
	before := slices.Clone(hundred)
	for _, c := range []struct {
		values []int
		q      float64
		want   int
	}{
		{nil, 0.99, 0},
		{[]int{5}, 0.99, 5},
		{hundred, 0.5, 50},
		{hundred, 0.99, 99},
		{hundred, 0.991, 100},
		{hundred, 1, 100},
		{hundred, 0, 1},
		{hundred, -1, 1},
		{hundred, 2, 100},
		{[]int{1, 2}, 0.5, 1},
		{[]int{1, 2}, 0.51, 2},
	} {
		if got := stats.Quantile(c.values, c.q); got != c.want {
			t.Errorf("quantile %v of %d values = %d, want %d", c.q, len(c.values), got, c.want)
		}
	}
	if !slices.Equal(hundred, before) {
		t.Error("Quantile reordered its argument")
	}
	if got := stats.Quantile([]time.Duration{3, 1, 2}, 0.5); got != 2 {
		t.Errorf("median of durations = %v", got)
	}
}
