package eureka_test

import (
	"encoding/json"
	"encoding/xml"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// raw makes a request that need not be one that Go's own client would send.
func (n *node) raw(method, path, query, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/", strings.NewReader(body))
	r.URL = &url.URL{Path: path, RawQuery: query}
	w := httptest.NewRecorder()
	n.handler.ServeHTTP(w, r)
	return w
}

// wellFormed checks that all that can be read is well formed, in both languages.
func (n *node) wellFormed() {
	n.t.Helper()
	for _, path := range []string{"/eureka/apps/", "/eureka/apps/delta"} {
		if body := n.must(http.StatusOK, http.MethodGet, path, "", "Accept", "application/json", "Accept-Encoding", "gzip"); !json.Valid([]byte(body)) {
			n.t.Fatalf("%s is no JSON: %s", path, body)
		}
		var all applications
		body := n.must(http.StatusOK, http.MethodGet, path, "")
		if err := xml.Unmarshal([]byte(body), &all); err != nil {
			n.t.Fatalf("%s: %v in %s", path, err, body)
		}
	}
}

func FuzzRegistration(f *testing.F) {
	n := start(f)
	n.known()
	f.Add(spring("loan", "l1", "UP"))
	f.Add(`{"instance":{"hostName":"a","app":"loan","ipAddr":"a","port":1,"securePort":null,"dataCenterInfo":{"name":"amazon","metadata":{"instance-id":"i","\u0000":"<"}},"metadata":{"":"","]]>":"\ud800"}}}`)
	f.Add(`<instance><instanceId>r1</instanceId><hostName>r1</hostName><app>loan</app><ipAddr>10.0.0.8</ipAddr><port enabled="false">80</port>
		<dataCenterInfo><name>MyOwn</name></dataCenterInfo><metadata><a__b>c</a__b><x>&lt;<![CDATA[]]&gt;]]></x><_.d83d_.de00>x</_.d83d_.de00></metadata></instance>`)
	f.Add(`<!DOCTYPE a [<!ENTITY b "c">]><instance>&b;</instance>`)
	f.Fuzz(func(t *testing.T, body string) {
		n := n.within(t)
		if w := n.raw(http.MethodPost, "/eureka/apps/loan", "", body); w.Code >= 500 {
			t.Fatalf("%d: %s", w.Code, w.Body)
		} else if w.Code == http.StatusNoContent {
			n.wellFormed()
			for _, i := range n.get("/eureka/apps/", true, false).Applications[0].Instances {
				n.raw(http.MethodDelete, "/eureka/apps/loan/"+i.ID, "", "")
			}
		}
	})
}

func FuzzReplication(f *testing.F) {
	n := start(f)
	n.known()
	f.Add(`{"replicationList":[{"appName":"loan","id":"l1","action":"Register","instanceInfo":` + instanceOf(spring("loan", "l1", "UP")) + `}]}`)
	f.Add(`{"replicationList":[{"appName":"LOAN","id":"l1","lastDirtyTimestamp":1,"action":"Heartbeat"},{"appName":"LOAN","id":"l1","action":"StatusUpdate","status":"DOWN"},
		{"appName":"LOAN","id":"l1","action":"DeleteStatusOverride"},{"appName":"LOAN","id":"l1","action":"Cancel"}]}`)
	f.Add(`{"replicationList":[null,{"action":null}]}`)
	f.Fuzz(func(t *testing.T, body string) {
		w := n.raw(http.MethodPost, "/eureka/peerreplication/batch/", "", body)
		if w.Code >= 500 || w.Code == http.StatusOK && !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%d: %s", w.Code, w.Body)
		}
	})
}

func FuzzPaths(f *testing.F) {
	n := start(f)
	n.register("loan", "l1", "UP")
	for _, path := range []string{"apps/", "apps/delta", "v2/apps/loan/l1", "apps/LOAN/l1/status", "apps/LOAN/l1/metadata", "vips/loan", "instances/l1", "apps/%2f/..", "//", "apps/\x00"} {
		f.Add("GET", path, "value=UP&a=b&lastDirtyTimestamp=5")
	}
	f.Add("PUT", "apps/LOAN/l1", "lastDirtyTimestamp=-9223372036854775808")
	f.Add("PUT", "apps/LOAN/l1/metadata", "=&%zz&\xff=\xff")
	f.Add("PUT", "apps/LOAN/l1/status", "value=OUT_OF_SERVICE")
	f.Fuzz(func(t *testing.T, method, path, query string) {
		switch method {
		case "GET", "PUT", "DELETE", "POST", "HEAD":
		default:
			method = "GET"
		}
		if w := n.raw(method, "/eureka/"+path, query, ""); w.Code >= 500 {
			t.Fatalf("%s %q %q: %d %s", method, path, query, w.Code, w.Body)
		}
	})
}
