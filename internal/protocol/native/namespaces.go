package native

import (
	"context"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
)

func namespaceOr(namespace string) string {
	if namespace == "" {
		return instance.Default
	}
	return namespace
}

// viewed names the namespace of a question, and asks whether the caller may look into it and whether it is there.
func (a *API) viewed(ctx context.Context, namespace string) (string, error) {
	return a.may(ctx, access.View, namespace)
}

// may is [API.viewed] for any right. Who may not is not told what is there.
func (a *API) may(ctx context.Context, p access.Permission, namespace string) (string, error) {
	namespace = namespaceOr(namespace)
	if err := access.Require(ctx, p, namespace); err != nil {
		return namespace, err
	}
	return namespace, a.namespaceExists(namespace)
}

// namespaceExists refuses what is about a namespace that nobody made: an empty answer would look like one without anything in it.
func (a *API) namespaceExists(namespace string) error {
	if a.Instances.HasNamespace(namespace) {
		return nil
	}
	return fault.New(fault.NotFound, "namespace.unknown", "no namespace %q", namespace).At("namespace").
		Hinted("make it with `gantry namespace create %s`", namespace)
}
