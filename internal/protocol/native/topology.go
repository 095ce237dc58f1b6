package native

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/signal/red"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// Topology answers what services do; see red.Room.
type Topology interface {
	Lane(ctx context.Context, namespace, lane string, since, until time.Time) (red.Graph, error)
	Services(ctx context.Context, namespace string, since, until time.Time) ([]red.ServiceFigures, red.Window, error)
	Endpoints(ctx context.Context, namespace, service string, since, until time.Time, order red.Order, limit int) ([]red.EndpointFigures, red.Window, error)
	Instances(ctx context.Context, namespace, service string, since, until time.Time) ([]red.InstanceFigures, red.Window, error)
	Errors(ctx context.Context, namespace, service string, limit int) ([]red.ErrorGroup, red.Window, error)
	Excesses(ctx context.Context, namespace string) ([]red.Excess, red.Window, error)
}

type topologyService struct{ api *API }

// How much one answer lists.
const (
	defaultEndpoints = 20
	defaultErrors    = 50
	mostListed       = 1000
)

func bounds(t *gantryv1.TimeSpan) (since, until time.Time) {
	if t.GetSince() != nil {
		since = t.Since.AsTime()
	}
	if t.GetUntil() != nil {
		until = t.Until.AsTime()
	}
	return since, until
}

func answered(w red.Window) *gantryv1.Answered {
	return &gantryv1.Answered{Since: timestamp(w.Since), Until: timestamp(w.Until), FromSeries: w.FromSeries, Partial: w.Partial, MissingNodes: w.Missing}
}

func figuresOf(f red.Figures) *gantryv1.Figures {
	return &gantryv1.Figures{Calls: f.Calls, Refused: f.Refused, Failed: f.Failed, Rate: f.Rate, Mean: durationpb.New(f.Mean), P50: durationpb.New(f.P50),
		P95: durationpb.New(f.P95), P99: durationpb.New(f.P99), Max: durationpb.New(f.Max)}
}

// listed is how many are answered.
func listed(asked, byDefault uint32) (int, error) {
	switch {
	case asked == 0:
		return int(byDefault), nil
	case asked > mostListed:
		return 0, fault.New(fault.Invalid, "request.out_of_range", "%d is more than %d", asked, mostListed).At("limit").Hinted("ask for less, or for one service")
	default:
		return int(asked), nil
	}
}

func (s *topologyService) Topology(ctx context.Context, r *gantryv1.TopologyRequest) (*gantryv1.TopologyResponse, error) {
	namespace, err := s.api.viewed(ctx, r.Namespace)
	if err != nil {
		return nil, err
	}
	since, until := bounds(r.Time)
	graph, err := s.api.Topology.Lane(ctx, namespace, r.Lane, since, until)
	if err != nil {
		return nil, err
	}
	answer := &gantryv1.TopologyResponse{Answered: answered(graph.Window), Lanes: graph.Lanes}
	near := map[string]bool{}
	for _, e := range graph.Edges {
		if r.Service != "" && e.Caller != r.Service && e.Callee != r.Service {
			continue
		}
		near[e.Caller], near[e.Callee] = true, true
		answer.Edges = append(answer.Edges, &gantryv1.TopologyEdge{Caller: e.Caller, Callee: e.Callee, CalleeType: e.CalleeType, Protocol: e.Protocol, Figures: figuresOf(e.Figures)})
	}
	for _, n := range graph.Nodes {
		if near[n.Name] {
			answer.Nodes = append(answer.Nodes, &gantryv1.TopologyNode{Name: n.Name, Type: n.Type, Figures: figuresOf(n.Figures)})
		}
	}
	return answer, nil
}

func (s *topologyService) ServiceFigures(ctx context.Context, r *gantryv1.ServiceFiguresRequest) (*gantryv1.ServiceFiguresResponse, error) {
	namespace, err := s.api.viewed(ctx, r.Namespace)
	if err != nil {
		return nil, err
	}
	since, until := bounds(r.Time)
	services, window, err := s.api.Topology.Services(ctx, namespace, since, until)
	if err != nil {
		return nil, err
	}
	excesses, _, err := s.api.Topology.Excesses(ctx, namespace)
	if err != nil {
		return nil, err
	}
	answer := &gantryv1.ServiceFiguresResponse{Answered: answered(window)}
	for _, f := range services {
		answer.Services = append(answer.Services, &gantryv1.ServiceFigure{Service: f.Service, Figures: figuresOf(f.Figures), Instances: uint32(f.Instances),
			Endpoints: uint32(f.Endpoints), Last: timestamp(f.Last)})
	}
	for _, e := range excesses {
		answer.Exceeded = append(answer.Exceeded, &gantryv1.ExceededLimit{Service: e.Service, What: e.What, Limit: uint32(e.Limit), Turned: e.Turned,
			Example: e.Example, Last: timestamp(e.Last)})
	}
	return answer, nil
}

func (s *topologyService) EndpointFigures(ctx context.Context, r *gantryv1.EndpointFiguresRequest) (*gantryv1.EndpointFiguresResponse, error) {
	namespace, err := s.api.viewed(ctx, r.Namespace)
	if err != nil {
		return nil, err
	}
	limit, err := listed(r.Limit, defaultEndpoints)
	if err != nil {
		return nil, err
	}
	order := red.Slowest
	switch r.Order {
	case gantryv1.EndpointOrder_ENDPOINT_ORDER_UNSPECIFIED, gantryv1.EndpointOrder_ENDPOINT_ORDER_SLOWEST:
	case gantryv1.EndpointOrder_ENDPOINT_ORDER_BUSIEST:
		order = red.Busiest
	case gantryv1.EndpointOrder_ENDPOINT_ORDER_FAILING:
		order = red.Failing
	default:
		return nil, fault.New(fault.Invalid, "request.out_of_range", "there is no order %d", r.Order).At("order").Hinted("use slowest, busiest or failing")
	}
	since, until := bounds(r.Time)
	endpoints, window, err := s.api.Topology.Endpoints(ctx, namespace, r.Service, since, until, order, limit)
	if err != nil {
		return nil, err
	}
	answer := &gantryv1.EndpointFiguresResponse{Answered: answered(window)}
	for _, f := range endpoints {
		answer.Endpoints = append(answer.Endpoints, &gantryv1.EndpointFigure{Service: f.Service, Endpoint: f.Endpoint, Kind: f.Kind.String(), Figures: figuresOf(f.Figures)})
	}
	return answer, nil
}

func (s *topologyService) InstanceFigures(ctx context.Context, r *gantryv1.InstanceFiguresRequest) (*gantryv1.InstanceFiguresResponse, error) {
	namespace, err := s.api.viewed(ctx, r.Namespace)
	if err != nil {
		return nil, err
	}
	since, until := bounds(r.Time)
	instances, window, err := s.api.Topology.Instances(ctx, namespace, r.Service, since, until)
	if err != nil {
		return nil, err
	}
	answer := &gantryv1.InstanceFiguresResponse{Answered: answered(window)}
	for _, f := range instances {
		answer.Instances = append(answer.Instances, &gantryv1.InstanceFigure{Service: f.Service, Instance: f.Instance, Version: f.Version, Lane: f.Lane, Release: f.Release,
			Zone: f.Zone, First: timestamp(f.First), Last: timestamp(f.Last), Spans: f.Spans, Late: f.Late, Behind: durationpb.New(f.Behind), Figures: figuresOf(f.Figures)})
	}
	return answer, nil
}

func (s *topologyService) RankErrors(ctx context.Context, r *gantryv1.RankErrorsRequest) (*gantryv1.RankErrorsResponse, error) {
	namespace, err := s.api.viewed(ctx, r.Namespace)
	if err != nil {
		return nil, err
	}
	limit, err := listed(r.Limit, defaultErrors)
	if err != nil {
		return nil, err
	}
	groups, window, err := s.api.Topology.Errors(ctx, namespace, r.Service, limit)
	if err != nil {
		return nil, err
	}
	answer := &gantryv1.RankErrorsResponse{Answered: answered(window)}
	for _, g := range groups {
		e := &gantryv1.RankedError{Service: g.Service, Code: g.Code, Fingerprint: g.Fingerprint, Type: g.Type, Message: g.Message, Frame: g.Frame,
			Endpoint: g.Endpoint, Count: g.Count, Uncertain: g.Uncertain, First: timestamp(g.First), Last: timestamp(g.Last)}
		if !g.Trace.IsZero() {
			e.TraceId = g.Trace.String()
		}
		answer.Errors = append(answer.Errors, e)
	}
	return answer, nil
}
