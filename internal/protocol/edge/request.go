package edge

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
)

// Authenticator turns credentials into an identity; access.Manager is one.
type Authenticator interface {
	Authenticate(ctx context.Context, credential access.Credential) (*access.Identity, error)
}

// Identify returns the request's context with who makes it: by the credential that the language found in a place of its own, or, when
// that is empty, by the Authorization header (Bearer or Basic). Nobody at all is anonymous, and may nothing; rights are asked where the
// operation is.
//
// Errors: Unauthenticated; Exhausted "access.throttled".
func Identify(r *http.Request, authenticator Authenticator, credential access.Credential) (context.Context, error) {
	if credential.Token == "" && credential.User == "" && credential.Password == "" {
		var err error
		if credential, err = access.ParseAuthorization(r.Header.Get("Authorization")); err != nil {
			return nil, err
		}
	}
	credential.Source = r.RemoteAddr
	identity, err := authenticator.Authenticate(r.Context(), credential)
	if err != nil {
		return nil, err
	}
	return access.NewContext(r.Context(), identity), nil
}

// Source is the host that a request came from, without port. A proxy in between hides the caller: forwarding headers are not
// believed, because anybody can send them.
func Source(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// Body reads a request's body of at most limit bytes. Errors: TooLarge "request.too_large"; Invalid when the body broke off.
func Body(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		return body, nil
	case errors.As(err, &tooLarge):
		return nil, fault.New(fault.TooLarge, "request.too_large", "the body has more than %d bytes", limit).At("body").
			Hinted("send at most %d bytes", limit)
	default:
		return nil, fault.New(fault.Invalid, "request.broken_off", "the body broke off").At("body").Hinted("send it again").Because(err)
	}
}

// Status is the HTTP status for an error, for languages that have no other use for it.
func Status(err error) int {
	switch fault.CodeOf(err) {
	case fault.Invalid:
		return http.StatusBadRequest
	case fault.NotFound:
		return http.StatusNotFound
	case fault.AlreadyExists, fault.Conflict, fault.Precondition:
		return http.StatusConflict
	case fault.Unauthenticated:
		return http.StatusUnauthorized
	case fault.Forbidden:
		return http.StatusForbidden
	case fault.TooLarge:
		return http.StatusRequestEntityTooLarge
	case fault.Exhausted:
		return http.StatusTooManyRequests
	case fault.Unavailable:
		return http.StatusServiceUnavailable
	case fault.DeadlineExceeded:
		return http.StatusGatewayTimeout
	default:
		return http.StatusInternalServerError
	}
}

type namespaceKey struct{}

// NamespacePrefix begins the paths that name their namespace: /ns/<namespace>/...
const NamespacePrefix = "/ns/"

// Namespaces serves next, with the namespace that the path names taken off the path and into the request's context. Paths without
// the prefix go through as they are. What is no name of a namespace is answered with 400; one that does not exist is for the
// operation to refuse.
func Namespaces(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rest, found := strings.CutPrefix(r.URL.EscapedPath(), NamespacePrefix)
		if !found {
			next.ServeHTTP(w, r)
			return
		}
		namespace, _, _ := strings.Cut(rest, "/")
		if err := instance.CheckNamespace(namespace); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r = r.WithContext(context.WithValue(r.Context(), namespaceKey{}, namespace))
		http.StripPrefix(NamespacePrefix+namespace, next).ServeHTTP(w, r)
	})
}

// Namespace is the one that the path named, or the default one.
func Namespace(ctx context.Context) string {
	if namespace, ok := ctx.Value(namespaceKey{}).(string); ok {
		return namespace
	}
	return instance.Default
}

// Prefix is what [Namespaces] took off the path: "" or "/ns/<namespace>". Answers that hold addresses of this server begin their
// paths with it.
func Prefix(ctx context.Context) string {
	if namespace, ok := ctx.Value(namespaceKey{}).(string); ok {
		return NamespacePrefix + namespace
	}
	return ""
}

type leavingKey struct{}

// WithLeaving returns a context that tells requests when the server wants to stop: those that wait for news end then, with what
// there is, and their clients ask another node.
func WithLeaving(ctx context.Context, leaving context.Context) context.Context {
	return context.WithValue(ctx, leavingKey{}, leaving)
}

// Waiting returns a context for waiting, which ends with the request, when the server wants to stop, or when cancel is called.
func Waiting(ctx context.Context) (context.Context, context.CancelFunc) {
	waiting, cancel := context.WithCancel(ctx)
	leaving, ok := ctx.Value(leavingKey{}).(context.Context)
	if !ok {
		return waiting, cancel
	}
	stop := context.AfterFunc(leaving, cancel)
	return waiting, func() { stop(); cancel() }
}
