package native

import (
	"context"
	"encoding/base64"
	"sort"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

type instanceService struct{ api *API }

// What a registrant and a reader need.
const (
	mayServe = access.Serve
	mayRead  = access.View | access.Serve
)

// named reads a service's name and asks whether the caller may.
func named(ctx context.Context, ref *gantryv1.ServiceRef, p access.Permission) (instance.Service, error) {
	service := instance.ServiceOf(ref).Normal()
	return service, access.Require(ctx, p, service.Namespace)
}

func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func registered(r instance.Result) *gantryv1.RegisterResponse {
	answer := &gantryv1.RegisterResponse{Id: r.ID, Revision: r.Revision, Provisional: r.Provisional}
	if r.BeatInterval > 0 {
		answer.BeatInterval = durationpb.New(r.BeatInterval)
	}
	return answer
}

func (s *instanceService) Register(ctx context.Context, r *gantryv1.RegisterRequest) (*gantryv1.RegisterResponse, error) {
	service, err := named(ctx, r.Service, mayServe)
	if err != nil {
		return nil, err
	}
	result, err := s.api.Instances.Register(ctx, instance.Registration{Service: service, Instance: r.Instance})
	if err != nil {
		return nil, err
	}
	return registered(result), nil
}

func (s *instanceService) Beat(ctx context.Context, r *gantryv1.BeatRequest) (*gantryv1.BeatResponse, error) {
	service, err := named(ctx, r.Service, mayServe)
	if err != nil {
		return nil, err
	}
	unknown, err := s.api.Instances.Beat(ctx, service, r.Ids)
	if err != nil {
		return nil, err
	}
	return &gantryv1.BeatResponse{Unknown: unknown}, nil
}

func (s *instanceService) Deregister(ctx context.Context, r *gantryv1.DeregisterRequest) (*gantryv1.DeregisterResponse, error) {
	service, err := named(ctx, r.Service, access.Serve|access.Operate)
	if err != nil {
		return nil, err
	}
	revision, err := s.api.Instances.Deregister(ctx, service, r.Id)
	if err != nil {
		return nil, err
	}
	return &gantryv1.DeregisterResponse{Revision: revision}, nil
}

func (s *instanceService) ReportCheck(ctx context.Context, r *gantryv1.ReportCheckRequest) (*gantryv1.ReportCheckResponse, error) {
	service, err := named(ctx, r.Service, mayServe)
	if err != nil {
		return nil, err
	}
	report := instance.CheckReport{Service: service, ID: r.Id, Check: r.Check, Status: r.Status, Output: r.Output}
	if err := s.api.Instances.ReportCheck(ctx, report); err != nil {
		return nil, err
	}
	return &gantryv1.ReportCheckResponse{}, nil
}

func (s *instanceService) Lookup(ctx context.Context, r *gantryv1.LookupRequest) (*gantryv1.ServiceEvent, error) {
	service, err := named(ctx, r.Service, mayRead)
	if err != nil {
		return nil, err
	}
	snapshot := s.api.Instances.Lookup(service)
	if snapshot == nil {
		if err := s.api.namespaceExists(service.Namespace); err != nil {
			return nil, err
		}
		return nil, errUnknownService(service)
	}
	if !r.AvailableOnly && len(r.Labels) == 0 {
		return encodedEvent(snapshot.Encoded()), nil
	}
	event := &gantryv1.ServiceEvent{Service: service.Ref(), Revision: snapshot.Revision, Full: true, Stale: snapshot.Stale, Protected: snapshot.Protected}
	instances := snapshot.Instances
	if r.AvailableOnly {
		instances = snapshot.Available()
	}
	for _, i := range instances {
		if i.Labels.Match(r.Labels) {
			event.Instances = append(event.Instances, i.Proto())
		}
	}
	return event, nil
}

func errUnknownService(service instance.Service) error {
	return fault.New(fault.NotFound, "service.unknown", "no service %q in namespace %q, group %q", service.Name, service.Namespace, service.Group).
		At("service").Hinted("names are exact; `gantry services` lists what is there")
}

// maxSubscriptions bounds one request.
const maxSubscriptions = 1000

func (s *instanceService) Watch(ctx context.Context, r *gantryv1.WatchRequest, stream *connect.ServerStream[gantryv1.ServiceEvent]) error {
	if n := len(r.Subscriptions); n == 0 || n > maxSubscriptions {
		return fault.New(fault.Invalid, "request.bad_count", "%d subscriptions", n).At("subscriptions").Hinted("name 1 to %d services", maxSubscriptions)
	}
	subscriber := s.api.Instances.Subscribe(instance.Follower{Address: hostOnly(access.FromContext(ctx).Source), Protocol: protocolNative})
	defer subscriber.Close()
	rights := uses{}
	for _, subscription := range r.Subscriptions {
		service, err := named(ctx, subscription.Service, mayRead)
		if err != nil {
			return err
		}
		if err := subscriber.Add(service, subscription.Revision); err != nil {
			return err
		}
		rights[use{service.Namespace, mayRead}] = struct{}{}
	}
	waiting := wait(ctx, func() error { return rights.allowed(ctx) })
	defer waiting.Close()
	for {
		frames, err := subscriber.Next(waiting)
		if err != nil {
			return waiting.why(err)
		}
		if err := rights.allowed(ctx); err != nil {
			return err
		}
		for _, frame := range frames {
			if err := stream.Send(encodedEvent(frame.Encoded)); err != nil {
				return err
			}
			subscriber.Acknowledge(frame.Service, frame.Revision)
		}
	}
}

func (s *instanceService) ListServices(ctx context.Context, r *gantryv1.ListServicesRequest) (*gantryv1.ListServicesResponse, error) {
	if r.Namespace != "" {
		if _, err := s.api.may(ctx, mayRead, r.Namespace); err != nil {
			return nil, err
		}
	}
	identity := access.FromContext(ctx)
	search := strings.ToLower(r.Search)
	var services []instance.Service
	for _, service := range s.api.Instances.Services(r.Namespace) {
		if identity.May(mayRead, service.Namespace) && strings.Contains(strings.ToLower(service.Name), search) {
			services = append(services, service)
		}
	}
	from, err := after(r.PageToken, len(services), func(i int) string { return services[i].String() })
	if err != nil {
		return nil, err
	}
	answer := &gantryv1.ListServicesResponse{Total: uint32(len(services))}
	size := pageSize(r.PageSize)
	for i := from; i < len(services); i++ {
		if len(answer.Services) == size {
			answer.NextPageToken = pageToken(services[i-1].String())
			break
		}
		if summary := s.api.Instances.Summary(services[i]); summary != nil {
			answer.Services = append(answer.Services, summary)
		}
	}
	return answer, nil
}

func (s *instanceService) ListInstances(ctx context.Context, r *gantryv1.ListInstancesRequest) (*gantryv1.ListInstancesResponse, error) {
	wanted, err := named(ctx, r.Service, mayRead)
	if err != nil {
		return nil, err
	}
	if err := s.api.namespaceExists(wanted.Namespace); err != nil {
		return nil, err
	}
	services := []instance.Service{wanted}
	if wanted.Name == "" {
		services = s.api.Instances.Services(wanted.Namespace)
	} else if s.api.Instances.Lookup(wanted) == nil {
		return nil, errUnknownService(wanted)
	}
	type found struct {
		service instance.Service
		*instance.Instance
	}
	var all []found
	for _, service := range services {
		if r.GetService().GetGroup() != "" && service.Group != wanted.Group {
			continue
		}
		if snapshot := s.api.Instances.Lookup(service); snapshot != nil {
			for _, i := range snapshot.Instances {
				if i.Labels.Match(r.Labels) {
					all = append(all, found{service, i})
				}
			}
		}
	}
	key := func(i int) string { return all[i].service.String() + "/" + all[i].ID }
	from, err := after(r.PageToken, len(all), key)
	if err != nil {
		return nil, err
	}
	answer := &gantryv1.ListInstancesResponse{Total: uint32(len(all)), Stale: s.api.Instances.Stale()}
	size := pageSize(r.PageSize)
	for i := from; i < len(all); i++ {
		if len(answer.Instances) == size {
			answer.NextPageToken = pageToken(key(i - 1))
			break
		}
		message := all[i].Proto()
		message.Service = all[i].service.Ref()
		answer.Instances = append(answer.Instances, message)
	}
	return answer, nil
}

func (s *instanceService) SetOverride(ctx context.Context, r *gantryv1.SetOverrideRequest) (*gantryv1.SetOverrideResponse, error) {
	service, err := named(ctx, r.Service, access.Operate)
	if err != nil {
		return nil, err
	}
	changed, err := s.api.Instances.SetOverride(ctx, instance.OverrideChange{Service: service, ID: r.Id, Weight: r.Weight, Status: r.Status, Message: r.Message})
	if err != nil {
		return nil, err
	}
	if changed == nil {
		return &gantryv1.SetOverrideResponse{}, nil
	}
	return &gantryv1.SetOverrideResponse{Instance: changed.Proto()}, nil
}

func (s *instanceService) Drain(ctx context.Context, r *gantryv1.DrainRequest) (*gantryv1.DrainResponse, error) {
	service, err := named(ctx, r.Service, access.Operate)
	if err != nil {
		return nil, err
	}
	result, err := s.api.Instances.Drain(ctx, instance.DrainOptions{Service: service, ID: r.Id, Wait: r.Wait.AsDuration(),
		Deregister: r.Deregister, Message: r.Message})
	if err != nil {
		return nil, err
	}
	return &gantryv1.DrainResponse{Subscribers: uint32(result.Subscribers), Acknowledged: uint32(result.Acknowledged), Revision: result.Revision,
		Who: result.Who, MissingNodes: result.Missing}, nil
}

func (s *instanceService) ConfigureService(ctx context.Context, r *gantryv1.ConfigureServiceRequest) (*gantryv1.ConfigureServiceResponse, error) {
	service, err := named(ctx, r.Service, access.Operate)
	if err != nil {
		return nil, err
	}
	if err := s.api.Instances.ConfigureService(ctx, service, r.Settings); err != nil {
		return nil, err
	}
	return &gantryv1.ConfigureServiceResponse{}, nil
}

func (s *instanceService) ListNamespaces(ctx context.Context, _ *gantryv1.ListNamespacesRequest) (*gantryv1.ListNamespacesResponse, error) {
	identity := access.FromContext(ctx)
	if !identity.Active() {
		return nil, access.Require(ctx, mayRead, instance.Default)
	}
	answer := &gantryv1.ListNamespacesResponse{}
	for _, namespace := range s.api.Instances.Namespaces() {
		if identity.May(mayRead, namespace.Name) {
			answer.Namespaces = append(answer.Namespaces, namespace)
		}
	}
	return answer, nil
}

func (s *instanceService) CreateNamespace(ctx context.Context, r *gantryv1.CreateNamespaceRequest) (*gantryv1.CreateNamespaceResponse, error) {
	if err := access.Require(ctx, access.Administer, "*"); err != nil {
		return nil, err
	}
	if err := s.api.Instances.CreateNamespace(ctx, r.GetNamespace().GetName(), r.GetNamespace().GetDescription()); err != nil {
		return nil, err
	}
	return &gantryv1.CreateNamespaceResponse{}, nil
}

func (s *instanceService) DeleteNamespace(ctx context.Context, r *gantryv1.DeleteNamespaceRequest) (*gantryv1.DeleteNamespaceResponse, error) {
	if err := access.Require(ctx, access.Administer, "*"); err != nil {
		return nil, err
	}
	if err := s.api.Instances.DeleteNamespace(ctx, r.Name); err != nil {
		return nil, err
	}
	return &gantryv1.DeleteNamespaceResponse{}, nil
}

const (
	defaultPage = 100
	maxPage     = 1000
)

func pageSize(asked uint32) int {
	if asked == 0 {
		return defaultPage
	}
	return int(min(asked, maxPage))
}

// pageToken names the last entry of a page. The next page begins behind it, also when it is gone by then.
func pageToken(last string) string { return base64.RawURLEncoding.EncodeToString([]byte(last)) }

// after finds where the page behind a token begins in a list sorted by key.
func after(token string, n int, key func(int) string) (int, error) {
	if token == "" {
		return 0, nil
	}
	last, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(last) > 4096 {
		return 0, fault.New(fault.Invalid, "request.bad_page_token", "the page token is not one of this server").At("page_token").
			Hinted("use next_page_token of the answer before, or none for the first page")
	}
	return sort.Search(n, func(i int) bool { return key(i) > string(last) }), nil
}

// subjects are who could receive a document in a namespace: registered instances, and sessions that have no instance.
func (a *API) subjects(namespace string) []*gantryv1.Subject {
	var all []*gantryv1.Subject
	seen := map[string]bool{}
	for _, service := range a.Instances.Services(namespace) {
		snapshot := a.Instances.Lookup(service)
		if snapshot == nil {
			continue
		}
		for _, i := range snapshot.Instances {
			seen[i.ID] = true
			all = append(all, &gantryv1.Subject{InstanceId: i.ID, Service: service.Ref(), Address: i.Address, Labels: i.Labels.Map()})
		}
	}
	for _, subject := range a.sessions.subjects(namespace) {
		if !seen[subject.InstanceId] {
			all = append(all, subject)
		}
	}
	return all
}
