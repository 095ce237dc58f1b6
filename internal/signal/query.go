package signal

import (
	"cmp"
	"context"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
)

// TraceQuery asks for traces in which at least one span meets all conditions; empty fields ask for nothing.
type TraceQuery struct {
	// Namespace is required.
	Namespace string
	// Since and Until bound the start of the span. A zero Until is now; a zero Since an hour before Until.
	Since, Until time.Time
	Service      string
	// Endpoint is the span's name.
	Endpoint string
	Kind     Kind
	// MinDuration and MaxDuration bound the span's duration, both included.
	MinDuration, MaxDuration time.Duration
	// Outcomes are any of these.
	Outcomes                         []Outcome
	Instance, Version, Lane, Release string
	// Attributes must all be there, on the span or its resource, with this text: numbers in decimal, booleans as true and false.
	Attributes []Match
	// Limit is the most traces answered, newest first. Default [DefaultTraces], at most 1,000.
	Limit int
}

// DefaultTraces is how many traces a search answers when it does not say.
const DefaultTraces = 20

const (
	maxTraces = 1000
	// maxConditions bounds the attributes of a query.
	maxConditions = 16
	// DefaultWindow is how far a search looks back when it does not say.
	DefaultWindow = time.Hour
)

// Complete checks a query and fills its defaults, in the same way for every store.
func (q *TraceQuery) Complete(now time.Time) error {
	switch {
	case q.Namespace == "":
		return fault.New(fault.Invalid, "traces.no_namespace", "a search is within a namespace").At("namespace")
	case q.Limit < 0 || q.Limit > maxTraces:
		return fault.New(fault.Invalid, "traces.limit", "%d traces at once", q.Limit).At("limit").Hinted("ask for 1 to %d, and narrow the time", maxTraces)
	case len(q.Attributes) > maxConditions:
		return fault.New(fault.Invalid, "traces.conditions", "%d attributes", len(q.Attributes)).At("attributes").Hinted("use at most %d", maxConditions)
	case q.MinDuration < 0 || q.MaxDuration < 0 || q.MaxDuration > 0 && q.MaxDuration < q.MinDuration:
		return fault.New(fault.Invalid, "traces.duration", "no span lasts from %s to %s", q.MinDuration, q.MaxDuration).At("min_duration")
	}
	if q.Until.IsZero() {
		// Clocks of services go ahead of ours a little.
		q.Until = now.Add(time.Minute)
	}
	if q.Since.IsZero() {
		q.Since = q.Until.Add(-DefaultWindow)
	}
	if q.Until.Before(q.Since) {
		return fault.New(fault.Invalid, "traces.time", "until %s is before since %s", q.Until.UTC().Format(time.RFC3339), q.Since.UTC().Format(time.RFC3339)).At("until")
	}
	q.Limit = cmp.Or(q.Limit, DefaultTraces)
	return nil
}

// Match is a key and the text that its value must have.
type Match struct{ Key, Text string }

// TraceSummary is a trace in a list.
type TraceSummary struct {
	TraceID TraceID
	// Start and Duration are of the whole trace, as far as it is known.
	Start    time.Time
	Duration time.Duration
	// Root is the service and name of the root span; when it has not come, of the earliest span.
	RootService, RootName string
	// Complete says that the root has come.
	Complete bool
	Spans    int
	// Failed counts the spans whose outcome is failed.
	Failed int
	// Services counts spans by service.
	Services map[string]int
	// Matched are the spans that met the query, at most three.
	Matched []SpanID
}

// SearchResult is the answer to a search.
type SearchResult struct {
	Traces []TraceSummary
	// Partial names what could not be asked, such as a node that is away or a block that cannot be read: the answer may lack traces.
	Partial []string
	// Truncated says that the search ended early, at its limit of time or work, and older matches may exist.
	Truncated bool
}

// Trace is all known spans of one trace, by start.
type Trace struct {
	Spans   []Span
	Partial []string
}

// Range bounds a look-up in time; zero values do not bound.
type Range struct{ Since, Until time.Time }

// TraceWriter keeps spans.
type TraceWriter interface {
	// Write returns when the batch is durable. The batch's Spans are the caller's again then; Raw is the store's. An error of code
	// [fault.Unavailable] or [fault.Exhausted] may be tried again later. Write may be called concurrently.
	Write(ctx context.Context, batch *Batch) error
}

// TraceReader answers questions over kept spans. What Write has acknowledged is seen. It may be called concurrently.
type TraceReader interface {
	// Trace finds a trace of a namespace; one that is not known has no spans, and is no error.
	Trace(ctx context.Context, namespace string, id TraceID, within Range) (Trace, error)
	Search(ctx context.Context, query TraceQuery) (SearchResult, error)
	// Services and Endpoints are names seen within the time, sorted; endpoints are the names of a service's server and consumer spans, or of all its
	// spans when kind is KindUnspecified.
	Services(ctx context.Context, namespace string, within Range) ([]string, error)
	Endpoints(ctx context.Context, namespace, service string, kind Kind, within Range) ([]string, error)
	// Attributes lists keys of attributes, or values of one, among the newest spans.
	Attributes(ctx context.Context, query AttributeQuery) (AttributeResult, error)
}
