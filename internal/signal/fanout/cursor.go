package fanout

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
)

const (
	// maxPlaces bounds the nodes of a cursor: far more than a cluster has at a time.
	maxPlaces = 256
	// maxCursor bounds a cursor as text.
	maxCursor = 32 << 10
)

// Cursor says how far somebody has followed the logs of events of all nodes. The zero value is their beginning.
type Cursor struct {
	// Places are sequence numbers by the ids of nodes.
	Places map[string]uint64
	// Began is when the following began. Of a node without a place, because it has not answered since, everything counts that came to it from then on.
	Began time.Time
}

// cursorText is a cursor as JSON, which goes round in base64: it means something to us alone.
type cursorText struct {
	Places map[string]uint64 `json:"p,omitempty"`
	Began  int64             `json:"b,omitempty"` // in microseconds since 1970
}

// String is the cursor for [ParseCursor].
func (c Cursor) String() string {
	text := cursorText{Places: c.Places}
	if !c.Began.IsZero() {
		text.Began = c.Began.UnixMicro()
	}
	data, err := json.Marshal(text)
	if err != nil {
		panic("fanout: " + err.Error()) // numbers and texts can always be written
	}
	return base64.RawURLEncoding.EncodeToString(data)
}

// ParseCursor reads what String wrote; nothing is the beginning. Errors: Invalid "event.bad_place".
func ParseCursor(text string) (Cursor, error) {
	if text == "" {
		return Cursor{}, nil
	}
	bad := fault.New(fault.Invalid, "event.bad_place", "%.40q is no place in the logs of events", text).At("after").Hinted("take the next of an answer, or leave it empty for the beginning")
	if len(text) > maxCursor {
		return Cursor{}, bad
	}
	data, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return Cursor{}, bad
	}
	var read cursorText
	if err := json.Unmarshal(data, &read); err != nil || len(read.Places) > maxPlaces {
		return Cursor{}, bad
	}
	c := Cursor{Places: read.Places}
	if read.Began != 0 {
		c.Began = time.UnixMicro(read.Began).UTC()
	}
	return c, nil
}

// of is from where a node's log is read on.
func (c *Cursor) of(id string) (after *uint64, arrivedSince time.Time) {
	place, known := c.Places[id]
	if !known {
		arrivedSince = c.Began
	}
	return &place, arrivedSince
}

func (c *Cursor) clone() Cursor {
	places := make(map[string]uint64, len(c.Places))
	maps.Copy(places, c.Places)
	return Cursor{Places: places, Began: c.Began}
}

// bound drops the places of nodes that did not answer when there are too many: nodes come and go, and a cursor may be followed for ever.
func (c *Cursor) bound(answered []*part) {
	if len(c.Places) <= maxPlaces {
		return
	}
	maps.DeleteFunc(c.Places, func(id string, _ uint64) bool {
		return !slices.ContainsFunc(answered, func(p *part) bool { return p.node.ID == id })
	})
}
