package gantry

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gantry-platform/gantry/sdk/internal/config"
)

// maxWarned bounds how many keys of a document are warned about, so that content cannot fill the memory of the client or its log.
const maxWarned = 1000

// Binding is a struct that follows a configuration document.
type Binding[T any] struct {
	document *Document
	defaults T
	value    atomic.Pointer[T]
	stopped  chan struct{}
	warned   map[string]bool

	mu        sync.Mutex
	state     BindingState
	callbacks []*callback[T]
}

type callback[T any] struct{ call func(old, new T) }

// BindingState says where a binding's value comes from.
type BindingState struct {
	// Version is in force; 0 when the value is the defaults alone.
	Version int64
	// Checksum is that version's.
	Checksum string
	// Since is when the value came into force.
	Since time.Time
	// SavedAt is when the local snapshot saw the version, if it comes from there and no server has confirmed it; otherwise zero.
	SavedAt time.Time
	// Err is why a newer version, Refused, is not in force; nil when none is refused.
	Err     error
	Refused int64
}

// Validator is implemented by structs that check their own values. A version that fails is refused, and the one before stays.
type Validator interface {
	Validate() error
}

// Bind makes a struct follow a configuration document (of the kind "Config") until the binding or the client is closed. Its format says how it is read: YAML,
// JSON, TOML or properties. A key belongs to the field whose tag `gantry:"key"`, or else `json:"key"`, is equal to it, and without a tag to the
// field whose name equals it but for case, "-" and "_". Fields can be strings, booleans, numbers, [time.Duration] (written "1.5s"), [time.Time]
// (RFC 3339), anything with UnmarshalText, and structs, pointers, slices and maps of these.
//
// A key that the document lacks keeps its value in defaults, and is warned about once, unless its tag says `,optional`; so is a key that no field
// takes. Maps and lists replace their default as a whole. When nothing is released under the name, the defaults are the value. A struct that is a [Validator] is asked before it comes into force.
//
// Bind waits for the first answer, at most for the snapshot wait and half a second; without one, the value is that of the local snapshot, or the
// defaults, until the server answers. So it does not fail for want of a server or a document; nor does a version fail it
// that cannot be used: that is logged, reported, and seen in [Binding.State]. It fails when T cannot be bound, when the defaults do not pass their own
// validation, when the server refuses the document to this client, and with [ErrClosed].
func Bind[T any](client *Client, name string, defaults T) (*Binding[T], error) {
	if err := config.Check(reflect.TypeFor[T]()); err != nil {
		return nil, fmt.Errorf("gantry: %w", err)
	}
	if err := validate(&defaults); err != nil {
		return nil, fmt.Errorf("gantry: the defaults for %s are not valid: %w", name, err)
	}
	document, err := client.Document(KindConfig, name)
	if err != nil {
		return nil, err
	}
	b := &Binding[T]{
		document: document, defaults: defaults, stopped: make(chan struct{}), warned: map[string]bool{},
		state: BindingState{Since: time.Now()},
	}
	b.value.Store(&defaults)
	// The local snapshot speaks after the snapshot wait: what comes later than that is not waited for.
	const margin = 500 * time.Millisecond
	ctx, cancel := context.WithTimeout(document.ctx, client.settings.snapshotWait+margin)
	defer cancel()
	first, err := document.document.wait(ctx)
	switch {
	case err == nil:
		b.take(first)
	case isPermanent(err), document.ctx.Err() != nil:
		document.Close()
		return nil, err
	default:
		client.logger.Warn("starting with the defaults", "document", document.document.key.String(), "reason", err)
	}
	client.mu.Lock()
	if client.closed {
		client.mu.Unlock()
		document.Close()
		return nil, ErrClosed
	}
	client.running.Go(func() { b.follow(first) })
	client.mu.Unlock()
	return b, nil
}

func validate(value any) error {
	if v, ok := value.(Validator); ok {
		return v.Validate()
	}
	return nil
}

// Get returns the value in force: one atomic load and a copy of the struct. Its maps, slices and pointers are shared: do not change them.
func (b *Binding[T]) Get() T { return *b.value.Load() }

// State says where the value comes from.
func (b *Binding[T]) State() BindingState {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state
}

// OnChange calls a function for each change of the value, after Get returns the new one. Functions are called in the order they were given and never at
// the same time; the version is reported as applied when they have returned, so one that takes long delays that and later changes. The
// returned function ends it. Changes before OnChange are not told.
func (b *Binding[T]) OnChange(call func(old, new T)) (stop func()) {
	entry := &callback[T]{call}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.callbacks = append(b.callbacks, entry)
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		// A new slice: the old one may be in use.
		var rest []*callback[T]
		for _, other := range b.callbacks {
			if other != entry {
				rest = append(rest, other)
			}
		}
		b.callbacks = rest
	}
}

// Close ends following the document, and waits for OnChange functions under way; so it must not be called from one. The last value stays.
func (b *Binding[T]) Close() {
	b.document.Close()
	<-b.stopped
}

// follow takes one version after another until the binding is closed.
func (b *Binding[T]) follow(last *Content) {
	defer close(b.stopped)
	for {
		content, err := b.document.document.next(b.document.ctx, last)
		if err != nil {
			return
		}
		if last != nil && content.same(last) {
			// The server has confirmed what the local snapshot had.
			b.mu.Lock()
			b.state.SavedAt = content.SavedAt
			b.mu.Unlock()
		} else {
			b.take(content)
		}
		last = content
	}
}

// take brings a version into force, or refuses it, and reports which.
func (b *Binding[T]) take(content *Content) {
	logger := b.document.document.client.logger.With("document", b.document.document.key.String(), "version", content.Version)
	value, report, err := b.decode(content)
	if err != nil {
		logger.Error("a configuration is refused; the one before stays", "reason", err)
		b.mu.Lock()
		b.state.Err, b.state.Refused = err, content.Version
		b.mu.Unlock()
		b.document.document.applied(content, err)
		return
	}
	if content.Absent {
		logger.Warn("nothing is released under this name; the defaults are in force")
	} else {
		b.warn(logger.Warn, "the document lacks a key; its default is in force", report.Missing)
		b.warn(logger.Warn, "the document has a key that this service does not know", report.Unknown)
	}
	old := b.value.Swap(value)
	b.mu.Lock()
	b.state = BindingState{Version: content.Version, Checksum: content.Checksum, Since: time.Now(), SavedAt: content.SavedAt}
	callbacks := b.callbacks
	b.mu.Unlock()
	if !reflect.DeepEqual(old, value) {
		for _, entry := range callbacks {
			entry.call(*old, *value)
		}
		logger.Info("configuration in force")
	}
	b.document.document.applied(content, nil)
}

// decode makes a value of a version. Errors about sensitive documents show nothing of the content.
func (b *Binding[T]) decode(content *Content) (*T, config.Report, error) {
	value := b.defaults
	if content.err != nil || content.Absent {
		return &value, config.Report{}, content.err
	}
	tree, err := config.Parse(content.Format, content.Data)
	if err != nil {
		if content.Sensitive {
			err = fmt.Errorf("the content cannot be read as %q (why is not shown: the document is sensitive)", content.Format)
		}
		return nil, config.Report{}, err
	}
	report, err := config.Decode(tree, &value, content.Sensitive)
	if err != nil {
		return nil, report, err
	}
	if err := validate(&value); err != nil {
		if content.Sensitive {
			err = errors.New("the values are not valid (why is not shown: the document is sensitive)")
		}
		return nil, report, err
	}
	return &value, report, nil
}

// warn says each key once. Keys of documents are content too, but not secret: secrets are values.
func (b *Binding[T]) warn(log func(string, ...any), message string, keys []string) {
	for _, key := range keys {
		if !b.warned[message+key] && len(b.warned) < maxWarned {
			b.warned[message+key] = true
			log(message, "key", key)
		}
	}
}
