package migrate

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/gantry-platform/gantry/internal/policy"
)

// canned answers every question with the same bytes, a few times. Sources ask several at once.
type canned struct {
	body []byte
	left atomic.Int32
}

func (c *canned) RoundTrip(r *http.Request) (*http.Response, error) {
	if c.left.Add(-1) < 0 {
		return nil, context.Canceled // what is away is asked again after a while, which takes too long here
	}
	return &http.Response{StatusCode: 200, Header: http.Header{"X-Consul-Index": {"7"}}, Body: io.NopCloser(bytes.NewReader(c.body)), Request: r}, nil
}

// fed makes an endpoint answer with these bytes. Errors of the wire are no reason to wait in a fuzz test.
func fed(e *endpoint, body []byte) {
	answers := &canned{body: body}
	answers.left.Store(6)
	e.client.Transport = answers
}

var fuzzURL = Connection{URL: &url.URL{Scheme: "http", Host: "source"}}

// walk reads all of a source; what comes must be whole.
func walk(t *testing.T, source ConfigSource) {
	t.Helper()
	for page, err := range source.Pages(t.Context()) {
		if err != nil {
			return
		}
		for _, item := range page.Items {
			if item.Refused == nil && (item.Document.Kind == "" || item.Document.Namespace == "") {
				t.Fatalf("an item without kind or namespace: %+v", item)
			}
		}
	}
}

// plannable checks that a view can be planned with and is what it should be.
func plannable(t *testing.T, view View) {
	t.Helper()
	for service, instances := range view {
		for _, i := range instances {
			if service.Name == "" || i.Address == "" || i.Port < 0 || i.Port > 65535 {
				t.Fatalf("%v has %+v", service, i)
			}
		}
	}
	for at, c := range plan(view, View{}, marks{"x", "y"}) {
		if !c.Instance.by(marks{"x", "y"}) || at.place != c.Instance.place() {
			t.Fatalf("%v is %+v", at, c)
		}
		toEureka(c, fuzzTime)
		toConsul(c)
	}
}

func FuzzNacosConfigs(f *testing.F) {
	for _, seed := range []string{
		`{"totalCount":1,"pageNumber":1,"pagesAvailable":1,"pageItems":[{"dataId":"a.yaml","group":"G","content":"a: 1","type":"yaml","encryptedDataKey":null}]}`,
		`{"code":0,"data":[{"namespace":"x"},{"namespace":7}],"message":null}`, `{"code":0,"data":{"content":"x","betaIps":"1.2.3.4"}}`, `[[[[`, `{"code":500}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, named := range []Namespaces{{}, NewNamespaces(map[string]string{"public": "default"})} {
			for _, v3 := range []bool{false, true} {
				s := NacosConfigs(fuzzURL, named, nil).(*nacosConfigs)
				fed(s.api.endpoint, body)
				for _, area := range []string{"namespaces", "configs", "config", "beta"} {
					s.api.v3[area] = v3
				}
				walk(t, s)
			}
		}
	})
}

func FuzzNacosRegistry(f *testing.F) {
	for _, seed := range []string{
		`{"count":1,"serviceList":[{"name":"G@@a","ipCount":1,"healthyInstanceCount":1}],"hosts":[{"ip":"1.2.3.4","port":1,"healthy":true,"weight":1,"metadata":{"a":1}}],"doms":["a"]}`,
		`{"code":0,"data":[{"ip":"::1","port":99999}]}`, `{"hosts":null}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r, _, err := NacosRegistry(t.Context(), fuzzURL, NewNamespaces(map[string]string{"public": "default"}), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		n := r.(*nacosRegistry)
		fed(n.api.endpoint, body)
		n.poll(t.Context())
		view := View{}
		for service, held := range n.held {
			view[service] = held.instances
		}
		plannable(t, view)
	})
}

func FuzzEurekaRegistry(f *testing.F) {
	for _, seed := range []string{
		`{"applications":{"versions__delta":"1","apps__hashcode":"UP_1_","application":[{"name":"LOAN","instance":[{"instanceId":"i","app":"LOAN","ipAddr":"1.2.3.4","status":"UP",
			"port":{"$":8080,"@enabled":"true"},"securePort":{"$":"443","@enabled":"true"},"metadata":{"@class":"x","a":1},"vipAddress":"loan","actionType":"ADDED"}]}]}}`,
		`{"applications":{"application":{"name":"A","instance":{"hostName":"h","actionType":"DELETED"}}}}`, `{"applications":{"application":[{"instance":null}]}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r := EurekaRegistry(fuzzURL, "default", 0).(*eurekaRegistry)
		fed(r.api, body)
		r.poll(t.Context(), true)
		r.poll(t.Context(), false)
		plannable(t, r.view())
	})
}

func FuzzConsul(f *testing.F) {
	for _, seed := range []string{`["a","b/"]`, `[{"Key":"a","Value":"eA==","Flags":42,"Session":"s"}]`, `{"loan":["v1"],"consul":[]}`,
		`[{"Node":{"Node":"n","Address":"1.2.3.4"},"Service":{"ID":"i","Service":"loan","Port":80,"Meta":{"gantry-mirrored-from":"gantry"},"Weights":{"Passing":1}},"Checks":[{"Status":"passing"}]}]`,
		`[{"Node":"n","CheckID":"c","Status":"critical","ServiceName":"loan"}]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		keys := ConsulKeys(fuzzURL, "default", "").(*consulKeys)
		fed(keys.api, body)
		walk(t, keys)
		decodeConsulKey(body)
		r := ConsulRegistry(fuzzURL, "default").(*consulRegistry)
		r.held = map[Service][]Instance{}
		fed(r.api, body)
		r.services(t.Context(), 0)
		checks, _, _ := r.checks(t.Context(), 0)
		changedChecks(nil, checks)
		if r.read(t.Context(), []string{"loan", "G@@x", "@@"}, true) == nil {
			plannable(t, r.view())
		}
	})
}

func FuzzApollo(f *testing.F) {
	for _, seed := range []string{`[{"appId":"loan","env":"DEV","clusters":["default"],"namespaceName":"application","isPublic":true,"items":[{"key":"a","value":"b","comment":"c\nd"}]}]`,
		`{"configurations":{"a":"b","content":"x"},"cluster":"default"}`, `null`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		portal := ApolloConfigs(fuzzURL, Namespaces{}, ApolloOptions{}).(*apolloPortal)
		fed(portal.api, body)
		walk(t, portal)
		service := ApolloConfigs(fuzzURL, NewNamespaces(map[string]string{"": "default"}), ApolloOptions{Apps: []string{"loan"}, NamespaceNames: []string{"application", "a.json"}}).(*apolloService)
		fed(service.api, body)
		walk(t, service)
		var namespaces []apolloNamespace
		if decodeJSON(body, &namespaces) != nil {
			return
		}
		for _, n := range namespaces {
			settings := map[string]string{}
			for _, i := range n.Items {
				settings[i.Key] = i.Value
			}
			d := apolloContent("default", "loan/x.properties", "x", settings, n.Items)
			if _, err := policy.Standard().Validate(d, nothing{}); err != nil && len(d.Content) <= policy.MaxContent {
				t.Logf("refused: %v", err) // two keys of which one holds the other, and the like
			}
		}
	})
}
