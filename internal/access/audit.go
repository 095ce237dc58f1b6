package access

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"

	"github.com/gantry-platform/gantry/internal/state"
)

// Entry is one change, for the audit log. Texts that are too long are cut.
type Entry struct {
	// Action is what was done: "document.release". At most 64 bytes.
	Action string
	// Namespace it was done in; "" or "*" for what concerns the whole cluster, which only its administrators read.
	Namespace string
	// Target is what it was done to: "Config/loan.yaml". At most 1 KiB.
	Target string
	// Before and After are written as JSON: protobuf messages in their JSON form, everything else by encoding/json; nil
	// is nothing. What is longer than 4 KiB is kept as its beginning, in JSON again:
	// {"cut":true,"bytes":70000,"begins":"{\"spec\":..."}. The caller keeps secrets out.
	Before, After any
	// Message is the caller's own words. At most 1 KiB.
	Message string
}

// Limits of an audit record, in bytes.
const (
	maxAction   = 64
	maxTarget   = 1 << 10
	maxMessage  = 1 << 10
	maxSnapshot = 4 << 10
	maxSource   = 128
	maxActor    = 128
)

const auditRoom = "audit"

// Record returns the write that puts a change into the audit log. It belongs into the [state.Change] of the change
// itself, so that neither is stored without the other. Who it was and from where comes from the context. Ids are
// UUIDs of version 7 (RFC 9562): ordered by time, and unique across nodes. The error is that of a Before or
// After which has no form in JSON: a defect of the caller.
func Record(ctx context.Context, entry Entry) (state.Put, error) {
	before, err := snapshot(entry.Before)
	if err != nil {
		return state.Put{}, fmt.Errorf("access: audit of %s: before: %w", entry.Action, err)
	}
	after, err := snapshot(entry.After)
	if err != nil {
		return state.Put{}, fmt.Errorf("access: audit of %s: after: %w", entry.Action, err)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return state.Put{}, fmt.Errorf("access: audit of %s: %w", entry.Action, err)
	}
	if entry.Namespace == "" {
		entry.Namespace = everywhere
	}
	identity := FromContext(ctx)
	value, err := proto.Marshal(&gantryv1.AuditRecord{
		Id:        id.String(),
		At:        timestamppb.New(time.Now()),
		Actor:     cut(identity.Actor, maxActor),
		Source:    cut(identity.Source, maxSource),
		Action:    cut(entry.Action, maxAction),
		Namespace: cut(entry.Namespace, maxNamespace),
		Target:    cut(entry.Target, maxTarget),
		Before:    before,
		After:     after,
		Message:   cut(entry.Message, maxMessage),
	})
	if err != nil {
		return state.Put{}, fmt.Errorf("access: audit of %s: %w", entry.Action, err)
	}
	return state.Put{Key: auditKey(id), Value: value}, nil
}

// auditKey inverts the id, so that the keys go from the newest record to the oldest: etcd reads a page in key order at
// the cost of the page, but sorts everything to read one backwards.
func auditKey(id uuid.UUID) string {
	for i := range id {
		id[i] = ^id[i]
	}
	return state.Key(auditRoom, hex.EncodeToString(id[:]))
}

// auditKeyAt is the key that divides the records of before a time, which come behind it, from those of that time
// and later. Its precision is the millisecond of the ids.
func auditKeyAt(at time.Time) string {
	var id uuid.UUID
	ms := min(max(at.UnixMilli(), 0), 1<<48-1)
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	return auditKey(id)
}

// snapshot is a value as JSON of at most maxSnapshot bytes.
func snapshot(value any) (string, error) {
	var text []byte
	var err error
	switch v := value.(type) {
	case nil:
		return "", nil
	case proto.Message:
		// protojson varies its spaces from build to build on purpose.
		var spaced []byte
		if spaced, err = protojson.Marshal(v); err == nil {
			var compact bytes.Buffer
			err = json.Compact(&compact, spaced)
			text = compact.Bytes()
		}
	default:
		text, err = marshal(v)
	}
	if err != nil {
		return "", err
	}
	if len(text) <= maxSnapshot {
		return strings.ToValidUTF8(string(text), "\uFFFD"), nil
	}
	return shorten(text)
}

// marshal is JSON that keeps "<", ">" and "&" readable.
func marshal(value any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// shorten keeps the beginning of JSON that is too long, as a string in JSON.
func shorten(text []byte) (string, error) {
	const frame = len(`{"cut":true,"bytes":12345678901234567890,"begins":""}`)
	room, end := maxSnapshot-frame, 0
	for end < len(text) {
		r, size := utf8.DecodeRune(text[end:])
		cost := size
		switch {
		case r == '"' || r == '\\':
			cost = 2
		case r < 0x20 || r == 0x7f || r == '\u2028' || r == '\u2029' || r == utf8.RuneError:
			cost = 6
		}
		if room -= cost; room < 0 {
			break
		}
		end += size
	}
	short, err := marshal(struct {
		Cut    bool   `json:"cut"`
		Bytes  int    `json:"bytes"`
		Begins string `json:"begins"`
	}{true, len(text), string(text[:end])})
	return string(short), err
}
