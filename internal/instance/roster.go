package instance

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// roster is one service: who is in it, what changed lately, and who wants to know.
type roster struct {
	service Service
	hash    uint64 // of the service's name, the same on every node

	mu sync.RWMutex
	// gone: the roster was taken out of the table; look there again.
	gone bool
	// committed mirrors the state, sorted by id.
	committed []*Instance
	// pending are registrations without quorum, over the committed ones.
	pending   map[string]*pendingInstance
	overrides map[string]*Override
	settings  *gantryv1.ServiceSettings
	// losses is nil while there were none.
	losses    *losses
	ephemeral int
	protected int

	// version counts changes; revision is that of the newest in the state.
	version  uint64
	revision int64
	history  history
	// frames of the current version, by the version that their receivers hold.
	frames map[uint64]*Frame
	// snapshot is nil after a change, until somebody asks.
	snapshot atomic.Pointer[Snapshot]
	// made is the stamp of the newest snapshot.
	made int64
	now  func() time.Time

	subscriptions map[*subscription]struct{}
	// acknowledged is closed at the next acknowledgement while somebody waits for it, else nil.
	acknowledged chan struct{}
}

func newRoster(service Service, revision int64, now func() time.Time) *roster {
	return &roster{service: service, hash: hashService(service), version: 1, revision: revision, now: now,
		history: history{floorVersion: 1, floorRevision: revision}}
}

// empty reports whether nothing is lost when the roster is forgotten.
func (r *roster) empty() bool {
	return len(r.committed) == 0 && len(r.pending) == 0 && len(r.overrides) == 0 && r.settings == nil && len(r.subscriptions) == 0
}

// known reports whether the service exists for those who ask: a subscription alone does not make it.
func (r *roster) known() bool {
	return len(r.committed) > 0 || len(r.pending) > 0 || r.settings != nil
}

// find returns the committed instance of an id, or nil.
func (r *roster) find(id string) *Instance {
	if at, found := search(r.committed, id); found {
		return r.committed[at]
	}
	return nil
}

// put adds or replaces a committed instance and returns the one before, or nil. What is known at the same revision, as a
// reset brings it again, is left as it is.
func (r *roster) put(i *Instance) (before *Instance, known bool) {
	at, found := search(r.committed, i.ID)
	if found && r.committed[at].Modified == i.Modified {
		return r.committed[at], true
	}
	if i.Override = r.overrides[i.ID]; i.Override != nil {
		i.dress()
	}
	if found {
		before = r.committed[at]
		r.committed[at] = i
	} else {
		r.committed = slices.Insert(r.committed, at, i)
	}
	r.count(before, -1)
	r.count(i, 1)
	return before, false
}

// take removes a committed instance and returns it, or nil.
func (r *roster) take(id string) *Instance {
	at, found := search(r.committed, id)
	if !found {
		return nil
	}
	before := r.committed[at]
	r.committed = slices.Delete(r.committed, at, at+1)
	r.count(before, -1)
	return before
}

func (r *roster) count(i *Instance, n int) {
	if i == nil {
		return
	}
	if !i.Persistent {
		r.ephemeral += n
	}
	if i.Protected {
		r.protected += n
	}
}

// changed notes that instances changed at a revision of the state, or locally when revision is 0. No ids: something of the
// service as a whole. The ids are kept: their memory must be their own.
func (r *roster) changed(revision int64, ids ...string) {
	local := revision == 0
	r.revision = max(r.revision, revision)
	r.version++
	if !local && revision <= r.history.floorRevision {
		// Part of the state that the history begins with: who held less gets everything.
		r.history = history{floorVersion: r.version, floorRevision: r.history.floorRevision}
		ids = nil
	}
	for _, id := range ids {
		r.history.add(change{version: r.version, revision: r.revision, id: id, local: local}, len(r.committed))
	}
	r.frames = nil
	r.snapshot.Store(nil)
}

// current is the instance of an id as readers see it, or nil.
func (r *roster) current(id string) *Instance {
	if p := r.pending[id]; p != nil {
		return p.instance
	}
	return r.find(id)
}

// build makes the snapshot of now. The caller holds mu.
func (r *roster) build(stale bool) *Snapshot {
	instances := slices.Clone(r.committed)
	for id, p := range r.pending {
		if at, found := search(instances, id); found {
			instances[at] = p.instance
		} else {
			instances = slices.Insert(instances, at, p.instance)
		}
	}
	r.made = max(r.made+1, r.now().UnixMilli())
	snapshot := (&Snapshot{Service: r.service, Revision: r.revision, Version: r.version, Made: r.made, Instances: instances,
		Protected: r.protected > 0, Provisional: len(r.pending) > 0, Stale: stale, Settings: r.settings}).prepare()
	r.snapshot.Store(snapshot)
	return snapshot
}

// look returns the snapshot of now.
func (r *roster) look(stale *atomic.Bool) *Snapshot {
	if snapshot := r.snapshot.Load(); snapshot != nil {
		return snapshot
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lookLocked(stale)
}

func (r *roster) lookLocked(stale *atomic.Bool) *Snapshot {
	if snapshot := r.snapshot.Load(); snapshot != nil {
		return snapshot
	}
	return r.build(stale.Load())
}

// frameSince returns what a subscriber lacks that holds a version, and the version that it holds then. Version 0 is
// nothing. The frame is made once for all who hold the same. It is nil when nothing changed, unless always is set.
func (r *roster) frameSince(version uint64, always bool, stale *atomic.Bool) (*Frame, uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if version == r.version && !always {
		return nil, version
	}
	if frame := r.frames[version]; frame != nil {
		return frame, r.version
	}
	snapshot := r.lookLocked(stale)
	frame := r.delta(version, snapshot)
	if frame == nil {
		frame = &Frame{Service: r.service, Revision: snapshot.resumable(), Full: true, Encoded: snapshot.Encoded()}
	}
	const maxFrames = 32 // subscribers that hold ever different versions share nothing
	if len(r.frames) >= maxFrames {
		clear(r.frames)
	}
	if r.frames == nil {
		r.frames = make(map[uint64]*Frame)
	}
	r.frames[version] = frame
	return frame, r.version
}

// delta is the frame of what changed after a version; nil when the whole service is less or the history is too short.
func (r *roster) delta(version uint64, snapshot *Snapshot) *Frame {
	if version == 0 || version > r.version {
		return nil
	}
	changes, ok := r.history.since(version)
	if !ok || len(changes) > 0 && len(changes) > 2*len(snapshot.Instances)+minHistory {
		return nil
	}
	seen := make(map[string]struct{}, len(changes))
	b := appendEvent(make([]byte, 0, 64+256*len(changes)), r.service, snapshot.resumable(), false, snapshot.Stale, snapshot.Protected)
	for _, c := range changes {
		if _, again := seen[c.id]; again {
			continue
		}
		seen[c.id] = struct{}{}
		if i := snapshot.Instance(c.id); i != nil {
			b = appendInstance(b, i)
		} else {
			b = appendString(b, eventRemoved, c.id)
		}
	}
	return &Frame{Service: r.service, Revision: snapshot.resumable(), Encoded: b}
}
