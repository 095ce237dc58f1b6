package fanout

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gantry-platform/gantry/internal/signal/event"
)

// EventNode is a node that keeps the business events that it took.
type EventNode struct {
	// ID stays the same over the node's life; Name is for people.
	ID, Name string
	Events   event.Reader
}

// Events answers about the business events of a whole cluster.
type Events struct {
	// Local is this node.
	Local EventNode
	// Others are the other nodes of the cluster, by their ids; one that is not there answers with an error at once. Nil where there are none. It may be called
	// concurrently.
	Others func() map[string]EventNode
	// Now is for tests. Default time.Now.
	Now func() time.Time
}

// Found is the answer to a question about events.
type Found struct {
	// Events are in the order in which they came, by the clocks of the nodes: the newest first, or the oldest when they are followed.
	Events []event.Stored
	// Next goes on behind what was looked at.
	Next Cursor
	// Partial names what nodes that did answer could not read, and Missing the nodes that did not.
	Partial, Missing []string
	// Truncated: a node's search ended at its limit of work.
	Truncated bool
}

// Topics are what the nodes know of a namespace's topics, together.
type Topics struct {
	// Topics are by name.
	Topics []Topic
	// Missing are the nodes that did not answer.
	Missing []string
}

// Topic is what the nodes know of one.
type Topic struct {
	Name string
	// Fields are words for the types, by name. Each node learns from what it takes: where two learned different ones, both stand there, joined by "|".
	Fields      map[string]string
	First, Last time.Time
	Events      uint64
}

// Query finds events. The limit is of all nodes together. With follow the answer has what is behind it, otherwise the newest. After and ArrivedSince of the query
// are not the caller's. Errors are those of [event.Query.Check] and of this node's own log.
func (e *Events) Query(ctx context.Context, q event.Query, follow *Cursor) (Found, error) {
	if err := q.Check(); err != nil {
		return Found{}, err // nobody needs to be asked
	}
	next := Cursor{Began: e.now(), Places: map[string]uint64{}}
	if follow != nil {
		next = follow.clone()
	}
	others := e.others()
	own, answers, missing, err := ask(ctx, e.Local, others, func(ctx context.Context, n EventNode) (event.Result, error) {
		q := q
		if follow != nil {
			q.After, q.ArrivedSince = follow.of(n.ID)
		}
		return n.Events.Query(ctx, q)
	})
	if err != nil {
		return Found{}, err
	}
	parts := []*part{{node: e.Local, result: own}}
	for _, id := range slices.Sorted(maps.Keys(answers)) {
		parts = append(parts, &part{node: others[id], result: answers[id]})
	}
	found := Found{Events: merge(parts, q.Limit, follow != nil), Missing: names(missing, others)}
	for _, p := range parts {
		if place, moved := p.place(follow != nil); moved {
			next.Places[p.node.ID] = place
		}
		found.Truncated = found.Truncated || p.result.Truncated
		for _, what := range p.result.Partial {
			found.Partial = append(found.Partial, "node "+p.node.Name+": "+what)
		}
	}
	next.bound(parts)
	found.Next = next
	return found, nil
}

// part is what one node answered, of which so many events are taken.
type part struct {
	node   EventNode
	result event.Result
	taken  int
}

func (p *part) head() *event.Stored { return &p.result.Events[p.taken] }

// place is where to go on in the node's log. Who follows has not moved where nothing was taken of what is there.
func (p *part) place(follow bool) (place uint64, moved bool) {
	switch {
	case !follow || p.taken == len(p.result.Events):
		return p.result.Next, true
	case p.taken == 0:
		return 0, false
	default:
		return p.result.Events[p.taken-1].Sequence, true
	}
}

// merge takes the first events of all nodes together. The order of each node stays as it is, whatever the clocks say. An event of which a repetition went to
// another node is taken once.
func merge(parts []*part, limit int, oldestFirst bool) []event.Stored {
	var merged []event.Stored
	from := map[string]*part{}
	for len(merged) < limit {
		var best *part
		for _, p := range parts {
			if p.taken < len(p.result.Events) && (best == nil || precedes(p.head(), best.head(), oldestFirst)) {
				best = p
			}
		}
		if best == nil {
			break
		}
		s := best.head()
		best.taken++
		if first, twice := from[s.ID]; twice && first != best {
			continue
		}
		from[s.ID] = best
		merged = append(merged, *s)
	}
	return merged
}

func precedes(a, b *event.Stored, oldestFirst bool) bool {
	if oldestFirst {
		return a.Arrived.Before(b.Arrived)
	}
	return a.Arrived.After(b.Arrived)
}

// Topics are what the nodes know of a namespace's topics.
func (e *Events) Topics(ctx context.Context, namespace string) (Topics, error) {
	others := e.others()
	own, answers, missing, err := ask(ctx, e.Local, others, func(ctx context.Context, n EventNode) ([]event.Topic, error) {
		return n.Events.Topics(ctx, namespace)
	})
	if err != nil {
		return Topics{}, err
	}
	all := map[string]*Topic{}
	add := func(known []event.Topic) {
		for i := range known {
			t := &known[i]
			if all[t.Name] == nil {
				all[t.Name] = &Topic{Name: t.Name, Fields: map[string]string{}, First: t.First, Last: t.Last}
			}
			all[t.Name].add(t)
		}
	}
	add(own)
	for _, known := range answers {
		add(known)
	}
	found := Topics{Missing: names(missing, others)}
	for _, t := range all {
		found.Topics = append(found.Topics, *t)
	}
	slices.SortFunc(found.Topics, func(a, b Topic) int { return strings.Compare(a.Name, b.Name) })
	return found, nil
}

func (t *Topic) add(other *event.Topic) {
	t.Events += other.Events
	if other.First.Before(t.First) {
		t.First = other.First
	}
	if other.Last.After(t.Last) {
		t.Last = other.Last
	}
	for name, kind := range other.Fields {
		words := append(strings.FieldsFunc(t.Fields[name], func(r rune) bool { return r == '|' }), event.TypeName(kind))
		if integer := slices.Index(words, "int"); integer >= 0 && slices.Contains(words, "double") {
			// Integers fit where doubles are, as on one node.
			words = slices.Delete(words, integer, integer+1)
		}
		slices.Sort(words)
		t.Fields[name] = strings.Join(slices.Compact(words), "|")
	}
}

func (e *Events) others() map[string]EventNode {
	if e.Others == nil {
		return nil
	}
	return e.Others()
}

// names are those of nodes, sorted.
func names(ids []string, nodes map[string]EventNode) []string {
	var all []string
	for _, id := range ids {
		all = append(all, nodes[id].Name)
	}
	slices.Sort(all)
	return all
}

func (e *Events) now() time.Time {
	if e.Now == nil {
		return time.Now()
	}
	return e.Now()
}
