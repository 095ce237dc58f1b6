package series

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/compression"

	"github.com/gantry-platform/gantry/internal/fault"
)

// Options say how a store is opened.
type Options struct {
	// Dir is the folder of the TSDB. It is made when it is not there.
	Dir string
	// Retention is the age at which blocks go, counted from the newest sample. Default [DefaultRetention].
	Retention time.Duration
	// RetentionSize is the most bytes on disk: the oldest blocks go first. Default 10 GiB. Negative: no limit.
	RetentionSize int64
	Limits        Limits
	Query         QueryLimits
	// Node names this node, for the label of series that it makes itself.
	Node string
	// DiskFree is the room on the folder's disk in bytes at this moment; MinimumFree is the least with which anything is written. Default: the system is asked, and 256 MiB.
	DiskFree    func() uint64
	MinimumFree uint64
	Logger      *slog.Logger
	// Registerer gets the store's own figures. Nil: nobody.
	Registerer prometheus.Registerer
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Peers are the other nodes, whose series questions are about too. Nil: this node is alone.
	Peers Peers
	// Upkeep is how often chunks are moved out of memory and blocks are cut. Default 1 minute, as Prometheus has it.
	Upkeep time.Duration
}

// DefaultRetention holds what a baseline of an alert looks back at: the last four same weekdays, of which the oldest is 28 days ago.
const DefaultRetention = 30 * 24 * time.Hour

// Time that one block covers. Two hours is what Prometheus's users, and its head of one and a half blocks, are used to.
const blockDuration = 2 * time.Hour

// Store keeps metrics. All of it may be used concurrently.
type Store struct {
	dir         string
	node        string
	limits      Limits
	query       QueryLimits
	log         *slog.Logger
	now         func() time.Time
	diskFree    func() uint64
	minimumFree uint64

	db          *tsdb.DB
	engine      *promql.Engine
	parser      parser.Parser
	gate        *gate
	cardinality *cardinality
	catalogue   catalogue
	deltas      *deltas
	peers       Peers
	answers     chan struct{}
	metrics     *metrics
	// inner are the figures of the TSDB and the engine, under Prometheus's names.
	inner *prometheus.Registry

	// sealed is why nothing is written any more, until a restart.
	sealed atomic.Pointer[fault.Error]
	closed atomic.Bool
	// complained is when the log was last told of failing appends, in Unix seconds.
	complained atomic.Int64

	stop    context.CancelFunc
	workers sync.WaitGroup
	// readers is held for reading by open queriers: the TSDB takes the memory that they read from with it when it closes.
	readers sync.RWMutex
}

var (
	_ storage.Appendable        = (*Store)(nil)
	_ storage.AppendableV2      = (*Store)(nil)
	_ storage.ExemplarQueryable = (*View)(nil)
)

// Open opens the store, or makes one. What is torn or broken in the folder is repaired or set aside, said in the log, and does not stop it. Errors: the
// folder cannot be written, the disk is full, or another process uses it.
func Open(options Options) (*Store, error) {
	s := &Store{dir: options.Dir, node: options.Node, limits: options.Limits.withDefaults(), query: options.Query.withDefaults(),
		log: options.Logger, now: options.Now, diskFree: options.DiskFree, minimumFree: orDefault(options.MinimumFree, 256<<20),
		peers: options.Peers, answers: make(chan struct{}, peerAnswers)}
	s.deltas = newDeltas(s.limits.Deltas)
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.diskFree == nil {
		s.diskFree = func() uint64 { return freeOf(s.dir) }
	}
	if err := os.MkdirAll(s.dir, 0o750); err != nil {
		return nil, fmt.Errorf("series: %w", err)
	}
	if err := s.openRepairing(options); err != nil {
		return nil, err
	}
	s.cardinality.admitting.Store(true)
	s.parser = parser.NewParser(parser.Options{})
	s.gate = newGate(s.query.Concurrency, s.query.Waiting)
	s.engine = promql.NewEngine(promql.EngineOpts{Logger: quiet(s.log), Reg: s.inner, MaxSamples: s.query.Samples, Timeout: s.query.Timeout,
		ActiveQueryTracker: s.gate, LookbackDelta: s.query.Lookback, EnableAtModifier: true, EnableNegativeOffset: true, EnablePerStepStats: true,
		NoStepSubqueryIntervalFn: func(int64) int64 { return defaultStep.Milliseconds() }, Parser: s.parser})
	s.metrics = newMetrics(s, options.Registerer)
	running, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.workers.Go(func() { s.upkeep(running, orDefault(options.Upkeep, time.Minute)) })
	return s, nil
}

// defaultStep is the step of a subquery that names none: Prometheus's own default interval.
const defaultStep = time.Minute

// openTSDB opens it once, with figures and counts that begin anew.
func (s *Store) openTSDB(options Options) error {
	o := tsdb.DefaultOptions()
	retention := orDefault(options.Retention, DefaultRetention)
	o.RetentionDuration = retention.Milliseconds()
	o.MaxBytes = max(orDefault(options.RetentionSize, 10<<30), 0)
	o.MinBlockDuration = blockDuration.Milliseconds()
	// A block goes as a whole: one of a tenth of the retention keeps what is kept beyond it small. Prometheus chooses the same.
	o.MaxBlockDuration = max(min(retention/10, 31*24*time.Hour), blockDuration).Milliseconds()
	o.WALCompression = compression.Snappy
	// Memory that is taken before the first series: 4,096 pairs of maps, a few hundred series in each at the limit.
	o.StripeSize = 1 << 12
	o.EnableExemplarStorage, o.MaxExemplars = true, int64(s.limits.Exemplars)
	o.OutOfOrderTimeWindow = s.limits.Late.Milliseconds()
	o.FloatChunkEncoding = chunkenc.EncXOR
	// The TSDB's own loop would write without looking at the disk, and end the process when that fails: upkeep does its work.
	o.BlockReloadInterval = math.MaxInt64
	s.cardinality = newCardinality(s.limits)
	o.SeriesLifecycleCallback = s.cardinality
	s.inner = prometheus.NewRegistry()
	db, err := tsdb.Open(s.dir, quiet(s.log), s.inner, o, nil)
	if err != nil {
		return err
	}
	db.DisableCompactions()
	s.db = db
	return nil
}

// Close ends upkeep and closes the TSDB. Appenders must have ended. Questions that are under way are waited for.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.stop()
	s.workers.Wait()
	if s.sealed.Load() != nil {
		// Its locks may be held for ever. The log on disk has what was acknowledged.
		return nil
	}
	s.readers.Lock()
	defer s.readers.Unlock()
	return errors.Join(s.engine.Close(), s.db.Close())
}

// hold keeps the store open until release is called, which may be more than once.
func (s *Store) hold() (release func(), err error) {
	if !s.readers.TryRLock() { // it closes
		return nil, s.askable("")
	}
	release = sync.OnceFunc(s.readers.RUnlock)
	if err := s.askable(""); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// unwritable says why nothing is taken, or nil.
func (s *Store) unwritable() *fault.Error {
	switch {
	case s.closed.Load():
		return fault.New(fault.Unavailable, "series.closed", "the store of metrics is closed").Hinted("the server is stopping; try another node")
	case s.sealed.Load() != nil:
		return s.sealed.Load()
	case s.diskFree() < s.minimumFree:
		return fault.New(fault.Unavailable, "series.disk_full", "the disk has %d MiB left, and metrics are written with at least %d", s.diskFree()>>20, s.minimumFree>>20).
			Hinted("make room, or lower --metrics-retention-size")
	default:
		return nil
	}
}

// seal ends writing after the TSDB was left in the middle of something.
func (s *Store) seal(cause error) error {
	f := fault.New(fault.Unavailable, "series.sealed", "the store of metrics failed while writing and takes nothing until a restart").
		Hinted("the log says why; restart the node when there is room on its disk").Because(cause)
	if s.sealed.CompareAndSwap(nil, f) {
		s.log.Error("the store of metrics takes nothing until a restart", "error", cause)
	}
	return f
}

// complain writes a line to the log, and not one for each of a thousand failures.
func (s *Store) complain(what string, err error) {
	const seconds = 10
	now := s.now().Unix()
	if last := s.complained.Load(); now-last >= seconds && s.complained.CompareAndSwap(last, now) {
		s.log.Warn(what, "error", err)
	}
}

// Writable says why nothing is taken at the moment: the disk is full, or the store is closed. Nil: samples are taken.
func (s *Store) Writable() error {
	if f := s.unwritable(); f != nil {
		return f
	}
	return nil
}

// Node is the name of this node.
func (s *Store) Node() string { return s.node }

// Dir is the folder of the TSDB.
func (s *Store) Dir() string { return s.dir }

// Blocks are the blocks on disk.
func (s *Store) Blocks() []tsdb.BlockMeta { return s.db.BlockMetas() }
