package event

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/storage"
	"golang.org/x/time/rate"

	"github.com/gantry-platform/gantry/internal/fault"
)

// The defaults of [Options].
const (
	// DefaultMaxAge of business events: a quarter, which is what people look back at.
	DefaultMaxAge = 90 * 24 * time.Hour
	// DefaultMaxBytes is some 100 million events, compressed.
	DefaultMaxBytes = 4 << 30
	// DefaultRate is events a second and namespace: a fifth of what one disk takes in groups.
	DefaultRate = 10_000
	// DefaultMinimumFree is what the state needs to go on.
	DefaultMinimumFree = 256 << 20
	// changesAge and changesBytes bound the feed of changes, which is small.
	changesAge   = 90 * 24 * time.Hour
	changesBytes = 512 << 20
	// maxNamespaces bounds the limiters of rates.
	maxNamespaces = 10_000
)

// Options say how a [Room] works.
type Options struct {
	// Folder is the room's own. Required.
	Folder string
	// MaxAge and MaxBytes bound the log of business events. Defaults: [DefaultMaxAge], [DefaultMaxBytes].
	MaxAge   time.Duration
	MaxBytes int64
	// Rate bounds the events of a namespace a second; twice as many may come at once. Default: [DefaultRate].
	Rate float64
	// Node names this node in the counters and in answers.
	Node string
	// MinimumFree is how much of the folder's disk is left to others: under it events are refused as unavailable. Default: [DefaultMinimumFree]. DiskFree
	// tells the room on that disk in bytes; default: the system is asked.
	MinimumFree uint64
	DiskFree    func() uint64
	// Series takes the counters; nil: they are not written.
	Series storage.Appendable
	// Observe is told of changes when they are durable, oldest first, each once; it must not wait. Default: nobody is told.
	Observe func(namespace string, changes []Stored)
	// Logger, Registerer and Now default to none, none and time.Now.
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time

	// segmentBytes and maxScanned are smaller in tests.
	segmentBytes int64
	maxScanned   int
}

// Room keeps events and changes. Its methods may be called concurrently.
type Room struct {
	options Options
	events  *journal
	changes *journal
	counts  *counts
	metrics *metrics
	stop    context.CancelFunc
	done    sync.WaitGroup

	// open is read-locked while something is appended, so that Close waits for it.
	open   sync.RWMutex
	closed bool

	mu     sync.Mutex
	topics topics
	rates  map[string]*rate.Limiter
	needed func() uint64
}

// Open reads what is there and begins. Close ends it.
func Open(o Options) (*Room, error) {
	if o.Folder == "" {
		return nil, errors.New("event: Options lack a Folder")
	}
	if o.MaxAge <= 0 {
		o.MaxAge = DefaultMaxAge
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.Rate <= 0 {
		o.Rate = DefaultRate
	}
	if o.MinimumFree == 0 {
		o.MinimumFree = DefaultMinimumFree
	}
	if o.DiskFree == nil {
		o.DiskFree = func() uint64 { return freeOf(o.Folder) }
	}
	if o.segmentBytes <= 0 {
		o.segmentBytes = segmentBytes
	}
	if o.maxScanned <= 0 {
		o.maxScanned = maxScanned
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Registerer == nil {
		o.Registerer = prometheus.NewRegistry()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Observe == nil {
		o.Observe = func(string, []Stored) {}
	}
	r := &Room{options: o, counts: newCounts(o.Series, o.Node), rates: map[string]*rate.Limiter{}}
	if err := os.MkdirAll(o.Folder, 0o700); err != nil {
		return nil, err
	}
	r.topics.path = filepath.Join(o.Folder, "topics.json")
	if err := r.topics.load(); err != nil {
		o.Logger.Error("the types of topics cannot be read, and are learned anew", "file", r.topics.path, "reason", err)
	}
	options := logOptions{segmentBytes: o.segmentBytes, maxScanned: o.maxScanned, logger: o.Logger, now: o.Now, diskFree: o.DiskFree, minimumFree: o.MinimumFree}
	business, changes := options, options
	business.folder, business.maxAge, business.maxBytes, business.needed = filepath.Join(o.Folder, "events"), o.MaxAge, o.MaxBytes, r.neededFrom
	changes.folder, changes.maxAge, changes.maxBytes = filepath.Join(o.Folder, "changes"), changesAge, changesBytes
	var err error
	if r.events, err = openJournal(business); err != nil {
		return nil, fmt.Errorf("event: %w", err)
	}
	if r.changes, err = openJournal(changes); err != nil {
		r.events.close()
		return nil, fmt.Errorf("event: %w", err)
	}
	if r.metrics, err = newMetrics(r, o.Registerer); err != nil {
		r.events.close()
		r.changes.close()
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.done.Go(func() { r.run(ctx) })
	return r, nil
}

// run writes the counters and the topics now and then.
func (r *Room) run(ctx context.Context) {
	ticker := time.NewTicker(countEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			r.save(ctx, false)
		case <-ctx.Done():
			r.save(context.WithoutCancel(ctx), true)
			return
		}
	}
}

func (r *Room) save(ctx context.Context, always bool) {
	now := r.options.Now()
	if err := r.counts.flush(ctx, now); err != nil {
		r.options.Logger.Warn("the counters of events cannot be written", "reason", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.topics.forget(now.Add(-r.options.MaxAge))
	if err := r.topics.save(always); err != nil {
		r.options.Logger.Warn("the types of topics cannot be written", "reason", err)
	}
}

// Refusal says why an event of a batch was not taken.
type Refusal struct {
	// Index is its place in the batch, from 0.
	Index int
	Err   *fault.Error
}

// Receipt is what became of a batch.
type Receipt struct {
	// Stored are durable. Known were so already, by their id.
	Stored, Known int
	Refused       []Refusal
}

// Emit takes events of a namespace and answers when they are durable. Events that are malformed or do not fit their topic are refused one by one; what
// the error says is true of all of them: [fault.Exhausted] and [fault.Unavailable] may be tried again later. The events are the
// room's afterwards.
func (r *Room) Emit(ctx context.Context, namespace string, events []Event) (Receipt, error) {
	r.open.RLock()
	defer r.open.RUnlock()
	if r.closed {
		return Receipt{}, errClosed()
	}
	if len(events) > MaxBatch {
		return Receipt{}, r.refuse(fault.New(fault.TooLarge, "event.batch_too_large", "%d events", len(events)).At("events").Hinted("at most %d at once", MaxBatch), len(events))
	}
	now := r.options.Now()
	if !r.limiter(namespace).AllowN(now, len(events)) {
		return Receipt{}, r.refuse(fault.New(fault.Exhausted, "event.rate", "more than %g events a second in namespace %q", r.options.Rate, namespace).
			Hinted("send later, and fewer"), len(events))
	}
	var receipt Receipt
	admitted := r.admit(namespace, events, now, &receipt)
	if len(admitted) == 0 {
		return receipt, nil
	}
	fresh, err := r.events.append(ctx, admitted)
	if err != nil {
		return Receipt{}, r.refuse(err, len(admitted))
	}
	for i := range admitted {
		if fresh[i] {
			receipt.Stored++
			r.counts.add(&admitted[i])
		} else {
			receipt.Known++
		}
	}
	r.metrics.stored.Add(float64(receipt.Stored))
	return receipt, nil
}

// refuse counts what is not taken, by its reason.
func (r *Room) refuse(err error, events int) error {
	r.metrics.refused.WithLabelValues(fault.From(err).Reason).Add(float64(events))
	return err
}

func (r *Room) admit(namespace string, events []Event, now time.Time, receipt *Receipt) []Stored {
	r.mu.Lock()
	defer r.mu.Unlock()
	admitted := make([]Stored, 0, len(events))
	for i := range events {
		e := &events[i]
		f := e.check(now)
		s := Stored{Event: *e, Namespace: namespace, Arrived: now}
		if f == nil {
			f = tooLarge(&s)
		}
		if f == nil {
			f = r.topics.admit(namespace, &s.Event, now)
		}
		if f != nil {
			receipt.Refused = append(receipt.Refused, Refusal{i, f})
			r.metrics.refused.WithLabelValues(f.Reason).Inc()
			continue
		}
		admitted = append(admitted, s)
	}
	return admitted
}

func tooLarge(s *Stored) *fault.Error {
	encoded, err := s.Encode()
	if err != nil {
		return fault.New(fault.Invalid, "event.bad_text", "it cannot be stored: %v", err)
	}
	if len(encoded) > MaxEventBytes {
		return fault.New(fault.TooLarge, "event.too_large", "the event has %d bytes", len(encoded)).Hinted("at most %d", MaxEventBytes)
	}
	return nil
}

func (r *Room) limiter(namespace string) *rate.Limiter {
	r.mu.Lock()
	defer r.mu.Unlock()
	limiter := r.rates[namespace]
	if limiter == nil {
		if len(r.rates) >= maxNamespaces {
			clear(r.rates) // those of namespaces that are gone; the others begin anew with a full allowance
		}
		limiter = rate.NewLimiter(rate.Limit(r.options.Rate), max(MaxBatch, int(2*r.options.Rate)))
		r.rates[namespace] = limiter
	}
	return limiter
}

// Query finds business events that this node took.
func (r *Room) Query(ctx context.Context, q Query) (Result, error) {
	result, err := r.events.find(ctx, q)
	for i := range result.Events {
		result.Events[i].Node = r.options.Node
	}
	return result, err
}

// Topics are those of a namespace that this node knows, by name. It makes no error.
func (r *Room) Topics(_ context.Context, namespace string) ([]Topic, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.topics.list(namespace), nil
}

// Record takes changes into the feed, and answers when they are durable. A change whose id is known already is not stored again. Fields that are over a
// limit are refused like an event's; it is server that makes them, and it keeps within them.
func (r *Room) Record(ctx context.Context, namespace string, changes []Event) error {
	r.open.RLock()
	defer r.open.RUnlock()
	if r.closed {
		return errClosed()
	}
	now := r.options.Now()
	stored := make([]Stored, 0, len(changes))
	for i := range changes {
		if f := changes[i].check(now); f != nil {
			return f
		}
		stored = append(stored, Stored{Event: changes[i], Namespace: namespace, Arrived: now})
	}
	fresh, err := r.changes.append(ctx, stored)
	if err != nil {
		return err
	}
	var told []Stored
	for i := range stored {
		if fresh[i] {
			told = append(told, stored[i])
		}
	}
	if len(told) > 0 {
		r.options.Observe(namespace, told)
	}
	return nil
}

// Changes finds changes. Every node answers for the whole cluster.
func (r *Room) Changes(ctx context.Context, q Query) (Result, error) { return r.changes.find(ctx, q) }

// After reads business events of all namespaces behind a sequence number, oldest first: at most so many, and hardly more than so many bytes. What retention
// has removed is passed over.
func (r *Room) After(sequence uint64, most, bytes int) ([]Stored, error) {
	return r.events.after(sequence, most, bytes)
}

// Last is the newest sequence number of business events, and a channel that is closed when there is a newer one.
func (r *Room) Last() (sequence uint64, changed <-chan struct{}) { return r.events.last() }

// Need says from which sequence number on somebody has yet to read, so that age alone does not remove it.
func (r *Room) Need(from func() uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.needed = from
}

func (r *Room) neededFrom() uint64 {
	r.mu.Lock()
	needed := r.needed
	r.mu.Unlock()
	if needed == nil {
		return ^uint64(0)
	}
	return needed()
}

// Close ends the room after what is under way is durable.
func (r *Room) Close() error {
	r.open.Lock()
	defer r.open.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	r.stop()
	r.done.Wait()
	r.events.close()
	r.changes.close()
	return nil
}

func errClosed() *fault.Error {
	return fault.New(fault.Unavailable, "event.closing", "the server is shutting down").Hinted("try again on another node")
}
