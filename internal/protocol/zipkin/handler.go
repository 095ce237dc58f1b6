package zipkin

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
)

// The paths of this language: under a prefix of its own on the HTTP port, and Zipkin's own path, for clients that know a port alone.
const (
	Prefix = "/zipkin/"
	Path   = "/api/v2/spans"
)

// Ingest takes an OTLP trace request in protobuf, and returns when it is durable.
type Ingest func(ctx context.Context, namespace string, raw []byte) error

// Options say what the language works with. All but Logger and Clock are required.
type Options struct {
	Ingest Ingest
	Access edge.Authenticator
	// HasNamespace tells whether a namespace exists.
	HasNamespace func(name string) bool
	Logger       *slog.Logger
	// Clock is for tests.
	Clock func() time.Time
}

// Handler receives spans. It is safe for concurrent use.
type Handler struct{ Options }

// New makes a handler for the paths /zipkin/api/v2/spans and /api/v2/spans.
func New(o Options) *Handler {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return &Handler{o}
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, strings.TrimSuffix(Prefix, "/"))
	switch {
	case path == "/health" || path == "/api/v2/health":
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"status":"UP"}`)
	case path != Path:
		http.Error(w, "spans are sent to POST "+Path+"; they are asked for by Jaeger's API, /jaeger/api/", http.StatusNotFound)
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "spans are sent by POST", http.StatusMethodNotAllowed)
	default:
		if err := h.receive(w, r); err != nil {
			h.refuse(w, r, err)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	}
}

func (h *Handler) receive(w http.ResponseWriter, r *http.Request) error {
	// Whoever names no type is taken at his word, as Zipkin does.
	if kind := r.Header.Get("Content-Type"); kind != "" {
		if kind, _, err := mime.ParseMediaType(kind); err != nil || kind != "application/json" {
			return errMediaType
		}
	}
	ctx, err := edge.Identify(r, h.Access, access.Credential{})
	if err != nil {
		return err
	}
	namespace := edge.NamespaceOf(r)
	if err := h.admit(ctx, namespace); err != nil {
		return err
	}
	body, err := bodyOf(w, r)
	if err != nil {
		return err
	}
	converter := newConverter(h.Clock())
	if err := decode(body, converter.add); err != nil {
		return err
	}
	raw := converter.encode()
	if len(raw) == 0 {
		return nil // an empty list is Zipkin's way to ask whether somebody is there
	}
	return h.Ingest(ctx, namespace, raw)
}

// admit asks whether the caller may send to a namespace.
func (h *Handler) admit(ctx context.Context, namespace string) error {
	if err := instance.CheckNamespace(namespace); err != nil {
		return err
	}
	if err := access.Require(ctx, access.Serve, namespace); err != nil {
		return err
	}
	if !h.HasNamespace(namespace) {
		return fault.New(fault.NotFound, "namespace.unknown", "there is no namespace %q", namespace).At(edge.NamespaceHeader).
			Hinted("create it first, such as with `gantry namespace create`")
	}
	return nil
}

var errMediaType = errors.New("Content-Type must be application/json: a list of spans in Zipkin's JSON, version 2")

// bodyOf is the body, unpacked, of at most maxBytes before and after.
func bodyOf(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	var body io.Reader = http.MaxBytesReader(w, r.Body, maxBytes)
	var err error
	switch encoding := strings.ToLower(r.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
	case "gzip":
		body, err = gzip.NewReader(body)
	default:
		return nil, fault.New(fault.Invalid, "zipkin.encoding", "the body is encoded by %q", clip(encoding)).At("Content-Encoding").Hinted("use gzip or none")
	}
	var raw []byte
	if err == nil {
		raw, err = io.ReadAll(io.LimitReader(body, maxBytes+1))
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge) || len(raw) > maxBytes:
		return nil, fault.New(fault.TooLarge, "zipkin.too_large", "the spans have more than %d bytes", maxBytes).Hinted("send fewer at once")
	case err != nil:
		return nil, fault.New(fault.Invalid, "zipkin.malformed", "the body breaks off, or is not packed by gzip as Content-Encoding says").Because(err)
	}
	return raw, nil
}

// retryAfter is how long, in seconds, a sender is asked to wait.
const retryAfter = "2"

// refuse answers an error as Zipkin does: a status and a line of text, which reporters log.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, errMediaType) {
		http.Error(w, err.Error(), http.StatusUnsupportedMediaType)
		return
	}
	f := fault.From(err)
	status := edge.Status(f)
	switch f.Code {
	case fault.Exhausted, fault.Unavailable:
		w.Header().Set("Retry-After", retryAfter)
	case fault.Unauthenticated:
		w.Header().Set("WWW-Authenticate", `Bearer realm="gantry", Basic realm="gantry"`)
	case fault.Internal:
		h.Logger.Error("spans were not taken", "path", r.URL.Path, "error", err)
	}
	http.Error(w, f.Error(), status)
}
