package release

import (
	"context"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/policy"
)

// Kinds are the kinds of documents, by name.
func (r *Releaser) Kinds() []policy.Kind {
	var all []policy.Kind
	for _, name := range r.policy.Kinds() {
		if kind, err := r.policy.Kind(name); err == nil {
			all = append(all, kind)
		}
	}
	return all
}

// Schemas are what a document has to fit, whether it is there or not. It needs the right to view.
//
// Errors: Invalid for an unknown kind; Forbidden or Unauthenticated; those of reading.
func (r *Releaser) Schemas(ctx context.Context, ref Ref) ([]policy.Schema, error) {
	ref = ref.normal()
	if err := access.Require(ctx, access.View, ref.Namespace); err != nil {
		return nil, err
	}
	library := &library{releaser: r, ctx: ctx}
	schemas, err := r.policy.Schemas(ref.Namespace, ref.Kind, ref.Name, library)
	if err == nil {
		err = library.err
	}
	return schemas, err
}
