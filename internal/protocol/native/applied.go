package native

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/release"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func (s *releaseService) Applied(ctx context.Context, r *gantryv1.AppliedRequest) (*gantryv1.AppliedResponse, error) {
	ref := release.RefOf(r.Ref)
	if _, err := s.api.may(ctx, mayRead, ref.Namespace); err != nil {
		return nil, err
	}
	answer := &gantryv1.AppliedResponse{Reports: s.api.Releases.Applied(ref)}
	if s.api.Peers != nil {
		others, missing := s.api.Peers.Applied(ctx, ref.Proto())
		answer.Reports = append(answer.Reports, others...)
		answer.MissingNodes = missing
	}
	answer.Reports = newestReports(answer.Reports)
	return answer, nil
}

func (s *releaseService) AppliedBy(ctx context.Context, r *gantryv1.AppliedByRequest) (*gantryv1.AppliedResponse, error) {
	if r.GetService().GetService() == "" {
		return nil, fault.New(fault.Invalid, "request.missing", "no service named").At("service")
	}
	if _, err := s.api.viewed(ctx, r.Service.GetNamespace()); err != nil {
		return nil, err
	}
	answer := &gantryv1.AppliedResponse{Reports: s.api.Releases.AppliedBy(r.Service, r.Instance)}
	if s.api.Peers != nil {
		others, missing := s.api.Peers.AppliedBy(ctx, r.Service, r.Instance)
		answer.Reports, answer.MissingNodes = append(answer.Reports, others...), missing
	}
	// A service may read documents of other namespaces than its own.
	identity := access.FromContext(ctx)
	answer.Reports = slices.DeleteFunc(answer.Reports, func(report *gantryv1.AppliedReport) bool {
		return !identity.May(access.View, release.RefOf(report.Ref).Namespace)
	})
	answer.Reports = newestReports(answer.Reports)
	return answer, nil
}

// newestReports sorts reports by instance and document, and leaves out what an instance reported by an older session: while it moves from one node to another it has two, and
// one that broke off stays for some seconds. Who does not say which instance it is is counted as often as it has sessions.
func newestReports(all []*gantryv1.AppliedReport) []*gantryv1.AppliedReport {
	instanceOf := func(r *gantryv1.AppliedReport) string { return r.GetSubject().GetInstanceId() }
	sameAs := func(x, y *gantryv1.AppliedReport) int {
		a, b := x.GetSubject().GetService(), y.GetSubject().GetService()
		of, other := release.RefOf(x.Ref), release.RefOf(y.Ref)
		return cmp.Or(strings.Compare(instanceOf(x), instanceOf(y)), strings.Compare(a.GetNamespace(), b.GetNamespace()), strings.Compare(a.GetGroup(), b.GetGroup()),
			strings.Compare(a.GetService(), b.GetService()), strings.Compare(of.Namespace, other.Namespace), strings.Compare(of.Kind, other.Kind), strings.Compare(of.Name, other.Name))
	}
	slices.SortStableFunc(all, func(x, y *gantryv1.AppliedReport) int {
		return cmp.Or(sameAs(x, y), y.GetAppliedAt().AsTime().Compare(x.GetAppliedAt().AsTime()))
	})
	return slices.CompactFunc(all, func(x, y *gantryv1.AppliedReport) bool { return instanceOf(x) != "" && sameAs(x, y) == 0 })
}

// countApplied counts how far documents are applied, on all nodes.
func (a *API) countApplied(ctx context.Context, documents []*gantryv1.Document) (counts []*gantryv1.AppliedSummary, missing []string) {
	messages, refs := make([]*gantryv1.DocumentRef, len(documents)), make([]release.Ref, len(documents))
	for i, document := range documents {
		messages[i], refs[i] = document.Ref, release.RefOf(document.Ref)
	}
	counts = a.Releases.CountApplied(refs)
	if a.Peers == nil || len(refs) == 0 {
		return counts, nil
	}
	others, missing := a.Peers.CountApplied(ctx, messages)
	for i, other := range others {
		counts[i].Instances += other.Instances
		counts[i].Current += other.Current
		counts[i].Failed += other.Failed
	}
	return counts, missing
}
