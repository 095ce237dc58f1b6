package release

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/state"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// DefaultNamespace is what an empty namespace means.
const DefaultNamespace = "default"

// Ref names a document. It is comparable.
type Ref struct {
	Namespace, Kind, Name string
}

// RefOf reads a reference of the API; an empty namespace becomes [DefaultNamespace].
func RefOf(ref *gantryv1.DocumentRef) Ref {
	return Ref{Namespace: ref.GetNamespace(), Kind: ref.GetKind(), Name: ref.GetName()}.normal()
}

// Proto returns the reference as the API has it.
func (r Ref) Proto() *gantryv1.DocumentRef {
	return &gantryv1.DocumentRef{Namespace: r.Namespace, Kind: r.Kind, Name: r.Name}
}

// String returns "kind/name in namespace" for people.
func (r Ref) String() string {
	return fmt.Sprintf("%s %q in namespace %q", r.Kind, r.Name, r.Namespace)
}

func (r Ref) normal() Ref {
	if r.Namespace == "" {
		r.Namespace = DefaultNamespace
	}
	return r
}

// check refuses what can name no document; whether a new document may be called so is for policy to say.
func (r Ref) check() error {
	for _, part := range [...]struct{ field, value string }{{"ref.namespace", r.Namespace}, {"ref.kind", r.Kind}, {"ref.name", r.Name}} {
		switch {
		case part.value == "":
			return fault.New(fault.Invalid, "document.ref_incomplete", "the reference lacks its %s", strings.TrimPrefix(part.field, "ref.")).
				At(part.field).Hinted("name the kind and the name of the document")
		case len(part.value) > maxName || !utf8.ValidString(part.value):
			return fault.New(fault.Invalid, "document.ref_invalid", "%.64q is no name", part.value).
				At(part.field).Hinted("names are UTF-8 of at most %d bytes", maxName)
		}
	}
	return nil
}

func (r Ref) target() string { return r.Kind + "/" + r.Name }

func (r Ref) headKey() string           { return state.Key("document", r.Namespace, r.Kind, r.Name) }
func (r Ref) versionKey(n int64) string { return r.numbered("version", n) }
func (r Ref) contentKey(n int64) string { return r.numbered("content", n) }
func (r Ref) entryKey(n int64) string   { return r.numbered("history", n) }
func (r Ref) below(space string) string { return state.Prefix(space, r.Namespace, r.Kind, r.Name) }
func (r Ref) numbered(space string, n int64) string {
	return state.Key(space, r.Namespace, r.Kind, r.Name, fmt.Sprintf("%016x", n))
}

// refOfKey undoes headKey, and the numbered keys too, whose number it leaves out.
func refOfKey(key string) (Ref, error) {
	parts, err := state.Split(key)
	if err != nil {
		return Ref{}, err
	}
	if len(parts) != 4 && len(parts) != 5 {
		return Ref{}, fmt.Errorf("release: key %q has %d parts", key, len(parts))
	}
	return Ref{Namespace: parts[1], Kind: parts[2], Name: parts[3]}, nil
}

// compare orders references as lists show them.
func (r Ref) compare(o Ref) int {
	if c := strings.Compare(r.Namespace, o.Namespace); c != 0 {
		return c
	}
	if c := strings.Compare(r.Kind, o.Kind); c != 0 {
		return c
	}
	return strings.Compare(r.Name, o.Name)
}

// Subject is who asks for a document: what cohorts are matched against. It is not changed after it was made.
type Subject struct {
	// InstanceID decides about percentages; without one the subject is in none.
	InstanceID string
	// Address is matched by ranges; the zero value is in none.
	Address netip.Addr
	Labels  map[string]string

	proto *gantryv1.Subject
}

// SubjectOf reads a subject of the API. An address that is no IP address is kept for people and matches no range.
func SubjectOf(subject *gantryv1.Subject) Subject {
	s := Subject{InstanceID: subject.GetInstanceId(), Labels: subject.GetLabels(), proto: subject}
	text := subject.GetAddress()
	if address, err := netip.ParseAddr(text); err == nil {
		s.Address = address.Unmap().WithZone("")
	} else if both, err := netip.ParseAddrPort(text); err == nil {
		s.Address = both.Addr().Unmap().WithZone("")
	}
	return s
}

// Proto returns the subject as the API has it. The message is shared: it must not be changed.
func (s Subject) Proto() *gantryv1.Subject {
	if s.proto != nil {
		return s.proto
	}
	p := &gantryv1.Subject{InstanceId: s.InstanceID, Labels: s.Labels}
	if s.Address.IsValid() {
		p.Address = s.Address.String()
	}
	return p
}
