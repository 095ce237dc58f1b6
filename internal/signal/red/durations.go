package red

import (
	"encoding/binary"
	"math"
	"math/bits"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
)

const (
	// baseSchema divides each power of two into eight buckets, so that a quantile is off by at most 4.4% either way.
	baseSchema = 3
	// maxBuckets bounds the window: 20 powers of two at full resolution, from 10 µs to 10 s for example. Durations that spread further halve the resolution.
	maxBuckets = 160
	// maxDuration is what is counted for anything longer: no request lasts a day, and a broken clock must not bend the sums.
	maxDuration = int64(24 * time.Hour)
	// zeroThreshold is that of Prometheus's own client: only zero itself falls below it.
	zeroThreshold = 0x1p-128
)

// boundsOfHalf are the upper bounds of the eight buckets between a half and one, Prometheus's schema 3.
var boundsOfHalf = func() (bounds [1 << baseSchema]float64) {
	for i := range bounds {
		bounds[i] = math.Exp2(float64(i)/(1<<baseSchema) - 1)
	}
	return bounds
}()

// durations is an exponential histogram of seconds: a dense window of buckets that grows where observations fall, and halves its resolution when it
// would become too wide. Bucket i holds (2^((i-1)/2^schema), 2^(i/2^schema)], as Prometheus numbers them. The zero value is ready.
type durations struct {
	counts []uint64
	// first is the bucket of counts[0].
	first int32
	// coarser is how often the resolution was halved.
	coarser uint8
	zeros   uint64
	total   uint64
	sum     float64
}

func (d *durations) schema() int32 { return baseSchema - int32(d.coarser) }

// clampDuration bounds what instrumentation may claim.
func clampDuration(nanoseconds int64) int64 { return min(max(nanoseconds, 0), maxDuration) }

// bucketOf is the bucket of schema 3 for a number of seconds above zero.
func bucketOf(seconds float64) int32 {
	fraction, exponent := math.Frexp(seconds)
	low := 0
	for step := len(boundsOfHalf) / 2; step > 0; step /= 2 {
		if boundsOfHalf[low+step-1] < fraction {
			low += step
		}
	}
	if boundsOfHalf[low] < fraction {
		low++
	}
	return int32(low) + int32(exponent-1)<<baseSchema
}

// coarsen is the bucket that holds another one after the resolution was halved some times.
func coarsen(bucket int32, times uint8) int32 { return (bucket-1)>>times + 1 }

// observe counts a duration. It allocates only when a bucket outside the window is hit for the first time.
func (d *durations) observe(nanoseconds int64) {
	d.total++
	if nanoseconds <= 0 {
		d.zeros++
		return
	}
	seconds := float64(nanoseconds) / 1e9
	d.sum += seconds
	d.add(bucketOf(seconds), 1)
}

// add counts for a bucket of schema 3.
func (d *durations) add(base int32, n uint64) {
	at := coarsen(base, d.coarser) - d.first
	if uint32(at) >= uint32(len(d.counts)) {
		d.reach(base, base)
		at = coarsen(base, d.coarser) - d.first
	}
	d.counts[at] += n
}

// reach makes the window hold both buckets of schema 3.
func (d *durations) reach(low, high int32) {
	for {
		from, to := coarsen(low, d.coarser), coarsen(high, d.coarser)
		if len(d.counts) > 0 {
			from, to = min(from, d.first), max(to, d.first+int32(len(d.counts))-1)
		}
		if width := int(to - from + 1); width <= maxBuckets {
			d.widen(from, to)
			return
		}
		d.halve()
	}
}

// widen grows the window, with some room on the side that grew so that neighbours cost nothing.
func (d *durations) widen(from, to int32) {
	const room = 4
	if len(d.counts) == 0 {
		d.first, d.counts = from-room/2, make([]uint64, to-from+1+room)
		return
	}
	last := d.first + int32(len(d.counts)) - 1
	if from >= d.first && to <= last {
		return
	}
	if spare := int32(maxBuckets) - (to - from + 1); spare > 0 {
		if from < d.first {
			from -= min(room, spare)
		} else {
			to += min(room, spare)
		}
	}
	grown := make([]uint64, to-from+1)
	copy(grown[d.first-from:], d.counts)
	d.first, d.counts = from, grown
}

// halve joins buckets in pairs.
func (d *durations) halve() {
	d.coarser++
	if len(d.counts) == 0 {
		return
	}
	first := coarsen(d.first, 1)
	last := coarsen(d.first+int32(len(d.counts))-1, 1)
	counts := make([]uint64, last-first+1)
	for i, n := range d.counts {
		counts[coarsen(d.first+int32(i), 1)-first] += n
	}
	d.first, d.counts = first, counts
}

// merge adds all that another one holds.
func (d *durations) merge(o *durations) {
	if o.total == 0 {
		return
	}
	for d.coarser < o.coarser {
		d.halve()
	}
	d.total, d.zeros, d.sum = d.total+o.total, d.zeros+o.zeros, d.sum+o.sum
	lift := d.coarser - o.coarser
	for i, n := range o.counts {
		if n == 0 {
			continue
		}
		bucket := coarsen(o.first+int32(i), lift)
		at := bucket - d.first
		if uint32(at) >= uint32(len(d.counts)) {
			// Any bucket of schema 3 that falls into this one will do; the highest does.
			base := bucket << d.coarser
			d.reach(base, base)
			lift = d.coarser - o.coarser
			at = coarsen(o.first+int32(i), lift) - d.first
		}
		d.counts[at] += n
	}
}

// reset forgets the counts and keeps the window.
func (d *durations) reset() {
	clear(d.counts)
	d.zeros, d.total, d.sum = 0, 0, 0
}

func (d *durations) copy() durations {
	c := *d
	c.counts = append([]uint64(nil), d.counts...)
	return c
}

// bound is the upper bound of a bucket, in seconds.
func (d *durations) bound(bucket int32) float64 {
	return math.Exp2(math.Ldexp(float64(bucket), -int(d.schema())))
}

// quantile estimates a quantile in seconds, interpolated exponentially within a bucket as PromQL does; 0 when nothing was observed.
func (d *durations) quantile(q float64) float64 {
	if d.total == 0 {
		return 0
	}
	rank := q * float64(d.total)
	seen := float64(d.zeros)
	if rank <= seen {
		return 0
	}
	last := int32(0)
	for i, n := range d.counts {
		if n == 0 {
			continue
		}
		last = d.first + int32(i)
		if seen+float64(n) >= rank {
			low := d.bound(last - 1)
			return low * math.Pow(d.bound(last)/low, (rank-seen)/float64(n))
		}
		seen += float64(n)
	}
	return d.bound(last)
}

// highest is the upper bound of the highest bucket that holds something, in seconds.
func (d *durations) highest() float64 {
	for i := len(d.counts) - 1; i >= 0; i-- {
		if d.counts[i] > 0 {
			return d.bound(d.first + int32(i))
		}
	}
	return 0
}

// native is the histogram in Prometheus's form.
func (d *durations) native() *histogram.Histogram {
	h := &histogram.Histogram{Schema: d.schema(), ZeroThreshold: zeroThreshold, ZeroCount: d.zeros, Count: d.total, Sum: d.sum}
	var before int64
	next := int32(0) // the bucket after the last one written
	for i, n := range d.counts {
		if n == 0 {
			continue
		}
		bucket := d.first + int32(i)
		switch {
		case len(h.PositiveSpans) > 0 && bucket == next:
			h.PositiveSpans[len(h.PositiveSpans)-1].Length++
		case len(h.PositiveSpans) > 0:
			h.PositiveSpans = append(h.PositiveSpans, histogram.Span{Offset: bucket - next, Length: 1})
		default:
			h.PositiveSpans = append(h.PositiveSpans, histogram.Span{Offset: bucket, Length: 1})
		}
		h.PositiveBuckets = append(h.PositiveBuckets, int64(n)-before)
		before, next = int64(n), bucket+1
	}
	return h
}

// addFloat adds a histogram of Prometheus, rounded to whole observations.
func (d *durations) addFloat(h *histogram.FloatHistogram) {
	if h.Schema < -4 || h.Schema > baseSchema {
		return // none of ours
	}
	for d.schema() > h.Schema {
		d.halve()
	}
	d.total += uint64(math.Round(max(h.Count, 0)))
	d.zeros += uint64(math.Round(max(h.ZeroCount, 0)))
	d.sum += h.Sum
	for it := h.PositiveBucketIterator(); it.Next(); {
		bucket := it.At()
		if n := math.Round(bucket.Count); n > 0 {
			d.add(bucket.Index<<(baseSchema-h.Schema), uint64(n))
		}
	}
}

// pack writes the counts in few bytes, to be kept for an hour: resolution, first bucket, zeros, sum, then each count, with runs of nothing as one number.
func (d *durations) pack() []byte {
	b := make([]byte, 0, 24+2*bits.Len(uint(len(d.counts)))+len(d.counts)/2)
	b = append(b, d.coarser)
	b = binary.AppendVarint(b, int64(d.first))
	b = binary.AppendUvarint(b, d.zeros)
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(d.sum))
	gap := uint64(0)
	for _, n := range d.counts {
		if n == 0 {
			gap++
			continue
		}
		b = binary.AppendUvarint(binary.AppendUvarint(b, gap), n)
		gap = 0
	}
	return append(make([]byte, 0, len(b)), b...)
}

// addPacked adds what pack wrote.
func (d *durations) addPacked(b []byte) {
	var o durations
	o.coarser, b = b[0], b[1:]
	first, n := binary.Varint(b)
	b = b[n:]
	o.zeros, n = binary.Uvarint(b)
	b = b[n:]
	d.sum += math.Float64frombits(binary.LittleEndian.Uint64(b))
	b = b[8:]
	for d.coarser < o.coarser {
		d.halve()
	}
	d.zeros, d.total = d.zeros+o.zeros, d.total+o.zeros
	for bucket := int32(first); len(b) > 0; bucket++ {
		gap, n := binary.Uvarint(b)
		b = b[n:]
		count, n := binary.Uvarint(b)
		b = b[n:]
		bucket += int32(gap)
		d.total += count
		d.add(bucket<<o.coarser, count)
	}
}
