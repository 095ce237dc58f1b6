package release

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// head is the stored form of a document: which versions there are and who gets which.
type head struct {
	Latest    int64  `json:"latest"`
	Checksum  string `json:"checksum,omitempty"` // of the latest version; empty when that is sensitive
	Format    string `json:"format"`
	Sensitive bool   `json:"sensitive,omitempty"`
	// Sealed: some version of it was sensitive.
	Sealed bool `json:"sealed,omitempty"`

	Released int64    `json:"released,omitempty"`
	Rollout  *rollout `json:"rollout,omitempty"`
	// Trail holds what was in force before, newest last.
	Trail   []int64 `json:"trail,omitempty"`
	Deleted bool    `json:"deleted,omitempty"`

	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
	// Rollouts and Entries count what was started and what was written into the history.
	Rollouts int64 `json:"rollouts,omitempty"`
	Entries  int64 `json:"entries"`
	// OldestVersion and OldestEntry are the oldest that retention has not looked at; they spare a publish the
	// reading of what is not due.
	OldestVersion mark `json:"oldest_version"`
	OldestEntry   mark `json:"oldest_entry"`

	// Since is the revision that last changed what is in force; 0 is this head's own, and [neverInForce] that nothing was
	// yet. A server that does not know it writes none, which only says that something may have changed.
	Since int64 `json:"since,omitempty"`

	Last lastChange `json:"last"`

	// Key is what a document of kind KeyValue has beside; nil on others.
	Key *keySection `json:"key,omitempty"`
}

// keySection is what a key has that other documents have not.
type keySection struct {
	Flags uint64 `json:"flags,omitempty"`
	// Created is the revision at which the key came to be: the head is older when the key was deleted before. 0 is the revision of this head.
	Created int64 `json:"created,omitempty"`
	// Session holds the key's lock; Lock counts how often it was acquired.
	Session string `json:"session,omitempty"`
	Lock    uint64 `json:"lock,omitempty"`
	// Machine is the version that was written with a lock, of which only the latest is kept; 0 is none.
	Machine int64 `json:"machine,omitempty"`
	// Plain: something of the history is a person's, or at least was written without a lock. A key without it is removed wholly.
	Plain bool `json:"plain,omitempty"`
	// Freed is when its holder's session was invalidated, Delay how long it cannot be acquired since.
	Freed time.Time     `json:"freed,omitzero"`
	Delay time.Duration `json:"delay,omitempty"`
}

const neverInForce = -1

// rollout is a staged release under way.
type rollout struct {
	ID      string    `json:"id"`
	Version int64     `json:"version"`
	Cohort  *cohort   `json:"cohort"`
	Author  string    `json:"author"`
	Started time.Time `json:"started"`
	Changed time.Time `json:"changed"`
}

type mark struct {
	Number int64     `json:"number"`
	At     time.Time `json:"at"`
}

// lastChange names the change that wrote a head, so that a lost answer can be found out and a conflict can say
// whom it met.
type lastChange struct {
	ID     string          `json:"id"`
	Action gantryv1.Action `json:"action"`
	Author string          `json:"author"`
}

// versionRecord is the stored form of a version, without its content.
type versionRecord struct {
	Number    int64     `json:"number"`
	Format    string    `json:"format"`
	Checksum  string    `json:"checksum,omitempty"` // empty when sensitive
	Size      int       `json:"size"`
	Author    string    `json:"author"`
	Message   string    `json:"message,omitempty"`
	Created   time.Time `json:"created"`
	Sensitive bool      `json:"sensitive,omitempty"`
	// Key is the data key that seals the content, when sensitive.
	Key string `json:"key,omitempty"`
	// Flags are those that a key had with this value; it gets them back when the version is rolled back to.
	Flags uint64 `json:"flags,omitempty"`
	// Born is when the head of a key was made, in nanoseconds: numbers begin anew when a key that was removed wholly is made again.
	Born int64 `json:"born,omitempty"`
}

// entryRecord is the stored form of a history entry.
type entryRecord struct {
	Change   string          `json:"change"`
	Action   gantryv1.Action `json:"action"`
	Version  int64           `json:"version"`
	Previous int64           `json:"previous,omitempty"`
	Cohort   *cohort         `json:"cohort,omitempty"`
	Author   string          `json:"author"`
	Message  string          `json:"message,omitempty"`
	At       time.Time       `json:"at"`
}

// encode turns a record into what is stored. The records hold nothing that JSON cannot.
func encode(record any) []byte {
	data, err := json.Marshal(record)
	if err != nil {
		panic(fmt.Sprintf("release: encode %T: %v", record, err))
	}
	return data
}

func decodeHead(data []byte) (*head, error) {
	h := new(head)
	if err := json.Unmarshal(data, h); err != nil {
		return nil, fmt.Errorf("release: a stored head cannot be read: %w", err)
	}
	in := func(n int64) bool { return n >= 1 && n <= h.Latest }
	switch {
	case h.Latest < 1,
		h.Released != 0 && !in(h.Released),
		h.Rollout != nil && (!in(h.Rollout.Version) || h.Rollout.Cohort == nil),
		h.Entries < 1,
		h.Key != nil && !h.Key.sound(h.Latest),
		slices.ContainsFunc(h.Trail, func(n int64) bool { return !in(n) }):
		return nil, fmt.Errorf("release: a stored head contradicts itself")
	}
	return h, nil
}

// sound reports whether a section can belong to a head with so many versions.
func (k *keySection) sound(latest int64) bool {
	return k.Created >= 0 && k.Machine >= 0 && k.Machine <= latest && k.Delay >= 0 && k.Delay <= MaxLockDelay
}

func decodeVersion(data []byte) (*versionRecord, error) {
	v := new(versionRecord)
	if err := json.Unmarshal(data, v); err != nil {
		return nil, fmt.Errorf("release: a stored version cannot be read: %w", err)
	}
	if v.Number < 1 || v.Size < 0 || v.Sensitive != (v.Key != "") {
		return nil, fmt.Errorf("release: a stored version contradicts itself")
	}
	return v, nil
}

func decodeEntry(data []byte) (*entryRecord, error) {
	e := new(entryRecord)
	if err := json.Unmarshal(data, e); err != nil {
		return nil, fmt.Errorf("release: a stored history entry cannot be read: %w", err)
	}
	return e, nil
}

func (h *head) proto(ref Ref, revision int64) *gantryv1.Document {
	d := &gantryv1.Document{
		Ref:             ref.Proto(),
		LatestVersion:   h.Latest,
		ReleasedVersion: h.Released,
		Deleted:         h.Deleted,
		CreatedAt:       timestamppb.New(h.Created),
		UpdatedAt:       timestamppb.New(h.Updated),
		Revision:        revision,
		Format:          h.Format,
		Sensitive:       h.Sensitive,
		Author:          h.Last.Author,
	}
	if r := h.Rollout; r != nil {
		d.Rollout = &gantryv1.Rollout{Id: r.ID, Version: r.Version, Cohort: r.Cohort.proto(), Author: r.Author,
			StartedAt: timestamppb.New(r.Started), ChangedAt: timestamppb.New(r.Changed)}
	}
	return d
}

func (v *versionRecord) proto() *gantryv1.Version {
	return &gantryv1.Version{Version: v.Number, Format: v.Format, Checksum: v.Checksum, Author: v.Author, Message: v.Message,
		CreatedAt: timestamppb.New(v.Created), Sensitive: v.Sensitive, Size: uint32(v.Size)}
}

func (e *entryRecord) proto() *gantryv1.HistoryEntry {
	return &gantryv1.HistoryEntry{Action: e.Action, Version: e.Version, PreviousVersion: e.Previous, Cohort: e.Cohort.proto(),
		Author: e.Author, Message: e.Message, At: timestamppb.New(e.At)}
}

// inForce reports whether somebody gets this version now.
func (h *head) inForce(version int64) bool {
	return version != 0 && (h.Released == version || (h.Rollout != nil && h.Rollout.Version == version))
}

// sameInForce reports whether everybody gets the same of both.
func (h *head) sameInForce(o *head) bool {
	if h.Released != o.Released || h.Deleted != o.Deleted || (h.Rollout == nil) != (o.Rollout == nil) {
		return false
	}
	return h.Rollout == nil || (h.Rollout.ID == o.Rollout.ID && h.Rollout.Version == o.Rollout.Version && h.Rollout.Cohort.equal(o.Rollout.Cohort))
}

// protected reports whether retention must leave this version: it is in force, or the next to be rolled back to.
func (h *head) protected(version int64) bool {
	return h.inForce(version) || (len(h.Trail) > 0 && h.Trail[len(h.Trail)-1] == version) || version == h.Latest
}

// clone returns a copy that can be changed.
func (h *head) clone() *head {
	c := *h
	c.Trail = slices.Clone(h.Trail)
	if h.Rollout != nil {
		r := *h.Rollout
		c.Rollout = &r
	}
	if h.Key != nil {
		k := *h.Key
		c.Key = &k
	}
	return &c
}

// put lets everyone have a version. What it replaces goes onto the trail.
func (h *head) put(version int64) {
	h.remember()
	h.Released, h.Rollout, h.Deleted = version, nil, false
}

// remember puts the released version onto the trail.
func (h *head) remember() {
	if h.Released == 0 {
		return
	}
	h.Trail = append(h.Trail, h.Released)
	if len(h.Trail) > keepVersions {
		h.Trail = slices.Clone(h.Trail[len(h.Trail)-keepVersions:])
	}
}

// back lets everyone have an earlier version: the trail is cut before it, and what it replaces is forgotten.
func (h *head) back(version int64) {
	for i := len(h.Trail) - 1; i >= 0; i-- {
		if h.Trail[i] == version {
			h.Trail = h.Trail[:i]
			break
		}
	}
	h.Released, h.Rollout, h.Deleted = version, nil, false
}

// earlier reports whether a version counts as earlier than what is in force.
func (h *head) earlier(version int64) bool {
	return h.Released == 0 || version < h.Released || slices.Contains(h.Trail, version)
}

// remove takes the document out of force; it keeps its versions and can be rolled back.
func (h *head) remove() {
	h.remember()
	h.Released, h.Rollout, h.Deleted = 0, nil, true
}
