package jaeger

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/red"
)

// Prefix is what the paths of this language begin with.
const Prefix = "/jaeger/"

// Topology answers who called whom.
type Topology interface {
	Topology(ctx context.Context, namespace string, since, until time.Time) (red.Graph, error)
}

// Options say what the language works with. All but Logger and Clock are required.
type Options struct {
	Traces   signal.TraceReader
	Topology Topology
	Access   edge.Authenticator
	Logger   *slog.Logger
	// Clock is for tests.
	Clock func() time.Time
}

// Handler answers Jaeger's query API. It is safe for concurrent use.
type Handler struct {
	Options
	mux *http.ServeMux
}

// New makes a handler for the paths under [Prefix].
func New(o Options) *Handler {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	h := &Handler{Options: o, mux: http.NewServeMux()}
	for path, operation := range map[string]operation{
		"GET /jaeger/api/services":                      h.services,
		"GET /jaeger/api/services/{service}/operations": h.operationNames,
		"GET /jaeger/api/operations":                    h.operations,
		"GET /jaeger/api/traces":                        h.traces,
		"GET /jaeger/api/traces/{id}":                   h.trace,
		"GET /jaeger/api/dependencies":                  h.dependencies,
	} {
		h.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { h.serve(w, r, operation) })
	}
	h.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		h.refuse(w, r, fault.New(fault.NotFound, "jaeger.unknown_path", "there is no %s %s", r.Method, r.URL.Path).
			Hinted("services, services/{service}/operations, operations, traces, traces/{id} and dependencies are served under /jaeger/api/"))
	})
	return h
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// operation answers the data of a request in a namespace that the caller may view.
type operation func(ctx context.Context, namespace string, r *http.Request) (envelope, error)

func (h *Handler) serve(w http.ResponseWriter, r *http.Request, o operation) {
	ctx, err := edge.Identify(r, h.Access, access.Credential{})
	var answer envelope
	if err == nil {
		namespace := edge.NamespaceOf(r)
		if err = mayView(ctx, namespace); err == nil {
			answer, err = o(ctx, namespace, r)
		}
	}
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	h.write(w, http.StatusOK, answer)
}

// mayView asks whether the caller may look into a namespace.
func mayView(ctx context.Context, namespace string) error {
	if err := instance.CheckNamespace(namespace); err != nil {
		return err
	}
	return access.Require(ctx, access.View, namespace)
}

func (h *Handler) write(w http.ResponseWriter, status int, answer envelope) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // fails when the caller is gone
}

// refuse answers an error in Jaeger's shape.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	f := fault.From(err)
	status := edge.Status(f)
	switch f.Code {
	case fault.Unauthenticated:
		w.Header().Set("WWW-Authenticate", `Bearer realm="gantry", Basic realm="gantry"`)
	case fault.Internal:
		h.Logger.Error("a question for traces failed", "path", r.URL.Path, "error", err)
	}
	h.write(w, status, envelope{Errors: []problem{{Code: status, Message: f.Error()}}})
}

func (h *Handler) services(ctx context.Context, namespace string, _ *http.Request) (envelope, error) {
	names, err := h.Traces.Services(ctx, namespace, signal.Range{})
	return list(names), err
}

func list(names []string) envelope {
	if names == nil {
		names = []string{}
	}
	return envelope{Data: names, Total: len(names)}
}

func (h *Handler) operationNames(ctx context.Context, namespace string, r *http.Request) (envelope, error) {
	names, err := h.Traces.Endpoints(ctx, namespace, r.PathValue("service"), signal.KindUnspecified, signal.Range{})
	return list(names), err
}

func (h *Handler) operations(ctx context.Context, namespace string, r *http.Request) (envelope, error) {
	service := r.URL.Query().Get("service")
	if service == "" {
		return envelope{}, fault.New(fault.Invalid, "jaeger.bad_parameter", "parameter 'service' is required").At("service")
	}
	all, err := h.operationsOf(ctx, namespace, service, r.URL.Query().Get("spanKind"))
	return envelope{Data: all, Total: len(all)}, err
}

// operationsOf lists a service's operations: of one kind, or all with the kinds they have.
func (h *Handler) operationsOf(ctx context.Context, namespace, service, kind string) ([]operationJSON, error) {
	kinds := []signal.Kind{signal.KindInternal, signal.KindServer, signal.KindClient, signal.KindProducer, signal.KindConsumer}
	if kind != "" {
		k, ok := signal.ParseKind(kind)
		if !ok || k == signal.KindUnspecified {
			return nil, badParameter("spanKind", kind).Hinted("it is server, client, producer, consumer or internal")
		}
		kinds = []signal.Kind{k}
	}
	all := []operationJSON{}
	for _, k := range kinds {
		names, err := h.Traces.Endpoints(ctx, namespace, service, k, signal.Range{})
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			all = append(all, operationJSON{Name: name, Kind: k.String()})
		}
	}
	return all, nil
}

// traces searches, or reads the traces that parameters traceID name.
func (h *Handler) traces(ctx context.Context, namespace string, r *http.Request) (envelope, error) {
	v := r.URL.Query()
	ids := v["traceID"]
	if len(ids) == 0 {
		q, err := search(namespace, v, h.Clock())
		if err != nil {
			return envelope{}, err
		}
		f, err := h.find(ctx, q)
		return f.envelope(), err
	}
	if len(ids) > maxConditions {
		return envelope{}, fault.New(fault.TooLarge, "jaeger.too_many", "%d traces are more than %d", len(ids), maxConditions).At("traceID")
	}
	var f found
	var missing []problem
	for _, text := range ids {
		id, ok := signal.ParseTraceID(text)
		if !ok {
			return envelope{}, badParameter("traceID", text)
		}
		before := len(f.traces)
		full, err := h.add(ctx, &f, namespace, id, signal.Range{})
		if err != nil {
			return envelope{}, err
		}
		if full {
			f.leftOut = append(f.leftOut, "trace "+text+" is left out: the answer would be too large")
		} else if len(f.traces) == before {
			missing = append(missing, problem{Message: "trace not found", TraceID: text})
		}
	}
	answer := f.envelope()
	answer.Errors = missing
	return answer, nil
}

func (f *found) envelope() envelope {
	all := make([]traceJSON, 0, len(f.traces))
	for i := range f.traces {
		all = append(all, traceToJSON(traceOf(&f.traces[i])))
	}
	if len(all) > 0 {
		all[len(all)-1].Warnings = append(all[len(all)-1].Warnings, f.leftOut...)
	}
	return envelope{Data: all, Total: len(all)}
}

func (h *Handler) trace(ctx context.Context, namespace string, r *http.Request) (envelope, error) {
	id, ok := signal.ParseTraceID(r.PathValue("id"))
	if !ok {
		return envelope{}, badParameter("traceID", r.PathValue("id"))
	}
	var within signal.Range
	var err error
	if within.Since, err = moment("start", r.URL.Query().Get("start")); err != nil {
		return envelope{}, err
	}
	if within.Until, err = moment("end", r.URL.Query().Get("end")); err != nil {
		return envelope{}, err
	}
	var f found
	if _, err := h.add(ctx, &f, namespace, id, within); err != nil {
		return envelope{}, err
	}
	if len(f.traces) == 0 {
		return envelope{}, errNoTrace
	}
	return f.envelope(), nil
}

var errNoTrace = fault.New(fault.NotFound, "trace.unknown", "trace not found")

func (h *Handler) dependencies(ctx context.Context, namespace string, r *http.Request) (envelope, error) {
	milliseconds := func(name string, or int64) (int64, error) {
		text := r.URL.Query().Get(name)
		if text == "" {
			return or, nil
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 || n > 1<<63/1_000_000-1 {
			return 0, badParameter(name, text).Hinted("it is milliseconds")
		}
		return n, nil
	}
	end, err := milliseconds("endTs", h.Clock().UnixMilli())
	if err != nil {
		return envelope{}, err
	}
	back, err := milliseconds("lookback", (24 * time.Hour).Milliseconds())
	if err != nil {
		return envelope{}, err
	}
	until := time.UnixMilli(end)
	all, missing, err := h.dependenciesOf(ctx, namespace, until.Add(-time.Duration(back)*time.Millisecond), until)
	answer := envelope{Data: all, Total: len(all)}
	for _, node := range missing {
		answer.Errors = append(answer.Errors, problem{Message: "calls are missing: node " + node + " does not answer"})
	}
	return answer, err
}

// dependenciesOf are the edges between services, and to what they call, over all protocols; missing are nodes that did not answer.
func (h *Handler) dependenciesOf(ctx context.Context, namespace string, since, until time.Time) (all []dependencyJSON, missing []string, err error) {
	graph, err := h.Topology.Topology(ctx, namespace, since, until)
	if err != nil {
		return nil, nil, err
	}
	services := map[string]bool{}
	for _, n := range graph.Nodes {
		services[n.Name] = services[n.Name] || n.Type == "service" || n.Type == "queue"
	}
	all = []dependencyJSON{}
	for _, e := range graph.Edges { // sorted by caller and callee
		if !services[e.Caller] {
			continue
		}
		if last := len(all) - 1; last >= 0 && all[last].Parent == e.Caller && all[last].Child == e.Callee {
			all[last].Calls += e.Calls
			continue
		}
		all = append(all, dependencyJSON{Parent: e.Caller, Child: e.Callee, Calls: e.Calls})
	}
	return all, graph.Missing, nil
}
