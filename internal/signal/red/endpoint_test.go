package red

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gantry-platform/gantry/internal/signal"
)

func TestEndpointNames(t *testing.T) {
	for _, c := range []struct {
		call       call
		name, want string
	}{
		{call{method: "GET", route: "/loans/{id}"}, "GET", "GET /loans/{id}"},
		{call{route: "/loans/{id}"}, "x", "/loans/{id}"},
		{call{rpcService: "lending.Loans", rpcMethod: "Apply"}, "x", "lending.Loans/Apply"},
		{call{rpcMethod: "lending.Loans/Apply"}, "x", "lending.Loans/Apply"},
		{call{rpcService: "lending.Loans", rpcMethod: "lending.Loans/Apply"}, "x", "lending.Loans/Apply"},
		{call{}, "GET /loans/4711?verbose=1", "GET /loans/{id}"},
		{call{}, "/users/3f2504e0-4f89-11d3-9a0c-0305e82c3301/loans/", "/users/{id}/loans/"},
		{call{}, "GET /v2/loans", "GET /v2/loans"},
		{call{}, "GET http://host:80/loans/12", "GET http://host:80/loans/{id}"},
		{call{}, "GET http://host:80", "GET http://host:80"},
		{call{}, "/by/mail/a.b@c.example", "/by/mail/{id}"},
		{call{}, "/files/ab12cd34ef56gh78", "/files/{id}"},
		{call{}, "/oauth2/callback", "/oauth2/callback"},
		{call{}, "/deadbeef/facade", "/deadbeef/facade"},
		{call{}, "process 17", "process 17"},
		{call{}, "", "(unnamed)"},
	} {
		if got := string(appendEndpoint(nil, &c.call, c.name)); got != c.want {
			t.Errorf("%+v %q: %q, not %q", c.call, c.name, got, c.want)
		}
	}
}

func TestTargets(t *testing.T) {
	attribute := func(pairs ...string) []signal.Attribute {
		var all []signal.Attribute
		for i := 0; i < len(pairs); i += 2 {
			all = append(all, signal.Attribute{Key: pairs[i], Value: signal.Value{Type: signal.TypeString, Text: pairs[i+1]}})
		}
		return all
	}
	for _, c := range []struct {
		attributes           []signal.Attribute
		name, kind, protocol string
	}{
		{attribute("db.system.name", "postgresql", "db.namespace", "loans", "server.address", "pg"), "postgresql/loans", "database", "postgresql"},
		{attribute("db.system", "mongodb", "net.peer.name", "mongo"), "mongodb/mongo", "database", "mongodb"},
		{attribute("db.system", "redis", "db.namespace", "0", "server.address", "cache"), "redis/cache", "cache", "redis"},
		{attribute("messaging.system", "kafka", "messaging.destination.name", "t"), "kafka/t", "queue", "kafka"},
		{attribute("peer.service", "bureau", "server.address", "10.0.0.1", "http.request.method", "GET"), "bureau", "external", "http"},
		{attribute("url.full", "https://user:secret@api.example:8443/x?y=z"), "api.example:8443", "external", "http"},
		{attribute("rpc.system", "dubbo", "network.peer.address", "10.0.0.9"), "10.0.0.9", "external", "dubbo"},
		{nil, "unknown", "external", "unknown"},
	} {
		var got call
		got.read(c.attributes)
		name, kind := got.appendTarget(nil)
		if string(name) != c.name || kind.String() != c.kind || got.protocol() != c.protocol {
			t.Errorf("%v: %s, %s, %s", c.attributes, name, kind, got.protocol())
		}
	}
}

func FuzzEndpoint(f *testing.F) {
	f.Add("GET", "/loans/{id}", "GET /loans/1")
	f.Add("", "", "GET http://h/a/1?b#c")
	f.Add("", "", "//\xff/1/")
	f.Fuzz(func(t *testing.T, method, route, name string) {
		got := string(appendEndpoint(nil, &call{method: method, route: route}, name))
		if got == "" || len(got) > maxEndpointBytes || !utf8.ValidString(got) {
			t.Fatalf("%q", got)
		}
		// What is collapsed stays as it is.
		if route == "" && len(got) < maxEndpointBytes && utf8.ValidString(name) && !strings.Contains(name, "://") {
			if again := string(appendEndpoint(nil, &call{}, got)); again != got {
				t.Fatalf("%q becomes %q", got, again)
			}
		}
	})
}

func FuzzFingerprint(f *testing.F) {
	f.Add("T", "java.lang.X: y\n\tat a.B.c(B.java:1)\n\tat m/d.E$$Lambda/0x1.f(Unknown)")
	f.Add("E", "goroutine 1 [running]:\nmain.f(0x1, 0x2)\n\t/src/main.go:10 +0x1\ncreated by main.g in goroutine 7")
	f.Add("P", "Traceback\n  File \"/a/b.py\", line 3, in f\n    x()\n")
	f.Fuzz(func(t *testing.T, kind, stack string) {
		hash, top := fingerprint(kind, stack)
		again, _ := fingerprint(kind, stack)
		if hash != again || len(top) > maxEndpointBytes || !utf8.ValidString(top) {
			t.Fatalf("%d, %d, %q", hash, again, top)
		}
	})
}

func TestFingerprintsOfOtherLanguages(t *testing.T) {
	same := func(what, a, b string) {
		t.Helper()
		x, top := fingerprint("T", a)
		y, _ := fingerprint("T", b)
		if x != y || top == "" {
			t.Errorf("%s: %d, %d, %q", what, x, y, top)
		}
		if z, _ := fingerprint("T", strings.Replace(a, "work", "other", 1)); z == x {
			t.Errorf("%s: another function has the same fingerprint", what)
		}
	}
	same("Go", "panic: 7\n\ngoroutine 19 [running]:\nmain.(*S).work(0xc000012345, 0x7)\n\t/src/a.go:12 +0x1d\nmain.main.func1()\n\t/src/a.go:40\n",
		"panic: 9\n\ngoroutine 8 [running]:\nmain.(*S).work(0xc00009999, 0x8)\n\t/src/a.go:14 +0x1d\nmain.main.func2()\n\t/src/a.go:44\n")
	same("Python", "Traceback (most recent call last):\n  File \"/app/a.py\", line 3, in work\n    f(1)\nValueError: 1", "Traceback (most recent call last):\n  File \"/srv/a.py\", line 5, in work\n    f(2)\nValueError: 2")
	same("Node", "Error: 1\n    at work (/app/a.js:3:9)\n    at run (/app/b.js:1:1)", "Error: 2\n    at work (/srv/a.js:4:9)\n    at run (/srv/b.js:1:1)")
}

func TestPlaceIsWhereTheErrorWasThrown(t *testing.T) {
	recorded := "goroutine 42 [running]:\ngo.opentelemetry.io/otel/sdk/trace.recordStackTrace()\n\t/m/span.go:569 +0x3e\n" +
		"go.opentelemetry.io/otel/sdk/trace.(*recordingSpan).RecordError(0xc0003c1180, {0x1f, 0xc0}, {0xc00, 0x1, 0x1})\n\t/m/span.go:520 +0x2f\n" +
		"example.org/bureau.(*Desk).score(0xc0001, {0x7, 0x8})\n\t/src/desk.go:12 +0x1\nexample.org/bureau.main.func1()\n\t/src/main.go:4\n"
	recovered := "goroutine 7 [running]:\nruntime/debug.Stack()\n\t/go/stack.go:26 +0x5e\nexample.org/web.Recover.func1()\n\t/src/web.go:9\n" +
		"panic({0x1, 0x2})\n\t/go/panic.go:787 +0x132\nruntime.panicmem(...)\n\t/go/panic.go:262\nruntime.sigpanic()\n\t/go/signal.go:917\n" +
		"example.org/bureau.(*Desk).score(0xc0001)\n\t/src/desk.go:12 +0x1\n"
	thrownAgain := "goroutine 7 [running]:\nexample.org/web.Recover.func1()\n\t/src/web.go:9\npanic({0x1, 0x2})\n\t/go/panic.go:787 +0x132\n" +
		"example.org/tx.Close.func1()\n\t/src/tx.go:9\npanic({0x1, 0x2})\n\t/go/panic.go:787 +0x132\nexample.org/bureau.(*Desk).score(0xc0001)\n\t/src/desk.go:12 +0x1\n"
	python := "Traceback (most recent call last):\n" + strings.Repeat("  File \"/lib/asgi.py\", line 9, in call\n    await app()\n", 40) +
		"  File \"/srv/desk.py\", line 3, in score\n    ask(1)\nKeyError: 'x'\n"
	chained := "Traceback (most recent call last):\n  File \"/srv/store.py\", line 3, in read\n    x[1]\nKeyError: 1\n\n" +
		"During handling of the above exception, another exception occurred:\n\n" + python
	for name, c := range map[string]struct{ stack, top string }{
		"recorded by OpenTelemetry's SDK": {recorded, "example.org/bureau.(*Desk).score"},
		"a panic that was recovered":      {recovered, "example.org/bureau.(*Desk).score"},
		"a panic on the way of another":   {thrownAgain, "example.org/bureau.(*Desk).score"},
		"Python writes it last":           {python, "desk.py score"},
		"Python's last of several":        {chained, "desk.py score"},
		"nothing but what records it":     {recorded[:strings.Index(recorded, "example.org")], ""},
	} {
		if _, top := fingerprint("T", c.stack); top != c.top {
			t.Errorf("%s: %q, not %q", name, top, c.top)
		}
	}
	here, _ := fingerprint("T", python)
	if there, _ := fingerprint("T", strings.Replace(python, "in score", "in rate", 1)); here == there {
		t.Error("two functions that throw below forty frames of a framework have one fingerprint")
	}
}
