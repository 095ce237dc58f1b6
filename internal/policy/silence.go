package policy

import (
	"reflect"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy/source"
)

// The kinds of documents that keep notifications back.
const (
	KindSilence    = "Silence"
	KindInhibition = "Inhibition"
)

const (
	// maxComment bounds the comment of a silence, in bytes.
	maxComment = 1 << 10
	// maxSilence bounds how long a silence lasts: what is not wanted for longer should not alert at all.
	maxSilence = 366 * 24 * time.Hour
)

// Moment is a time in a document, by RFC 3339: 2026-11-30T08:00:00+08:00.
type Moment struct{ time.Time }

// Silence keeps notifications back of the alerts that its matchers match, between two times. Its author is the document's.
type Silence struct {
	Matchers []string `json:"matchers" spec:"required"`
	// StartsAt is when it begins. Default: always.
	StartsAt Moment `json:"startsAt"`
	EndsAt   Moment `json:"endsAt" spec:"required"`
	Comment  string `json:"comment" spec:"required"`

	// Parsed are Matchers, parsed.
	Parsed Matchers `json:"-"`
}

type silenceKind struct{}

func (silenceKind) Name() string { return KindSilence }

func (silenceKind) Formats() []string { return []string{source.YAML, source.JSON, source.TOML} }

func (silenceKind) spec() reflect.Type { return reflect.TypeFor[Silence]() }

func (silenceKind) Validate(doc Document, _ Library) ([]*fault.Error, error) {
	_, err := ParseSilence(doc)
	return nil, err
}

// ParseSilence reads the content of a Silence.
func ParseSilence(doc Document) (Silence, error) {
	s, tree, err := decodeOpen[Silence](doc)
	if err != nil {
		return Silence{}, err
	}
	var faults []*fault.Error
	s.Parsed, faults = checkMatchers(tree, "matchers", s.Matchers)
	if len(s.Matchers) == 0 {
		faults = append(faults, tree.At("matchers").Fault("silence.no_matcher", "a silence without matchers would silence everything").
			Hinted(`name what is silenced, such as service="loan"`))
	}
	if !s.EndsAt.After(s.StartsAt.Time) {
		faults = append(faults, tree.At("endsAt").Fault("silence.bad_time", "it ends before it begins"))
	}
	if !s.StartsAt.IsZero() && s.EndsAt.Sub(s.StartsAt.Time) > maxSilence {
		faults = append(faults, tree.At("endsAt").Fault("silence.too_long", "it lasts longer than a year").Hinted("delete the alert instead"))
	}
	if s.Comment == "" || len(s.Comment) > maxComment {
		faults = append(faults, tree.At("comment").Fault("silence.bad_comment", "the comment has %d bytes", len(s.Comment)).Hinted("say in 1 to %d bytes why nobody needs to hear of it", maxComment))
	}
	return s, fault.Join(faults...)
}

// Active reports whether it holds at a time.
func (s *Silence) Active(at time.Time) bool {
	return !at.Before(s.StartsAt.Time) && at.Before(s.EndsAt.Time)
}

// Inhibition keeps notifications of target alerts back while a source alert fires whose labels named in Equal are the same.
type Inhibition struct {
	Source []string `json:"source" spec:"required"`
	Target []string `json:"target" spec:"required"`
	Equal  []string `json:"equal"`

	// ParsedSource and ParsedTarget are Source and Target, parsed.
	ParsedSource Matchers `json:"-"`
	ParsedTarget Matchers `json:"-"`
}

type inhibitionKind struct{}

func (inhibitionKind) Name() string { return KindInhibition }

func (inhibitionKind) Formats() []string { return []string{source.YAML, source.JSON, source.TOML} }

func (inhibitionKind) spec() reflect.Type { return reflect.TypeFor[Inhibition]() }

func (inhibitionKind) Validate(doc Document, _ Library) ([]*fault.Error, error) {
	_, err := ParseInhibition(doc)
	return nil, err
}

// ParseInhibition reads the content of an Inhibition.
func ParseInhibition(doc Document) (Inhibition, error) {
	i, tree, err := decodeOpen[Inhibition](doc)
	if err != nil {
		return Inhibition{}, err
	}
	var faults, more []*fault.Error
	i.ParsedSource, faults = checkMatchers(tree, "source", i.Source)
	i.ParsedTarget, more = checkMatchers(tree, "target", i.Target)
	faults = append(faults, more...)
	for _, side := range []struct {
		field    string
		matchers []string
	}{{"source", i.Source}, {"target", i.Target}} {
		if len(side.matchers) == 0 {
			faults = append(faults, tree.At(side.field).Fault("inhibition.no_matcher", "an inhibition says by matchers which alerts keep which back").
				Hinted(`such as severity="critical"`))
		}
	}
	faults = append(faults, checkNames(tree, "equal", i.Equal)...)
	return i, fault.Join(faults...)
}
