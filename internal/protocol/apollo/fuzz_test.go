package apollo

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy"
)

func FuzzNotifications(f *testing.F) {
	f.Add(`[{"namespaceName":"application","notificationId":-1}]`)
	f.Add(`[{"namespaceName":"a.properties","notificationId":9},{"namespaceName":"a","notificationId":3,"messages":{"details":{"x":1}}}]`)
	f.Add(`[null,{"namespaceName":"../x"}]`)
	f.Add(`[[[[`)
	f.Fuzz(func(t *testing.T, text string) {
		all, err := parseNotifications(text)
		if err != nil {
			if _, ok := fault.As(err); !ok {
				t.Fatalf("an error that is no fault: %v", err)
			}
			return
		}
		seen := map[string]bool{}
		for _, n := range all {
			if name("namespaceName", n.NamespaceName) != nil || seen[n.NamespaceName] {
				t.Fatalf("it let %q through", n.NamespaceName)
			}
			seen[n.NamespaceName] = true
		}
		if len(all) == 0 || len(all) > maxNotifications {
			t.Fatalf("%d notifications", len(all))
		}
	})
}

// Whatever the parts of a path are, the document is one of that application and has a name that a document may have.
func FuzzPaths(f *testing.F) {
	f.Add("loan", "default", "application", "sh")
	f.Add("loan", "blue", "rules.json", "")
	f.Add("..", "a%2fb", "x/../y", ".")
	f.Add("public", "default", ".properties", "default")
	f.Fuzz(func(t *testing.T, app, cluster, namespace, dataCenter string) {
		r := httptest.NewRequest(http.MethodGet, "/configs/x/y/z?dataCenter="+url.QueryEscape(dataCenter), nil)
		p, err := locate(r, app, cluster)
		if err != nil || name("namespace", namespace) != nil {
			return
		}
		for _, o := range p.origins(normal(namespace)) {
			if err := policy.ValidateName("name", o.ref.Name); err != nil {
				t.Fatalf("%q: %v", o.ref.Name, err)
			}
			owner, rest, _ := strings.Cut(o.ref.Name, "/")
			if owner != app && owner != publicApp || rest == "" || strings.Count(rest, "/") > 1 || o.ref.Namespace != "default" {
				t.Fatalf("%q of the application %q", o.ref.Name, app)
			}
		}
	})
}

func FuzzSignature(f *testing.F) {
	now := time.UnixMilli(1_760_000_000_000)
	const secret = "0123456789abcdef"
	valid := sign("1760000000000\n/configs/a/b/c", secret)
	f.Add("Apollo a:"+valid, "1760000000000")
	f.Add("Apollo a:"+valid, "1760000000001")
	f.Add("Apollo "+valid, "-9223372036854775808")
	f.Add("Bearer x", "")
	h := &Handler{now: func() time.Time { return now }}
	f.Fuzz(func(t *testing.T, authorization, timestamp string) {
		r := httptest.NewRequest(http.MethodGet, "/configs/a/b/c", nil)
		r.Header = http.Header{"Authorization": {authorization}, "Timestamp": {timestamp}}
		if h.check(r, []policy.AccessKey{{Secret: secret}}) != right {
			return
		}
		_, signature, _ := strings.Cut(authorization, ":")
		if signature != sign(timestamp+"\n/configs/a/b/c", secret) {
			t.Fatalf("%q at %q was taken for a signature", authorization, timestamp)
		}
	})
}
