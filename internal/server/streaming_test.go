package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	connectrpc "connectrpc.com/connect"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
	"github.com/gantry-platform/gantry/sdk/api/gantry/v1/gantryv1connect"
)

// follow opens a stream and reads it to its end, which it answers; first is told when something came.
func follow[T any](ctx context.Context, open func(context.Context) (*connectrpc.ServerStreamForClient[T], error)) (first chan struct{}, end chan error) {
	first, end = make(chan struct{}), make(chan error, 1)
	go func() {
		stream, err := open(ctx)
		if err != nil {
			close(first)
			end <- err
			return
		}
		defer stream.Close()
		for i := 0; stream.Receive(); i++ {
			if i == 0 {
				close(first)
			}
		}
		end <- stream.Err()
	}()
	return first, end
}

// Streams in which nothing moves end soon after their caller's right: the role taken away, or the token revoked.
func TestStreamsEndWithTheRight(t *testing.T) {
	s, admin := startGuarded(t)
	as := []string{"Authorization", "Bearer " + admin}
	must := func(method, body string) string {
		t.Helper()
		status, answer := call(t, s, method, body, as...)
		if status != http.StatusOK {
			t.Fatalf("%s: %d %s", method, status, answer)
		}
		return answer
	}
	must("InstanceService/Register", `{"service":{"service":"loan"},"instance":{"id":"i1","address":"10.0.0.1","port":1}}`)
	must("InstanceService/CreateNamespace", `{"namespace":{"name":"staging"}}`)
	must("AccessService/CreateUser", `{"name":"ann","password":"correct horse battery","grants":[{"namespace":"default","role":"ROLE_VIEWER"},{"namespace":"staging","role":"ROLE_VIEWER"}]}`)
	var login struct{ Token string }
	if err := json.Unmarshal([]byte(must("AccessService/Login", `{"user":"ann","password":"correct horse battery"}`)), &login); err != nil {
		t.Fatal(err)
	}
	var made struct {
		Secret string
		Token  struct{ ID string }
	}
	if err := json.Unmarshal([]byte(must("AccessService/CreateToken", `{"description":"test","grants":[{"namespace":"default","role":"ROLE_VIEWER"}]}`)), &made); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, token  string
		method, body string
		code         connectrpc.Code
	}{
		// ann stays somebody, and may look elsewhere.
		{"a role taken away", login.Token, "AccessService/UpdateUser", `{"name":"ann","grants":{"grants":[{"namespace":"staging","role":"ROLE_VIEWER"}]}}`, connectrpc.CodePermissionDenied},
		{"a token revoked", made.Secret, "AccessService/RevokeToken", fmt.Sprintf(`{"id":%q}`, made.Token.ID), connectrpc.CodeUnauthenticated},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			client, base := &http.Client{Transport: authorized{c.token}}, "http://"+s.HTTPAddress()
			instances, instancesEnd := follow(ctx, func(ctx context.Context) (*connectrpc.ServerStreamForClient[gantryv1.ServiceEvent], error) {
				return gantryv1connect.NewInstanceServiceClient(client, base).Watch(ctx, &gantryv1.WatchRequest{Subscriptions: []*gantryv1.Subscription{{Service: &gantryv1.ServiceRef{Service: "loan"}}}})
			})
			documents, documentsEnd := follow(ctx, func(ctx context.Context) (*connectrpc.ServerStreamForClient[gantryv1.DocumentEvent], error) {
				return gantryv1connect.NewReleaseServiceClient(client, base).Watch(ctx, &gantryv1.WatchDocumentsRequest{Refs: []*gantryv1.DocumentRef{{Kind: "Config", Name: "a"}}})
			})
			live, liveEnd := follow(ctx, func(ctx context.Context) (*connectrpc.ServerStreamForClient[gantryv1.LiveEvent], error) {
				return gantryv1connect.NewLiveServiceClient(client, base).Watch(ctx, &gantryv1.LiveWatchRequest{})
			})
			for _, first := range []chan struct{}{instances, documents, live} {
				<-first
			}
			must(c.method, c.body)
			for name, end := range map[string]chan error{"instances": instancesEnd, "documents": documentsEnd, "live": liveEnd} {
				if err := <-end; connectrpc.CodeOf(err) != c.code {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

// Streams end when the node leaves, so that nobody waits at a node that tells nothing any more.
func TestStreamsEndWithTheNode(t *testing.T) {
	s := start(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	client, base := &http.Client{Transport: authorized{}}, "http://"+s.HTTPAddress()
	instances, instancesEnd := follow(ctx, func(ctx context.Context) (*connectrpc.ServerStreamForClient[gantryv1.ServiceEvent], error) {
		return gantryv1connect.NewInstanceServiceClient(client, base).Watch(ctx, &gantryv1.WatchRequest{Subscriptions: []*gantryv1.Subscription{{Service: &gantryv1.ServiceRef{Service: "loan"}}}})
	})
	documents, documentsEnd := follow(ctx, func(ctx context.Context) (*connectrpc.ServerStreamForClient[gantryv1.DocumentEvent], error) {
		return gantryv1connect.NewReleaseServiceClient(client, base).Watch(ctx, &gantryv1.WatchDocumentsRequest{Refs: []*gantryv1.DocumentRef{{Kind: "Config", Name: "a"}}})
	})
	<-instances
	<-documents
	stop(t, s)
	for name, end := range map[string]chan error{"instances": instancesEnd, "documents": documentsEnd} {
		if err := <-end; connectrpc.CodeOf(err) != connectrpc.CodeUnavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An empty answer would look like a namespace without anything in it.
func TestUnknownNamespacesAreNotFound(t *testing.T) {
	s, admin := startGuarded(t)
	viewer := tokenFor(t, s, admin, "default", "ROLE_VIEWER")
	for _, c := range [][2]string{
		{"InstanceService/ListServices", `{"namespace":"nowhere"}`},
		{"InstanceService/ListInstances", `{"service":{"namespace":"nowhere"}}`},
		{"InstanceService/Lookup", `{"service":{"namespace":"nowhere","service":"loan"}}`},
		{"InstanceService/ListSubscribers", `{"service":{"namespace":"nowhere","service":"loan"}}`},
		{"ReleaseService/List", `{"namespace":"nowhere"}`},
		{"ReleaseService/Get", `{"ref":{"namespace":"nowhere","kind":"Config","name":"a"}}`},
		{"ReleaseService/History", `{"ref":{"namespace":"nowhere","kind":"Config","name":"a"}}`},
		{"ReleaseService/Applied", `{"ref":{"namespace":"nowhere","kind":"Config","name":"a"}}`},
		{"ReleaseService/AppliedBy", `{"service":{"namespace":"nowhere","service":"loan"}}`},
		{"ReleaseService/Preview", `{"ref":{"namespace":"nowhere","kind":"Config","name":"a"}}`},
		{"ReleaseService/ListSchemas", `{"ref":{"namespace":"nowhere","kind":"Config","name":"a"}}`},
		{"TraceService/SearchTraces", `{"namespace":"nowhere"}`},
		{"TraceService/ListTraceNames", `{"namespace":"nowhere"}`},
		{"TraceService/ListTraceAttributes", `{"namespace":"nowhere"}`},
		{"TopologyService/Topology", `{"namespace":"nowhere"}`},
		{"TopologyService/ServiceFigures", `{"namespace":"nowhere"}`},
		{"TopologyService/RankErrors", `{"namespace":"nowhere"}`},
		{"EventService/Query", `{"namespace":"nowhere"}`},
		{"EventService/Topics", `{"namespace":"nowhere"}`},
		{"EventService/Changes", `{"namespace":"nowhere"}`},
		{"AlertService/ListAlerts", `{"namespace":"nowhere"}`},
		{"AlertService/ListAlertHistory", `{"namespace":"nowhere"}`},
	} {
		status, answer := call(t, s, c[0], c[1], "Authorization", "Bearer "+admin)
		p := problemOf(t, answer)
		if status != http.StatusNotFound || p.Code != "not_found" || len(p.Details) != 1 || p.Details[0].Debug.Reason != "namespace.unknown" || p.Details[0].Debug.Field != "namespace" || p.Details[0].Debug.Hint == "" {
			t.Errorf("%s: %d %s", c[0], status, answer)
		}
		// Who may not look is not told what is there.
		if status, answer := call(t, s, c[0], c[1], "Authorization", "Bearer "+viewer); status != http.StatusForbidden {
			t.Errorf("%s by somebody else: %d %s", c[0], status, answer)
		}
	}
}

// What is read may be read by GET; nobody keeps the answer, and another site's page reads nothing with somebody's cookie.
func TestReadingByGET(t *testing.T) {
	s, _ := guardedWithViewer(t)
	cookie := signIn(t, s, "ann", "correct horse battery")
	path := func(method, message string) string {
		return "/gantry.v1." + method + "?connect=v1&encoding=json&message=" + url.QueryEscape(message)
	}
	for _, c := range []struct {
		path, message string
		headers       []string
		status        int
		holds         string
	}{
		{"AccessService/WhoAmI", `{}`, sameOrigin, 200, `"user:ann"`},
		{"EventService/Changes", `{"limit":1}`, sameOrigin, 200, `{`},
		{"InstanceService/ListServices", `{}`, sameOrigin, 200, `{`},
		{"AccessService/WhoAmI", `{}`, []string{"Sec-Fetch-Site", "cross-site"}, 403, "console.cross_origin"},
		{"AccessService/WhoAmI", `{}`, []string{"Origin", "http://evil.example"}, 403, "console.cross_origin"},
		{"ReleaseService/Diff", `{"ref":{"kind":"Config","name":"a"},"content":"c2VjcmV0"}`, sameOrigin, 405, ""},
		{"AccessService/CreateUser", `{"name":"eve","password":"correct horse battery"}`, sameOrigin, 405, ""},
		{"InstanceService/ListServices", `{"namespace":"nowhere"}`, sameOrigin, 403, "permission_denied"},
	} {
		r, answer := browse(t, s, "GET", path(c.path, c.message), "", append([]string{"Cookie", cookie}, c.headers...)...)
		if r.StatusCode != c.status || !strings.Contains(answer, c.holds) {
			t.Errorf("%s %v: %d %s", c.path, c.headers, r.StatusCode, answer)
		}
		if c.status == 200 && r.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: Cache-Control %q", c.path, r.Header.Get("Cache-Control"))
		}
	}
}

// The message of a GET stands in the URL, which is logged on the way: methods that may be asked so take no secret, and those that list, get or query may be.
func TestWhatMayBeAskedByGET(t *testing.T) {
	methods := 0
	protoregistry.GlobalFiles.RangeFilesByPackage("gantry.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				method := service.Methods().Get(j)
				methods++
				safe := method.Options().(*descriptorpb.MethodOptions).GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS
				name := string(method.Name())
				reads := strings.HasPrefix(name, "List") || strings.HasPrefix(name, "Get") || strings.HasPrefix(name, "Query") || name == "Changes" || name == "Topics" || name == "WhoAmI" || name == "Status"
				if reads && !safe {
					t.Errorf("%s is not for GET", method.FullName())
				}
				for k := range method.Input().Fields().Len() {
					field := method.Input().Fields().Get(k)
					switch word := string(field.Name()); {
					case safe && (strings.Contains(word, "password") || strings.Contains(word, "secret") || word == "token"):
						t.Errorf("%s has %s in the URL", method.FullName(), word)
					// The draft of a rule holds no secret: there is no place for one in it.
					case safe && field.Kind() == protoreflect.BytesKind && name != "PreviewAlert":
						t.Errorf("%s has the content %s in the URL", method.FullName(), word)
					}
				}
			}
		}
		return true
	})
	if methods < 50 {
		t.Errorf("%d methods were looked at", methods)
	}
}
