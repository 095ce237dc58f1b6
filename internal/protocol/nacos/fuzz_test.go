package nacos

import (
	"encoding/json"
	"maps"
	"net/url"
	"path"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gantry-platform/gantry/internal/instance"
)

func FuzzParams(f *testing.F) {
	f.Add("serviceName=a&ip=10.0.0.1&port=1&metadata=%7B%22a%22%3A1%7D&weight=1.5")
	f.Add("a=%zz&&=&b")
	f.Add("beat=%7B%22ip%22%3A%221%22%7D&enabled=yes")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := params{}.parse(text)
		if err != nil {
			return
		}
		if len(p) > maxParams {
			t.Fatalf("%d parameters", len(p))
		}
		if want, err := url.ParseQuery(text); err == nil { // which refuses more, such as semicolons
			for key := range want {
				if got := p.get(key); strings.TrimSpace(want.Get(key)) != "" && got != want.Get(key) {
					t.Errorf("%q is %q, want %q", key, got, want.Get(key))
				}
			}
		}
		i, err := p.instance()
		if err == nil {
			if registration, err := i.registration(loan, nil); err == nil && registration.Instance.Id == "" {
				t.Error("an instance without an id")
			}
		}
	})
}

func FuzzBeat(f *testing.F) {
	f.Add(`{"ip":"10.0.0.1","port":8080,"cluster":"DEFAULT","weight":3,"metadata":{"a":"b","n":1.5,"t":true}}`, "c")
	f.Add(`{"ip":"[::1]","metadata":null}`, "")
	f.Add(`[]`, "")
	f.Fuzz(func(t *testing.T, text, cluster string) {
		b, full, err := readBeat(params{{"beat", text}, {"clusterName", cluster}})
		if err != nil {
			return
		}
		if b.IP == "" || b.Cluster == "" {
			t.Errorf("%+v of %q", b, text)
		}
		if full {
			i := b.instance()
			_, _ = i.registration(loan, nil)
		}
	})
}

func FuzzInstanceJSON(f *testing.F) {
	f.Add([]byte(`{"ip":"10.0.0.1","port":1,"enabled":false,"metadata":{"preserved.heart.beat.timeout":"1"}}`))
	f.Add([]byte(`{"metadata":{"a":{"b":1}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var i Instance
		if json.Unmarshal(data, &i) == nil {
			if r, err := i.registration(loan, nil); err == nil {
				if ttl := r.Instance.Ttl.AsDuration(); i.Ephemeral && (ttl < instance.MinTTL || ttl > instance.MaxTTL || r.Instance.RemoveAfter.AsDuration() < ttl) {
					t.Errorf("ttl %v, removal %v", ttl, r.Instance.RemoveAfter.AsDuration())
				}
			}
		}
	})
}

func FuzzListened(f *testing.F) {
	f.Add("a\x02g\x02md5\x01b\x02g\x02\x02tenant\x01")
	f.Add("\x01\x01\x02")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := readListened(text)
		if err != nil {
			return
		}
		if len(all) == 0 || len(all) > maxListened {
			t.Errorf("%d names", len(all))
		}
		// What is answered for all reads back as all, without their contents.
		if n := strings.Count(string(appendChanged(nil, all)), lineSeparator); n != len(all) {
			t.Errorf("%d of %d answered", n, len(all))
		}
	})
}

func FuzzNames(f *testing.F) {
	f.Add("", "DEFAULT_GROUP", "a@@b@@c")
	f.Add("public", "风控", "application.yaml")
	f.Add("x", "default", "DEFAULT_GROUP/a")
	f.Fuzz(func(t *testing.T, namespace, group, name string) {
		if service, err := serviceOf(namespace, group, name); err == nil {
			// What is read back names the same.
			again, err := serviceOf(namespaceIDOf(service.Namespace), groupNameOf(service.Group), service.Name)
			if !strings.Contains(service.Name, groupSeparator) && (err != nil || again != service) {
				t.Errorf("%v is %v when it is read back, %v", service, again, err)
			}
		}
		key, err := configKeyOf(namespace, group, name)
		if err != nil {
			return
		}
		again, named := configKeyOfRef(key.namespace, key.ref().Name)
		if !named || again != key {
			t.Errorf("%v is %v when it is read back", key, again)
		}
		if again, err := configKeyOf(tenantOf(key.namespace), groupNameOf(key.group), key.dataID); err != nil || again != key {
			t.Errorf("%v is %v in Nacos's words, %v", key, again, err)
		}
	})
}

func FuzzAck(f *testing.F) {
	f.Add([]byte(`{"type":"push-ack","lastRefTime":"12","data":""}`))
	f.Add([]byte(`{"type":"push-ack","lastRefTime":12}`))
	f.Add([]byte(`{"type":"push-ack"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if n, err := readAck(data); err == nil && !strings.ContainsAny(string(data), "0123456789") {
			t.Errorf("%d from %q", n, data)
		}
	})
}

func FuzzString(f *testing.F) {
	f.Add("a\"b\\c\n\r\t\x00\x1f\x7f äöü \u2028 😀 \xff\xc3")
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		encoded := appendString(nil, s)
		if err := json.Unmarshal(encoded, &got); err != nil || !utf8.Valid(encoded) {
			t.Fatalf("%q: %v", encoded, err)
		}
		if want := strings.ToValidUTF8(s, "\ufffd"); utf8.ValidString(s) && got != want {
			t.Errorf("%q became %q", s, got)
		}
	})
}

func FuzzMessage(f *testing.F) {
	f.Add("limits", "risk", "a,b", "ann", "k==")
	f.Add("Nacos-App: x", "", "", "", "")
	f.Fuzz(func(t *testing.T, desc, app, tags, user, dataKey string) {
		a := about{desc: strings.TrimSpace(desc), app: app, tags: tags, user: user, dataKey: dataKey}
		message, err := a.message()
		if err != nil {
			return
		}
		got := aboutOf(message)
		if got.app != app && app != "" || got.dataKey != dataKey && dataKey != "" || got.tags != tags && tags != "" || got.user != user && user != "" {
			t.Errorf("%+v became %+v", a, got)
		}
	})
}

// FuzzSearch compares with the standard library's matching, for patterns that mean the same to both.
func FuzzSearch(f *testing.F) {
	f.Add("app*json", "app-risk.json")
	f.Add("*a*b", "xaxxb")
	f.Add("a*a", "a")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if strings.ContainsAny(pattern, `?[]\/`) || strings.Contains(name, "/") || !strings.Contains(pattern, "*") || !utf8.ValidString(pattern) || !utf8.ValidString(name) {
			return
		}
		want, err := path.Match(pattern, name)
		if err != nil {
			return
		}
		if got := matcher(pattern, "", true)(configKey{dataID: name}); got != want {
			t.Errorf("%q against %q: %v, want %v", pattern, name, got, want)
		}
	})
}

// FuzzMetadata holds the short way of reading metadata against encoding/json.
func FuzzMetadata(f *testing.F) {
	for _, seed := range []string{`{}`, ` { "a" : "b" , "c":"" } `, `{"a":"1","a":"2"}`, `{"a":1}`, `{"a":"\u0041"}`, `{"ä":"ö"}`, `{"a":"b",}`, `[]`, `null`, `{"a":{"b":"c"}}`, `"x"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		plain, ok := parsePlain([]byte(text))
		var want map[string]string
		err := json.Unmarshal([]byte(text), &want)
		if ok && (err != nil || !maps.Equal(plain, want)) {
			t.Fatalf("%q became %v, want %v (%v)", text, plain, want, err)
		}
	})
}
