package otlp

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // exporters compress by it
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
	"github.com/gantry-platform/gantry/internal/signal/ingest"
)

// message is a request or an answer as its bytes.
type message struct{ bytes []byte }

// codec hands messages through as bytes: traces are decoded by package wire, and kept as they came.
type codec struct{}

// Name is "proto": it is what the bytes are.
func (codec) Name() string { return "proto" }

func (codec) Marshal(v any) (mem.BufferSlice, error) {
	m, ok := v.(*message)
	if !ok {
		return nil, fmt.Errorf("otlp: cannot encode a %T", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(m.bytes)}, nil
}

func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(*message)
	if !ok {
		return fmt.Errorf("otlp: cannot decode into a %T", v)
	}
	m.bytes = data.Materialize() // a copy: the transport uses its buffers again
	return nil
}

// Of a connection of an exporter: batches are large and few.
const (
	grpcWindow  = 1 << 20
	grpcBuffer  = 32 << 10
	grpcStreams = 100
)

// NewServer makes a gRPC server of the three services. Options add credentials.
func (r *Receiver) NewServer(options ...grpc.ServerOption) *grpc.Server {
	options = append([]grpc.ServerOption{grpc.ForceServerCodecV2(codec{}), grpc.MaxRecvMsgSize(ingest.MaxRequest), grpc.MaxConcurrentStreams(grpcStreams),
		grpc.InitialWindowSize(grpcWindow), grpc.InitialConnWindowSize(2 * grpcWindow), grpc.ReadBufferSize(grpcBuffer), grpc.WriteBufferSize(4 << 10),
		grpc.ConnectionTimeout(10 * time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 2 * time.Minute, Timeout: 20 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true})}, options...)
	server := grpc.NewServer(options...)
	for _, kind := range signals() {
		server.RegisterService(&grpc.ServiceDesc{ServiceName: kind.service, HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{MethodName: "Export",
			Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				return r.export(ctx, kind, decode)
			}}}}, r)
	}
	return server
}

func (r *Receiver) export(ctx context.Context, kind signalKind, decode func(any) error) (any, error) {
	ctx, namespace, err := edge.IdentifyCall(ctx, r.options.Access)
	if err != nil {
		return nil, grpcError(err)
	}
	if err := r.admit(ctx, namespace); err != nil {
		return nil, grpcError(err)
	}
	in := new(message)
	if err := decode(in); err != nil {
		return nil, err
	}
	result, err := kind.export(r, ctx, namespace, in.bytes, false)
	if err != nil {
		return nil, grpcError(err)
	}
	return &message{result.response()}, nil
}

// grpcError is an error in the protocol's words. RESOURCE_EXHAUSTED is only sent again by exporters when it comes with RetryInfo
// (https://opentelemetry.io/docs/specs/otlp/#failures).
func grpcError(err error) error {
	f := fault.From(err)
	s := status.New(edge.GRPCCode(f), f.Error())
	if retryable(f.Code) {
		if detailed, err := s.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(ingest.RetryAfter)}); err == nil {
			s = detailed
		}
	}
	return s.Err()
}

func retryable(code fault.Code) bool { return code == fault.Exhausted || code == fault.Unavailable }
