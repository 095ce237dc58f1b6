package instance

// history is what changed in a service lately, so that a client gets only what it lacks. It is bounded; who is behind
// its floor gets everything.
type history struct {
	changes []change
	// floorVersion and floorRevision are where the history begins: it holds all that came after.
	floorVersion  uint64
	floorRevision int64
}

// change says that an instance was changed, added or removed; which of them, the roster knows.
type change struct {
	version  uint64
	revision int64
	id       string
	// local changes are not in the state: a provisional instance came or went at this revision.
	local bool
}

// The history of a service holds as many changes as it has instances, within these bounds: more of them would be more than
// all of it.
const (
	minHistory = 32
	maxHistory = 2048
)

func (h *history) add(c change, instances int) {
	limit := min(max(instances, minHistory), maxHistory)
	if len(h.changes) >= limit+limit/4 { // now and then, not with each
		h.trim(len(h.changes) - limit)
	}
	h.changes = append(h.changes, c)
}

// trim forgets the first n changes.
func (h *history) trim(n int) {
	if n == 0 {
		return
	}
	last := h.changes[n-1]
	h.floorVersion = last.version
	h.floorRevision = max(h.floorRevision, last.revision)
	for _, c := range h.changes[:n] {
		if c.local {
			h.floorRevision = max(h.floorRevision, c.revision+1)
		}
	}
	kept := copy(h.changes, h.changes[n:])
	clear(h.changes[kept:])
	h.changes = h.changes[:kept]
}

// since returns the changes after a version, and whether the history reaches back to it.
func (h *history) since(version uint64) ([]change, bool) {
	if version < h.floorVersion {
		return nil, false
	}
	at := len(h.changes)
	for at > 0 && h.changes[at-1].version > version {
		at--
	}
	return h.changes[at:], true
}

// versionOf returns the version that a client holds who has seen everything up to a revision.
func (h *history) versionOf(revision int64, current uint64) (uint64, bool) {
	if revision < h.floorRevision {
		return 0, false
	}
	for _, c := range h.changes {
		if c.revision > revision || c.local && c.revision >= revision {
			return c.version - 1, true
		}
	}
	return current, true
}
