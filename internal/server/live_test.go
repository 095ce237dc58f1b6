package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	connectrpc "connectrpc.com/connect"

	"github.com/gantry-platform/gantry/internal/server"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
	"github.com/gantry-platform/gantry/sdk/api/gantry/v1/gantryv1connect"
)

// watching is an open stream of what moves.
type watching struct {
	t      *testing.T
	stream *connectrpc.ServerStreamForClient[gantryv1.LiveEvent]
	hint   *gantryv1.LiveHint
}

// watchLive opens a stream and reads its hello.
func watchLive(t *testing.T, s *server.Server, namespace, token string) (*watching, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	client := gantryv1connect.NewLiveServiceClient(&http.Client{Transport: authorized{token}}, "http://"+s.HTTPAddress())
	stream, err := client.Watch(ctx, &gantryv1.LiveWatchRequest{Namespace: namespace})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { cancel(); stream.Close() })
	if !stream.Receive() {
		return nil, stream.Err()
	}
	hello := stream.Msg().GetHello()
	if hello.GetVersion() != "test" || hello.GetNode() != "n1" || hello.GetTime() == nil || hello.GetAt() == nil {
		t.Errorf("hello: %v", hello)
	}
	return &watching{t, stream, hello.GetAt()}, nil
}

type authorized struct{ token string }

func (a authorized) RoundTrip(r *http.Request) (*http.Response, error) {
	if a.token != "" {
		r.Header.Set("Authorization", "Bearer "+a.token)
	}
	return http.DefaultTransport.RoundTrip(r)
}

// until reads events until one satisfies.
func (w *watching) until(what string, holds func(*gantryv1.LiveEvent) bool) {
	w.t.Helper()
	for w.stream.Receive() {
		event := w.stream.Msg()
		held := holds(event)
		if hint := event.GetHint(); hint != nil {
			w.hint = hint
		}
		if held {
			return
		}
	}
	w.t.Fatalf("the stream ended before %s: %v", what, w.stream.Err())
}

func TestLiveTellsSettingsThatAreTheFirstChange(t *testing.T) {
	s := start(t, nil)
	w, err := watchLive(t, s, "", "")
	if err != nil {
		t.Fatal(err)
	}
	if status, answer := call(t, s, "InstanceService/ConfigureService", `{"service":{"service":"loan"},"settings":{"protectThreshold":0.9}}`); status != 200 {
		t.Fatal(answer)
	}
	w.until("settings are told", func(e *gantryv1.LiveEvent) bool { return e.GetHint().GetServices() > w.hint.GetServices() })
}

func TestLiveTellsWhatMoves(t *testing.T) {
	s := start(t, nil)
	w, err := watchLive(t, s, "", "")
	if err != nil {
		t.Fatal(err)
	}
	if status, answer := call(t, s, "InstanceService/Register", `{"service":{"service":"loan"},"instance":{"id":"i1","address":"10.0.0.1","port":1}}`); status != 200 {
		t.Fatal(answer)
	}
	both := map[string]bool{}
	w.until("a registration is told", func(e *gantryv1.LiveEvent) bool {
		if e.GetHint().GetServices() > w.hint.GetServices() {
			both["hint"] = true
		}
		if c := e.GetChange(); c.GetKind() == "instance.registered" && c.GetService() == "loan" && c.GetInstance() == "i1" {
			both["change"] = true
		}
		return len(both) == 2
	})
	services := w.hint.GetServices()
	if status, answer := call(t, s, "InstanceService/ConfigureService", `{"service":{"service":"loan"},"settings":{"protectThreshold":0.9}}`); status != 200 {
		t.Fatal(answer)
	}
	w.until("settings are told", func(e *gantryv1.LiveEvent) bool { return e.GetHint().GetServices() > services })
	if status, answer := publish(t, s, "Config", "loan.yaml", false, "rate: 7\n"); status != 200 {
		t.Fatal(answer)
	}
	clear(both)
	w.until("a release is told", func(e *gantryv1.LiveEvent) bool {
		if e.GetHint().GetDocuments() > w.hint.GetDocuments() {
			both["hint"] = true
		}
		if c := e.GetChange(); c.GetKind() == "release.released" && c.GetTarget() == "Config/loan.yaml" {
			both["change"] = true
		}
		return len(both) == 2
	})
	// Nothing scrapes in this test, so that it fires at once.
	if status, answer := publish(t, s, "Alert", "gone", false, "absent: {selector: 'up{service=\"loan\"}', over: 10m}\nevery: 5s\n"); status != 200 {
		t.Fatal(answer)
	}
	alerts := w.hint.GetAlerts()
	ticks := 0
	w.until("the alert fires", func(e *gantryv1.LiveEvent) bool {
		if e.GetTick().GetTime() != nil {
			ticks++
		}
		if e.GetHint().GetAlerts() <= alerts {
			return false
		}
		_, answer := call(t, s, "AlertService/ListAlerts", `{"states":["ALERT_STATE_FIRING"]}`)
		return strings.Contains(answer, `"ALERT_STATE_FIRING"`)
	})
	if ticks == 0 {
		w.until("a tick", func(e *gantryv1.LiveEvent) bool { return e.GetTick() != nil })
	}
}

func TestLiveEndsWithTheRight(t *testing.T) {
	s, admin := startGuarded(t)
	status, answer := call(t, s, "AccessService/CreateToken", `{"description":"test","grants":[{"namespace":"default","role":"ROLE_VIEWER"}]}`, "Authorization", "Bearer "+admin)
	var made struct {
		Secret string
		Token  struct{ ID string }
	}
	if err := json.Unmarshal([]byte(answer), &made); err != nil || status != 200 || made.Token.ID == "" {
		t.Fatalf("%d %s", status, answer)
	}
	for _, c := range []struct {
		namespace, token string
		code             connectrpc.Code
	}{
		{"", "", connectrpc.CodeUnauthenticated},
		{"", tokenFor(t, s, admin, "default", "ROLE_SERVICE"), connectrpc.CodePermissionDenied},
		{"nowhere", made.Secret, connectrpc.CodePermissionDenied},
		{"nowhere", admin, connectrpc.CodeNotFound},
	} {
		if _, err := watchLive(t, s, c.namespace, c.token); connectrpc.CodeOf(err) != c.code {
			t.Errorf("%+v: %v", c, err)
		}
	}
	w, err := watchLive(t, s, "", made.Secret)
	if err != nil {
		t.Fatal(err)
	}
	if status, answer := call(t, s, "AccessService/RevokeToken", fmt.Sprintf(`{"id":%q}`, made.Token.ID), "Authorization", "Bearer "+admin); status != 200 {
		t.Fatal(answer)
	}
	for w.stream.Receive() {
		if w.stream.Msg().GetTick() != nil {
			t.Error("a tick after the right was gone")
		}
	}
	if connectrpc.CodeOf(w.stream.Err()) != connectrpc.CodeUnauthenticated {
		t.Errorf("%v", w.stream.Err())
	}
}

func TestLiveEndsWithTheServer(t *testing.T) {
	s := start(t, nil)
	w, err := watchLive(t, s, "", "")
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	stop(t, s)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the server waited %s for its streams", took)
	}
	for w.stream.Receive() {
	}
	if connectrpc.CodeOf(w.stream.Err()) != connectrpc.CodeUnavailable {
		t.Errorf("%v", w.stream.Err())
	}
}

// Of two hundred who look, some read nothing: nobody else is held up, and everybody who reads is told.
func TestManyWatchersAndSlowReaders(t *testing.T) {
	s := start(t, nil)
	var all []*watching
	for range 200 {
		w, err := watchLive(t, s, "", "")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, w)
	}
	for batch := range 20 {
		if status, answer := call(t, s, "InstanceService/Register", fmt.Sprintf(`{"service":{"service":"s%d"},"instance":{"address":"10.0.0.1","port":1}}`, batch)); status != 200 {
			t.Fatal(answer)
		}
	}
	var readers sync.WaitGroup
	for _, w := range all[:150] {
		readers.Go(func() {
			for w.stream.Receive() {
				if w.stream.Msg().GetHint().GetServices() > 0 {
					return
				}
			}
			t.Errorf("never told: %v", w.stream.Err())
		})
	}
	readers.Wait()
	if status, answer := call(t, s, "InstanceService/Lookup", `{"service":{"service":"s19"}}`); status != 200 {
		t.Errorf("%d %s", status, answer)
	}
}

// A browser speaks Connect with JSON by POST.
func TestLiveByJSON(t *testing.T) {
	s := start(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.HTTPAddress()+"/gantry.v1.LiveService/Watch", strings.NewReader("\x00\x00\x00\x00\x02{}"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/connect+json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	head := make([]byte, 200)
	n, err := io.ReadAtLeast(response.Body, head, 60)
	if err != nil || !strings.Contains(string(head[:n]), `"hello":{"version":"test"`) {
		t.Errorf("%q, %v", head[:n], err)
	}
}
