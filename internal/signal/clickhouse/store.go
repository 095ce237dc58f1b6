package clickhouse

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/signal"
)

const (
	// insertTime bounds one attempt of an insert.
	insertTime = 30 * time.Second
	// closeTime is how long a stop waits for inserts that are under way.
	closeTime = 10 * time.Second
)

// Store keeps spans in ClickHouse. It is a [signal.TraceWriter] and a [signal.TraceReader].
type Store struct {
	options Options
	log     *slog.Logger
	metrics *metrics
	said    *said
	client  *client

	// memory is the bytes of rows that wait or are under way.
	memory atomic.Int64

	mu     sync.Mutex
	groups []*group // the last one is being filled
	closed bool
	// wake tells inserters that there is something to look at.
	wake     chan struct{}
	stopping chan struct{}

	prepared chan struct{}
	// problem is why the tables are not there yet.
	problem atomic.Pointer[error]
	running context.Context
	stop    context.CancelFunc
	workers sync.WaitGroup
}

var (
	_ signal.TraceWriter = (*Store)(nil)
	_ signal.TraceReader = (*Store)(nil)
)

// group is the rows of some writes that go in one insert.
type group struct {
	begun time.Time
	rows  int
	parts [][]byte
	bytes int
	// done is closed when err is set.
	done chan struct{}
	err  error
}

// Open begins to keep spans. ClickHouse need not be there yet: only what is wrong in the options is an error.
func Open(options Options) (*Store, error) {
	options = options.withDefaults()
	c, err := newClient(options)
	if err != nil {
		return nil, err
	}
	s := &Store{options: options, log: options.Logger, said: newSaid(), client: c, wake: make(chan struct{}, 1), stopping: make(chan struct{}), prepared: make(chan struct{})}
	s.running, s.stop = context.WithCancel(context.Background())
	s.metrics = newMetrics(s, options.Registerer)
	s.workers.Go(s.prepareLoop)
	for range options.Inserts {
		s.workers.Go(s.insertLoop)
	}
	return s, nil
}

// Close sends what waits, if ClickHouse takes it soon, and ends the store.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.stopping)
	s.mu.Unlock()
	select {
	case <-s.prepared:
		timer := time.AfterFunc(closeTime, s.stop)
		defer timer.Stop()
	default:
		s.stop()
	}
	// The loop that makes the tables ends with running, inserters when nothing waits.
	s.workers.Wait()
	s.stop()
	s.client.close()
	s.metrics.unregister()
	return nil
}

// Pressure is the share of the memory that is taken: at 1 writes are refused.
func (s *Store) Pressure() float64 { return float64(s.memory.Load()) / float64(s.options.Memory) }

// Write implements [signal.TraceWriter].
func (s *Store) Write(ctx context.Context, batch *signal.Batch) error {
	if len(batch.Spans) == 0 {
		return nil
	}
	if err := s.ready(ctx); err != nil {
		return s.refused("not_ready", err)
	}
	rows := encode(batch)
	size := int64(len(rows))
	if taken := s.memory.Add(size); taken > s.options.Memory {
		s.memory.Add(-size)
		return s.refused("memory", fault.New(fault.Exhausted, "traces.too_fast", "%d MiB of spans wait for ClickHouse", taken>>20).
			Hinted("send again in some seconds; see whether ClickHouse keeps up, or raise --traces-memory"))
	}
	g, err := s.gather(rows, len(batch.Spans))
	if err != nil {
		s.memory.Add(-size)
		return err
	}
	select {
	case <-g.done:
		if g.err != nil {
			return s.refused("insert", g.err)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err() // it may still become durable: the sender sends it again, and repeats are left out
	}
}

func (s *Store) refused(reason string, err error) error {
	s.metrics.refused.WithLabelValues(reason).Inc()
	return err
}

// encode makes rows of a batch.
func encode(batch *signal.Batch) []byte {
	out := make([]byte, 0, 512*len(batch.Spans))
	var resource *signal.Resource
	var packed []byte
	for i := range batch.Spans {
		span := &batch.Spans[i]
		if span.Resource != resource || packed == nil {
			resource = span.Resource
			packed = appendResource(packed[:0], resource)
		}
		out = appendRow(out, batch.Namespace, batch.Arrived, packed, span)
	}
	return out
}

// gather adds rows to the group that is being filled.
func (s *Store) gather(rows []byte, count int) (*group, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	var g *group
	if n := len(s.groups); n > 0 && s.groups[n-1].bytes+len(rows) <= groupBytes && s.groups[n-1].rows+count <= s.options.Rows {
		g = s.groups[n-1]
	} else {
		g = &group{begun: time.Now(), done: make(chan struct{})}
		s.groups = append(s.groups, g)
	}
	g.parts, g.bytes, g.rows = append(g.parts, rows), g.bytes+len(rows), g.rows+count
	s.signal()
	return g, nil
}

func (s *Store) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// next waits for a group that is to be sent; nil when the store closes and nothing waits.
func (s *Store) next() *group {
	for {
		s.mu.Lock()
		var wait <-chan time.Time
		if len(s.groups) > 0 {
			g := s.groups[0]
			left := s.options.Linger - time.Since(g.begun)
			if left <= 0 || s.closed || len(s.groups) > 1 || g.rows >= s.options.Rows || g.bytes >= groupBytes {
				s.groups = s.groups[1:]
				if len(s.groups) > 0 {
					s.signal()
				}
				s.mu.Unlock()
				return g
			}
			wait = time.After(left)
		} else if s.closed {
			s.mu.Unlock()
			return nil
		}
		stopping := s.stopping
		if s.closed {
			stopping = nil
		}
		s.mu.Unlock()
		select {
		case <-s.wake:
		case <-wait:
		case <-stopping:
		}
	}
}

func (s *Store) insertLoop() {
	compressor, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		panic("clickhouse: the options of zstd are wrong: " + err.Error()) // they are constants
	}
	defer compressor.Close()
	var plain, packed []byte
	for {
		g := s.next()
		if g == nil {
			return
		}
		plain = plain[:0]
		for _, part := range g.parts {
			plain = append(plain, part...)
		}
		packed = compressor.EncodeAll(plain, packed[:0])
		g.err = s.insert(packed)
		if g.err == nil {
			s.metrics.spans.Add(float64(g.rows))
		}
		s.memory.Add(-int64(g.bytes))
		close(g.done)
	}
}

// insert sends rows until they are taken, it is no use, or it has been tried often enough.
func (s *Store) insert(packed []byte) error {
	token := rand.Text()
	pause := s.options.Pause
	for attempt := 1; ; attempt++ {
		begun := time.Now()
		ctx, cancel := context.WithTimeout(s.running, insertTime)
		err := s.client.insert(ctx, insertSpans, token, packed)
		cancel()
		if err == nil {
			s.metrics.insert.Observe(time.Since(begun).Seconds())
			return nil
		}
		s.said.once(s.log, "insert", "ClickHouse did not take an insert of spans", err)
		if s.running.Err() != nil {
			return errClosed
		}
		var r *refusal
		if errors.As(err, &r) && r.code == codeUnknownTable {
			s.mend()
		}
		if attempt == s.options.Attempts || !passing(err) {
			return again(faultOf(err))
		}
		s.metrics.retries.Inc()
		select {
		case <-time.After(pause):
			pause *= 5
		case <-s.running.Done():
			return errClosed
		}
	}
}

// again makes sure that senders try again: nothing is wrong with their spans.
func again(err error) error {
	if fault.Is(err, fault.Exhausted) || fault.Is(err, fault.Unavailable) {
		return err
	}
	return fault.New(fault.Unavailable, "traces.clickhouse", "ClickHouse did not take the spans").Hinted("send again in some seconds; the server's log has the details").Because(err)
}

// mend makes tables again that somebody dropped.
func (s *Store) mend() {
	ctx, cancel := context.WithTimeout(s.running, prepareTime)
	defer cancel()
	if err := s.prepare(ctx); err != nil {
		s.said.once(s.log, "prepare", "the tables of traces in ClickHouse cannot be made again", err)
	}
}
