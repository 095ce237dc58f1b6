package eureka

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
)

// Prefix is what the paths of this language begin with.
const Prefix = "/eureka/"

// Bounds of bodies. An instance of Eureka is some 2 KB; servers replicate up to 250 operations at once.
const (
	maxRegistrationBytes = 128 << 10
	maxBatchBytes        = 8 << 20
)

// Options say what the language works with. Instances and Access are required.
type Options struct {
	Instances *instance.Registry
	Access    edge.Authenticator
	Logger    *slog.Logger
}

// Handler answers Eureka's clients and servers. It is safe for concurrent use.
type Handler struct {
	registry   *instance.Registry
	access     edge.Authenticator
	log        *slog.Logger
	catalogues catalogues
	packer     packer
}

// New makes a handler for the paths under [Prefix].
func New(options Options) *Handler {
	h := &Handler{registry: options.Instances, access: options.Access, log: options.Logger}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	h.catalogues.registry, h.catalogues.costly = options.Instances, costly
	return h
}

// answer is what an operation answers.
type answer struct {
	status int
	// format and body are empty where Eureka answers with a status alone.
	format format
	body   []byte
	gzip   bool // the body is compressed
}

// operation is a request, taken apart.
type operation struct {
	*Handler
	namespace string
	// path has the parts after "/eureka/" and "v2/", unescaped.
	path       []string
	query      url.Values
	format     format
	gzip       bool
	replicated bool
	read       func(limit int64) ([]byte, error) // the body
}

// maxParts bounds a path: apps/{app}/{id}/metadata.
const maxParts = 4

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	op, err := h.take(w, r)
	if err != nil {
		h.refuse(w, r, err, false)
		return
	}
	renewal := r.Method == http.MethodPut && op.path[0] == "apps" && len(op.path) == 3
	ctx, err := h.identify(r)
	if err != nil {
		h.refuse(w, r, err, renewal)
		return
	}
	a, err := op.serve(ctx, r.Method)
	if err != nil {
		h.refuse(w, r, err, renewal)
		return
	}
	h.write(w, r, a)
}

// identify finds the credential: a user and a password as service addresses have them, or a token in the password's place with any user, or
// any other Authorization header.
func (h *Handler) identify(r *http.Request) (context.Context, error) {
	var own access.Credential
	if _, password, ok := r.BasicAuth(); ok && access.LooksLikeToken(password) {
		own.Token = password
	}
	return edge.Identify(r, h.access, own)
}

func (h *Handler) take(w http.ResponseWriter, r *http.Request) (*operation, error) {
	op := &operation{Handler: h, namespace: edge.Namespace(r.Context()), gzip: accepts(r.Header, "Accept-Encoding", "gzip"),
		replicated: strings.EqualFold(r.Header.Get("X-Netflix-Discovery-Replication"), "true")}
	if accepts(r.Header, "Accept", "json") {
		op.format = formatJSON
	}
	if strings.EqualFold(r.Header.Get("X-Eureka-Accept"), "compact") {
		op.format++
	}
	escaped := strings.TrimPrefix(r.URL.EscapedPath(), Prefix)
	escaped = strings.TrimSuffix(strings.TrimPrefix(escaped, "v2/"), "/")
	for part := range strings.SplitSeq(escaped, "/") {
		plain, err := url.PathUnescape(part)
		if err != nil || plain == "" || len(plain) > instance.MaxIDBytes || len(op.path) == maxParts {
			return nil, errNoSuchPath(r.URL.Path)
		}
		op.path = append(op.path, plain)
	}
	if r.URL.RawQuery != "" {
		var err error
		if op.query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
			return nil, invalid("query", "cannot be read").Hinted("escape the parameters").Because(err)
		}
	}
	op.read = func(limit int64) ([]byte, error) { return readBody(w, r, limit) }
	return op, nil
}

// accepts reports whether a header names something.
func accepts(header http.Header, name, what string) bool {
	for _, value := range header[name] {
		if strings.Contains(value, what) {
			return true
		}
	}
	return false
}

// readBody reads a body that may be compressed, as Eureka's servers can; the limit holds before and after.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	body, err := edge.Body(w, r, limit)
	if err != nil || !accepts(r.Header, "Content-Encoding", "gzip") {
		return body, err
	}
	unpacked, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, errBody(err)
	}
	body, err = io.ReadAll(io.LimitReader(unpacked, limit+1))
	switch {
	case err != nil:
		return nil, errBody(err)
	case int64(len(body)) > limit:
		return nil, fault.New(fault.TooLarge, "request.too_large", "the body has more than %d bytes", limit).At("body").
			Hinted("send at most %d bytes", limit)
	}
	return body, nil
}

func errNoSuchPath(path string) *fault.Error {
	return fault.New(fault.NotFound, "eureka.unknown_path", "there is nothing at %q", cut(path)).
		Hinted("the service address of clients is http://host:port/eureka/")
}

func errMethod() *fault.Error {
	return fault.New(fault.Invalid, reasonMethod, "the method does not fit the path").Hinted("see the REST operations of Eureka")
}

// reasonMethod is the reason of what is answered with 405.
const reasonMethod = "eureka.method"

// serve finds the operation.
func (op *operation) serve(ctx context.Context, method string) (answer, error) {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	path := op.path
	get := method == http.MethodGet
	switch {
	case path[0] == "apps" && len(path) >= 3:
		return op.serveInstance(ctx, method)
	case path[0] == "apps" && len(path) == 2 && method == http.MethodPost:
		return op.register(ctx, path[1])
	case path[0] == "peerreplication" && len(path) == 2 && path[1] == "batch":
		if method != http.MethodPost {
			return answer{}, errMethod()
		}
		return op.batch(ctx)
	case path[0] != "apps" && path[0] != "vips" && path[0] != "svips" && path[0] != "instances",
		len(path) > 2, path[0] != "apps" && len(path) != 2:
		return answer{}, errNoSuchPath(strings.Join(path, "/"))
	case !get:
		return answer{}, errMethod()
	}
	if err := access.Require(ctx, access.View|access.Serve, op.namespace); err != nil {
		return answer{}, err
	}
	catalogue := op.catalogues.of(op.namespace)
	switch {
	case path[0] == "vips", path[0] == "svips":
		return op.byAddress(catalogue.current(), path[1], path[0] == "svips"), nil
	case path[0] == "instances":
		return op.instanceAnywhere(catalogue.current(), path[1])
	case len(path) == 1:
		return op.document(catalogue.affordable().whole(op.format, op.gzip, &op.packer), op.gzip), nil
	case path[1] == "delta":
		e := catalogue.affordable()
		return op.document(e.delta(catalogue, op.format, op.gzip, &op.packer), op.gzip), nil
	default:
		return op.oneApplication(catalogue.current(), path[1])
	}
}

// serveInstance finds the operations under apps/{app}/{id}.
func (op *operation) serveInstance(ctx context.Context, method string) (answer, error) {
	app, id, of := op.path[1], op.path[2], ""
	if len(op.path) == maxParts {
		of = op.path[3]
	}
	switch {
	case of == "" && method == http.MethodGet:
		if err := access.Require(ctx, access.View|access.Serve, op.namespace); err != nil {
			return answer{}, err
		}
		return op.oneInstance(app, id)
	case of == "status" && (method == http.MethodPut || method == http.MethodDelete):
		// An operator's act, or a service's about itself.
		if err := access.Require(ctx, access.Operate|access.Serve, op.namespace); err != nil {
			return answer{}, err
		}
		if method == http.MethodPut {
			return answer{status: http.StatusOK}, op.setStatus(ctx, app, id, op.query.Get("value"))
		}
		return answer{status: http.StatusOK}, op.clearStatus(ctx, app, id)
	case of != "" && of != "metadata" && of != "status":
		return answer{}, errNoSuchPath(strings.Join(op.path, "/"))
	}
	if err := access.Require(ctx, access.Serve, op.namespace); err != nil {
		return answer{}, err
	}
	switch {
	case of == "" && method == http.MethodPut:
		return op.renew(ctx, app, id, op.query.Get("lastDirtyTimestamp"))
	case of == "" && method == http.MethodDelete:
		return answer{status: http.StatusOK}, op.cancel(ctx, app, id)
	case of == "metadata" && method == http.MethodPut:
		return answer{status: http.StatusOK}, op.setMetadata(ctx, app, id)
	}
	return answer{}, errMethod()
}

// headerError carries what was wrong where a body would mislead clients.
const headerError = "X-Gantry-Error"

// refuse answers an error: its status, which is all that clients look at, and what was wrong as text. Upon a renewal Netflix's client takes any body
// for an instance and gives up when it is none, so that the text is in a header there.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, err error, renewal bool) {
	f, ok := fault.As(err)
	status := edge.Status(err)
	message := "internal error"
	switch {
	case ok:
		message = f.Error()
		if f.Reason == reasonMethod {
			status = http.StatusMethodNotAllowed
		}
	case errors.Is(err, context.Canceled):
		return // nobody is there any more
	default:
		h.log.Error("an operation failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="gantry"`)
	}
	if renewal {
		w.Header().Set(headerError, message)
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(status)
		return
	}
	http.Error(w, message, status)
}

func (h *Handler) write(w http.ResponseWriter, r *http.Request, a answer) {
	header := w.Header()
	if len(a.body) > 0 {
		header.Set("Content-Type", a.format.contentType())
		header.Set("Vary", "Accept, Accept-Encoding, X-Eureka-Accept")
	}
	if a.gzip {
		header.Set("Content-Encoding", "gzip")
	}
	if a.status != http.StatusNoContent {
		header.Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	w.WriteHeader(a.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(a.body) // the reader may be gone
	}
}
