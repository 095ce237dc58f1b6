package event

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/gantry-platform/gantry/internal/fault"
)

const (
	// segmentBytes is when a segment is full: what a query of the newest events reads at worst, some 30,000 events.
	segmentBytes = 8 << 20
	// segmentAge is when one is sealed although it is not full.
	segmentAge = time.Hour
	// queued bounds the calls that wait for the disk, each of at most a batch.
	queued = 256
	// groupBytes bounds what is written before an fsync.
	groupBytes = 4 << 20
	// remembered is how many ids are known, so that what a sender repeats is not stored again.
	remembered = 1 << 16
)

// logOptions say how a log is kept.
type logOptions struct {
	folder   string
	maxAge   time.Duration
	maxBytes int64
	// segmentBytes is when a segment is full.
	segmentBytes int64
	// maxScanned bounds the segments that one question reads.
	maxScanned int
	logger     *slog.Logger
	now        func() time.Time
	// needed answers the first sequence number that somebody still has to read; nil: nobody.
	needed func() uint64
	// diskFree is the room on the folder's disk, and minimumFree what of it is left to others.
	diskFree    func() uint64
	minimumFree uint64
}

// journal is an append-only log of events in a folder.
type journal struct {
	logOptions
	requests chan *appendRequest
	// full tells the keeper that a segment is full.
	full chan struct{}
	stop context.CancelFunc
	done sync.WaitGroup

	mu       sync.Mutex
	segments []*segment // those that are not written any more, oldest first
	// current is the newest segment, and currentSize how much of its file is durable.
	current     *segment
	currentSize int64
	began       time.Time // of the current segment: its first event
	next        uint64
	appended    chan struct{} // closed at the next durable append, while somebody waits
	lost        uint64        // events that were removed before who needs them had read them

	// The writer's own.
	file   *os.File
	ids    map[uint64]struct{}
	ring   []uint64
	placed int
	// low: the disk was too full at the last look.
	low bool
}

type appendRequest struct {
	events []Stored
	// fresh are those that were stored, without duplicates.
	fresh []bool
	done  chan error
}

// openJournal reads what is there, cuts what is torn, and begins to write.
func openJournal(o logOptions) (*journal, error) {
	j := &journal{logOptions: o, requests: make(chan *appendRequest, queued), full: make(chan struct{}, 1), ids: map[uint64]struct{}{}}
	if err := os.MkdirAll(o.folder, 0o700); err != nil {
		return nil, err
	}
	if err := j.read(); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	j.stop = stop
	j.done.Go(func() { j.write(ctx) })
	j.done.Go(func() { j.keep(ctx) })
	return j, nil
}

// read finds the segments.
func (j *journal) read() error {
	entries, err := os.ReadDir(j.folder)
	if err != nil {
		return err
	}
	var raw []uint64
	sealed := map[uint64]bool{}
	for _, entry := range entries {
		name := entry.Name()
		if first, ok := parseSegmentName(name, sealedSuffix); ok {
			sealed[first] = true
		} else if first, ok := parseSegmentName(name, rawSuffix); ok {
			raw = append(raw, first)
		} else if filepath.Ext(name) == ".new" {
			if err := os.Remove(filepath.Join(j.folder, name)); err != nil {
				return err
			}
		}
	}
	for first := range sealed {
		s := &segment{folder: j.folder, number: first, meta: meta{First: first}}
		if err := s.load(); err != nil {
			j.logger.Error("a segment of the log is damaged; what can be read of it stays", "file", s.path(sealedSuffix), "events", s.Events, "reason", err)
		}
		j.segments = append(j.segments, s)
	}
	for _, first := range raw {
		s := &segment{folder: j.folder, number: first, meta: meta{First: first}, raw: true}
		if sealed[first] {
			// It was sealed whole, and the end of that was cut short.
			if err := os.Remove(s.path(rawSuffix)); err != nil {
				return err
			}
			continue
		}
		if err := j.mend(s); err != nil {
			return err
		}
		if s.Events == 0 {
			if err := os.Remove(s.path(rawSuffix)); err != nil {
				return err
			}
			continue
		}
		j.segments = append(j.segments, s)
	}
	slices.SortFunc(j.segments, func(a, b *segment) int {
		if a.First < b.First {
			return -1
		}
		return 1
	})
	j.next = 1
	for _, s := range j.segments {
		j.next = max(j.next, s.First+s.Events)
	}
	return j.remember()
}

// mend cuts what is torn at the end of a segment that was written when the process died.
func (j *journal) mend(s *segment) error {
	path := s.path(rawSuffix)
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	whole := unframe(data, func([]byte) bool { return true })
	if whole < len(data) {
		j.logger.Warn("the end of the log was torn, and is cut; what was acknowledged stands before it", "file", path, "bytes", len(data)-whole)
		if err := os.Truncate(path, int64(whole)); err != nil {
			return err
		}
	}
	s.size = int64(whole)
	s.meta, err = s.scan(true)
	return err
}

// remember learns the ids of the newest events again.
func (j *journal) remember() error {
	from := len(j.segments)
	for n := uint64(0); from > 0 && n < remembered; from-- {
		n += j.segments[from-1].Events
	}
	for _, s := range j.segments[from:] {
		err := s.each(s.raw, func(line []byte) bool {
			if stored, err := Decode(line); err == nil {
				j.know(&stored)
			}
			return true
		})
		if err != nil {
			j.logger.Warn("a segment of the log cannot be read", "file", s.path(""), "reason", err)
		}
	}
	return nil
}

func idOf(s *Stored) uint64 { return xxhash.Sum64String(s.Namespace + "\x00" + s.ID) }

// know remembers the id of an event that is durable.
func (j *journal) know(s *Stored) {
	id := idOf(s)
	if _, known := j.ids[id]; known {
		return
	}
	if len(j.ring) < remembered {
		j.ring = append(j.ring, id)
	} else {
		delete(j.ids, j.ring[j.placed])
		j.ring[j.placed] = id
		j.placed = (j.placed + 1) % remembered
	}
	j.ids[id] = struct{}{}
}

// append stores events and returns when they are durable. fresh tells which were not known already.
func (j *journal) append(ctx context.Context, events []Stored) (fresh []bool, err error) {
	r := &appendRequest{events: events, fresh: make([]bool, len(events)), done: make(chan error, 1)}
	select {
	case j.requests <- r:
	default:
		return nil, fault.New(fault.Exhausted, "event.busy", "the disk does not keep up with the events").Hinted("send later; the sender's queue holds them meanwhile")
	}
	select {
	case err := <-r.done:
		return r.fresh, err
	case <-ctx.Done():
		// It may be stored all the same; its id makes a repetition harmless.
		return nil, ctx.Err()
	}
}

// write is the writer: it takes whatever waits, writes it in one go, and answers all.
func (j *journal) write(ctx context.Context) {
	defer func() {
		if j.file != nil {
			if err := j.file.Close(); err != nil {
				j.logger.Warn("closing the log", "reason", err)
			}
		}
	}()
	for {
		select {
		case r := <-j.requests:
			j.group(r)
		case <-ctx.Done():
			// Nobody appends any more; those who did are answered.
			for {
				select {
				case r := <-j.requests:
					j.group(r)
				default:
					return
				}
			}
		}
	}
}

func (j *journal) group(first *appendRequest) {
	group := []*appendRequest{first}
	size := len(first.events)
	for size < groupBytes/1024 {
		select {
		case r := <-j.requests:
			group = append(group, r)
			size += len(r.events)
			continue
		default:
		}
		break
	}
	err := j.commit(group)
	for _, r := range group {
		r.done <- err
	}
}

// commit writes and syncs what is new in a group. Ids are remembered when their events are durable: what is sent again and again to a full disk must
// not push out those that are.
func (j *journal) commit(group []*appendRequest) error {
	if err := j.hasRoom(); err != nil {
		return err
	}
	if err := j.open(); err != nil {
		return unwritable(err)
	}
	var data []byte
	var events []*Stored
	here := map[uint64]struct{}{}
	builder := metaBuilder{}
	for _, r := range group {
		for i := range r.events {
			s := &r.events[i]
			id := idOf(s)
			_, known := j.ids[id]
			_, twice := here[id]
			if r.fresh[i] = !known && !twice; !r.fresh[i] {
				continue
			}
			s.Sequence = j.next + uint64(len(events))
			encoded, err := s.Encode()
			if err != nil || len(encoded) > maxLine {
				return fmt.Errorf("event: an event of %d bytes cannot be stored: %w", len(encoded), err)
			}
			data = frame(data, encoded)
			events = append(events, s)
			here[id] = struct{}{}
			builder.add(s)
		}
	}
	if len(events) == 0 {
		return nil
	}
	_, err := j.file.WriteAt(data, j.currentSize)
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		j.giveUp()
		return unwritable(err)
	}
	for _, s := range events {
		j.know(s)
	}
	j.advance(int64(len(data)), builder)
	return nil
}

// hasRoom refuses to write when that would take what is left to others: the state ends the process when it cannot write, and a node does not start on a
// disk without room. The log says so once.
func (j *journal) hasRoom() error {
	free := j.diskFree()
	low := free < j.minimumFree
	if low != j.low {
		if j.low = low; low {
			j.logger.Error("the disk is nearly full: events are refused until there is room", "folder", j.folder, "free", free, "needed", j.minimumFree)
		} else {
			j.logger.Info("the disk has room for events again", "folder", j.folder, "free", free)
		}
	}
	if !low {
		return nil
	}
	return fault.New(fault.Unavailable, "event.disk_full", "the disk has %d MiB left, and events are written with at least %d", free>>20, j.minimumFree>>20).
		Hinted("make room on the disk of --data, or lower --events-max-size; events that were taken are safe")
}

// advance shows what is durable.
func (j *journal) advance(bytes int64, added metaBuilder) {
	j.mu.Lock()
	defer j.mu.Unlock()
	c := j.current
	if c.Events == 0 {
		j.began = j.now()
	}
	if c.Events == 0 || added.Oldest.Before(c.Oldest) {
		c.Oldest = added.Oldest
	}
	if c.Events == 0 || added.Newest.After(c.Newest) {
		c.Newest = added.Newest
	}
	c.Events += added.Events
	c.Arrived = added.Arrived
	j.next += added.Events
	j.currentSize += bytes
	c.size = j.currentSize
	if j.appended != nil {
		close(j.appended)
		j.appended = nil
	}
	if j.currentSize >= j.segmentBytes {
		j.retire()
	}
}

// retire ends the current segment; the caller is the writer and holds mu.
func (j *journal) retire() {
	j.segments = append(j.segments, j.current)
	j.current, j.currentSize = nil, 0
	if err := j.file.Close(); err != nil {
		j.logger.Warn("closing a segment of the log", "reason", err)
	}
	j.file = nil
	select {
	case j.full <- struct{}{}:
	default:
	}
}

// open begins a segment when there is none, or when the current one is old.
func (j *journal) open() error {
	j.mu.Lock()
	if j.current != nil && j.current.Events > 0 && j.now().Sub(j.began) >= segmentAge {
		j.retire()
	}
	j.mu.Unlock()
	if j.file != nil {
		return nil
	}
	s := &segment{folder: j.folder, number: j.next, meta: meta{First: j.next}, raw: true}
	file, err := os.OpenFile(s.path(rawSuffix), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err == nil {
		err = syncFolder(j.folder)
	}
	if err != nil {
		if file != nil {
			err = errors.Join(err, file.Close())
		}
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.file, j.current, j.currentSize = file, s, 0
	return nil
}

// giveUp ends a segment after a failed write: what the file holds beyond what is durable is not known, so it is cut and not written again.
func (j *journal) giveUp() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.file.Truncate(j.currentSize); err != nil {
		j.logger.Error("the log cannot be cut back to what is durable", "file", j.current.path(rawSuffix), "reason", err)
	}
	if j.current.Events > 0 {
		j.retire()
		return
	}
	if err := errors.Join(j.file.Close(), os.Remove(j.current.path(rawSuffix))); err != nil {
		j.logger.Warn("removing an empty segment", "reason", err)
	}
	j.file, j.current, j.currentSize = nil, nil, 0
}

func unwritable(err error) error {
	return fault.New(fault.Unavailable, "event.log_not_writable", "the log of events cannot be written: %v", err).
		Hinted("free space on the server's disk, or move its data; events that were taken are safe").Because(err)
}

// view is the log at a moment: its segments, oldest first, and which of them are raw.
type view struct {
	segment *segment
	meta    meta
	raw     bool
	// known: meta says what is in it.
	known bool
	// end is the last sequence number that is durable in it.
	end uint64
}

func (j *journal) view() []view {
	j.mu.Lock()
	defer j.mu.Unlock()
	all := make([]view, 0, len(j.segments)+1)
	for _, s := range j.segments {
		all = append(all, view{segment: s, meta: s.meta, raw: s.raw, known: s.Topics != nil})
	}
	if j.current != nil && j.current.Events > 0 {
		all = append(all, view{segment: j.current, meta: j.current.meta, raw: true})
	}
	for i := range all {
		all[i].end = j.next - 1
		if i+1 < len(all) {
			all[i].end = all[i+1].segment.number - 1
		}
	}
	return all
}

// last is the newest durable sequence number, and a channel that is closed when there is a newer one.
func (j *journal) last() (sequence uint64, changed <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.appended == nil {
		j.appended = make(chan struct{})
	}
	return j.next - 1, j.appended
}

// after reads events behind a sequence number, oldest first, within bounds of count and bytes. What was removed is passed over.
func (j *journal) after(sequence uint64, most, bytes int) ([]Stored, error) {
	var found []Stored
	for _, v := range j.view() {
		if v.end <= sequence {
			continue
		}
		full := false
		err := v.segment.each(v.raw, func(line []byte) bool {
			s, err := Decode(line)
			if err != nil || s.Sequence <= sequence || s.Sequence > v.end {
				return true
			}
			found = append(found, s)
			bytes -= len(line)
			full = len(found) >= most || bytes <= 0
			return !full
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			j.logger.Error("a segment of the log cannot be read", "file", v.segment.path(""), "reason", err)
			if len(found) > 0 {
				return found, nil
			}
			continue
		}
		if full {
			break
		}
	}
	return found, nil
}

// size is what the log takes on disk, how many segments there are, and how many events were removed too early.
func (j *journal) figures() (bytes int64, segments int, lost uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, s := range j.segments {
		bytes += s.size
	}
	return bytes + j.currentSize, len(j.segments), j.lost
}

func (j *journal) close() {
	j.stop()
	j.done.Wait()
}
