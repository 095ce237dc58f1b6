package release

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy"
	"github.com/gantry-platform/gantry/internal/state"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// loadVersion returns a version with its content in the clear. The message is shared and must not be changed.
//
// It is read from this node's own copy first, because what is there never changes, and by agreement of the quorum only
// when it is not there.
func (r *Releaser) loadVersion(ctx context.Context, d *document, number int64) (*gantryv1.Version, error) {
	key := cacheKey{ref: d.ref, born: d.born(), version: number}
	if v, ok := r.cache.get(key); ok {
		return v.(*gantryv1.Version), nil
	}
	v, err := r.once.do(ctx, key, func(ctx context.Context) (any, error) {
		v, err := r.readVersion(ctx, d, number)
		if err != nil {
			return nil, err
		}
		r.cache.put(key, v, len(v.Content))
		return v, nil
	})
	if err != nil {
		return nil, err
	}
	return v.(*gantryv1.Version), nil
}

// readVersion reads a version. What a machine wrote may go while it is read, and a key that was removed wholly may be made again with the same
// numbers: then the version is not there any more, and the head that names it is old.
func (r *Releaser) readVersion(ctx context.Context, d *document, number int64) (*gantryv1.Version, error) {
	v, err := r.readVersionBy(ctx, d, number, r.read)
	if d.ref.Kind == policy.KeyValue && err != nil && (fault.Is(err, fault.NotFound) || fault.Is(err, fault.Internal)) {
		// This node's own copy may have one part of it and not the other.
		v, err = r.readVersionBy(ctx, d, number, r.store.Get)
		if fault.Is(err, fault.Internal) {
			if _, again := r.readVersionRecord(ctx, d, number, r.store.Get); fault.Is(again, fault.NotFound) {
				err = again
			}
		}
	}
	return v, err
}

// reader is how a record of the state is read.
type reader func(ctx context.Context, key string) (state.Record, bool, error)

func (r *Releaser) readVersionBy(ctx context.Context, d *document, number int64, read reader) (*gantryv1.Version, error) {
	ref := d.ref
	record, err := r.readVersionRecord(ctx, d, number, read)
	if err != nil {
		return nil, err
	}
	stored, found, err := read(ctx, ref.contentKey(number))
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, damaged(ref, number, fmt.Errorf("release: the content is missing"))
	}
	content := stored.Value
	if record.Sensitive {
		if content, err = r.keys.unseal(ctx, ref, number, stored.Value); err != nil {
			return nil, err
		}
	}
	v := record.proto()
	v.Content = content
	sum := checksum(content)
	if len(content) != record.Size || (!record.Sensitive && sum != record.Checksum) {
		return nil, damaged(ref, number, fmt.Errorf("release: the content does not have its checksum"))
	}
	v.Checksum = sum
	return v, nil
}

func (r *Releaser) readVersionRecord(ctx context.Context, d *document, number int64, read reader) (*versionRecord, error) {
	stored, found, err := read(ctx, d.ref.versionKey(number))
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, noVersion(d.ref, number)
	}
	record, err := decodeVersion(stored.Value)
	if err != nil {
		return nil, damaged(d.ref, number, err)
	}
	if record.Born != 0 && record.Born != d.born() {
		return nil, noVersion(d.ref, number)
	}
	return record, nil
}

// read gets what never changes once it is there.
func (r *Releaser) read(ctx context.Context, key string) (state.Record, bool, error) {
	if record, found, err := r.store.GetLocal(ctx, key); err == nil && found {
		return record, true, nil
	}
	return r.store.Get(ctx, key)
}

// remember puts a version that was just stored into the cache, so that this node need not read it again.
func (r *Releaser) remember(d *document, number int64, record *versionRecord, content []byte) {
	v := record.proto()
	v.Content = bytes.Clone(content)
	v.Checksum = checksum(content)
	r.cache.put(cacheKey{ref: d.ref, born: d.born(), version: number}, v, len(content))
}

// withheld is a version as callers see it who may not see its content. The checksum goes too: short secrets can be
// found from it.
func withheld(v *gantryv1.Version) *gantryv1.Version {
	return &gantryv1.Version{Version: v.Version, Format: v.Format, Author: v.Author, Message: v.Message, CreatedAt: v.CreatedAt,
		Sensitive: true, Withheld: true}
}

func checksum(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func noVersion(ref Ref, number int64) *fault.Error {
	return fault.New(fault.NotFound, "document.version_unknown", "%s has no version %d", ref, number).
		At("version").Hinted("list its versions with its history; old ones are removed after %d versions and %d days, of a key after %d versions", keepVersions, int(keepFor.Hours()/24), keepVersions)
}

func notFound(ref Ref) *fault.Error {
	return fault.New(fault.NotFound, "document.not_found", "there is no %s", ref).
		At("ref").Hinted("list what is there, or look at the spelling and the namespace")
}

// Frame tells a watcher which version is in force for it. It is immutable and shared by all watchers that get the
// same.
type Frame struct {
	Ref Ref
	// Version is 0 when nothing is released.
	Version int64
	// Encoded is the DocumentEvent in protobuf's wire format.
	Encoded []byte

	event *gantryv1.DocumentEvent
}

// Event returns the same as a message, which must not be changed.
func (f *Frame) Event() *gantryv1.DocumentEvent { return f.event }

// frame returns the event for what a subject gets, encoded once for all who get the same.
func (r *Releaser) frame(ctx context.Context, ref Ref, subject *Subject, seesSensitive bool) (*Frame, error) {
	d := r.index.get(ref)
	version, rolloutID := d.resolve(subject)
	if version == 0 {
		event := &gantryv1.DocumentEvent{Ref: ref.Proto(), Absent: true}
		if d != nil {
			event.Revision = d.revision
		}
		return newFrame(ref, 0, event)
	}
	v, err := r.loadVersion(ctx, d, version)
	if err != nil {
		return nil, err
	}
	key := cacheKey{ref: ref, born: d.born(), version: version, frame: true, revision: d.revision, rollout: rolloutID,
		withheld: v.Sensitive && !seesSensitive}
	if f, ok := r.cache.get(key); ok {
		return f.(*Frame), nil
	}
	f, err := r.once.do(ctx, key, func(context.Context) (any, error) {
		if key.withheld {
			v = withheld(v)
		}
		f, err := newFrame(ref, version, &gantryv1.DocumentEvent{Ref: ref.Proto(), Version: v, RolloutId: rolloutID, Revision: d.revision})
		if err != nil {
			return nil, err
		}
		r.cache.put(key, f, len(f.Encoded))
		return f, nil
	})
	if err != nil {
		return nil, err
	}
	return f.(*Frame), nil
}

func newFrame(ref Ref, version int64, event *gantryv1.DocumentEvent) (*Frame, error) {
	encoded, err := proto.Marshal(event)
	if err != nil {
		return nil, fmt.Errorf("release: encode the event of %s: %w", ref, err)
	}
	return &Frame{Ref: ref, Version: version, Encoded: encoded, event: event}, nil
}
