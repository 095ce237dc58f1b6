package release

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gantry-platform/gantry/internal/fault"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// applied holds what the sessions of this node have applied. It is memory: a client reports again after it
// reconnects.
type applied struct {
	releaser *Releaser

	mu        sync.Mutex
	sessions  map[string]map[Ref]*report
	documents map[Ref]map[string]*report // by session
	total     int
}

// report is immutable.
type report struct {
	subject  Subject
	version  int64
	checksum string
	at       *timestamppb.Timestamp
	failure  string
}

func newApplied(r *Releaser) *applied {
	return &applied{releaser: r, sessions: map[string]map[Ref]*report{}, documents: map[Ref]map[string]*report{}}
}

func (a *applied) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.total
}

// Report takes what an instance says of the versions it runs; a new report for a document replaces the session's
// older one. Of each message ref, version, checksum, applied_at and error are read; a time that is missing or in the
// future becomes now.
//
// Errors: Invalid for a reference that can name nothing; TooLarge beyond [MaxReports] documents a session;
// Exhausted beyond [MaxNodeReports]. The reports before the one that is refused are kept.
func (r *Releaser) Report(session string, subject Subject, reports ...*gantryv1.AppliedReport) error {
	now := r.now()
	for _, message := range reports {
		ref := RefOf(message.GetRef())
		if err := ref.check(); err != nil {
			return err
		}
		if len(message.GetChecksum()) > maxLabelKey || message.GetVersion() < 0 {
			return fault.New(fault.Invalid, "applied.invalid", "version %d with checksum %.64q is no version", message.GetVersion(), message.GetChecksum()).
				At("reports").Hinted("report the version and checksum as they were received")
		}
		at := message.GetAppliedAt()
		if at == nil || !at.IsValid() || at.AsTime().After(now) {
			at = timestamppb.New(now)
		}
		if err := r.applied.put(session, ref, &report{subject: subject, version: message.GetVersion(), checksum: message.GetChecksum(),
			at: at, failure: cut(message.GetError(), maxReportError)}); err != nil {
			return err
		}
	}
	return nil
}

func (a *applied) put(session string, ref Ref, p *report) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	of := a.sessions[session]
	if _, replaces := of[ref]; !replaces {
		if len(of) >= MaxReports {
			return fault.New(fault.TooLarge, "applied.too_many", "the session reports more than %d documents", MaxReports).
				At("reports").Hinted("report what the instance has loaded, not what it has read once")
		}
		if a.total >= MaxNodeReports {
			return fault.New(fault.Exhausted, "applied.node_full", "this node holds %d reports", a.total).
				Hinted("open sessions on other nodes too; the document itself is not touched")
		}
		a.total++
	}
	if of == nil {
		of = map[Ref]*report{}
		a.sessions[session] = of
	}
	of[ref] = p
	by := a.documents[ref]
	if by == nil {
		by = map[string]*report{}
		a.documents[ref] = by
	}
	by[session] = p
	return nil
}

// Forget drops what a session has reported; call it when the session ends.
func (r *Releaser) Forget(session string) {
	a := r.applied
	a.mu.Lock()
	defer a.mu.Unlock()
	for ref := range a.sessions[session] {
		by := a.documents[ref]
		delete(by, session)
		if len(by) == 0 {
			delete(a.documents, ref)
		}
		a.total--
	}
	delete(a.sessions, session)
}

// Applied answers what this node's sessions have applied of a document, in order of instance id, each with the
// version that it should run by now. The wiring asks every node and checks the rights. Checksums of documents that ever were
// sensitive are left out.
func (r *Releaser) Applied(ref Ref) []*gantryv1.AppliedReport {
	ref = ref.normal()
	a := r.applied
	a.mu.Lock()
	reports := make([]*report, 0, len(a.documents[ref]))
	for _, p := range a.documents[ref] {
		reports = append(reports, p)
	}
	a.mu.Unlock()
	d := r.index.get(ref)
	answer := make([]*gantryv1.AppliedReport, 0, len(reports))
	for _, p := range reports {
		answer = append(answer, r.reported(ref, d, p))
	}
	slices.SortFunc(answer, func(x, y *gantryv1.AppliedReport) int {
		return strings.Compare(x.GetSubject().GetInstanceId(), y.GetSubject().GetInstanceId())
	})
	return answer
}

// maxCounted bounds the reports that one question counts: each asks which version its instance should run.
const maxCounted = 100_000

// CountApplied answers how far this node's sessions have applied documents, one answer a document, in order. The wiring asks every node and checks the rights. Beyond a
// hundred thousand reports the rest of the documents has no counts.
func (r *Releaser) CountApplied(refs []Ref) []*gantryv1.AppliedSummary {
	answer := make([]*gantryv1.AppliedSummary, len(refs))
	left := maxCounted
	for i, ref := range refs {
		answer[i] = &gantryv1.AppliedSummary{}
		if left > 0 {
			left -= r.countApplied(ref.normal(), answer[i])
		}
	}
	return answer
}

func (r *Releaser) countApplied(ref Ref, into *gantryv1.AppliedSummary) (counted int) {
	d := r.index.get(ref)
	a := r.applied
	a.mu.Lock()
	reports := make([]*report, 0, len(a.documents[ref]))
	for _, p := range a.documents[ref] {
		reports = append(reports, p)
	}
	a.mu.Unlock()
	for _, p := range reports {
		into.Instances++
		switch wanted, _ := d.resolve(&p.subject); {
		case p.failure != "":
			into.Failed++
		case p.version == wanted:
			into.Current++
		}
	}
	return len(reports)
}

// reported is a report with what should be applied by now.
func (r *Releaser) reported(ref Ref, d *document, p *report) *gantryv1.AppliedReport {
	wanted, _ := d.resolve(&p.subject)
	sum := p.checksum
	if d == nil || d.head.Sealed {
		sum = ""
	}
	return &gantryv1.AppliedReport{Ref: ref.Proto(), Subject: p.subject.Proto(), Version: p.version, Checksum: sum, AppliedAt: p.at, Error: p.failure, WantedVersion: wanted,
		Node: r.store.Self().ID}
}

// maxAppliedBy bounds what one question about a service answers.
const maxAppliedBy = 10_000

// AppliedBy answers what this node's sessions of a service have applied, or of one of its instances, like [Releaser.Applied]: in order of instance and document, and at
// most ten thousand reports.
func (r *Releaser) AppliedBy(service *gantryv1.ServiceRef, instance string) []*gantryv1.AppliedReport {
	type found struct {
		ref Ref
		*report
	}
	var all []found
	a := r.applied
	a.mu.Lock()
	for _, of := range a.sessions {
		for ref, p := range of {
			if len(all) >= maxAppliedBy || !p.subject.isOf(service, instance) {
				break // a session has one subject
			}
			all = append(all, found{ref, p})
		}
	}
	a.mu.Unlock()
	slices.SortFunc(all, func(x, y found) int {
		return cmp.Or(strings.Compare(x.subject.InstanceID, y.subject.InstanceID), strings.Compare(x.ref.Namespace, y.ref.Namespace),
			strings.Compare(x.ref.Kind, y.ref.Kind), strings.Compare(x.ref.Name, y.ref.Name))
	})
	answer := make([]*gantryv1.AppliedReport, 0, len(all))
	for _, f := range all {
		answer = append(answer, r.reported(f.ref, r.index.get(f.ref), f.report))
	}
	return answer
}

// isOf tells whether a subject is an instance of a service. Names that are left out mean "default" on both sides.
func (s *Subject) isOf(service *gantryv1.ServiceRef, instance string) bool {
	own := s.proto.GetService()
	return (instance == "" || instance == s.InstanceID) && own.GetService() == service.GetService() && own.GetService() != "" &&
		cmp.Or(own.GetNamespace(), DefaultNamespace) == cmp.Or(service.GetNamespace(), DefaultNamespace) &&
		cmp.Or(own.GetGroup(), "default") == cmp.Or(service.GetGroup(), "default")
}

// cut shortens a text to at most so many bytes of valid UTF-8.
func cut(text string, limit int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}
