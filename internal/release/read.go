package release

import (
	"context"
	"encoding/base64"
	"iter"
	"strings"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/state"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// Get returns a document and one of its versions with its content: version 0 is the released one, or the latest when none is
// released. A sensitive content is withheld from who may not see it. Who may only serve gets what is in force, and
// nothing else. What is in force is answered without quorum.
//
// Errors: NotFound "document.not_found", "document.version_unknown" and "document.not_released"; Precondition
// "secret.root_key_missing".
func (r *Releaser) Get(ctx context.Context, ref Ref, version int64) (*gantryv1.Document, *gantryv1.Version, error) {
	d, err := r.find(ctx, ref)
	if err != nil {
		return nil, nil, err
	}
	identity := access.FromContext(ctx)
	views := identity.May(access.View, d.ref.Namespace)
	if version == 0 {
		version = d.head.Released
		if version == 0 && views {
			version = d.head.Latest
		}
	}
	if !views && !d.head.inForce(version) {
		return nil, nil, notReleased(d.ref)
	}
	v, err := r.loadVersion(ctx, d, version)
	if err != nil {
		return nil, nil, err
	}
	if v.Sensitive && !r.sees(identity, d, version) {
		v = withheld(v)
	}
	return d.head.proto(d.ref, d.revision), v, nil
}

// find returns a document of the mirror that the caller may know of.
func (r *Releaser) find(ctx context.Context, ref Ref) (*document, error) {
	ref = ref.normal()
	if err := ref.check(); err != nil {
		return nil, err
	}
	if err := access.Require(ctx, access.View|access.Serve, ref.Namespace); err != nil {
		return nil, err
	}
	d := r.index.get(ref)
	if d == nil {
		return nil, notFound(ref)
	}
	return d, nil
}

// sees reports whether the caller may see the content of a sensitive version: services what is in force, people with the right any.
func (r *Releaser) sees(identity *access.Identity, d *document, version int64) bool {
	return identity.May(access.ReadSensitive, d.ref.Namespace) ||
		(d.head.inForce(version) && identity.May(access.Serve, d.ref.Namespace))
}

func notReleased(ref Ref) *fault.Error {
	return fault.New(fault.NotFound, "document.not_released", "nothing of %s is released", ref).
		At("ref").Hinted("publish and release a version")
}

// Resolve answers which version a subject gets, from memory. Errors: only of rights and references; where nothing is
// released the frame says so.
func (r *Releaser) Resolve(ctx context.Context, ref Ref, subject Subject) (*Frame, error) {
	ref = ref.normal()
	if err := ref.check(); err != nil {
		return nil, err
	}
	if err := access.Require(ctx, access.View|access.Serve, ref.Namespace); err != nil {
		return nil, err
	}
	return r.frame(ctx, ref, &subject, access.FromContext(ctx).May(access.ReadSensitive|access.Serve, ref.Namespace))
}

// Wanted answers which version of a document a subject should run, and by which rollout; 0 is none. It reads memory
// alone, allocates nothing and checks no rights.
func (r *Releaser) Wanted(ref Ref, subject *Subject) (version int64, rollout string) {
	return r.index.get(ref).resolve(subject)
}

// InForceSince answers the revision that last changed what is in force of a document, for all or for a cohort; publishing alone
// does not count. It is 0 when nothing ever was in force, or nothing is known of it any more. It reads memory alone and checks no rights.
func (r *Releaser) InForceSince(ref Ref) int64 { return r.index.get(ref.normal()).since() }

// Preview answers which of some subjects a cohort would choose if it were released now: of the rollout under way, or of the
// next one.
func (r *Releaser) Preview(ctx context.Context, ref Ref, chosen *gantryv1.Cohort, subjects iter.Seq[Subject]) ([]Subject, error) {
	ref = ref.normal()
	if err := access.Require(ctx, access.View, ref.Namespace); err != nil {
		return nil, err
	}
	d, err := r.find(ctx, ref)
	if err != nil {
		return nil, err
	}
	id := rolloutID(ref, d.born(), d.head.Rollouts+1)
	if d.head.Rollout != nil {
		id = d.head.Rollout.ID
	}
	target := cohortOf(chosen)
	if target == nil {
		target = &cohort{}
	}
	selector, err := target.compile(id)
	if err != nil {
		return nil, err
	}
	var matched []Subject
	for subject := range subjects {
		if selector.matches(&subject) {
			matched = append(matched, subject)
		}
	}
	return matched, nil
}

// ListQuery chooses documents. Empty fields match all.
type ListQuery struct {
	Namespace, Kind string
	// Search is a part of the name, without regard to case.
	Search         string
	IncludeDeleted bool
	// PageSize is at most [MaxPage]; 0 is 100.
	PageSize  int
	PageToken string
}

// List returns documents in order of namespace, kind and name, and the token of the next page, empty at the end. Without
// a namespace it covers those that the caller may view. Pages are of the moment they are asked for.
func (r *Releaser) List(ctx context.Context, q ListQuery) (documents []*gantryv1.Document, next string, err error) {
	if q.Namespace != "" {
		if err := access.Require(ctx, access.View, q.Namespace); err != nil {
			return nil, "", err
		}
	}
	after, err := parsePageToken(q.PageToken)
	if err != nil {
		return nil, "", err
	}
	size := q.PageSize
	if size <= 0 {
		size = defaultPage
	}
	size = min(size, MaxPage)
	search := strings.ToLower(q.Search)
	for d := range r.visible(ctx, q.Namespace, q.Kind, after) {
		if (d.head.Deleted && !q.IncludeDeleted) || (search != "" && !strings.Contains(strings.ToLower(d.ref.Name), search)) {
			continue
		}
		if len(documents) == size {
			return documents, pageToken(RefOf(documents[size-1].Ref)), nil
		}
		documents = append(documents, d.head.proto(d.ref, d.revision))
	}
	return documents, "", nil
}

// visible walks the documents that the caller may view behind a reference, in order.
func (r *Releaser) visible(ctx context.Context, namespace, kind string, after Ref) iter.Seq[*document] {
	identity := access.FromContext(ctx)
	return func(yield func(*document) bool) {
		for _, g := range r.index.matching(namespace, kind) {
			if !identity.May(access.View, g.namespace) {
				continue
			}
			behind := ""
			switch first := (Ref{Namespace: g.namespace, Kind: g.kind}); {
			case first.Namespace == after.Namespace && first.Kind == after.Kind:
				behind = after.Name
			case first.compare(after) < 0:
				continue
			}
			for d := range r.index.walk(g, behind) {
				if !yield(d) {
					return
				}
			}
		}
	}
}

// pageToken says where the next page begins. It holds nothing that the caller has not seen.
func pageToken(last Ref) string {
	return base64.RawURLEncoding.EncodeToString([]byte(state.Key(last.Namespace, last.Kind, last.Name)))
}

func parsePageToken(token string) (Ref, error) {
	if token == "" {
		return Ref{}, nil
	}
	key, err := base64.RawURLEncoding.DecodeString(token)
	var parts []string
	if err == nil && len(token) <= 8*maxName {
		parts, err = state.Split(string(key))
	}
	if err != nil || len(parts) != 3 {
		return Ref{}, fault.New(fault.Invalid, "page_token.invalid", "%.64q is no page token", token).
			At("page_token").Hinted("send next_page_token of the page before, unchanged")
	}
	return Ref{Namespace: parts[0], Kind: parts[1], Name: parts[2]}, nil
}

// History returns a document with its newest versions, without content, and its newest history entries, newest first: at
// most limit of each, 0 for 100, at most [MaxPage]. Checksums of sensitive versions are left out: they are not stored.
func (r *Releaser) History(ctx context.Context, ref Ref, limit int) (*gantryv1.Document, []*gantryv1.Version, []*gantryv1.HistoryEntry, error) {
	if err := access.Require(ctx, access.View, ref.normal().Namespace); err != nil {
		return nil, nil, nil, err
	}
	d, err := r.find(ctx, ref)
	if err != nil {
		return nil, nil, nil, err
	}
	if limit <= 0 {
		limit = defaultPage
	}
	newest := state.ListOptions{Descending: true, Limit: min(limit, MaxPage)}
	stored, err := r.store.List(ctx, d.ref.below("version"), newest)
	if err != nil {
		return nil, nil, nil, err
	}
	versions := make([]*gantryv1.Version, 0, len(stored))
	for _, record := range stored {
		v, err := decodeVersion(record.Value)
		if err != nil {
			return nil, nil, nil, err
		}
		versions = append(versions, v.proto())
	}
	if stored, err = r.store.List(ctx, d.ref.below("history"), newest); err != nil {
		return nil, nil, nil, err
	}
	entries := make([]*gantryv1.HistoryEntry, 0, len(stored))
	for _, record := range stored {
		entry, err := decodeEntry(record.Value)
		if err != nil {
			return nil, nil, nil, err
		}
		entries = append(entries, entry.proto())
	}
	return d.head.proto(d.ref, d.revision), versions, entries, nil
}

// Difference is what lies between two versions, as a unified diff; Unified is empty when nothing does. From and To are 0 for
// nothing (no released version) and for a content that is not stored.
type Difference struct {
	Unified  string
	From, To int64
}

// Diff compares two versions: from 0 is the released version, to 0 the latest. With content that is compared instead of a stored
// version; then the document need not exist. Errors beside those of Get: Forbidden "document.withheld" when one of
// them is sensitive and the caller may not see it.
func (r *Releaser) Diff(ctx context.Context, ref Ref, from, to int64, content []byte) (*Difference, error) {
	ref = ref.normal()
	if err := access.Require(ctx, access.View, ref.Namespace); err != nil {
		return nil, err
	}
	d, err := r.find(ctx, ref)
	if err != nil && (content == nil || from != 0 || !fault.Is(err, fault.NotFound)) {
		return nil, err
	}
	if d != nil && from == 0 {
		from = d.head.Released
	}
	if d != nil && to == 0 && content == nil {
		to = d.head.Latest
	}
	answer := &Difference{From: from, To: to}
	before, err := r.comparable(ctx, d, from)
	if err != nil {
		return nil, err
	}
	if content == nil {
		if content, err = r.comparable(ctx, d, to); err != nil {
			return nil, err
		}
	} else {
		answer.To = 0
	}
	answer.Unified = unifiedDiff(label(ref, from), label(ref, answer.To), before, content)
	return answer, nil
}

// comparable returns the content of a version for a caller who may see it; of version 0 nothing.
func (r *Releaser) comparable(ctx context.Context, d *document, version int64) ([]byte, error) {
	if version == 0 {
		return nil, nil
	}
	v, err := r.loadVersion(ctx, d, version)
	if err != nil {
		return nil, err
	}
	if v.Sensitive && !access.FromContext(ctx).May(access.ReadSensitive, d.ref.Namespace) {
		return nil, fault.New(fault.Forbidden, "document.withheld", "version %d of %s is sensitive", version, d.ref).
			Hinted("only a releaser of the namespace can see what differs")
	}
	return v.Content, nil
}

// Exported is a document as an export carries it. The messages are shared and must not be changed.
type Exported struct {
	Document *gantryv1.Document
	Version  *gantryv1.Version
}

// Export walks the released documents that the caller may view, in order; empty arguments match all. The contents of
// sensitive ones are withheld unless sensitive is set and the caller may see them. It answers how many there are, too. A
// document that cannot be read yields its error, and the walk can go on.
func (r *Releaser) Export(ctx context.Context, namespace, kind string, sensitive bool) (total int, documents iter.Seq2[*Exported, error], err error) {
	if namespace != "" {
		if err := access.Require(ctx, access.View, namespace); err != nil {
			return 0, nil, err
		}
	}
	var refs []Ref
	for d := range r.visible(ctx, namespace, kind, Ref{}) {
		if d.head.Released != 0 {
			refs = append(refs, d.ref)
		}
	}
	identity := access.FromContext(ctx)
	return len(refs), func(yield func(*Exported, error) bool) {
		for _, ref := range refs {
			d := r.index.get(ref)
			if d == nil || d.head.Released == 0 {
				continue
			}
			v, err := r.loadVersion(ctx, d, d.head.Released)
			if err != nil {
				if !yield(nil, err) {
					return
				}
				continue
			}
			if v.Sensitive && (!sensitive || !identity.May(access.ReadSensitive, ref.Namespace)) {
				v = withheld(v)
			}
			if !yield(&Exported{Document: d.head.proto(ref, d.revision), Version: v}, nil) {
				return
			}
		}
	}, nil
}
