package native

import (
	"context"
	"log/slog"
	"net/http"

	"connectrpc.com/connect"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/release"
	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/alert"
	"github.com/gantry-platform/gantry/internal/signal/event"
	"github.com/gantry-platform/gantry/internal/signal/fanout"
	"github.com/gantry-platform/gantry/internal/signal/live"
	"github.com/gantry-platform/gantry/internal/state"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
	"github.com/gantry-platform/gantry/sdk/api/gantry/v1/gantryv1connect"
)

// Peers ask the other nodes of the cluster. Nil where there are none.
type Peers interface {
	// Applied asks all other nodes what their sessions run of a document; missing are nodes that did not answer.
	Applied(ctx context.Context, ref *gantryv1.DocumentRef) (reports []*gantryv1.AppliedReport, missing []string)
	// AppliedBy asks all other nodes what their sessions of a service, or of one instance, run.
	AppliedBy(ctx context.Context, service *gantryv1.ServiceRef, instance string) (reports []*gantryv1.AppliedReport, missing []string)
	// CountApplied asks all other nodes how far their sessions have applied documents, one answer a document.
	CountApplied(ctx context.Context, refs []*gantryv1.DocumentRef) (counts []*gantryv1.AppliedSummary, missing []string)
	// Describe asks all other nodes for their own figures, by node id.
	Describe(ctx context.Context) map[string]*gantryv1.Node
}

// Options say what the protocol speaks for. All but Peers and Alerts are required.
type Options struct {
	Store     *state.Store
	Access    *access.Manager
	Instances *instance.Registry
	Releases  *release.Releaser
	// Events takes events, and knows the feed of changes.
	Events *event.Room
	Peers  Peers
	Logger *slog.Logger
	// FindEvents answers about events, of all nodes.
	FindEvents *fanout.Events
	// Topology answers what services do.
	Topology Topology
	// Traces finds traces.
	Traces signal.TraceReader
	// Version of the server.
	Version string
	// Describe answers this node's own figures.
	Describe func() *gantryv1.Node
	// Warnings are what an operator should look at.
	Warnings func() []string
	// Live tells what moves.
	Live *live.Room
	// Alerts evaluates alerts; nil where this node does not.
	Alerts *alert.Engine
}

// API serves the native protocol.
type API struct {
	Options
	sessions sessions
}

// New makes the API.
func New(o Options) *API {
	api := &API{Options: o}
	api.sessions.open = map[*session]struct{}{}
	return api
}

// maxRequestBytes bounds a request: a document of 1 MiB, in base64 when it comes as JSON, and what stands around it.
const maxRequestBytes = 2 << 20

// Register puts the services onto a mux.
func (a *API) Register(mux *http.ServeMux) {
	options := []connect.HandlerOption{
		connect.WithCodec(jsonCodec{"json"}), connect.WithCodec(jsonCodec{"json; charset=utf-8"}),
		connect.WithReadMaxBytes(maxRequestBytes),
		// Answers are small and the network is near: compressing costs more than it saves, unless it is a lot.
		connect.WithCompressMinBytes(16 << 10),
		connect.WithInterceptors(&interceptor{api: a}),
	}
	handle := func(path string, handler http.Handler) { mux.Handle(path, notKept(handler)) }
	handle(gantryv1connect.NewInstanceServiceHandler(&instanceService{api: a}, options...))
	handle(gantryv1connect.NewReleaseServiceHandler(&releaseService{api: a}, options...))
	handle(gantryv1connect.NewAccessServiceHandler(&accessService{api: a}, options...))
	handle(gantryv1connect.NewClusterServiceHandler(&clusterService{api: a}, options...))
	handle(gantryv1connect.NewTraceServiceHandler(&traceService{api: a}, options...))
	handle(gantryv1connect.NewTopologyServiceHandler(&topologyService{api: a}, options...))
	handle(gantryv1connect.NewEventServiceHandler(&eventService{api: a}, options...))
	mux.HandleFunc("POST "+EventsPath+"{topic}", a.postEvents)
	handle(gantryv1connect.NewAlertServiceHandler(&alertService{api: a}, options...))
	path, handler := gantryv1connect.NewLiveServiceHandler(&liveService{api: a}, options...)
	handle(path, bounded(handler))
}

// notKept lets nobody on the way keep an answer: what is asked by GET is of this moment and for this caller alone, and may be a secret document.
func notKept(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// interceptor says who is calling before a method runs, and turns its error into Connect's after it.
type interceptor struct{ api *API }

func (i *interceptor) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		ctx, err := i.api.identify(ctx, request.Header().Get("Authorization"), request.Peer().Addr)
		if err != nil {
			return nil, i.api.connectError(request.Spec().Procedure, err)
		}
		response, err := next(ctx, request)
		if err != nil {
			return nil, i.api.connectError(request.Spec().Procedure, err)
		}
		return response, nil
	}
}

func (i *interceptor) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

func (i *interceptor) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, connection connect.StreamingHandlerConn) error {
		ctx, err := i.api.identify(ctx, connection.RequestHeader().Get("Authorization"), connection.Peer().Addr)
		if err == nil {
			err = next(ctx, connection)
		}
		if err != nil {
			return i.api.connectError(connection.Spec().Procedure, err)
		}
		return nil
	}
}

// identify puts the caller into the context. A caller without credentials is anonymous and may log in.
func (a *API) identify(ctx context.Context, authorization, source string) (context.Context, error) {
	credential, err := access.ParseAuthorization(authorization)
	if err != nil {
		return ctx, err
	}
	credential.Source = source
	identity, err := a.Access.Authenticate(ctx, credential)
	if err != nil {
		return ctx, err
	}
	return access.NewContext(ctx, identity), nil
}

func (a *API) connectError(procedure string, err error) error {
	a.logInternal(procedure, err)
	return connectError(err)
}

// logInternal keeps what callers are not told.
func (a *API) logInternal(procedure string, err error) {
	f := fault.From(err)
	if f.Code == fault.Internal {
		a.Logger.Error("a request failed", "procedure", procedure, "error", err)
	}
}
