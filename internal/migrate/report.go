package migrate

import (
	"cmp"
	"slices"
	"sync"

	"github.com/gantry-platform/gantry/internal/fault"
)

// Effect is what became of a document.
type Effect string

// The effects. In a dry run they are what would become of it.
const (
	Created   Effect = "created"
	Updated   Effect = "updated"
	Released  Effect = "released"
	Unchanged Effect = "unchanged"
	NotTaken  Effect = "not taken"
	// LeftOut documents do not match what was asked for.
	LeftOut Effect = "left out"
)

// Effects in the order of reports.
func Effects() []Effect { return []Effect{Created, Updated, Released, Unchanged, NotTaken, LeftOut} }

// maxRemarks bounds the refusals and the notes of a report, each: what is beyond is counted.
const maxRemarks = 5000

// Report says what a copy took and what not.
type Report struct {
	Source string `json:"source"`
	URL    string `json:"url"`
	DryRun bool   `json:"dryRun,omitempty"`
	// Found is how many documents of the source were looked at.
	Found  int            `json:"found"`
	Counts map[Effect]int `json:"counts"`
	// Namespaces of Gantry that were written to.
	Namespaces []*NamespaceReport `json:"namespaces"`
	Refusals   []Refusal          `json:"notTaken"`
	Notes      []Note             `json:"notes"`
	// MoreRefusals and MoreNotes are how many did not fit.
	MoreRefusals int `json:"moreNotTaken,omitempty"`
	MoreNotes    int `json:"moreNotes,omitempty"`
	// Stopped is set when the copy did not come to its end: interrupted, or an error that the next document would meet too. Running again goes on.
	Stopped *Stop `json:"stopped,omitempty"`
}

// tally is a report that several goroutines write.
type tally struct {
	mu sync.Mutex
	Report
}

// NamespaceReport is a namespace of Gantry and what became of its documents.
type NamespaceReport struct {
	Name string `json:"name"`
	// Created: it was not there before.
	Created bool           `json:"created,omitempty"`
	Counts  map[Effect]int `json:"counts"`
}

// Refusal is a document that was not taken.
type Refusal struct {
	// Origin is its name in the source; Namespace and Name those in Gantry.
	Origin    string `json:"origin"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
	Code      string `json:"code"`
	Reason    string `json:"reason,omitempty"`
	Message   string `json:"message"`
	Field     string `json:"field,omitempty"`
	Line      int    `json:"line,omitempty"`
	Hint      string `json:"hint,omitempty"`
}

// Note is what a person should know of a document that was taken, or of the source when it names none.
type Note struct {
	Origin string `json:"origin,omitempty"`
	Text   string `json:"text"`
}

// Stop is why and where a copy ended early.
type Stop struct {
	// After is the origin of the last document that was done with.
	After   string `json:"after,omitempty"`
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message"`
}

func newTally(source, url string, dryRun bool) *tally {
	return &tally{Report: Report{Source: source, URL: url, DryRun: dryRun, Counts: map[Effect]int{}, Namespaces: []*NamespaceReport{}, Refusals: []Refusal{}, Notes: []Note{}}}
}

// count notes what became of an item.
func (t *tally) count(item Item, effect Effect) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Counts[effect]++
	if effect != LeftOut && item.Document.Namespace != "" {
		t.namespace(item.Document.Namespace).Counts[effect]++
	}
	if effect != LeftOut && effect != NotTaken {
		for _, text := range item.Notes {
			t.note(Note{Origin: item.Origin, Text: text})
		}
	}
}

// refuse notes why an item is not taken.
func (t *tally) refuse(item Item, why *fault.Error) {
	t.count(item, NotTaken)
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.Refusals) == maxRemarks {
		t.MoreRefusals++
		return
	}
	t.Refusals = append(t.Refusals, Refusal{Origin: item.Origin, Namespace: item.Document.Namespace, Name: item.Document.Name,
		Code: why.Code.String(), Reason: why.Reason, Message: why.Message, Field: why.Field, Line: why.Line, Hint: why.Hint})
}

// noteAll notes what is about the source as a whole.
func (t *tally) noteAll(texts []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, text := range texts {
		t.note(Note{Text: text})
	}
}

func (t *tally) note(n Note) {
	if len(t.Notes) == maxRemarks {
		t.MoreNotes++
		return
	}
	t.Notes = append(t.Notes, n)
}

func (t *tally) namespace(name string) *NamespaceReport {
	for _, n := range t.Namespaces {
		if n.Name == name {
			return n
		}
	}
	n := &NamespaceReport{Name: name, Counts: map[Effect]int{}}
	t.Namespaces = append(t.Namespaces, n)
	return n
}

func (t *tally) namespaceCreated(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.namespace(name).Created = true
}

// finish sorts, so that the same copy gives the same report.
func (t *tally) finish() {
	t.mu.Lock()
	defer t.mu.Unlock()
	slices.SortFunc(t.Namespaces, func(a, b *NamespaceReport) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(t.Refusals, func(a, b Refusal) int { return cmp.Compare(a.Origin, b.Origin) })
	slices.SortStableFunc(t.Notes, func(a, b Note) int { return cmp.Compare(a.Origin, b.Origin) })
}

// Complete reports whether everything that was asked for is in Gantry now.
func (r *Report) Complete() bool { return r.Stopped == nil && r.Counts[NotTaken] == 0 }
