//go:build linux

package robustness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
	"github.com/gantry-platform/gantry/sdk/api/gantry/v1/gantryv1connect"
)

// api speaks to one node and to no other. It may be used concurrently.
type api struct {
	base      string
	http      *http.Client
	token     atomic.Pointer[string]
	instances gantryv1connect.InstanceServiceClient
	releases  gantryv1connect.ReleaseServiceClient
	cluster   gantryv1connect.ClusterServiceClient
	access    gantryv1connect.AccessServiceClient
	traces    gantryv1connect.TraceServiceClient
	topology  gantryv1connect.TopologyServiceClient
	events    gantryv1connect.EventServiceClient
}

// newAPI makes a client of the node at an address, in a network namespace.
func newAPI(t *testing.T, address, namespace string) *api {
	transport := &http.Transport{DialContext: dialFrom(namespace), MaxIdleConnsPerHost: 16}
	t.Cleanup(transport.CloseIdleConnections)
	a := &api{base: "http://" + address, http: &http.Client{Transport: transport}}
	a.token.Store(new(string))
	options := connect.WithInterceptors(connect.UnaryInterceptorFunc(a.authorize))
	a.instances = gantryv1connect.NewInstanceServiceClient(a.http, a.base, options)
	a.releases = gantryv1connect.NewReleaseServiceClient(a.http, a.base, options)
	a.cluster = gantryv1connect.NewClusterServiceClient(a.http, a.base, options)
	a.access = gantryv1connect.NewAccessServiceClient(a.http, a.base, options)
	a.traces = gantryv1connect.NewTraceServiceClient(a.http, a.base, options)
	a.topology = gantryv1connect.NewTopologyServiceClient(a.http, a.base, options)
	a.events = gantryv1connect.NewEventServiceClient(a.http, a.base, options)
	return a
}

func (a *api) authorize(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		if token := *a.token.Load(); token != "" {
			request.Header().Set("Authorization", "Bearer "+token)
		}
		return next(ctx, request)
	}
}

// readiness is what /readyz says.
type readiness struct {
	Ready      bool   `json:"ready"`
	Quorum     bool   `json:"quorum"`
	Unwritable string `json:"unwritable"`
	Reason     string `json:"reason"`
}

func (a *api) readiness(ctx context.Context) (readiness, error) {
	var answer readiness
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+"/readyz", nil)
	if err != nil {
		return answer, err
	}
	response, err := a.http.Do(request)
	if err != nil {
		return answer, err
	}
	defer response.Body.Close()
	return answer, json.NewDecoder(response.Body).Decode(&answer)
}

// ready is nil when the node serves and can write.
func (a *api) ready(ctx context.Context) error {
	answer, err := a.readiness(ctx)
	if err == nil && (!answer.Ready || !answer.Quorum || answer.Unwritable != "") {
		err = fmt.Errorf("%s: %+v", a.base, answer)
	}
	return err
}

func (a *api) status(ctx context.Context) (*gantryv1.StatusResponse, error) {
	return a.cluster.Status(ctx, &gantryv1.StatusRequest{})
}

// metricWarnings are those beside an answer about all metrics of the default namespace.
func (a *api) metricWarnings(ctx context.Context) ([]string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+"/prometheus/api/v1/query?query=up", nil)
	if err != nil {
		return nil, err
	}
	response, err := a.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var answer struct {
		Status   string
		Warnings []string
	}
	err = json.NewDecoder(response.Body).Decode(&answer)
	if err == nil && answer.Status != "success" {
		err = fmt.Errorf("%s: %+v", a.base, answer)
	}
	return answer.Warnings, err
}

// lookup returns the instances of a service by id, and whether the node says that they may be stale. A service that nobody knows has
// none.
func (a *api) lookup(ctx context.Context, service string) (instances map[string]*gantryv1.Instance, stale bool, err error) {
	event, err := a.instances.Lookup(ctx, &gantryv1.LookupRequest{Service: &gantryv1.ServiceRef{Service: service}})
	if err != nil && reasonOf(err) != "service.unknown" {
		return nil, false, err
	}
	instances = map[string]*gantryv1.Instance{}
	for _, i := range event.GetInstances() {
		instances[i.Id] = i
	}
	return instances, event.GetStale(), nil
}

func configRef(name string) *gantryv1.DocumentRef {
	return &gantryv1.DocumentRef{Kind: "Config", Name: name}
}

// reasonOf is the stable word of an error that the server answered; empty for any other.
func reasonOf(err error) string {
	var answered *connect.Error
	if !errors.As(err, &answered) {
		return ""
	}
	for _, detail := range answered.Details() {
		value, err := detail.Value()
		if err != nil {
			continue
		}
		if known, ok := value.(*gantryv1.ErrorDetail); ok {
			return known.Reason
		}
	}
	return ""
}

// notSent reports whether a request failed before it was on its way: nobody answered the telephone.
func notSent(err error) bool {
	var operation *net.OpError
	return errors.As(err, &operation) && operation.Op == "dial"
}
