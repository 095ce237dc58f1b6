package alert

import (
	"context"
	"time"

	"github.com/prometheus/prometheus/promql"
)

// Series answers PromQL.
type Series interface {
	// Instant works out a query at a time, over the series of one namespace alone. It may be called concurrently. The
	// strings are warnings: those that begin with "PromQL " are about the query, and all others say what the answer lacks.
	Instant(ctx context.Context, namespace, query string, at time.Time) (promql.Vector, []string, error)
}

// Change is something that was changed: a release, a registration, a drain.
type Change struct {
	At      time.Time `json:"at"`
	Service string    `json:"service,omitempty"`
	// Kind is a word such as "release"; Summary says it in a line; Actor is who did it, if known.
	Kind    string `json:"kind,omitempty"`
	Summary string `json:"summary"`
	Actor   string `json:"actor,omitempty"`
	// Target is what was changed, such as Config/loan.yaml; of an instance it is group/service/instance.
	Target string `json:"target,omitempty"`
}

// Changes knows what was changed when.
type Changes interface {
	// Changes answers what was changed of services, newest first; of all of the namespace when there are none. It may be called concurrently.
	Changes(ctx context.Context, namespace string, services []string, since, until time.Time) ([]Change, error)
}

// Ref names a document.
type Ref struct{ Namespace, Kind, Name string }

// Documents are those in force. Implementations answer from memory and may be called concurrently.
type Documents interface {
	// Namespaces are the names of all namespaces.
	Namespaces() []string
	// Versions are the versions in force of the documents of a kind, by name.
	Versions(namespace, kind string) map[string]int64
	// Read answers a version, its sensitive content included, and who wrote it.
	Read(ctx context.Context, ref Ref, version int64) (Document, error)
	// Retire takes a document out of force, in the way that can be rolled back, and says why in its history and in the audit log. It leaves one alone, and
	// answers false, of which another version than this is in force or prepared, or that was changed after unchangedSince: somebody is at work on it.
	Retire(ctx context.Context, ref Ref, version int64, unchangedSince time.Time, why string) (retired bool, err error)
}

// Document is the content of a document.
type Document struct {
	Format  string
	Content []byte
	Author  string
}
