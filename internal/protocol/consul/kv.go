package consul

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
	"github.com/gantry-platform/gantry/internal/release"
	"github.com/gantry-platform/gantry/internal/release/keyvalue"
)

// keyValues are the operations on keys. Rights are asked by the room: whoever may serve in the namespace reads and writes its keys, who may
// view reads them, and who may publish and release writes them.
func (h *Handler) keyValues() []route {
	return []route{
		{http.MethodGet, "kv/", (*call).readKeys},
		{http.MethodPut, "kv/", (*call).writeKey},
		{http.MethodDelete, "kv/", (*call).deleteKeys},
		{http.MethodPut, "txn", (*call).transact},
	}
}

// pair is a key as Consul writes it.
type pair struct {
	LockIndex   uint64
	Key         string
	Flags       uint64
	Value       []byte // base64 in JSON; null when it is empty
	Session     string `json:",omitempty"`
	CreateIndex uint64
	ModifyIndex uint64
}

func pairOf(key *release.Key) pair {
	p := pair{LockIndex: key.Locked, Key: key.Name, Flags: key.Flags, Session: key.Session}
	if len(key.Value) > 0 {
		p.Value = key.Value
	}
	if key.Modified > 0 {
		p.CreateIndex, p.ModifyIndex = index(key.Created), index(key.Modified)
	}
	return p
}

// key is the key, or the prefix, that the path names. It may be empty.
func (c *call) key() (string, error) {
	key, err := url.PathUnescape(c.path)
	if err != nil {
		return "", fault.New(fault.Invalid, "consul.path", "the path is not escaped as paths are").At("key").Hinted("escape %% as %%25")
	}
	return key, nil
}

func missingKey() error {
	return fault.New(fault.Invalid, "consul.path", "Missing key name").At("key").Hinted("put it behind /v1/kv/")
}

// has reports whether a parameter is there, whatever it is.
func (c *call) has(parameter string) bool { _, there := c.query[parameter]; return there }

// alone refuses parameters that exclude each other.
func (c *call) alone(parameters ...string) error {
	var given []string
	for _, parameter := range parameters {
		if c.has(parameter) {
			given = append(given, parameter)
		}
	}
	if len(given) < 2 {
		return nil
	}
	return fault.New(fault.Invalid, "consul.conflicting_flags", "Conflicting flags: %s", strings.Join(given, ", ")).At(given[1]).Hinted("use one of them")
}

// number reads a parameter that counts.
func (c *call) number(parameter string) (uint64, error) {
	value, err := strconv.ParseUint(c.query.Get(parameter), 10, 64)
	if err != nil {
		return 0, fault.New(fault.Invalid, "consul.number", "%.64q is no number", c.query.Get(parameter)).At(parameter).
			Hinted("send a whole number from 0 to 18446744073709551615")
	}
	return value, nil
}

// readKeys answers GET /v1/kv/...
func (c *call) readKeys() error {
	name, err := c.key()
	if err != nil {
		return err
	}
	scope := release.Scope{Namespace: c.namespace, Name: name, Below: c.has("keys") || c.has("recurse")}
	if name == "" && !scope.Below {
		return missingKey()
	}
	if err := c.blockOnKeys(scope); err != nil {
		return err
	}
	keys := c.handler.Keys
	reading := release.Reading{Consistent: c.consistent, Values: !c.has("keys")}
	if scope.Below {
		found, revision, err := keys.List(c.ctx, c.namespace, name, reading)
		if err != nil {
			return err
		}
		c.stamp(revision)
		if c.has("keys") {
			return c.names(found, name)
		}
		return c.pairs(found)
	}
	key, revision, err := keys.Get(c.ctx, c.namespace, name, reading)
	if err != nil {
		return err
	}
	c.stamp(revision)
	switch {
	case key == nil:
		return c.write(http.StatusNotFound, nil)
	case c.has("raw"):
		return c.raw(key.Value)
	}
	return c.json([]pair{pairOf(key)})
}

// blockOnKeys holds a query that names an index until something in its scope has changed.
func (c *call) blockOnKeys(scope release.Scope) error {
	keys := c.handler.Keys
	var failed error
	current := func() (revision int64) {
		if scope.Below {
			_, revision, failed = keys.List(c.ctx, scope.Namespace, scope.Name, release.Reading{})
		} else {
			_, revision, failed = keys.Get(c.ctx, scope.Namespace, scope.Name, release.Reading{})
		}
		return revision
	}
	if c.index == 0 {
		return nil
	}
	changed, stop := keys.Changed(scope)
	defer func() { stop() }()
	_, err := c.block(current, func(ctx context.Context, _ int64) error {
		if failed != nil {
			return failed
		}
		select {
		case <-changed:
			stop()
			changed, stop = keys.Changed(scope)
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	if failed != nil {
		return failed
	}
	return err
}

func (c *call) pairs(keys []*release.Key) error {
	if len(keys) == 0 {
		return c.write(http.StatusNotFound, nil)
	}
	pairs := make([]pair, len(keys))
	for i, key := range keys {
		pairs[i] = pairOf(key)
	}
	return c.json(pairs)
}

// names answers ?keys, each name only up to the separator behind the prefix, if there is one.
func (c *call) names(keys []*release.Key, prefix string) error {
	separator := c.query.Get("separator")
	if separator == "" {
		separator = c.query.Get("seperator") // as Consul's first versions spelt it
	}
	names := make([]string, 0, len(keys))
	for _, key := range keys {
		name := key.Name
		if separator != "" {
			if at := strings.Index(name[len(prefix):], separator); at >= 0 {
				name = name[:len(prefix)+at+len(separator)]
			}
		}
		// In order, so that the same ones stand together.
		if len(names) == 0 || names[len(names)-1] != name {
			names = append(names, name)
		}
	}
	if len(names) == 0 && prefix != "" {
		return c.write(http.StatusNotFound, nil)
	}
	return c.json(names)
}

// raw answers a value as it is. A browser must neither guess what it is nor run it.
func (c *call) raw(value []byte) error {
	header := c.w.Header()
	header.Set("Content-Type", "text/plain")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Security-Policy", "sandbox")
	return c.write(http.StatusOK, value)
}

// writeKey answers PUT /v1/kv/...
func (c *call) writeKey() error {
	name, err := c.key()
	if err != nil {
		return err
	}
	if name == "" {
		return missingKey()
	}
	op, err := c.operation(name)
	if err != nil {
		return err
	}
	if op.Value, err = edge.Body(c.w, c.r, release.MaxKeyValue); err != nil {
		return err
	}
	return c.applyOne(op)
}

// operation reads what a PUT shall do.
func (c *call) operation(name string) (op keyvalue.Operation, err error) {
	op = keyvalue.Operation{Verb: keyvalue.Set, Key: name}
	if err := c.alone("cas", "acquire", "release"); err != nil {
		return op, err
	}
	if c.has("flags") {
		if op.Flags, err = c.number("flags"); err != nil {
			return op, err
		}
	}
	switch {
	case c.has("cas"):
		op.Verb = keyvalue.CompareAndSet
		op.Index, err = c.number("cas")
	case c.has("acquire"):
		op.Verb, op.Session = keyvalue.Lock, c.query.Get("acquire")
	case c.has("release"):
		op.Verb, op.Session = keyvalue.Unlock, c.query.Get("release")
	}
	return op, err
}

// deleteKeys answers DELETE /v1/kv/...
func (c *call) deleteKeys() error {
	name, err := c.key()
	if err != nil {
		return err
	}
	if err := c.alone("recurse", "cas"); err != nil {
		return err
	}
	switch {
	case c.has("recurse"):
		if err := c.handler.Keys.Remove(c.ctx, c.namespace, name); err != nil {
			return err
		}
		return c.json(true)
	case name == "":
		return missingKey()
	}
	op := keyvalue.Operation{Verb: keyvalue.Delete, Key: name}
	if c.has("cas") {
		op.Verb = keyvalue.DeleteCompare
		if op.Index, err = c.number("cas"); err != nil {
			return err
		}
	}
	return c.applyOne(op)
}

// applyOne makes one operation: true when it was made, false when its condition did not hold.
func (c *call) applyOne(op keyvalue.Operation) error {
	outcome, err := c.handler.Keys.Apply(c.ctx, c.namespace, []keyvalue.Operation{op})
	if err != nil {
		return err
	}
	for _, failure := range outcome.Failures {
		if strings.HasPrefix(failure.Err.Reason, "session.") {
			// Not a lost race but a mistake, which Consul answers so.
			return c.text(http.StatusInternalServerError, failure.Err.Error())
		}
	}
	return c.json(len(outcome.Failures) == 0)
}
