package trace

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options of a store.
type Options struct {
	// Dir is the folder of the store alone; it is made when it is not there.
	Dir string
	// Memory bounds the bytes of spans that are not in a block yet. Over it Write answers [fault.Exhausted]. Default 512 MiB.
	Memory int64
	// HeadSpans and HeadAge say when a head becomes a block. Defaults 512 Ki spans (a block of some 20 MiB) and 15 minutes (a restart reads less log).
	HeadSpans int
	HeadAge   time.Duration
	// Retention is how long spans are kept, by the day they arrived. Default 7 days. RetentionSize bounds the blocks' bytes; 0 does not.
	Retention     time.Duration
	RetentionSize int64
	// MinFree is how much of the disk is left to others: under it writes are refused as unavailable, before the disk is full. Default 256 MiB.
	MinFree int64
	// DiskFree tells the room on the folder's disk in bytes; default: the system is asked.
	DiskFree func() (int64, error)
	// Sampling keeps less than everything. Nil keeps all.
	Sampling *Sampling
	// Clock is time.Now unless a test says otherwise.
	Clock      func() time.Time
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

func (o Options) withDefaults() Options {
	if o.Memory == 0 {
		o.Memory = 512 << 20
	}
	if o.HeadSpans == 0 {
		o.HeadSpans = 512 << 10
	}
	if o.HeadAge == 0 {
		o.HeadAge = 15 * time.Minute
	}
	if o.Retention == 0 {
		o.Retention = 7 * 24 * time.Hour
	}
	if o.MinFree == 0 {
		o.MinFree = 256 << 20
	}
	if o.DiskFree == nil {
		dir := o.Dir
		o.DiskFree = func() (int64, error) { return freeBytes(dir) }
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Registerer == nil {
		o.Registerer = prometheus.NewRegistry()
	}
	return o
}

// headShare is the part of the memory that one head may take. Writers are held back at three quarters, until one block is written.
const headShare = 4
