package red

import (
	"context"
	"math"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
)

// Subject is what a question between nodes is about.
type Subject int

// The subjects.
const (
	AboutEdges Subject = iota + 1
	AboutServices
	AboutEndpoints
	AboutInstances
	AboutErrors
	AboutExcesses
)

// Question is what a node asks the others, in the words of its own caller: zero times are now and five minutes before, by the clock of each.
type Question struct {
	Subject   Subject
	Namespace string
	// Service is empty for all. It says nothing in questions about edges, services and excesses.
	Service string
	// Lane is of a question about edges: only what was called in it. Empty for all, added up.
	Lane         string
	Since, Until time.Time
}

// Counter is another node of the cluster.
type Counter interface {
	// Count answers what that node alone counted. It must end, with an error if need be, when the node does not answer.
	Count(ctx context.Context, q Question) (Part, error)
}

// Part is what one node counted: no figures, but what they are worked out from, so that those of several nodes add up exactly.
type Part struct {
	// Window is of that node: each knows for itself where its memory begins, and reads what is older from its own series.
	Window
	// Counts are of edges, services, endpoints or instances.
	Counts []Count
	// Services are those that are known, for a question about edges; Lanes those in which something was called.
	Services, Lanes []string
	// Errors are groups, for a question about errors. Of each group that is not among them there were Unlisted errors at most.
	Errors   []ErrorGroup
	Unlisted uint64
	// Excesses are for a question about these.
	Excesses []Excess
}

// Names tell what a count is of. By subject: caller, callee, type of the callee, protocol, the lane that was asked for; service; service, endpoint, kind; service, instance,
// version, lane, release. The rest is empty.
type Names [5]string

// Count is what was counted of one thing.
type Count struct {
	Names Names
	// Outcomes are the durations, by [signal.Outcome].
	Outcomes [3]Buckets
	// Instances and Endpoints are hashes of the names that a service has: what several nodes know counts once.
	Instances, Endpoints []uint64
	// Last is of services and instances, the rest of instances; see [InstanceFigures].
	Zone        string
	First, Last time.Time
	Behind      time.Duration
	Spans, Late uint64
}

// Buckets are an exponential histogram of seconds: Counts[i] is of the bucket First+i, numbered as Prometheus does for this schema.
type Buckets struct {
	Schema, First int32
	Counts        []uint64
	Zeros         uint64
	Sum           float64
}

// buckets are what the durations hold, without the empty edges of the window.
func (d *durations) buckets() Buckets {
	b := Buckets{Schema: d.schema(), Zeros: d.zeros, Sum: d.sum}
	low, high := 0, len(d.counts)
	for low < high && d.counts[low] == 0 {
		low++
	}
	for low < high && d.counts[high-1] == 0 {
		high--
	}
	if low < high {
		b.First, b.Counts = d.first+int32(low), append([]uint64(nil), d.counts[low:high]...)
	}
	return b
}

// What buckets of another node may be. Durations from a nanosecond to a day lie within farthest at the finest resolution.
const (
	coarsest      = 7
	farthest      = 1 << 10
	mostPerBucket = 1 << 48
)

// addBuckets adds what another node counted, unless it is nothing that durations can be.
func (d *durations) addBuckets(b *Buckets) error {
	coarser := baseSchema - b.Schema
	if coarser < 0 || coarser > coarsest || len(b.Counts) > maxBuckets || b.First < -farthest || b.First > farthest ||
		(b.First-1)<<coarser < -farthest || (b.First+int32(len(b.Counts)))<<coarser > farthest ||
		b.Zeros > mostPerBucket || math.IsNaN(b.Sum) || b.Sum < 0 || b.Sum > math.MaxFloat64/2 {
		return errBroken
	}
	o := durations{counts: b.Counts, first: b.First, coarser: uint8(coarser), zeros: b.Zeros, total: b.Zeros, sum: b.Sum}
	for _, n := range b.Counts {
		if n > mostPerBucket {
			return errBroken
		}
		o.total += n
	}
	d.merge(&o)
	return nil
}

var errBroken = fault.New(fault.Internal, "topology.broken_part", "another node answered with buckets that no durations can have")
