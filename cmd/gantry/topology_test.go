package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
	"github.com/gantry-platform/gantry/sdk/api/gantry/v1/gantryv1connect"
)

// observed answers as a server does that has seen a small fleet.
type observed struct {
	gantryv1connect.UnimplementedTopologyServiceHandler
	endpoints *gantryv1.EndpointFiguresRequest
}

func someFigures() *gantryv1.Figures {
	return &gantryv1.Figures{Calls: 200, Refused: 20, Failed: 3, Rate: 0.666, P50: durationpb.New(12345 * time.Microsecond), P95: durationpb.New(1234 * time.Millisecond)}
}

func (o *observed) Topology(_ context.Context, r *gantryv1.TopologyRequest) (*gantryv1.TopologyResponse, error) {
	if r.Lane == "empty" {
		return &gantryv1.TopologyResponse{Lanes: []string{"blue", "green"}}, nil
	}
	return &gantryv1.TopologyResponse{Answered: &gantryv1.Answered{Since: timestamppb.Now(), Partial: true},
		Edges: []*gantryv1.TopologyEdge{{Caller: "user", Callee: r.Namespace + r.Service + r.Lane, CalleeType: "service", Protocol: "http", Figures: someFigures()}}}, nil
}

func (o *observed) ServiceFigures(context.Context, *gantryv1.ServiceFiguresRequest) (*gantryv1.ServiceFiguresResponse, error) {
	return &gantryv1.ServiceFiguresResponse{Services: []*gantryv1.ServiceFigure{{Service: "loan", Figures: someFigures(), Instances: 4, Last: timestamppb.Now()}},
		Exceeded: []*gantryv1.ExceededLimit{{Service: "loan", What: "endpoints", Limit: 500, Example: "GET /\x1b"}}}, nil
}

func (o *observed) EndpointFigures(_ context.Context, r *gantryv1.EndpointFiguresRequest) (*gantryv1.EndpointFiguresResponse, error) {
	o.endpoints = r
	return &gantryv1.EndpointFiguresResponse{Endpoints: []*gantryv1.EndpointFigure{{Service: "loan", Endpoint: "GET /loans/{id}", Kind: "server", Figures: someFigures()}}}, nil
}

func (o *observed) InstanceFigures(context.Context, *gantryv1.InstanceFiguresRequest) (*gantryv1.InstanceFiguresResponse, error) {
	return &gantryv1.InstanceFiguresResponse{Answered: &gantryv1.Answered{Since: timestamppb.New(time.Now().Add(-6 * time.Minute)), Partial: true}, Instances: []*gantryv1.InstanceFigure{{Service: "loan", Instance: "loan-0", Version: "v7", Late: 5, Behind: durationpb.New(-3 * time.Minute), Figures: someFigures()}}}, nil
}

func (o *observed) RankErrors(context.Context, *gantryv1.RankErrorsRequest) (*gantryv1.RankErrorsResponse, error) {
	return &gantryv1.RankErrorsResponse{Answered: &gantryv1.Answered{Partial: true, MissingNodes: []string{"n2", "n3"}}, Errors: []*gantryv1.RankedError{{Service: "loan", Code: "timeout", Frame: "LoanService.close", Fingerprint: 0xabc, TraceId: "0af7", Count: 30, Uncertain: 4, Message: "no answer"}}}, nil
}

func TestWhatServicesDoIsShown(t *testing.T) {
	fake := &observed{}
	mux := http.NewServeMux()
	mux.Handle(gantryv1connect.NewTopologyServiceHandler(fake))
	s := httptest.NewServer(mux)
	defer s.Close()
	o := nobody(t)
	o.env["GANTRY_ADDRESS"], o.env["GANTRY_NAMESPACE"] = s.URL, "prod"
	wantWords(t, o.must("topology", "loan", "--since", "1h"), "CALLER", "user", "prodloan", "service", "http", "200", "0.67", "10.0%", "1.5%", "12.35ms", "1.23s")
	wantWords(t, o.must("topology", "--lane", "blue"), "prodblue")
	if r := o.run("topology", "--lane", "empty"); !strings.Contains(r.err, "Nothing was called in this lane within this time. Lanes with calls: blue, green.") {
		t.Errorf("a lane without calls: %q", r.err)
	}
	wantWords(t, o.must("red"), "SERVICE", "loan", "200", "INSTANCES", "4")
	wantWords(t, o.must("endpoints", "loan", "--sort", "failing", "--limit", "3"), "GET /loans/{id}", "1.5%")
	if r := fake.endpoints; r.Service != "loan" || r.Order != gantryv1.EndpointOrder_ENDPOINT_ORDER_FAILING || r.Limit != 3 || r.Time.GetSince() == nil {
		t.Errorf("asked for %v", r)
	}
	wantWords(t, o.must("errors", "-o", "wide"), "26-30", "timeout", "LoanService.close", "0000000000000abc", "0af7", "no answer")
	wantWords(t, o.must("senders"), "loan-0", "v7", "-3m0s")
	for command, words := range map[string]string{"topology": "Nothing older than", "senders": "Some nodes know only a part of this time", "errors": "do not answer: n2, n3\n"} {
		if r := o.run(command); strings.Count(r.err, "\n") != 1 || !strings.Contains(r.err, words) {
			t.Errorf("%s says %q beside its answer", command, r.err)
		}
	}
	type ranking struct {
		Errors   []struct{ Code string }
		Answered struct{ MissingNodes []string }
	}
	if all := decode[ranking](t, o.must("errors", "-o", "json")); len(all.Errors) != 1 || all.Errors[0].Code != "timeout" || !slices.Equal(all.Answered.MissingNodes, []string{"n2", "n3"}) {
		t.Errorf("%+v", all)
	}
	if graph := decode[struct{ Edges []struct{ Callee string } }](t, o.must("topology", "-o", "json")); len(graph.Edges) != 1 || graph.Edges[0].Callee != "prod" {
		t.Errorf("%+v", graph)
	}
	o.fails(exitInvalid, []string{"sort", "busiest"}, "endpoints", "--sort", "name")
	o.fails(exitInvalid, []string{"since"}, "topology", "--since", "yesterday")
}

func TestAServerWithoutSpansHasNothingToShow(t *testing.T) {
	o := newOperator(t)
	for _, command := range []string{"topology", "red", "endpoints", "errors", "senders"} {
		if out := o.must(command); out != "" {
			t.Errorf("%s: %s", command, out)
		}
	}
}
