package series

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/metadata"
)

// Bounds of the catalogue: more metrics than a large fleet has, and texts as long as a paragraph.
const (
	maxFamilies = 20_000
	maxHelp     = 1024
	maxUnit     = 64
)

// Family is what a metric means, as whoever sends it says.
type Family struct {
	Namespace, Name  string
	Type, Help, Unit string
}

// catalogue keeps what metrics mean, in memory: it is told again and again.
type catalogue struct {
	mu       sync.RWMutex
	families map[familyKey]Family
}

type familyKey struct{ namespace, name string }

func (c *catalogue) note(namespace, name string, m metadata.Metadata) {
	if name == "" || !utf8.ValidString(name) {
		return
	}
	key := familyKey{namespace, name}
	family := Family{Namespace: namespace, Name: name, Type: string(m.Type), Help: clip(m.Help, maxHelp), Unit: clip(m.Unit, maxUnit)}
	c.mu.RLock()
	known, ok := c.families[key]
	full := len(c.families) >= maxFamilies
	c.mu.RUnlock()
	if ok && known == family || !ok && full {
		return
	}
	// Texts from decoders may share the memory of a whole request.
	key.namespace, key.name = strings.Clone(namespace), strings.Clone(name)
	family.Namespace, family.Name = key.namespace, key.name
	family.Help, family.Unit, family.Type = strings.Clone(family.Help), strings.Clone(family.Unit), strings.Clone(family.Type)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.families == nil {
		c.families = map[familyKey]Family{}
	}
	if _, ok := c.families[key]; ok || len(c.families) < maxFamilies {
		c.families[key] = family
	}
}

func clip(text string, most int) string {
	if len(text) > most {
		text = text[:most]
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

// list is the families of a namespace, or of all, by name.
func (c *catalogue) list(namespace string, all bool) []Family {
	c.mu.RLock()
	var found []Family
	for _, f := range c.families {
		if all || f.Namespace == namespace {
			found = append(found, f)
		}
	}
	c.mu.RUnlock()
	slices.SortFunc(found, func(a, b Family) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Namespace, b.Namespace))
	})
	return found
}
