package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// parallel is how many questions are asked at once: enough to hide a network's latency, few enough to
// leave the server to others.
const parallel = 8

// kindSchema is the kind that other documents are checked against; it is applied before them.
const kindSchema = "Schema"

// verdict is what the server says of a manifest.
type verdict struct {
	warnings []*gantryv1.ErrorMessage
	err      error
}

// verdicts validates all manifests. With releasing they are judged as if the Schemas among them
// were in force, because they will be when the others are published. An error says that there is no judging: no
// server, no right.
func (c *cli) verdicts(ctx context.Context, r *remote, manifests []policy.Manifest, releasing bool, expect *int64) ([]verdict, error) {
	all := make([]verdict, len(manifests))
	batch := schemasOf(manifests)
	kinds := policy.Standard()
	err := c.each(ctx, "validating", len(manifests), func(ctx context.Context, i int) error {
		m := manifests[i]
		request := publishRequest(m)
		request.ExpectedVersion = expect
		answer, err := r.releases.Validate(ctx, request)
		if err != nil && !aboutDocument(c.explain(err)) {
			return err
		}
		all[i] = verdict{warnings: answer.GetWarnings(), err: err}
		if !releasing || m.Kind == kindSchema || len(batch[m.Namespace]) == 0 {
			return nil
		}
		if err != nil && !breaksSchema(c.explain(err)) {
			return nil
		}
		// The server knows the Schemas in force only. It checks again when the document is published.
		_, all[i].err = kinds.Validate(m.Document, batch)
		return nil
	})
	return all, err
}

// aboutDocument tells a refusal of one document from what every other would meet too: no server, no quorum, no
// right.
func aboutDocument(f *fault.Error) bool {
	switch f.Code {
	case fault.Invalid, fault.TooLarge, fault.NotFound, fault.AlreadyExists, fault.Conflict, fault.Precondition:
		return true
	default:
		return false
	}
}

func breaksSchema(f *fault.Error) bool { return f.Reason == "document.schema_violation" }

// batchSchemas are the Schemas among the manifests by namespace.
type batchSchemas map[string][]policy.Document

var _ policy.Library = batchSchemas(nil)

// Released implements [policy.Library].
func (b batchSchemas) Released(namespace, kind string) []policy.Document {
	if kind != kindSchema {
		return nil
	}
	return b[namespace]
}

func schemasOf(manifests []policy.Manifest) batchSchemas {
	schemas := batchSchemas{}
	for _, m := range manifests {
		if m.Kind == kindSchema {
			schemas[m.Namespace] = append(schemas[m.Namespace], m.Document)
		}
	}
	return schemas
}

// each does something for so many items, a few at once, with progress, and stops at the first error or when ctx
// ends.
func (c *cli) each(ctx context.Context, what string, n int, do func(ctx context.Context, i int) error) error {
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i := range n {
		if inner.Err() != nil {
			break
		}
		c.progress(what, i, n)
		group.Go(func() error { return do(inner, i) })
	}
	err := group.Wait()
	c.progress(what, n, n)
	if err == nil {
		err = ctx.Err()
	}
	return err
}

// effect is what applying a manifest does.
type effect string

const (
	effectCreate  effect = "created"
	effectUpdate  effect = "updated"
	effectRelease effect = "released"
	effectStage   effect = "staged"
	effectNone    effect = "unchanged"
	effectFailed  effect = "failed"
)

// purpose is what apply does with a document besides publishing it.
type purpose struct {
	draft  bool
	cohort *gantryv1.Cohort
}

// planned is a manifest and what applying it would do.
type planned struct {
	manifest policy.Manifest
	// head is nil when there is no such document.
	head *gantryv1.Document
	// version is the stored one that the manifest was compared with.
	version int64
	effect  effect
}

// plan finds out what applying the manifests would do, Schemas first.
func (c *cli) plan(ctx context.Context, r *remote, manifests []policy.Manifest, p purpose) ([]planned, error) {
	plans := make([]planned, len(manifests))
	err := c.each(ctx, "comparing", len(manifests), func(ctx context.Context, i int) (err error) {
		plans[i], err = c.planOne(ctx, r, manifests[i], p)
		return err
	})
	slices.SortStableFunc(plans, func(a, b planned) int {
		return strings.Compare(applyOrder(a.manifest), applyOrder(b.manifest))
	})
	return plans, err
}

func applyOrder(m policy.Manifest) string {
	if m.Kind == kindSchema {
		return "0"
	}
	return "1"
}

func (c *cli) planOne(ctx context.Context, r *remote, m policy.Manifest, p purpose) (planned, error) {
	plan := planned{manifest: m, effect: effectCreate}
	got, err := stored(ctx, r, m, false)
	if err != nil || got == nil {
		return plan, err
	}
	plan.head, plan.version = got.GetDocument(), got.GetVersion().GetVersion()
	switch {
	case plan.head.GetDeleted():
		return plan, nil
	case !p.draft && plan.head.GetRollout() == nil && plan.version == plan.head.GetReleasedVersion() && sameContent(m, got.GetVersion()):
		// In force for all, whatever was published since.
		plan.effect = effectNone
		return plan, nil
	}
	if got, err = stored(ctx, r, m, true); err != nil {
		return plan, err
	}
	plan.version = got.GetVersion().GetVersion()
	plan.effect = p.effectOn(plan.head, sameContent(m, got.GetVersion()))
	return plan, nil
}

// effectOn is what a purpose does to a document that is there; same says that its latest version has the content.
func (p purpose) effectOn(head *gantryv1.Document, same bool) effect {
	everywhere := head.GetReleasedVersion() == head.GetLatestVersion() && head.GetRollout() == nil
	switch {
	case !same:
		return effectUpdate
	case p.draft || everywhere:
		return effectNone
	case p.cohort != nil:
		return effectStage
	default:
		return effectRelease
	}
}

// sameContent compares by checksum. A version whose content is withheld has none: then the server compares.
func sameContent(m policy.Manifest, v *gantryv1.Version) bool {
	sum := sha256.Sum256(m.Content)
	return v.GetChecksum() == hex.EncodeToString(sum[:]) && v.GetFormat() == m.Format && v.GetSensitive() == m.Sensitive
}
