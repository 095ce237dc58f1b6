// Package stats sums up what repeated measurements gave. It imports nothing of the project.
package stats

import (
	"cmp"
	"math"
	"slices"
)

// Summary is what several runs of the same measurement gave. Medians, not means: one run that met a busy disk must not
// move the figure.
type Summary struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	// Runs are the values in the order in which they were measured.
	Runs []float64 `json:"runs"`
}

// Summarize sums up the values of all runs. The median of an even number of runs is the mean of the middle two. Of no runs
// everything is zero.
func Summarize(runs []float64) Summary {
	if len(runs) == 0 {
		return Summary{}
	}
	sorted := slices.Sorted(slices.Values(runs))
	n := len(sorted)
	return Summary{Median: (sorted[(n-1)/2] + sorted[n/2]) / 2, Min: sorted[0], Max: sorted[n-1], Runs: slices.Clone(runs)}
}

// Quantile is the smallest value that at least a share q of all values do not exceed (the nearest-rank definition), so it
// is always one that was measured. q is over 0 and up to 1; outside it is taken for the nearest bound. Of no values it is zero. The values
// are left in their order.
func Quantile[T cmp.Ordered](values []T, q float64) T {
	if len(values) == 0 {
		var none T
		return none
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}
