package main

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
	"github.com/gantry-platform/gantry/sdk/api/gantry/v1/gantryv1connect"
)

// register adds a persistent instance by the API.
func register(t *testing.T, o *operator, service, address, zone string) {
	t.Helper()
	to, err := parseAddress(o.env["GANTRY_ADDRESS"])
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRemote(target{url: to, token: o.env["GANTRY_TOKEN"]}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	if _, err := r.instances.Register(t.Context(), &gantryv1.RegisterRequest{
		Service:  &gantryv1.ServiceRef{Namespace: o.env["GANTRY_NAMESPACE"], Service: service},
		Instance: &gantryv1.Instance{Address: address, Port: 8080, Persistent: true, Status: gantryv1.Status_STATUS_UP, Labels: map[string]string{"zone": zone}},
	}); err != nil {
		t.Fatal(err)
	}
}

func TestInstancesAreListedAndOperated(t *testing.T) {
	o := newOperator(t)
	register(t, o, "loan", "10.0.0.1", "north")
	register(t, o, "loan", "10.0.0.2", "south")
	register(t, o, "risk", "10.0.0.3", "north")
	wantWords(t, o.must("services"), "SERVICE", "loan", "risk", "ok")
	wantNoWords(t, o.must("services", "ris", "--no-headers"), "loan", "SERVICE")
	out := o.must("instances", "loan", "--label", "zone=north")
	wantWords(t, out, "10.0.0.1:8080", "zone=north")
	wantNoWords(t, out, "10.0.0.2:8080")
	if all := decode[[]struct{ ID string }](t, o.must("instances", "-o", "json")); len(all) != 3 {
		t.Fatalf("%d instances in the namespace", len(all))
	}

	const id = "10.0.0.1:8080"
	wantWords(t, o.must("instance", "weight", "loan", id, "2.5"), "is up, weight 2.5")
	o.fails(exitInvalid, []string{"--yes"}, "instance", "down", "loan", id)
	wantWords(t, o.must("instance", "down", "loan", id, "-y"), "is down (set), weight 2.5")
	wantWords(t, o.must("services"), "reduced")
	wantNoWords(t, o.must("instances", "loan", "--available"), id)
	wantWords(t, o.must("instance", "up", "loan", id), "is up (set), weight 2.5")
	wantWords(t, o.must("instance", "reset", "loan", id), "is up, weight 1")
	wantWords(t, o.must("instance", "drain", "loan", "10.0.0.2:8080", "--wait", "1s"), "is draining: 0 of 0")
	wantWords(t, o.must("instance", "drain", "loan", "10.0.0.2:8080", "--wait", "1s", "--deregister"), "is drained and gone")
	wantNoWords(t, o.must("instances", "loan"), "10.0.0.2")
	o.fails(exitNotFound, []string{"nobody"}, "instance", "up", "loan", "nobody")
	o.fails(exitInvalid, []string{"heavy"}, "instance", "weight", "loan", id, "heavy")
	wantWords(t, o.must("audit", "--action", "instance.", "--since", "1h"), "instance.drain", "instance.override", "user:admin")
}

func TestServiceSettingsKeepWhatIsNotNamed(t *testing.T) {
	o := newOperator(t)
	register(t, o, "loan", "10.0.0.1", "north")
	o.must("service", "configure", "loan", "--metadata", "owner=lending", "--metadata", "tier=1")
	o.must("service", "configure", "loan", "--protect-threshold", "0.25")
	type shape struct {
		Settings struct {
			ProtectThreshold float64
			Metadata         map[string]string
		}
	}
	s := decode[[]shape](t, o.must("services", "loan", "-o", "json"))[0].Settings
	if s.ProtectThreshold != 0.25 || s.Metadata["owner"] != "lending" || s.Metadata["tier"] != "1" {
		t.Fatalf("%+v", s)
	}
	o.must("service", "configure", "loan", "--clear-metadata")
	if s := decode[[]shape](t, o.must("services", "loan", "-o", "json"))[0].Settings; s.ProtectThreshold != 0.25 || len(s.Metadata) != 0 {
		t.Fatalf("%+v", s)
	}
	o.fails(exitInvalid, []string{"nothing to set"}, "service", "configure", "loan")
	o.fails(exitInvalid, nil, "service", "configure", "loan", "--protect-threshold", "2")
}

func TestNamespaces(t *testing.T) {
	o := newOperator(t)
	name := o.env["GANTRY_NAMESPACE"] + "-two"
	o.must("namespace", "create", name, "--description", "a second one")
	wantWords(t, o.must("namespace", "list"), name, "a second one")
	o.fails(exitConflict, []string{name}, "namespace", "create", name)
	o.fails(exitInvalid, []string{"--yes"}, "namespace", "delete", name)
	o.must("namespace", "delete", name, "--yes")
	wantNoWords(t, o.must("namespace", "list"), name)
	o.fails(exitInvalid, []string{"both given"}, "services", "-A", "-n", name)
}

func TestStatusSaysThatAllIsWell(t *testing.T) {
	o := newOperator(t)
	wantWords(t, o.must("status"), "State", "well", "n1", "leader")
	if s := decode[struct{ Quorum bool }](t, o.must("status", "-o", "json")); !s.Quorum {
		t.Fatal("no quorum")
	}
}

// scripted are handlers whose answers a test writes.
type scripted struct {
	gantryv1connect.UnimplementedInstanceServiceHandler
	gantryv1connect.UnimplementedReleaseServiceHandler
	watch  func(n int, request *gantryv1.WatchRequest, send func(*gantryv1.ServiceEvent) error) error
	times  int
	lists  func(context.Context, *gantryv1.ListServicesRequest) (*gantryv1.ListServicesResponse, error)
	export []*gantryv1.ExportResponse
	cutOff error
}

type scriptedInstances struct {
	gantryv1connect.UnimplementedInstanceServiceHandler
	*scripted
}

type scriptedReleases struct {
	gantryv1connect.UnimplementedReleaseServiceHandler
	*scripted
}

func (s scriptedInstances) Watch(_ context.Context, request *gantryv1.WatchRequest, stream *connect.ServerStream[gantryv1.ServiceEvent]) error {
	s.times++
	return s.watch(s.times, request, stream.Send)
}

func (s scriptedInstances) ListServices(ctx context.Context, request *gantryv1.ListServicesRequest) (*gantryv1.ListServicesResponse, error) {
	return s.lists(ctx, request)
}

func (s scriptedReleases) Export(_ context.Context, _ *gantryv1.ExportRequest, stream *connect.ServerStream[gantryv1.ExportResponse]) error {
	for _, message := range s.export {
		if err := stream.Send(message); err != nil {
			return err
		}
	}
	return s.cutOff
}

func (s *scripted) serve(t *testing.T) *operator {
	return pretend(t, scriptedInstances{scripted: s}, scriptedReleases{scripted: s})
}

func newMux(instances gantryv1connect.InstanceServiceHandler, releases gantryv1connect.ReleaseServiceHandler) *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle(gantryv1connect.NewInstanceServiceHandler(instances))
	mux.Handle(gantryv1connect.NewReleaseServiceHandler(releases))
	return mux
}

func TestWatchGoesOnWhereItWas(t *testing.T) {
	loan := &gantryv1.ServiceRef{Namespace: "default", Group: "default", Service: "loan"}
	one := &gantryv1.Instance{Id: "one", Address: "10.0.0.1", Port: 80, Status: gantryv1.Status_STATUS_UP}
	moved := &gantryv1.Instance{Id: "one", Address: "10.0.0.9", Port: 80, Status: gantryv1.Status_STATUS_UP}
	two := &gantryv1.Instance{Id: "two", Address: "10.0.0.2", Port: 80, Status: gantryv1.Status_STATUS_UP}
	s := &scripted{watch: func(n int, request *gantryv1.WatchRequest, send func(*gantryv1.ServiceEvent) error) error {
		held := request.GetSubscriptions()[0].GetRevision()
		switch {
		case n == 1 && held == 0:
			if err := send(&gantryv1.ServiceEvent{Service: loan, Revision: 7, Full: true, Instances: []*gantryv1.Instance{one}}); err != nil {
				return err
			}
			return connect.NewError(connect.CodeUnavailable, errors.New("shutting down"))
		case n == 2 && held == 7:
			if err := send(&gantryv1.ServiceEvent{Service: loan, Revision: 8, Instances: []*gantryv1.Instance{two}}); err != nil {
				return err
			}
			return send(&gantryv1.ServiceEvent{Service: loan, Revision: 9, Full: true, Instances: []*gantryv1.Instance{moved}})
		default:
			return connect.NewError(connect.CodePermissionDenied, errors.New("not any more"))
		}
	}}
	o := s.serve(t)
	var out, errOut strings.Builder
	c := newCLI(strings.NewReader(""), &out, &errOut, func(name string) string { return o.env[name] })
	var waits []time.Duration
	c.pause = func(_ context.Context, d time.Duration) error {
		waits = append(waits, d)
		return nil
	}
	if code := c.run(t.Context(), []string{"watch", "services", "loan"}); code != exitForbidden {
		t.Fatalf("exit code %d\n%s", code, errOut.String())
	}
	wantWords(t, out.String(), "loan + one 10.0.0.1:80", "loan + two", "loan - two", "loan ~ one 10.0.0.9:80")
	wantWords(t, errOut.String(), "shutting down; watching again", "the server ended the watch", "not any more")
	if len(waits) != 2 || waits[0] != firstRetry || waits[1] != firstRetry {
		t.Fatalf("waits %v", waits)
	}
}

func TestWatchThatNeverBeganFails(t *testing.T) {
	o := &operator{t: t, env: map[string]string{"GANTRY_ADDRESS": "http://127.0.0.1:1", "HOME": t.TempDir()}}
	o.fails(exitUnavailable, []string{"cannot reach", "gantry server --dev"}, "watch", "services", "loan")
}

func TestWatchDocumentsAnswersPrograms(t *testing.T) {
	o := newOperator(t)
	o.must("apply", "-f", file(t, "loan.yaml", config("loan.yaml", "limit: 5")))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &lineSignal{seen: cancel}
	var errOut strings.Builder
	code := run(ctx, []string{"watch", "documents", "Config/loan.yaml", "-o", "json"}, strings.NewReader(""), out, &errOut, func(name string) string { return o.env[name] })
	if code != exitInterrupted {
		t.Fatalf("exit code %d\n%s", code, errOut.String())
	}
	event := decode[struct{ Version struct{ Version string } }](t, out.text.String())
	if event.Version.Version != "1" || strings.Count(out.text.String(), "\n") != 1 {
		t.Fatalf("%s", out.text.String())
	}
}

// lineSignal tells when something was written.
type lineSignal struct {
	text strings.Builder
	seen func()
}

func (l *lineSignal) Write(p []byte) (int, error) {
	defer l.seen()
	return l.text.Write(p)
}
