package jaeger

import (
	"context"
	"strings"
	"time"

	model "github.com/jaegertracing/jaeger-idl/model/v1"
	"github.com/jaegertracing/jaeger-idl/proto-gen/api_v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
	"github.com/gantry-platform/gantry/internal/signal"
)

// maxChunk is how many bytes of spans one message of a stream holds: clients take 4 MB by default.
const maxChunk = 1 << 20

// Register puts jaeger.api_v2.QueryService onto a gRPC server.
//
// Jaeger's messages are made by gogo/protobuf, which grpc-go's codec cannot carry, and a codec holds for a whole server, which has other services
// too. So a message travels as the unknown fields of an empty one: the same bytes.
func (h *Handler) Register(server grpc.ServiceRegistrar) {
	server.RegisterService(&grpc.ServiceDesc{ServiceName: "jaeger.api_v2.QueryService", HandlerType: (*any)(nil), Metadata: "query.proto",
		Methods: []grpc.MethodDesc{
			unary(h, "GetServices", h.getServices), unary(h, "GetOperations", h.getOperations), unary(h, "GetDependencies", h.getDependencies),
			unary(h, "ArchiveTrace", h.archiveTrace),
		},
		Streams: []grpc.StreamDesc{stream(h, "GetTrace", h.getTrace), stream(h, "FindTraces", h.findTraces)},
	}, h)
}

// message is a message of gogo/protobuf.
type message interface {
	Marshal() ([]byte, error)
	Unmarshal([]byte) error
}

func receive(decode func(any) error, into message) error {
	var carrier emptypb.Empty
	if err := decode(&carrier); err != nil {
		return err
	}
	if err := into.Unmarshal(carrier.ProtoReflect().GetUnknown()); err != nil {
		return status.Error(codes.InvalidArgument, "the request cannot be read: "+text(err.Error()))
	}
	return nil
}

func carry(m message) (*emptypb.Empty, error) {
	raw, err := m.Marshal()
	if err != nil {
		return nil, status.Error(codes.Internal, "the answer cannot be written")
	}
	var carrier emptypb.Empty
	carrier.ProtoReflect().SetUnknown(raw)
	return &carrier, nil
}

func unary[T any, R message, M interface {
	*T
	message
}](h *Handler, name string, answer func(context.Context, string, M) (R, error)) grpc.MethodDesc {
	return grpc.MethodDesc{MethodName: name, Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		ctx, namespace, err := h.admit(ctx)
		if err != nil {
			return nil, h.grpcError(name, err)
		}
		request := M(new(T))
		if err := receive(decode, request); err != nil {
			return nil, err
		}
		response, err := answer(ctx, namespace, request)
		if err != nil {
			return nil, h.grpcError(name, err)
		}
		return carry(response)
	}}
}

func stream[T any, M interface {
	*T
	message
}](h *Handler, name string, answer func(context.Context, string, M) (found, error)) grpc.StreamDesc {
	return grpc.StreamDesc{StreamName: name, ServerStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
		ctx, namespace, err := h.admit(s.Context())
		if err != nil {
			return h.grpcError(name, err)
		}
		request := M(new(T))
		if err := receive(s.RecvMsg, request); err != nil {
			return err
		}
		f, err := answer(ctx, namespace, request)
		if err != nil {
			return h.grpcError(name, err)
		}
		return send(s, &f)
	}}
}

// admit says who asks, and for which namespace, and whether he may.
func (h *Handler) admit(ctx context.Context) (context.Context, string, error) {
	ctx, namespace, err := edge.IdentifyCall(ctx, h.Access)
	if err != nil {
		return nil, "", err
	}
	return ctx, namespace, mayView(ctx, namespace)
}

func (h *Handler) grpcError(method string, err error) error {
	f := fault.From(err)
	code := edge.GRPCCode(f)
	if code == codes.Internal {
		h.Logger.Error("a question for traces failed", "method", method, "error", err)
	}
	return status.Error(code, f.Error())
}

// send writes the spans of traces in chunks.
func send(s grpc.ServerStream, f *found) error {
	var chunk api_v2.SpansResponseChunk
	size := 0
	flush := func() error {
		if len(chunk.Spans) == 0 {
			return nil
		}
		carrier, err := carry(&chunk)
		if err != nil {
			return err
		}
		chunk.Spans, size = chunk.Spans[:0], 0
		return s.SendMsg(carrier)
	}
	for i := range f.traces {
		t := traceOf(&f.traces[i])
		for j, span := range t.Spans {
			if j == 0 {
				span.Warnings = append(span.Warnings, t.Warnings...) // a stream of spans has no other place for them
				if i == len(f.traces)-1 {
					span.Warnings = append(span.Warnings, f.leftOut...)
				}
			}
			n := span.Size()
			if size+n > maxChunk {
				if err := flush(); err != nil {
					return err
				}
			}
			chunk.Spans = append(chunk.Spans, *span)
			size += n
		}
	}
	return flush()
}

func (h *Handler) getServices(ctx context.Context, namespace string, _ *api_v2.GetServicesRequest) (*api_v2.GetServicesResponse, error) {
	names, err := h.Traces.Services(ctx, namespace, signal.Range{})
	return &api_v2.GetServicesResponse{Services: names}, err
}

func (h *Handler) getOperations(ctx context.Context, namespace string, r *api_v2.GetOperationsRequest) (*api_v2.GetOperationsResponse, error) {
	if r.Service == "" {
		return nil, fault.New(fault.Invalid, "jaeger.bad_parameter", "no service is named").At("service")
	}
	all, err := h.operationsOf(ctx, namespace, r.Service, r.SpanKind)
	if err != nil {
		return nil, err
	}
	answer := &api_v2.GetOperationsResponse{}
	for _, o := range all {
		answer.Operations = append(answer.Operations, &api_v2.Operation{Name: o.Name, SpanKind: o.Kind})
		answer.OperationNames = append(answer.OperationNames, o.Name)
	}
	return answer, nil
}

func (h *Handler) getDependencies(ctx context.Context, namespace string, r *api_v2.GetDependenciesRequest) (*api_v2.GetDependenciesResponse, error) {
	since, until := given(r.StartTime), given(r.EndTime)
	if until.IsZero() {
		until = h.Clock()
	}
	if since.IsZero() {
		since = until.Add(-24 * time.Hour)
	}
	all, _, err := h.dependenciesOf(ctx, namespace, since, until) // this answer has no place for what is missing
	if err != nil {
		return nil, err
	}
	answer := &api_v2.GetDependenciesResponse{}
	for _, d := range all {
		answer.Dependencies = append(answer.Dependencies, model.DependencyLink{Parent: d.Parent, Child: d.Child, CallCount: d.Calls})
	}
	return answer, nil
}

func (h *Handler) archiveTrace(context.Context, string, *api_v2.ArchiveTraceRequest) (*api_v2.ArchiveTraceResponse, error) {
	return nil, fault.New(fault.Precondition, "jaeger.no_archive", "there is no archive: traces are kept by age and size").Hinted("see --traces-retention")
}

// given is a time that was given: a message without one has 1970, or Go's zero.
func given(t time.Time) time.Time {
	if t.Unix() <= 0 {
		return time.Time{}
	}
	return t
}

func (h *Handler) getTrace(ctx context.Context, namespace string, r *api_v2.GetTraceRequest) (found, error) {
	id := ourTraceID(r.TraceID)
	if id.IsZero() {
		return found{}, fault.New(fault.Invalid, "jaeger.bad_parameter", "no trace is named").At("trace_id")
	}
	var f found
	_, err := h.add(ctx, &f, namespace, id, signal.Range{Since: given(r.StartTime), Until: given(r.EndTime)})
	if err == nil && len(f.traces) == 0 {
		err = errNoTrace
	}
	return f, err
}

func (h *Handler) findTraces(ctx context.Context, namespace string, r *api_v2.FindTracesRequest) (found, error) {
	if r.Query == nil {
		return found{}, fault.New(fault.Invalid, "jaeger.bad_parameter", "there is no query").At("query")
	}
	p := r.Query
	q := signal.TraceQuery{Namespace: namespace, Service: p.ServiceName, Endpoint: p.OperationName, Since: given(p.StartTimeMin), Until: given(p.StartTimeMax),
		MinDuration: max(p.DurationMin, 0), MaxDuration: max(p.DurationMax, 0), Limit: defaultTraces}
	if p.SearchDepth > 0 {
		q.Limit = min(int(p.SearchDepth), maxTraces)
	}
	tags := map[string]string{}
	for key, value := range p.Tags {
		tags[strings.TrimSpace(key)] = value
	}
	if err := complete(&q, tags, h.Clock()); err != nil {
		return found{}, err
	}
	return h.find(ctx, q)
}
