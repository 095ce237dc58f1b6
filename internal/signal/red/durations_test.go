package red

import (
	"math"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"pgregory.net/rapid"
)

func nanoseconds() *rapid.Generator[int64] {
	return rapid.Custom(func(t *rapid.T) int64 {
		// Evenly over the powers of two, as durations are.
		exponent := rapid.IntRange(0, 46).Draw(t, "exponent")
		return clampDuration(int64(1)<<exponent + rapid.Int64Range(-1, int64(1)<<exponent).Draw(t, "rest"))
	})
}

func TestBucketsAreThoseOfPrometheus(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seconds := float64(nanoseconds().Draw(t, "ns")) / 1e9
		if seconds == 0 {
			return
		}
		bucket := bucketOf(seconds)
		if low, high := math.Exp2(float64(bucket-1)/8), math.Exp2(float64(bucket)/8); seconds <= low*(1-1e-12) || seconds > high*(1+1e-12) {
			t.Fatalf("%g is in bucket %d, (%g, %g]", seconds, bucket, low, high)
		}
	})
	for power := -20; power < 20; power++ {
		if got := bucketOf(math.Exp2(float64(power))); got != int32(power*8) {
			t.Errorf("2^%d is in bucket %d: bounds belong to the bucket below them", power, got)
		}
	}
}

func TestNativeHistogramIsValidAndCountsAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfN(nanoseconds(), 1, 300).Draw(t, "all")
		var d durations
		sum := 0.0
		for _, ns := range all {
			d.observe(ns)
			sum += float64(ns) / 1e9
		}
		h := d.native()
		if err := h.Validate(); err != nil {
			t.Fatal(err)
		}
		if h.Count != uint64(len(all)) || math.Abs(h.Sum-sum) > 1e-9*sum || len(d.counts) > maxBuckets {
			t.Fatalf("count %d of %d, sum %g of %g, %d buckets", h.Count, len(all), h.Sum, sum, len(d.counts))
		}
		// Each observation is in the bucket that covers it, at the resolution that was left.
		want := map[int32]uint64{}
		for _, ns := range all {
			if ns > 0 {
				want[coarsen(bucketOf(float64(ns)/1e9), d.coarser)]++
			}
		}
		got := map[int32]uint64{}
		for it := h.PositiveBucketIterator(); it.Next(); {
			if it.At().Count > 0 {
				got[it.At().Index] = it.At().Count
			}
		}
		if len(got) != len(want) {
			t.Fatalf("%d buckets instead of %d", len(got), len(want))
		}
		for bucket, n := range want {
			if got[bucket] != n {
				t.Fatalf("bucket %d holds %d, not %d", bucket, got[bucket], n)
			}
		}
	})
}

func TestQuantilesAreWithinTheBucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfN(rapid.Int64Range(1_000_000, 5_000_000_000), 1, 300).Draw(t, "all")
		var d durations
		for _, ns := range all {
			d.observe(ns)
		}
		slices.Sort(all)
		for _, q := range []float64{0.01, 0.5, 0.95, 0.99, 1} {
			rank := max(int(math.Ceil(q*float64(len(all)))), 1)
			truth := float64(all[rank-1]) / 1e9
			if got := d.quantile(q); got < truth/math.Exp2(1.0/8)*0.9999 || got > truth*math.Exp2(1.0/8)*1.0001 {
				t.Fatalf("quantile %g is %g, in truth %g", q, got, truth)
			}
		}
	})
}

func TestMergingAndPackingLoseNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var together, first, second, packed durations
		for _, ns := range rapid.SliceOfN(nanoseconds(), 0, 100).Draw(t, "first") {
			first.observe(ns)
			together.observe(ns)
		}
		for _, ns := range rapid.SliceOfN(nanoseconds(), 0, 100).Draw(t, "second") {
			second.observe(ns)
			together.observe(ns)
		}
		packed.addPacked(first.pack())
		packed.addPacked(second.pack())
		first.merge(&second)
		var again durations
		again.addFloat(together.native().ToFloat(nil))
		for what, d := range map[string]*durations{"merged": &first, "packed": &packed, "read": &again} {
			sameCounts(t, what, d, &together)
		}
	})
}

// sameCounts compares at the coarser resolution of both.
func sameCounts(t *rapid.T, what string, a, b *durations) {
	x, y := a.copy(), b.copy()
	for x.coarser < y.coarser {
		x.halve()
	}
	for y.coarser < x.coarser {
		y.halve()
	}
	if !histogramsEqual(x.native(), y.native()) {
		t.Fatalf("%s: %v instead of %v", what, x.native(), y.native())
	}
}

func histogramsEqual(a, b *histogram.Histogram) bool {
	if math.Abs(a.Sum-b.Sum) > 1e-9*math.Abs(a.Sum) {
		return false
	}
	a.Sum = b.Sum
	return a.Equals(b)
}

func TestObserveAllocatesNothing(t *testing.T) {
	var d durations
	d.observe(3_000_000)
	if n := testing.AllocsPerRun(1000, func() { d.observe(3_000_000) }); n != 0 {
		t.Errorf("%g allocations", n)
	}
}
