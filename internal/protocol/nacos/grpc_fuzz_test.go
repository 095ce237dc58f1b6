package nacos

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func FuzzPayload(f *testing.F) {
	f.Add(message("ServerCheckRequest", "{}", "10.0.0.1", "accessToken", "t"))
	f.Add(encodePayload("ErrorResponse", []byte(`{"resultCode":500}`)))
	f.Add([]byte{0x12, 0x02, 0x1a, 0x01})
	f.Add([]byte{0x12, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decodePayload(b)
		if err != nil {
			return
		}
		if len(p.kind) > maxKindBytes || len(p.headers) > maxHeaders {
			t.Fatalf("beyond the bounds: %d bytes, %d headers", len(p.kind), len(p.headers))
		}
		again, err := decodePayload(encodePayload(p.kind, p.body))
		if err != nil || again.kind != p.kind || !bytes.Equal(again.body, p.body) {
			t.Fatalf("%+v, %v after %+v", again, err, p)
		}
	})
}

// kinds are all that is served, and what is not.
var fuzzedKinds = []string{"ServerCheckRequest", "HealthCheckRequest", "PushAckRequest", "InstanceRequest", "BatchInstanceRequest", "PersistentInstanceRequest",
	"SubscribeServiceRequest", "ServiceQueryRequest", "ServiceListRequest", "NamingFuzzyWatchRequest", "ConfigPublishRequest", "ConfigQueryRequest",
	"ConfigRemoveRequest", "ConfigBatchListenRequest", "ConfigFuzzyWatchRequest", "NoSuchRequest"}

// Whatever a body holds, the answer is one of the request's kind or an error, and the connection goes on.
func FuzzRequests(f *testing.F) {
	for n, body := range []string{"{}", `{"requestId":"1"}`, `{"requestId":1,"success":true}`, about1("registerInstance", `"instance":`+loanInstance("10.0.0.1", "")),
		about1("batchRegisterInstance", `"instances":[`+loanInstance("10.0.0.1", "")+`]`), about1("deregisterInstance", `"instance":`+loanInstance("10.0.0.1", "")),
		subscribeLoan, about1("", `"cluster":"a,b","healthyOnly":true`), `{"pageNo":1,"pageSize":2,"groupName":"G"}`, watching("WATCH", "public>>*>>*", `"a@@b@@c"`, true),
		aboutConfig("a", `,"content":"1","additionMap":{"type":"yaml","betaIps":"10.0.0.1"}`), aboutConfig("a", ""), aboutConfig("a", `,"tag":"t"`), listenTo("a", "x"),
		watching("WATCH", "public>>*>>*", "", false), `[]`} {
		f.Add(byte(n), body)
	}
	g := serveGRPC(f, false, nil, nil)
	c := g.connect()
	go func() {
		for {
			select {
			case <-c.incoming:
			case <-c.ended:
				return
			}
		}
	}()
	f.Fuzz(func(t *testing.T, kind byte, body string) {
		name := fuzzedKinds[int(kind)%len(fuzzedKinds)]
		a, err := c.try(name, body)
		if err != nil {
			t.Fatalf("%s %q: %v", name, body, err)
		}
		if a.kind == "" || a.number("resultCode") != 200 && (a.number("resultCode") != 500 || a.code() == 0 || a.code() == 500 && strings.Contains(a.body["message"].(string), "inside the server")) {
			t.Fatalf("%s %q: %s %v", name, body, a.kind, a.body)
		}
	})
}

// What a client says by its stream ends the connection at most, and a good setup is always taken.
func FuzzStream(f *testing.F) {
	f.Add("ConnectionSetupRequest", `{"abilityTable":null,"labels":{"a":"b"}}`)
	f.Add("NotifySubscriberResponse", `{"requestId":"1","resultCode":200}`)
	f.Add("PushAckRequest", `{"requestId":{},"success":"x"}`)
	f.Fuzz(func(t *testing.T, kind, body string) {
		var setup connectionSetup
		if json.Unmarshal([]byte(body), &setup) == nil {
			if kept := keptLabels(setup.Labels); len(kept) > len(setup.Labels) {
				t.Fatal(kept)
			}
		}
		var answer acknowledgement
		if json.Unmarshal([]byte(body), &answer) == nil {
			_ = answer.good()
		}
		if p, err := decodePayload(message(kind, body, "")); err == nil && p.kind != kind {
			t.Fatalf("%q became %q", kind, p.kind)
		}
	})
}
