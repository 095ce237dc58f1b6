// Package policy holds the kinds of documents: what may be written in each, how it is checked,
// and the manifests that people write documents as.
//
// It is pure: it stores nothing, and it asks a [Library] for the other documents that a check
// needs. It imports internal/fault, internal/policy/source and libraries.
//
// A kind is one file: a type that implements [Kind], and a line in [Standard]. Kinds whose spec is a
// struct decode it by decodeSpec, which refuses unknown fields and wrong types with line and
// column, and places their own findings by the tree that it returns.
package policy

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy/source"
)

// MaxContent is the largest content of a document, in bytes.
const MaxContent = 1 << 20

// Document is a document's content under its name.
type Document struct {
	Namespace, Kind, Name string
	// Format says how the content is written: yaml, json, toml, properties, xml or text. Empty
	// means the kind's choice by name, see [Registry.DefaultFormat].
	Format  string
	Content []byte
	// Sensitive documents are sealed at rest; no message holds a part of their content.
	Sensitive bool
}

// Library gives a kind the documents in force. A Config asks for the Schemas of its namespace,
// a Schema for the Configs.
type Library interface {
	// Released returns the released documents of a kind, contents included, in a stable order.
	// They are not changed by the caller.
	Released(namespace, kind string) []Document
}

// Kind checks the documents of one kind. Implementations are safe for concurrent use.
type Kind interface {
	// Name is the kind's name in manifests, such as "Config".
	Name() string
	// Formats are the formats that it accepts; the first is the default.
	Formats() []string
	// Validate refuses a document by a *fault.Error, with Others when there are several, each
	// with Field, Line and Column where there is one; or it warns of what will bite later. Name,
	// size and format are checked already, and Format is set.
	Validate(doc Document, lib Library) (warnings []*fault.Error, err error)
}

// Registry is a set of kinds. It is safe for concurrent use.
type Registry struct {
	kinds map[string]Kind
	names []string
}

// NewRegistry makes a registry. Two kinds of one name are a programmer's error and panic.
func NewRegistry(kinds ...Kind) *Registry {
	r := &Registry{kinds: make(map[string]Kind, len(kinds))}
	for _, kind := range kinds {
		if _, ok := r.kinds[kind.Name()]; ok {
			panic(fmt.Sprintf("policy: the kind %s is registered twice", kind.Name()))
		}
		r.kinds[kind.Name()] = kind
		r.names = append(r.names, kind.Name())
	}
	slices.Sort(r.names)
	return r
}

// Standard returns the kinds of the product.
func Standard() *Registry {
	schemas := newSchemaCache()
	return NewRegistry(
		&configKind{schemas: schemas},
		&schemaKind{schemas: schemas},
		accessKeyKind{},
		keyValueKind{},
		alertKind{},
		objectiveKind{},
		notificationRouteKind{},
		receiverKind{},
		silenceKind{},
		inhibitionKind{},
	)
}

// Kinds returns the names of all kinds, sorted.
func (r *Registry) Kinds() []string { return slices.Clone(r.names) }

// Kind finds a kind. An unknown one is a fault of class Invalid, "document.unknown_kind".
func (r *Registry) Kind(name string) (Kind, error) {
	if kind, ok := r.kinds[name]; ok {
		return kind, nil
	}
	known := "known kinds are " + strings.Join(r.names, ", ")
	if near := source.Suggest(name, r.names); near != "" {
		known = "did you mean " + near + "? " + known
	}
	return nil, fault.New(fault.Invalid, "document.unknown_kind", "unknown kind %s", source.Quote(name)).
		At("kind").Hinted("%s", known)
}

// DefaultFormat is the format of a document that names none: by the extension of its name where
// the kind accepts that format, otherwise the kind's default.
func (r *Registry) DefaultFormat(kind, name string) (string, error) {
	k, err := r.Kind(kind)
	if err != nil {
		return "", err
	}
	formats := k.Formats()
	if format := FormatOf(name); slices.Contains(formats, format) {
		return format, nil
	}
	return formats[0], nil
}

// FormatOf guesses a format from a name's extension; "text" when there is none that it knows.
func FormatOf(name string) string {
	switch strings.ToLower(path.Ext(name)) {
	case ".yaml", ".yml":
		return source.YAML
	case ".json":
		return source.JSON
	case ".toml":
		return source.TOML
	case ".properties":
		return source.Properties
	case ".xml":
		return source.XML
	default:
		return source.Text
	}
}

// Validate checks kind, names, size, format and then what the kind says. Errors are faults of
// class Invalid, or TooLarge ("document.too_large") above [MaxContent].
func (r *Registry) Validate(doc Document, lib Library) ([]*fault.Error, error) {
	kind, err := r.Kind(doc.Kind)
	if err != nil {
		return nil, err
	}
	if err := ValidateName("namespace", doc.Namespace); err != nil {
		return nil, err
	}
	if namer, ok := kind.(Namer); ok {
		err = namer.ValidateName("name", doc.Name)
	} else {
		err = ValidateName("name", doc.Name)
	}
	if err != nil {
		return nil, err
	}
	if len(doc.Content) > MaxContent {
		return nil, fault.New(fault.TooLarge, "document.too_large", "the content has %d bytes, at most %d are allowed", len(doc.Content), MaxContent).
			At("content").Hinted("split it into several documents")
	}
	if doc.Format == "" {
		if doc.Format, err = r.DefaultFormat(doc.Kind, doc.Name); err != nil {
			return nil, err
		}
	}
	if formats := kind.Formats(); !slices.Contains(formats, doc.Format) {
		f := fault.New(fault.Invalid, "document.unknown_format", "a %s cannot be in the format %s", doc.Kind, source.Quote(doc.Format)).
			At("format").Hinted("choose one of %s", strings.Join(formats, ", "))
		return nil, f
	}
	return kind.Validate(doc, lib)
}
