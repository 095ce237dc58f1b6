package state

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/gantry-platform/gantry/internal/fault"
)

// health is whether a quorum answers.
type health struct {
	quorum  atomic.Bool
	mu      sync.Mutex
	changed chan struct{}
}

func (h *health) observe(err error) (changed bool) {
	if h.quorum.Swap(err == nil) == (err == nil) {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.changed)
	h.changed = make(chan struct{})
	return true
}

// Quorum reports whether writes can be agreed on, as far as this node knows.
func (s *Store) Quorum() bool { return s.health.quorum.Load() }

// QuorumChanged is closed at the next change of [Store.Quorum]. Take the channel first, then look.
func (s *Store) QuorumChanged() <-chan struct{} {
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	return s.health.changed
}

// Writable is nil, or why nothing can be written now: no quorum, or a disk that is nearly full.
func (s *Store) Writable() error {
	select {
	case <-s.closing:
		return errClosing()
	default:
	}
	if !s.Quorum() {
		return errNoQuorum()
	}
	return s.disk.err()
}

// The loss of a quorum is seen within probeInterval plus probeTimeout. A member knows by itself when it has lost its leader; an
// external etcd has to be asked.
const (
	probeInterval = 250 * time.Millisecond
	probeTimeout  = 2 * time.Second
)

// reachable asks for a linearizable read, which needs the quorum.
func (s *Store) reachable(ctx context.Context) error {
	if s.etcd != nil && s.etcd.Server.Leader() == 0 {
		return errNoQuorum()
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	_, err := s.client.Get(ctx, s.root+formatKey)
	return err
}

func (s *Store) watchHealth(ctx context.Context) {
	ticker := time.NewTicker(probeInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		err := s.reachable(ctx)
		if ctx.Err() != nil {
			return
		}
		if s.health.observe(err) {
			if err != nil {
				s.log.Error("lost the quorum: reads go on from memory, nothing can be written", "error", err)
			} else {
				s.log.Info("the quorum is there")
			}
		}
	}
}

// diskGuard refuses writes before the disk is full: etcd ends the process when it cannot write its log.
type diskGuard struct {
	dir     string
	minimum uint64
	free    func(dir string) (uint64, error)
	low     atomic.Bool
	bytes   atomic.Uint64
	// size is that of the whole disk.
	size atomic.Uint64
}

func (d *diskGuard) check(log *slog.Logger) {
	free, err := d.free(d.dir)
	if err != nil {
		log.Warn("cannot tell the free space of the data folder", "error", err)
		return
	}
	d.bytes.Store(free)
	if size, err := sizeOf(d.dir); err == nil {
		d.size.Store(size)
	}
	low := free < d.minimum
	if d.low.Swap(low) != low {
		if low {
			log.Error("the disk is nearly full: nothing is written until there is room", "free", free, "needed", d.minimum)
		} else {
			log.Info("the disk has room again", "free", free)
		}
	}
}

func (d *diskGuard) err() error {
	if !d.low.Load() {
		return nil
	}
	return fault.New(fault.Unavailable, "state.disk_full", "the disk of the data folder has %d MiB left, less than %d MiB",
		d.bytes.Load()>>20, d.minimum>>20).Hinted("free some space on %s; writing goes on by itself then", d.dir)
}

// alarmInterval is how often a quota alarm is looked at again.
const alarmInterval = 5 * time.Second

// watchAlarms ends etcd's alarm that its size limit was reached once there is room again, as after a restart with a higher limit; etcd
// itself would keep it for ever.
func (s *Store) watchAlarms(ctx context.Context) {
	ticker := time.NewTicker(alarmInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		server := s.etcd.Server
		figures, err := s.Figures(ctx)
		if err != nil || server.Leader() != server.MemberID() || figures.DatabaseBytes > figures.QuotaBytes/10*9 {
			continue
		}
		for _, alarm := range server.Alarms() {
			if alarm.Alarm != etcdserverpb.AlarmType_NOSPACE {
				continue
			}
			callCtx, cancel := context.WithTimeout(ctx, commitTimeout)
			_, err := s.client.AlarmDisarm(callCtx, (*clientv3.AlarmMember)(alarm))
			cancel()
			s.log.Info("the state has room again", "bytes", figures.DatabaseBytes, "limit", figures.QuotaBytes, "error", err)
		}
	}
}

// What etcd needs to open its files, and to lay out the first two segments of its log in a folder that has none. With less it would end the process with words that
// help nobody.
const (
	startFree = 32 << 20
	freshFree = startFree + 128<<20
)

// roomToStart refuses a start that would fail for want of space. A folder that tells nothing is tried.
func (o *Options) roomToStart() error {
	need := uint64(startFree)
	if _, err := os.Stat(filepath.Join(o.Dir, etcdFolder, "member", "wal")); o.Embedded != nil && errors.Is(err, os.ErrNotExist) {
		need = freshFree
	}
	free, err := statfs(o.Dir)
	if err != nil || free >= need {
		return nil
	}
	return fault.New(fault.Precondition, "state.disk_full", "the disk of the data folder %s has %d MiB left; starting needs %d MiB", o.Dir, free>>20, need>>20).
		At("data").Hinted("free some space, or name a folder on another disk with --data, and start again; nothing was changed")
}

const diskInterval = time.Second

func (s *Store) watchDisk(ctx context.Context) {
	ticker := time.NewTicker(diskInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.disk.check(s.log)
		case <-ctx.Done():
			return
		}
	}
}

// DiskFree is the free space of the data folder's disk in bytes, at most a second old.
func (s *Store) DiskFree() uint64 { return s.disk.bytes.Load() }

// DiskSize is the size of the data folder's disk in bytes; 0 while it is not known.
func (s *Store) DiskSize() uint64 { return s.disk.size.Load() }

// sizeOf leaves out what a file system keeps back for its administrator, as DiskFree does, so that the two compare.
func sizeOf(dir string) (uint64, error) {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		return 0, fmt.Errorf("statfs %s: %w", dir, err)
	}
	return (stat.Blocks - stat.Bfree + stat.Bavail) * uint64(stat.Bsize), nil
}

func statfs(dir string) (uint64, error) {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		return 0, fmt.Errorf("statfs %s: %w", dir, err)
	}
	return stat.Bavail * uint64(stat.Bsize), nil
}
