package prometheus

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/httputil"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
	"github.com/gantry-platform/gantry/internal/signal/series"
)

// Prefix begins all paths of the API.
const Prefix = "/prometheus/api/v1/"

// Bounds of requests.
const (
	// maxForm is the largest form: a query of 64 KiB, encoded.
	maxForm = 256 << 10
	// maxWrite is the largest compressed body of remote write and read. Prometheus sends at most 2,000 samples a request by default: below 1 MiB.
	maxWrite = 16 << 20
	// listTimeout bounds look-ups of series and labels.
	listTimeout = time.Minute
	// maxListing is how many series, labels or values one answer has at most.
	maxListing = 100_000
	// listings and transfers are how many look-ups and remote reads or writes are served at once; more are told to come later.
	listings, transfers = 16, 16
)

// Options are what the handler speaks for.
type Options struct {
	Series *series.Store
	Access edge.Authenticator
	// HasNamespace tells whether a namespace is there, so that nothing is written into one that is not. Nil: any is.
	HasNamespace func(string) bool
	// Rules tells what is watched. Nil: nothing is.
	Rules Rules
	// Targets tells what is scraped. Nil: nothing is.
	Targets Targets
	Version string
	Logger  *slog.Logger
}

// Handler serves the API.
type Handler struct {
	options   Options
	parser    parser.Parser
	routes    *http.ServeMux
	listings  chan struct{}
	transfers chan struct{}
}

// New makes the handler.
func New(options Options) *Handler {
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	h := &Handler{options: options, parser: parser.NewParser(parser.Options{}), routes: http.NewServeMux(),
		listings: make(chan struct{}, listings), transfers: make(chan struct{}, transfers)}
	for path, serve := range map[string]func(*question) (any, error){
		"query": query, "query_range": queryRange, "query_exemplars": queryExemplars, "format_query": h.formatQuery,
		"series": h.limited(findSeries), "labels": h.limited(labelNames),
	} {
		h.handle("GET "+path, serve)
		h.handle("POST "+path, serve)
	}
	for path, serve := range map[string]func(*question) (any, error){
		"label/{name}/values": h.limited(labelValues), "metadata": metricMetadata, "status/buildinfo": h.buildInfo, "status/tsdb": statistics,
		"rules": h.rules, "alerts": h.alerts, "targets": h.targets,
	} {
		h.handle("GET "+path, serve)
	}
	h.routes.HandleFunc("POST "+Prefix+"read", h.remoteRead)
	h.routes.HandleFunc("POST "+Prefix+"write", h.remoteWrite)
	return h
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	handler, pattern := h.routes.Handler(r)
	if pattern == "" {
		// Also a method that is not served: the mux says which are.
		recorder := &refusal{header: http.Header{}}
		handler.ServeHTTP(recorder, r)
		if allow := recorder.header.Get("Allow"); allow != "" {
			w.Header().Set("Allow", allow)
			h.fail(w, r, fault.New(fault.Invalid, "request.bad_method", "%s is not served at this path", r.Method).Hinted("use %s", allow), http.StatusMethodNotAllowed)
			return
		}
		h.fail(w, r, fault.New(fault.NotFound, "request.no_such_path", "there is nothing at %s", r.URL.Path).Hinted("see docs/signals/metrics.md for what is served"), 0)
		return
	}
	h.routes.ServeHTTP(w, r)
}

// refusal takes what the mux says to a request that nobody serves.
type refusal struct{ header http.Header }

func (r *refusal) Header() http.Header         { return r.header }
func (r *refusal) Write(p []byte) (int, error) { return len(p), nil }
func (r *refusal) WriteHeader(int)             {}

// question is one request with what its caller may see.
type question struct {
	request *http.Request
	view    *series.View
	parser  parser.Parser
	// warnings and infos go beside the answer.
	warnings, infos []string
}

// handle serves a path of the API whose answers have Prometheus's envelope.
func (h *Handler) handle(pattern string, serve func(*question) (any, error)) {
	method, path, _ := strings.Cut(pattern, " ")
	plain := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, view, err := h.view(r)
		if err != nil {
			h.fail(w, r, err, 0)
			return
		}
		r = r.WithContext(ctx)
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := r.ParseForm(); err != nil {
			h.fail(w, r, fault.New(fault.Invalid, "request.bad_form", "the form cannot be read: %v", err).Hinted("send a form of at most %d bytes", maxForm), 0)
			return
		}
		q := &question{request: r, view: view, parser: h.parser}
		data, err := serve(q)
		if err != nil {
			h.fail(w, r, err, 0)
			return
		}
		h.answer(w, r, q, data)
	})
	h.routes.Handle(method+" "+Prefix+path, httputil.CompressionHandler{Handler: plain})
}

// view says who asks, and what they may see.
func (h *Handler) view(r *http.Request) (context.Context, *series.View, error) {
	ctx, err := edge.Identify(r, h.options.Access, access.Credential{})
	if err != nil {
		return nil, nil, err
	}
	if edge.Prefix(ctx) != "" {
		namespace := edge.Namespace(ctx)
		return ctx, h.options.Series.In(namespace), access.Require(ctx, access.View, namespace)
	}
	if err := access.Require(ctx, access.View, "*"); err != nil {
		if f, ok := fault.As(err); ok && f.Code == fault.Forbidden {
			err = f.Hinted("this path shows all namespaces; of one alone ask below /ns/<namespace>%s", Prefix)
		}
		return nil, nil, err
	}
	return ctx, h.options.Series.Whole(), nil
}

// limited serves so many look-ups at once, each for a bounded time.
func (h *Handler) limited(serve func(*question) (any, error)) func(*question) (any, error) {
	return func(q *question) (any, error) {
		select {
		case h.listings <- struct{}{}:
		default:
			return nil, tooBusy()
		}
		defer func() { <-h.listings }()
		ctx, cancel := context.WithTimeout(q.request.Context(), listTimeout)
		defer cancel()
		q.request = q.request.WithContext(ctx)
		return serve(q)
	}
}

func tooBusy() error {
	return fault.New(fault.Exhausted, "query.too_many", "too many requests of this kind are under way").Hinted("try again in a few seconds")
}
