package edge

import (
	"context"
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
)

// NamespaceHeader is the header and the gRPC metadata by which senders of telemetry, and those who ask for it, name their namespace where they cannot
// change the path.
const NamespaceHeader = "gantry-namespace"

// NamespaceOf is the namespace of the path, or else of [NamespaceHeader], or else the default one.
func NamespaceOf(r *http.Request) string {
	if Prefix(r.Context()) == "" {
		if named := r.Header.Get(NamespaceHeader); named != "" {
			return named
		}
	}
	return Namespace(r.Context())
}

// IdentifyCall is [Identify] for a gRPC call, with the namespace that its metadata name. Errors are the same.
func IdentifyCall(ctx context.Context, authenticator Authenticator) (identified context.Context, namespace string, err error) {
	md, _ := metadata.FromIncomingContext(ctx)
	first := func(key string) string {
		if values := md.Get(key); len(values) > 0 {
			return values[0]
		}
		return ""
	}
	credential, err := access.ParseAuthorization(first("authorization"))
	if err != nil {
		return nil, "", err
	}
	if p, ok := peer.FromContext(ctx); ok {
		credential.Source = p.Addr.String()
	}
	identity, err := authenticator.Authenticate(ctx, credential)
	if err != nil {
		return nil, "", err
	}
	if namespace = first(NamespaceHeader); namespace == "" {
		namespace = instance.Default
	}
	return access.NewContext(ctx, identity), namespace, nil
}

// GRPCCode is the status code of gRPC for an error, for languages that have no other use for it.
func GRPCCode(err error) codes.Code {
	switch fault.CodeOf(err) {
	case fault.Invalid, fault.TooLarge:
		return codes.InvalidArgument
	case fault.NotFound:
		return codes.NotFound
	case fault.Unauthenticated:
		return codes.Unauthenticated
	case fault.Forbidden:
		return codes.PermissionDenied
	case fault.Exhausted:
		return codes.ResourceExhausted
	case fault.Unavailable:
		return codes.Unavailable
	case fault.DeadlineExceeded:
		return codes.DeadlineExceeded
	case fault.Precondition:
		return codes.FailedPrecondition
	default:
		return codes.Internal
	}
}
