package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/wire"
)

const (
	// MaxRequest bounds one request, decompressed. OpenTelemetry's exporters send 512 spans at once, some 200 KiB; the collector's default is 8,192 items.
	MaxRequest = 16 << 20
	// RetryAfter is how long senders are asked to wait.
	RetryAfter = 2 * time.Second
	// future is how far ahead of ours a service's clock may be. A span from beyond is refused: it would be in nobody's window, and hide what is real.
	future = time.Hour
	// slow spans are kept under pressure with the failed ones.
	slow = time.Second
	// pressed is the share of the store's memory from which on requests are held back, and, when that does not help for patience, normal spans are left
	// out. Senders have a bounded number of requests under way, so that a late answer slows them down.
	pressed   = 0.75
	patience  = 2 * time.Second
	lookAgain = 10 * time.Millisecond
)

// Observer sees spans as they come in. It must not keep them or their strings, and must be quick.
type Observer interface {
	Observe(namespace string, arrived time.Time, spans []signal.Span)
}

// Store keeps spans, and tells how much of its memory is taken.
type Store interface {
	signal.TraceWriter
	Pressure() float64
}

// Options of a room.
type Options struct {
	Store Store
	// Router is nil on a node alone.
	Router    Router
	Observers []Observer
	// InFlight bounds the bytes of requests being worked on. Default 64 MiB.
	InFlight int64
	// Oldest is how old a span may be: what is older than the retention would be kept by a day it is not of. Default 7 days.
	Oldest     time.Duration
	Clock      func() time.Time
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Room takes traces in. It may be used concurrently.
type Room struct {
	options  Options
	inFlight atomic.Int64
	decoders sync.Pool

	received prometheus.Counter
	left     *prometheus.CounterVec
	refused  *prometheus.CounterVec
	held     prometheus.Counter
	strayed  prometheus.Counter
}

// New makes a room.
func New(options Options) *Room {
	if options.InFlight == 0 {
		options.InFlight = 64 << 20
	}
	if options.Oldest == 0 {
		options.Oldest = 7 * 24 * time.Hour
	}
	if options.Clock == nil {
		options.Clock = time.Now
	}
	if options.Registerer == nil {
		options.Registerer = prometheus.NewRegistry()
	}
	r := &Room{options: options, decoders: sync.Pool{New: func() any { return new(wire.Decoder) }},
		received: prometheus.NewCounter(prometheus.CounterOpts{Name: "gantry_ingest_spans_total", Help: "Spans that came in requests that were taken."}),
		left: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gantry_ingest_dropped_spans_total",
			Help: "Spans of taken requests that are not kept: no_trace_id, no_span_id, future, old, or pressure (normal spans while memory was short; they are in the rates)."}, []string{"reason"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gantry_ingest_refused_requests_total", Help: "Requests of which nothing was taken, by reason."}, []string{"reason"}),
		held:    prometheus.NewCounter(prometheus.CounterOpts{Name: "gantry_ingest_held_requests_total", Help: "Requests that were answered late because memory was short."}),
		strayed: prometheus.NewCounter(prometheus.CounterOpts{Name: "gantry_ingest_strayed_requests_total", Help: "Parts of requests that this node kept because the node they belong to was away."})}
	options.Registerer.MustRegister(r.received, r.left, r.refused, r.held, r.strayed)
	for _, reason := range reasons {
		r.left.WithLabelValues(reason) // a rate needs the zero
	}
	return r
}

var reasons = [...]string{"no_trace_id", "no_span_id", "future", "old", "pressure"}

// Result says what of a taken request is not kept.
type Result struct {
	// Rejected spans are not kept; sending them again would not help.
	Rejected int
	// Message says why, for people; it may also be a warning when nothing was rejected.
	Message string
}

// Keep takes an OTLP ExportTraceServiceRequest in protobuf, which nobody may change afterwards, and returns when it is durable.
//
// Errors: Invalid "traces.malformed"; TooLarge "traces.too_large"; Exhausted "traces.too_fast"; Unavailable.
func (r *Room) Keep(ctx context.Context, namespace string, raw []byte) (Result, error) {
	if len(raw) > MaxRequest {
		r.refused.WithLabelValues("too_large").Inc()
		return Result{}, fault.New(fault.TooLarge, "traces.too_large", "a request of %d bytes", len(raw)).Hinted("send at most %d bytes at once: fewer spans in a batch", MaxRequest)
	}
	if taken := r.inFlight.Add(int64(len(raw))); taken > r.options.InFlight {
		r.inFlight.Add(-int64(len(raw)))
		r.refused.WithLabelValues("in_flight").Inc()
		return Result{}, fault.New(fault.Exhausted, "traces.too_fast", "%d MiB of requests are being worked on", r.options.InFlight>>20).Hinted("send again in some seconds")
	}
	defer r.inFlight.Add(-int64(len(raw)))
	d := r.decoders.Get().(*wire.Decoder)
	defer func() {
		d.Reset()
		r.decoders.Put(d)
	}()
	spans, err := d.Decode(raw)
	if err != nil {
		r.refused.WithLabelValues("malformed").Inc()
		return Result{}, fault.New(fault.Invalid, "traces.malformed", "this is no OTLP trace request").Hinted("send an ExportTraceServiceRequest; see docs/signals/send.md").Because(err)
	}
	press, err := r.holdBack(ctx)
	if err != nil {
		return Result{}, err
	}
	l := r.sort(d, spans, press)
	batch := &signal.Batch{Namespace: namespace, Arrived: r.options.Clock(), Raw: raw, Spans: spans, Groups: d.Groups, Places: d.Places, Clean: d.Mended == 0}
	if len(l.dropped) > 0 {
		if err := r.reduce(batch, l.kept); err != nil {
			return Result{}, err
		}
	}
	if len(batch.Spans) > 0 {
		if err := r.options.Store.Write(ctx, batch); err != nil {
			r.refused.WithLabelValues("store").Inc()
			return Result{}, err
		}
	}
	r.received.Add(float64(len(spans)))
	for reason, n := range l.dropped {
		r.left.WithLabelValues(reason).Add(float64(n))
	}
	for _, o := range r.options.Observers {
		if len(l.good) > 0 {
			o.Observe(namespace, batch.Arrived, l.good)
		}
	}
	return l.result(d.Cut), nil
}

// sorted is what becomes of the spans of a request.
type sorted struct {
	// good may be counted; kept, by their places, are written.
	good    []signal.Span
	kept    []signal.Place
	dropped map[string]int
}

// holdBack waits a while when memory is short, and tells whether it still is.
func (r *Room) holdBack(ctx context.Context) (bool, error) {
	if r.options.Store.Pressure() <= pressed {
		return false, nil
	}
	r.held.Inc()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	look := time.NewTicker(lookAgain)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			if r.options.Store.Pressure() <= pressed {
				return false, nil
			}
		case <-deadline.C:
			return true, nil
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// sort decides about each span; press leaves normal ones out.
func (r *Room) sort(d *wire.Decoder, spans []signal.Span, press bool) sorted {
	now := r.options.Clock()
	latest, earliest := now.Add(future).UnixNano(), now.Add(-r.options.Oldest).UnixNano()
	l := sorted{good: spans}
	drop := func(reason string, n int) {
		if n == 0 {
			return
		}
		if l.dropped == nil {
			l.dropped = map[string]int{}
		}
		l.dropped[reason] += n
	}
	drop("no_trace_id", d.Rejected.NoTraceID)
	drop("no_span_id", d.Rejected.NoSpanID)
	wrong := false
	for i := range spans {
		wrong = wrong || spans[i].Start > latest || spans[i].End() < earliest
	}
	if !wrong && !press && l.dropped == nil {
		return l
	}
	l.good = nil
	for i := range spans {
		s := &spans[i]
		switch {
		case s.Start > latest:
			drop("future", 1)
		case s.End() < earliest:
			drop("old", 1)
		default:
			l.good = append(l.good, *s)
			if press && s.Outcome != signal.Failed && s.Duration < int64(slow) {
				drop("pressure", 1)
			} else {
				l.kept = append(l.kept, d.Places[i])
			}
		}
	}
	return l
}

// reduce makes a batch of some of its spans, so that what is not wanted is not in the log either.
func (r *Room) reduce(batch *signal.Batch, kept []signal.Place) error {
	d := new(wire.Decoder) // the other one holds the spans that observers get
	raw := wire.Assemble(batch.Raw, batch.Groups, kept)
	spans, err := d.Decode(raw)
	if err != nil {
		return fmt.Errorf("ingest: the kept part of a request: %w", err)
	}
	batch.Raw, batch.Spans, batch.Groups, batch.Places = raw, spans, d.Groups, d.Places
	return nil
}

var words = map[string]string{"no_trace_id": "have no valid trace id", "no_span_id": "have no valid span id", "future": "begin more than an hour in the future (check the clock)",
	"old": "are older than what is kept", "pressure": "were left out because memory is short (they are in the rates)"}

func (l *sorted) result(cut int) Result {
	var out Result
	var parts []string
	for _, reason := range reasons {
		if n := l.dropped[reason]; n > 0 {
			out.Rejected += n
			parts = append(parts, fmt.Sprintf("%d spans %s", n, words[reason]))
		}
	}
	if cut > 0 {
		parts = append(parts, fmt.Sprintf("%d attributes, events, links or texts were over a limit and are left out or cut", cut))
	}
	out.Message = strings.Join(parts, "; ")
	return out
}
