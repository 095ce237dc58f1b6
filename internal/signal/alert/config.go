package alert

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy"
)

// config is everything of a namespace that is in force. It is immutable.
type config struct {
	rules map[Ref]*rule
	// listed are all documents in force, those too that could not be read now.
	listed      map[Ref]bool
	routes      []*route
	receivers   map[string]*receiver
	silences    []*silence
	inhibitions []*inhibition
	// resolved is how long alerts are remembered after their end: so long that every group is told.
	resolved time.Duration
}

type route struct {
	name string
	policy.NotificationRoute
}

type receiver struct {
	name    string
	version int64
	policy.Receiver
}

type silence struct {
	name, author string
	version      int64
	policy.Silence
}

type inhibition struct {
	name string
	policy.Inhibition
}

// compiled is a document that was read; what it is follows from its kind. Of one that cannot be read it is nil.
type compiled struct {
	version int64
	value   any
}

// reader keeps what was read of documents, so that only what is new is read again. It belongs to one goroutine.
type reader struct {
	documents Documents
	log       *slog.Logger
	known     map[Ref]compiled
}

func newReader(documents Documents, log *slog.Logger) *reader {
	return &reader{documents: documents, log: log, known: map[Ref]compiled{}}
}

// kinds are those that alerting reads.
func kinds() []string {
	return []string{policy.KindAlert, policy.KindObjective, policy.KindNotificationRoute, policy.KindReceiver, policy.KindSilence, policy.KindInhibition}
}

// read makes the config of a namespace. It reports whether anything is new since before.
func (r *reader) read(ctx context.Context, namespace string, before *config) *config {
	fresh := before == nil
	seen := map[Ref]bool{}
	for _, kind := range kinds() {
		for name, version := range r.documents.Versions(namespace, kind) {
			ref := Ref{namespace, kind, name}
			seen[ref] = true
			if old, ok := r.known[ref]; ok && old.version == version {
				continue
			}
			value, err := r.one(ctx, ref, version)
			if err != nil {
				// What was in force stays, and the next look tries again.
				fresh = true
				r.log.Warn("a document about alerts cannot be read now", "kind", kind, "name", name, "namespace", namespace, "error", err)
				continue
			}
			r.known[ref], fresh = compiled{version, value}, true
		}
	}
	for ref := range r.known {
		if ref.Namespace == namespace && !seen[ref] {
			delete(r.known, ref)
			fresh = true
		}
	}
	if !fresh {
		return before
	}
	return r.assemble(namespace, seen)
}

// forget drops a namespace that is gone.
func (r *reader) forget(namespace string) {
	for ref := range r.known {
		if ref.Namespace == namespace {
			delete(r.known, ref)
		}
	}
}

// one reads a version. An error means that it could not be read; one that is not understood is no error but a value of nil.
func (r *reader) one(ctx context.Context, ref Ref, version int64) (any, error) {
	doc, err := r.documents.Read(ctx, ref, version)
	if err != nil {
		return nil, err
	}
	source := policy.Document{Namespace: ref.Namespace, Kind: ref.Kind, Name: ref.Name, Format: doc.Format, Content: doc.Content}
	var value any
	switch ref.Kind {
	case policy.KindAlert, policy.KindObjective:
		return compile(ref, version, doc), nil
	case policy.KindNotificationRoute:
		parsed, e := policy.ParseNotificationRoute(source)
		value, err = &route{ref.Name, parsed}, e
	case policy.KindReceiver:
		parsed, e := policy.ParseReceiver(source)
		value, err = &receiver{ref.Name, version, parsed}, e
	case policy.KindSilence:
		parsed, e := policy.ParseSilence(source)
		value, err = &silence{ref.Name, doc.Author, version, parsed}, e
	case policy.KindInhibition:
		parsed, e := policy.ParseInhibition(source)
		value, err = &inhibition{ref.Name, parsed}, e
	}
	if err != nil {
		r.log.Error("a document about alerts is not understood", "kind", ref.Kind, "name", ref.Name, "namespace", ref.Namespace, "error", fault.From(err).Message)
		return nil, nil
	}
	return value, nil
}

func (r *reader) assemble(namespace string, listed map[Ref]bool) *config {
	c := &config{rules: map[Ref]*rule{}, listed: listed, receivers: map[string]*receiver{}, resolved: resolvedFor}
	for ref, known := range r.known {
		if ref.Namespace != namespace {
			continue
		}
		switch value := known.value.(type) {
		case *rule:
			c.rules[ref] = value
		case *route:
			c.routes = append(c.routes, value)
			c.resolved = max(c.resolved, resolvedFor+2*time.Duration(value.GroupInterval))
		case *receiver:
			c.receivers[ref.Name] = value
		case *silence:
			c.silences = append(c.silences, value)
		case *inhibition:
			c.inhibitions = append(c.inhibitions, value)
		}
	}
	slices.SortFunc(c.routes, func(a, b *route) int { return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.name, b.name)) })
	slices.SortFunc(c.silences, func(a, b *silence) int { return cmp.Compare(a.name, b.name) })
	slices.SortFunc(c.inhibitions, func(a, b *inhibition) int { return cmp.Compare(a.name, b.name) })
	return c
}

// routesOf are the routes that an alert takes.
func (c *config) routesOf(a *Alert) []*route {
	var taken []*route
	for _, r := range c.routes {
		if r.Parsed.Match(a.label) {
			if taken = append(taken, r); !r.Continue {
				break
			}
		}
	}
	return taken
}

// silencedBy are the names of the silences that hold for an alert at a time.
func (c *config) silencedBy(a *Alert, at time.Time) []string {
	var names []string
	for _, s := range c.silences {
		if s.Active(at) && s.Parsed.Match(a.label) {
			names = append(names, s.name)
		}
	}
	return names
}

// inhibitedBy are the names of the inhibitions that hold for an alert while others fire. As in Alertmanager an alert that matches both sides does not inhibit
// itself, nor another of that kind.
func (c *config) inhibitedBy(a *Alert, firing []*Alert) []string {
	var names []string
	for _, rule := range c.inhibitions {
		if rule.ParsedTarget.Match(a.label) && slices.ContainsFunc(firing, func(source *Alert) bool { return rule.holds(source, a) }) {
			names = append(names, rule.name)
		}
	}
	return names
}

func (i *inhibition) holds(source, target *Alert) bool {
	if source.State != Firing || !i.ParsedSource.Match(source.label) {
		return false
	}
	if i.ParsedTarget.Match(source.label) && i.ParsedSource.Match(target.label) {
		return false
	}
	for _, name := range i.Equal {
		if source.Labels[name] != target.Labels[name] {
			return false
		}
	}
	return true
}
