package nacos

import (
	"strings"
	"sync"
	"testing"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/release"
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
	n := start(t, false)
	k := key(t, "password")
	// No root key here: what is sensitive is refused, so it is enough to see that the draft asks for it.
	n.publishText(publication{key: k, content: "open"})
	draft := release.Draft{Ref: k.ref()}
	if err := n.compare(system(t), &publication{key: k}, &draft); err != nil || draft.Sensitive {
		t.Errorf("%+v %v", draft, err)
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
