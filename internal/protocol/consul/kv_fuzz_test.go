package consul

import (
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/release/keyvalue"
)

// refused fails unless an error is one for users.
func refused(t *testing.T, err error) {
	t.Helper()
	if f, ok := fault.As(err); !ok || f.Code == fault.Internal || f.Message == "" {
		t.Fatalf("%v", err)
	}
}

func FuzzTransaction(f *testing.F) {
	for _, seed := range []string{`[{"KV":{"Verb":"set","Key":"a","Value":"eA==","Flags":1}}]`, `[{"KV":{"Verb":"lock","Key":"a","Session":"x"}},{"Service":{}}]`,
		`[{"kv":{"verb":"jump"}}]`, `[null,{}]`, `{}`, `[{"KV":{"Value":null,"Index":18446744073709551615}}]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		ops, unknown, err := readTransaction(body, "default")
		if err != nil {
			refused(t, err)
			return
		}
		if len(ops) > keyvalue.MaxOperations || len(unknown) > len(ops) {
			t.Fatalf("%d operations, %d of them unknown", len(ops), len(unknown))
		}
	})
}

func FuzzSession(f *testing.F) {
	for _, seed := range []string{``, ` `, `{}`, `{"TTL":"30s","LockDelay":"15s"}`, `{"LockDelay":15}`, `{"LockDelay":1e300}`, `{"NodeChecks":[],"Checks":["x"]}`,
		`{"ServiceChecks":[{"ID":"a","Namespace":"b"}]}`, `{"LockDelay":null,"TTL":"-1s"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := readSession(body, "node")
		if err != nil {
			refused(t, err)
			return
		}
		if s.Node == "" || s.Behavior == "" {
			t.Fatalf("%+v", s)
		}
		_ = sessionOf(&s)
	})
}

func FuzzKeyParameters(f *testing.F) {
	for _, seed := range [][2]string{{"a", "cas=1&flags=2"}, {"%2F", "acquire=x"}, {"%", "release="}, {"", "cas=1&acquire=2"}, {"a%00", "flags=-1"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, path, raw string) {
		query, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		c := &call{w: httptest.NewRecorder(), path: path, query: query, wait: time.Second}
		name, err := c.key()
		if err != nil {
			refused(t, err)
			return
		}
		op, err := c.operation(name)
		if err != nil {
			refused(t, err)
			return
		}
		if op.Key != name || (op.Verb == keyvalue.Set) != (!c.has("cas") && !c.has("acquire") && !c.has("release")) {
			t.Fatalf("%q of %q is %+v", name, raw, op)
		}
	})
}
