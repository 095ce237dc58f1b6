package nacos

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/release"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func TestAConfigurationIsADocument(t *testing.T) {
	n := start(t, false)
	k, err := configKeyOf("public", "RISK", "application.yaml")
	if err != nil {
		t.Fatal(err)
	}
	n.publishText(publication{key: k, content: "a: 1", about: about{desc: "limits", app: "risk", tags: "a,b", user: "ann", dataKey: "k1=="}})
	document, version, err := n.Releases.Get(system(t), release.Ref{Namespace: "default", Kind: "Config", Name: "RISK/application.yaml"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if document.GetReleasedVersion() != 1 || version.GetFormat() != "yaml" || string(version.GetContent()) != "a: 1" {
		t.Errorf("%v %v", document, version)
	}
	c, err := n.read(system(t), k, subjectAt("10.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	if c.about != (about{desc: "limits", app: "risk", tags: "a,b", user: "ann", dataKey: "k1=="}) || c.format != "yaml" || c.beta {
		t.Errorf("read back %+v", c)
	}
	if err := n.remove(system(t), k); err != nil {
		t.Fatal(err)
	}
	if got := n.content(k, ""); got != "" {
		t.Errorf("%q after it was removed", got)
	}
	if err := n.remove(system(t), k); err != nil {
		t.Errorf("removing it again: %v", err)
	}
}

func TestWhatDoesNotParseIsText(t *testing.T) {
	n := start(t, false)
	n.publishText(publication{key: key(t, "a.json"), content: "{broken"})
	c, err := n.read(system(t), key(t, "a.json"), subjectAt(""))
	if err != nil || c.format != "text" || string(c.content) != "{broken" {
		t.Errorf("%+v %v", c, err)
	}
	// Who says the type gets its errors.
	err = n.publish(system(t), &publication{key: key(t, "b.json"), content: "{broken", kind: "json"})
	if !fault.Is(err, fault.Invalid) {
		t.Errorf("broken JSON that calls itself JSON: %v", err)
	}
	n.publishText(publication{key: key(t, "index.html"), content: "<p>", kind: "html"})
	if c, err := n.read(system(t), key(t, "index.html"), subjectAt("")); err != nil || c.format != "html" {
		t.Errorf("%+v %v", c, err)
	}
}

func TestCompareAndSet(t *testing.T) {
	n := start(t, false)
	k := key(t, "counter")
	// As in Nacos, a document that is not there is created.
	n.publishText(publication{key: k, content: "0", casMD5: md5Of([]byte("whatever"))})
	err := n.publish(system(t), &publication{key: k, content: "2", casMD5: md5Of([]byte("1"))})
	if !fault.Is(err, fault.Conflict) || n.content(k, "") != "0" {
		t.Fatalf("another md5: %v, %q", err, n.content(k, ""))
	}
	// Of many who saw the same, one wins.
	var writers sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for w := range 8 {
		writers.Go(func() {
			err := n.publish(system(t), &publication{key: k, content: "by " + strings.Repeat("w", w+1), casMD5: md5Of([]byte("0"))})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			} else if !fault.Is(err, fault.Conflict) {
				t.Errorf("a loser: %v", err)
			}
		})
	}
	writers.Wait()
	if won != 1 {
		t.Errorf("%d of 8 won", won)
	}
	// What is removed counts as not there.
	if err := n.remove(system(t), k); err != nil {
		t.Fatal(err)
	}
	n.publishText(publication{key: k, content: "again", casMD5: "x"})
	if got := n.content(k, ""); got != "again" {
		t.Errorf("%q", got)
	}
}

func TestBetaIsForItsAddresses(t *testing.T) {
	n := start(t, false)
	k := key(t, "limits.properties")
	n.publishText(publication{key: k, content: "max=1"})
	n.publishText(publication{key: k, content: "max=2", betaIPs: "10.0.0.7, 10.0.0.8"})
	for address, want := range map[string]string{"10.0.0.7": "max=2", "10.0.0.8": "max=2", "10.0.0.9": "max=1", "": "max=1"} {
		if got := n.content(k, address); got != want {
			t.Errorf("%q gets %q, want %q", address, got, want)
		}
	}
	// A new beta replaces it.
	n.publishText(publication{key: k, content: "max=3", betaIPs: "10.0.0.9"})
	if a, b := n.content(k, "10.0.0.7"), n.content(k, "10.0.0.9"); a != "max=1" || b != "max=3" {
		t.Errorf("after the second beta: %q and %q", a, b)
	}
	// Another content for all is refused meanwhile; the beta's own promotes it.
	if err := n.publish(system(t), &publication{key: k, content: "max=4"}); !fault.Is(err, fault.Precondition) {
		t.Errorf("another content for all during a beta: %v", err)
	}
	n.publishText(publication{key: k, content: "max=3"})
	if got := n.content(k, "10.0.0.1"); got != "max=3" {
		t.Errorf("promoted: %q", got)
	}
	n.publishText(publication{key: k, content: "max=5", betaIPs: "10.0.0.9"})
	for range 2 { // twice is no error
		if err := n.stopBeta(system(t), k); err != nil {
			t.Fatal(err)
		}
	}
	if got := n.content(k, "10.0.0.9"); got != "max=3" {
		t.Errorf("after the beta was stopped: %q", got)
	}
}

func TestSecretsStaySealed(t *testing.T) {
	n := start(t, true)
	k := key(t, "password")
	if _, err := n.Releases.Publish(system(t), release.Draft{Ref: k.ref(), Content: []byte("hunter2"), Sensitive: true, Release: true}); err != nil {
		t.Fatal(err)
	}
	n.publishText(publication{key: k, content: "hunter3", casMD5: md5Of([]byte("hunter2"))})
	document, version, err := n.Releases.Get(system(t), k.ref(), 0)
	if err != nil || !document.GetSensitive() || !version.GetSensitive() || string(version.GetContent()) != "hunter3" {
		t.Errorf("%v %v %v", document, version, err)
	}
	as := func(role gantryv1.Role) context.Context {
		_, secret, err := n.Access.CreateToken(system(t), "test", []*gantryv1.Grant{{Namespace: "default", Role: role}}, 0)
		if err != nil {
			t.Fatal(err)
		}
		identity, err := n.Access.Authenticate(t.Context(), access.Credential{Token: secret})
		if err != nil {
			t.Fatal(err)
		}
		return access.NewContext(t.Context(), identity)
	}
	if c, err := n.read(as(gantryv1.Role_ROLE_SERVICE), k, subjectAt("")); err != nil || string(c.content) != "hunter3" {
		t.Errorf("a service reads %+v, %v", c, err)
	}
	viewer := as(gantryv1.Role_ROLE_VIEWER)
	if c, err := n.read(viewer, k, subjectAt("")); !fault.Is(err, fault.Forbidden) || strings.Contains(err.Error(), "hunter") {
		t.Errorf("a viewer reads %+v, %v", c, err)
	}
	// Nor does the md5 tell: short secrets can be found from it.
	if md5, err := n.digestFor(viewer, k, subjectAt("")); err != nil || md5 != "" {
		t.Errorf("a viewer gets the md5 %q, %v", md5, err)
	}
}

func TestAnUnknownNamespaceIsRefused(t *testing.T) {
	n := start(t, false)
	k, err := configKeyOf("nowhere", defaultGroup, "a")
	if err != nil {
		t.Fatal(err)
	}
	err = n.publish(system(t), &publication{key: k, content: "x"})
	if f, ok := fault.As(err); !ok || f.Reason != "namespace.unknown" {
		t.Errorf("%v", err)
	}
}
