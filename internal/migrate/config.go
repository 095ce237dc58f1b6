package migrate

import (
	"context"
	"iter"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy"
)

// ConfigSource is the configuration of a foreign system.
type ConfigSource interface {
	// Kind is the system's name: "nacos".
	Kind() string
	// Pages walks all documents, in an order that stays the same. The first error ends the walk: what cannot be taken of a single
	// document is said in its [Item].
	Pages(ctx context.Context) iter.Seq2[Page, error]
}

// Page is some documents of a source, at most a few hundred.
type Page struct {
	Items []Item
	// Total is how many items there will be in all, as far as the source knows by now.
	Total int
	// Notes are about the source as a whole.
	Notes []string
}

// Item is one document of a source.
type Item struct {
	// Origin is the document's name in the source's own words, for reports.
	Origin string
	// Document is what it becomes in Gantry.
	Document policy.Document
	// Draft is published and never released: the source has it in no force either.
	Draft bool
	// Guessed: the format comes from the name alone. What does not parse in it is taken as text, as Gantry's own protocols do.
	Guessed bool
	// Notes say what was lost or deserves a look, such as a beta release.
	Notes []string
	// Refused is set when the source cannot give the document, and says why. The rest of the item may be empty then.
	Refused *fault.Error
}

// Namespaces says which namespaces of a source are taken, and into which of Gantry.
type Namespaces struct {
	// targets by the source's name; empty: all, under their own names.
	targets map[string]string
}

// NewNamespaces maps source to target. An empty map takes all of them, under their own names.
func NewNamespaces(targets map[string]string) Namespaces { return Namespaces{targets: targets} }

// Target is where a source's namespace goes; false when it is not to be taken. own is the name it has in Gantry unless it is mapped.
func (n Namespaces) Target(source, own string) (string, bool) {
	if len(n.targets) == 0 {
		return own, true
	}
	target, ok := n.targets[source]
	return target, ok
}

// Sources are the namespaces that were named, if any.
func (n Namespaces) Sources() map[string]string { return n.targets }

// Kinds and names of Gantry that documents get.
const (
	kindConfig = "Config"
	formatText = "text"
	// defaultNamespace is Gantry's, where a source knows no namespaces.
	defaultNamespace = "default"
)
