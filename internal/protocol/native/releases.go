package native

import (
	"context"

	"connectrpc.com/connect"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/release"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// releaseService leaves rights to the releaser, which asks for them itself.
type releaseService struct{ api *API }

func draftOf(r *gantryv1.PublishRequest) release.Draft {
	return release.Draft{Ref: release.RefOf(r.Ref), Format: r.Format, Content: r.Content, Sensitive: r.Sensitive,
		Message: r.Message, ExpectedVersion: r.ExpectedVersion, Release: r.Release}
}

func stepOf(ref *gantryv1.DocumentRef, message string, expected *int64) release.Step {
	return release.Step{Ref: release.RefOf(ref), Message: message, ExpectedRevision: expected}
}

func released(document *gantryv1.Document, err error) (*gantryv1.ReleaseResponse, error) {
	if err != nil {
		return nil, err
	}
	return &gantryv1.ReleaseResponse{Document: document}, nil
}

func (s *releaseService) Publish(ctx context.Context, r *gantryv1.PublishRequest) (*gantryv1.PublishResponse, error) {
	draft := draftOf(r)
	if _, err := s.api.may(ctx, access.Publish, draft.Ref.Namespace); err != nil {
		return nil, err
	}
	published, err := s.api.Releases.Publish(ctx, draft)
	if err != nil {
		return nil, err
	}
	return &gantryv1.PublishResponse{Document: published.Document, Version: published.Version, Unchanged: published.Unchanged,
		Warnings: errorMessages(published.Warnings)}, nil
}

func (s *releaseService) Validate(ctx context.Context, r *gantryv1.PublishRequest) (*gantryv1.ValidateResponse, error) {
	warnings, err := s.api.Releases.Validate(ctx, draftOf(r))
	if err != nil {
		return nil, err
	}
	return &gantryv1.ValidateResponse{Warnings: errorMessages(warnings)}, nil
}

func (s *releaseService) Release(ctx context.Context, r *gantryv1.ReleaseRequest) (*gantryv1.ReleaseResponse, error) {
	return released(s.api.Releases.Release(ctx, stepOf(r.Ref, r.Message, r.ExpectedRevision), r.Version, r.Cohort))
}

func (s *releaseService) Promote(ctx context.Context, r *gantryv1.PromoteRequest) (*gantryv1.ReleaseResponse, error) {
	return released(s.api.Releases.Promote(ctx, stepOf(r.Ref, r.Message, r.ExpectedRevision)))
}

func (s *releaseService) Abort(ctx context.Context, r *gantryv1.AbortRequest) (*gantryv1.ReleaseResponse, error) {
	return released(s.api.Releases.Abort(ctx, stepOf(r.Ref, r.Message, r.ExpectedRevision)))
}

func (s *releaseService) Rollback(ctx context.Context, r *gantryv1.RollbackRequest) (*gantryv1.ReleaseResponse, error) {
	return released(s.api.Releases.Rollback(ctx, stepOf(r.Ref, r.Message, r.ExpectedRevision), r.Version))
}

func (s *releaseService) Delete(ctx context.Context, r *gantryv1.DeleteRequest) (*gantryv1.ReleaseResponse, error) {
	return released(s.api.Releases.Delete(ctx, stepOf(r.Ref, r.Message, r.ExpectedRevision)))
}

func (s *releaseService) Get(ctx context.Context, r *gantryv1.GetRequest) (*gantryv1.GetResponse, error) {
	ref := release.RefOf(r.Ref)
	if _, err := s.api.may(ctx, mayRead, ref.Namespace); err != nil {
		return nil, err
	}
	document, version, err := s.api.Releases.Get(ctx, ref, r.Version)
	if err != nil {
		return nil, err
	}
	return &gantryv1.GetResponse{Document: document, Version: version}, nil
}

func (s *releaseService) List(ctx context.Context, r *gantryv1.ListRequest) (*gantryv1.ListResponse, error) {
	if r.Namespace != "" {
		if _, err := s.api.viewed(ctx, r.Namespace); err != nil {
			return nil, err
		}
	}
	documents, next, err := s.api.Releases.List(ctx, release.ListQuery{Namespace: r.Namespace, Kind: r.Kind, Search: r.Search,
		IncludeDeleted: r.IncludeDeleted, PageSize: int(r.PageSize), PageToken: r.PageToken})
	if err != nil {
		return nil, err
	}
	answer := &gantryv1.ListResponse{Documents: documents, NextPageToken: next}
	if r.Applied {
		answer.Applied, answer.MissingNodes = s.api.countApplied(ctx, documents)
	}
	return answer, nil
}

func (s *releaseService) History(ctx context.Context, r *gantryv1.HistoryRequest) (*gantryv1.HistoryResponse, error) {
	ref := release.RefOf(r.Ref)
	if _, err := s.api.viewed(ctx, ref.Namespace); err != nil {
		return nil, err
	}
	document, versions, entries, err := s.api.Releases.History(ctx, ref, int(r.Limit))
	if err != nil {
		return nil, err
	}
	return &gantryv1.HistoryResponse{Document: document, Versions: versions, Entries: entries}, nil
}

func (s *releaseService) Diff(ctx context.Context, r *gantryv1.DiffRequest) (*gantryv1.DiffResponse, error) {
	diff, err := s.api.Releases.Diff(ctx, release.RefOf(r.Ref), r.From, r.To, r.Content)
	if err != nil {
		return nil, err
	}
	return &gantryv1.DiffResponse{Unified: diff.Unified, From: diff.From, To: diff.To}, nil
}

func (s *releaseService) Resolve(ctx context.Context, r *gantryv1.ResolveRequest) (*gantryv1.DocumentEvent, error) {
	frame, err := s.api.Releases.Resolve(ctx, release.RefOf(r.Ref), release.SubjectOf(r.Subject))
	if err != nil {
		return nil, err
	}
	return encodedDocument(frame.Encoded), nil
}

func (s *releaseService) Preview(ctx context.Context, r *gantryv1.PreviewRequest) (*gantryv1.PreviewResponse, error) {
	ref := release.RefOf(r.Ref)
	if _, err := s.api.viewed(ctx, ref.Namespace); err != nil {
		return nil, err
	}
	subjects := s.api.subjects(ref.Namespace)
	chosen, err := s.api.Releases.Preview(ctx, ref, r.Cohort, func(yield func(release.Subject) bool) {
		for _, subject := range subjects {
			if !yield(release.SubjectOf(subject)) {
				return
			}
		}
	})
	if err != nil {
		return nil, err
	}
	answer := &gantryv1.PreviewResponse{Total: uint32(len(subjects))}
	for _, subject := range chosen {
		answer.Chosen = append(answer.Chosen, subject.Proto())
	}
	return answer, nil
}

func (s *releaseService) ListKinds(ctx context.Context, _ *gantryv1.ListKindsRequest) (*gantryv1.ListKindsResponse, error) {
	if !access.FromContext(ctx).Active() {
		return nil, access.Require(ctx, access.View, release.DefaultNamespace)
	}
	answer := &gantryv1.ListKindsResponse{}
	for _, kind := range s.api.Releases.Kinds() {
		answer.Kinds = append(answer.Kinds, &gantryv1.DocumentKind{Name: kind.Name(), Formats: kind.Formats()})
	}
	return answer, nil
}

func (s *releaseService) ListSchemas(ctx context.Context, r *gantryv1.ListSchemasRequest) (*gantryv1.ListSchemasResponse, error) {
	ref := release.RefOf(r.Ref)
	if _, err := s.api.viewed(ctx, ref.Namespace); err != nil {
		return nil, err
	}
	schemas, err := s.api.Releases.Schemas(ctx, ref)
	if err != nil {
		return nil, err
	}
	answer := &gantryv1.ListSchemasResponse{}
	for _, schema := range schemas {
		answer.Schemas = append(answer.Schemas, &gantryv1.KindSchema{Source: schema.Source, Schema: string(schema.JSON)})
	}
	return answer, nil
}

func (s *releaseService) Watch(ctx context.Context, r *gantryv1.WatchDocumentsRequest, stream *connect.ServerStream[gantryv1.DocumentEvent]) error {
	watcher, err := s.api.Releases.Watch(ctx, release.SubjectOf(r.Subject))
	if err != nil {
		return err
	}
	defer watcher.Close()
	refs := refsOf(r.Refs)
	if err := watcher.Add(refs...); err != nil {
		return err
	}
	rights := uses{}
	for _, ref := range refs {
		rights[use{ref.Namespace, mayRead}] = struct{}{}
	}
	waiting := wait(ctx, func() error { return rights.allowed(ctx) })
	defer waiting.Close()
	for {
		frames, err := watcher.Next(waiting)
		if err != nil {
			return waiting.why(err)
		}
		if err := rights.allowed(ctx); err != nil {
			return err
		}
		for _, frame := range frames {
			if err := stream.Send(encodedDocument(frame.Encoded)); err != nil {
				return err
			}
		}
	}
}

func refsOf(refs []*gantryv1.DocumentRef) []release.Ref {
	all := make([]release.Ref, len(refs))
	for i, ref := range refs {
		all[i] = release.RefOf(ref)
	}
	return all
}

func (s *releaseService) Export(ctx context.Context, r *gantryv1.ExportRequest, stream *connect.ServerStream[gantryv1.ExportResponse]) error {
	total, documents, err := s.api.Releases.Export(ctx, r.Namespace, r.Kind, r.Sensitive)
	if err != nil {
		return err
	}
	for exported, err := range documents {
		if err != nil {
			return err
		}
		if err := stream.Send(&gantryv1.ExportResponse{Document: exported.Document, Version: exported.Version, Total: uint32(total)}); err != nil {
			return err
		}
	}
	return nil
}

func (s *releaseService) RotateKeys(ctx context.Context, _ *gantryv1.RotateKeysRequest, stream *connect.ServerStream[gantryv1.RotateKeysResponse]) error {
	var sendErr error
	err := s.api.Releases.RotateKeys(ctx, func(p release.Progress) {
		if sendErr == nil {
			sendErr = stream.Send(&gantryv1.RotateKeysResponse{Done: uint32(p.Done), Total: uint32(p.Total), KeyId: p.KeyID})
		}
	})
	if err != nil {
		return err
	}
	return sendErr
}
