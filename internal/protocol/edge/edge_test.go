package edge_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
)

func TestThePathNamesTheNamespace(t *testing.T) {
	for _, c := range []struct {
		path, namespace, prefix, rest string
		status                        int
	}{
		{"/v1/kv/a//b", "default", "", "/v1/kv/a//b", 200},
		{"/ns/staging/v1/kv/a%2Fb//c", "staging", "/ns/staging", "/v1/kv/a%2Fb//c", 200},
		{"/ns/staging/", "staging", "/ns/staging", "/", 200},
		{"/ns/st%2Faging/v1", "", "", "", 400},
		{"/ns//v1", "", "", "", 400},
		{"/ns/" + strings.Repeat("n", 129) + "/v1", "", "", "", 400},
		{"/nsx/v1", "default", "", "/nsx/v1", 200},
	} {
		handler := edge.Namespaces(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if n, p := edge.Namespace(r.Context()), edge.Prefix(r.Context()); n != c.namespace || p != c.prefix || r.URL.EscapedPath() != c.rest {
				t.Errorf("%s: namespace %q, prefix %q, path %q", c.path, n, p, r.URL.EscapedPath())
			}
		}))
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, c.path, nil))
		if w.Code != c.status {
			t.Errorf("%s: status %d, want %d", c.path, w.Code, c.status)
		}
	}
}

type authenticator func(access.Credential) (*access.Identity, error)

func (a authenticator) Authenticate(_ context.Context, credential access.Credential) (*access.Identity, error) {
	return a(credential)
}

func TestTheLanguagesOwnCredentialComesFirst(t *testing.T) {
	for name, c := range map[string]struct {
		header   string
		own, got access.Credential
		fails    bool
	}{
		"own":    {header: "Bearer other", own: access.Credential{Token: "mine"}, got: access.Credential{Token: "mine"}},
		"header": {header: "Bearer other", got: access.Credential{Token: "other"}},
		"basic":  {header: "Basic YW5uOnNlY3JldA==", got: access.Credential{User: "ann", Password: "secret"}},
		"none":   {},
		"odd":    {header: "Digest x", fails: true},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", c.header)
		c.got.Source = r.RemoteAddr
		ctx, err := edge.Identify(r, authenticator(func(got access.Credential) (*access.Identity, error) {
			if got != c.got {
				t.Errorf("%s: %+v, want %+v", name, got, c.got)
			}
			return access.System("test"), nil
		}), c.own)
		if c.fails != (err != nil) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && access.FromContext(ctx).Actor != "system" {
			t.Errorf("%s: the identity is not in the context", name)
		}
	}
}

func TestBodiesAreBounded(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("12345"))
	if body, err := edge.Body(httptest.NewRecorder(), r, 5); err != nil || string(body) != "12345" {
		t.Errorf("%q, %v", body, err)
	}
	r = httptest.NewRequest(http.MethodPost, "/", strings.NewReader("123456"))
	if _, err := edge.Body(httptest.NewRecorder(), r, 5); !fault.Is(err, fault.TooLarge) {
		t.Errorf("6 bytes of 5: %v", err)
	}
	r = httptest.NewRequest(http.MethodPost, "/", broken{})
	if _, err := edge.Body(httptest.NewRecorder(), r, 5); !fault.Is(err, fault.Invalid) {
		t.Errorf("a body that breaks off: %v", err)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("reset") }

func TestWaitingEndsWithTheServer(t *testing.T) {
	leaving, leave := context.WithCancel(context.Background())
	waiting, cancel := edge.Waiting(edge.WithLeaving(context.Background(), leaving))
	defer cancel()
	if waiting.Err() != nil {
		t.Fatal("it ended before the server")
	}
	leave()
	<-waiting.Done()
	alone, cancelAlone := edge.Waiting(context.Background())
	if alone.Err() != nil {
		t.Fatal("it ended by itself")
	}
	cancelAlone()
	<-alone.Done()
}

func TestWellKnownMetadataIsLabelsToo(t *testing.T) {
	labels := edge.Labels(map[string]string{"version": "v2", "zone": "", "owner": "risk", "lane": strings.Repeat("l", 513)})
	if !maps.Equal(labels, map[string]string{"version": "v2"}) {
		t.Errorf("labels %v", labels)
	}
	if edge.Labels(map[string]string{"owner": "risk"}) != nil {
		t.Error("labels of nothing")
	}
	i := &instance.Instance{Labels: instance.Labels{{Key: "lane", Value: "blue"}, {Key: "version", Value: "v1"}},
		Metadata: instance.Labels{{Key: "owner", Value: "risk"}, {Key: "version", Value: "v2"}}}
	if m := edge.Metadata(i); !maps.Equal(m, map[string]string{"lane": "blue", "owner": "risk", "version": "v2"}) {
		t.Errorf("metadata %v", m)
	}
}

func TestEveryClassHasAStatus(t *testing.T) {
	for code, status := range map[fault.Code]int{fault.Invalid: 400, fault.NotFound: 404, fault.Conflict: 409, fault.AlreadyExists: 409, fault.Precondition: 409,
		fault.Unauthenticated: 401, fault.Forbidden: 403, fault.TooLarge: 413, fault.Exhausted: 429, fault.Unavailable: 503, fault.DeadlineExceeded: 504, fault.Internal: 500} {
		if got := edge.Status(fault.New(code, "x", "x")); got != status {
			t.Errorf("%s: %d, want %d", code, got, status)
		}
	}
}

// A path that names its namespace counts before the header, also when it names the default one.
func TestThePathCountsBeforeTheHeader(t *testing.T) {
	for path, want := range map[string]string{"/v1/traces": "staging", "/ns/default/v1/traces": "default", "/ns/prod/v1/traces": "prod"} {
		r := httptest.NewRequest(http.MethodPost, path, nil)
		r.Header.Set(edge.NamespaceHeader, "staging")
		edge.Namespaces(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if got := edge.NamespaceOf(r); got != want {
				t.Errorf("%s is in %q, not %q", path, got, want)
			}
		})).ServeHTTP(httptest.NewRecorder(), r)
	}
}
