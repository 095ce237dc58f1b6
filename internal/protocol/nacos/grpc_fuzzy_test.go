package nacos

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

func watching(kind, pattern, received string, initializing bool) string {
	return fmt.Sprintf(`{"namespace":"public","groupKeyPattern":%q,"receivedGroupKeys":[%s],"watchType":%q,"initializing":%v}`, pattern, received, kind, initializing)
}

// nextNotice is the next word about a pattern as text.
func (c *client) nextNotice() string {
	c.t.Helper()
	p := c.next()
	var n fuzzyNotice
	if err := json.Unmarshal(p.body, &n); err != nil {
		c.t.Fatalf("%s %s: %v", p.kind, p.body, err)
	}
	text := strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(p.kind, "Naming"), "Config"), "Request")
	for _, part := range []string{n.SyncType, n.Pattern, n.ServiceKey, n.ChangedType, n.GroupKey, n.ChangeType} {
		if part != "" {
			text += " " + part
		}
	}
	for _, one := range n.Contexts {
		text += " " + one.ServiceKey + one.GroupKey + "=" + one.ChangedType
	}
	return text
}

func (c *client) wantNotice(want string) {
	c.t.Helper()
	if got := c.nextNotice(); got != want {
		c.t.Fatalf("told %q, want %q", got, want)
	}
}

func TestPatternsOfServices(t *testing.T) {
	g := serveGRPC(t, false, func(p *pace) { p.fuzzy = time.Millisecond }, nil)
	c, provider := g.connect(), g.connect()
	register := func(name string) {
		t.Helper()
		provider.must("InstanceRequest", fmt.Sprintf(`{"serviceName":%q,"groupName":"RISK","type":"registerInstance","instance":{"ip":"10.0.0.1","port":1}}`, name))
	}
	deregister := func(name string) {
		t.Helper()
		provider.must("InstanceRequest", fmt.Sprintf(`{"serviceName":%q,"groupName":"RISK","type":"deregisterInstance","instance":{"ip":"10.0.0.1","port":1}}`, name))
	}
	register("loan-a")
	register("other")
	pattern := "public>>RISK>>loan*"
	if a := c.must("NamingFuzzyWatchRequest", watching("WATCH", pattern, "", true)); a.kind != "NamingFuzzyWatchResponse" {
		t.Errorf("%+v", a)
	}
	c.wantNotice("FuzzyWatchSync FUZZY_WATCH_INIT_NOTIFY " + pattern + " public@@RISK@@loan-a=ADD_SERVICE")
	c.wantNotice("FuzzyWatchSync FINISH_FUZZY_WATCH_INIT_NOTIFY " + pattern)
	register("loan-b")
	c.wantNotice("FuzzyWatchChangeNotify FUZZY_WATCH_RESOURCE_CHANGED public@@RISK@@loan-b ADD_SERVICE")
	deregister("loan-a")
	c.wantNotice("FuzzyWatchChangeNotify FUZZY_WATCH_RESOURCE_CHANGED public@@RISK@@loan-a DELETE_SERVICE")
	register("other2")
	// The client says what it has: what it does not know is told, and what is not there any more.
	c.must("NamingFuzzyWatchRequest", watching("WATCH", pattern, `"public@@RISK@@loan-gone"`, false))
	got := c.nextNotice()
	if got != "FuzzyWatchSync FUZZY_WATCH_DIFF_SYNC_NOTIFY "+pattern+" public@@RISK@@loan-b=ADD_SERVICE public@@RISK@@loan-gone=DELETE_SERVICE" {
		t.Errorf("told %q", got)
	}
	c.must("NamingFuzzyWatchRequest", watching("CANCEL_WATCH", pattern, "", false))
	register("loan-c")
	c.silent("it does not watch any more")
}

func TestPatternsOfConfigurations(t *testing.T) {
	g := serveGRPC(t, false, func(p *pace) { p.fuzzy, p.tick, p.ack = time.Millisecond, 5*time.Millisecond, 30*time.Millisecond }, nil)
	c, author := g.connect(), g.connect()
	author.must("ConfigPublishRequest", aboutConfig("limits-a", `,"content":"1"`))
	pattern := "public>>DEFAULT_GROUP>>*limits*"
	if a := c.must("ConfigFuzzyWatchRequest", watching("WATCH", pattern, "", true)); a.kind != "ConfigFuzzyWatchResponse" {
		t.Errorf("%+v", a)
	}
	c.wantNotice("FuzzyWatchSync FUZZY_WATCH_INIT_NOTIFY " + pattern + " limits-a+DEFAULT_GROUP+public=ADD_CONFIG")
	c.wantNotice("FuzzyWatchSync FINISH_FUZZY_WATCH_INIT_NOTIFY " + pattern)
	author.must("ConfigPublishRequest", aboutConfig("my-limits", `,"content":"1"`))
	c.wantNotice("FuzzyWatchChangeNotify my-limits+DEFAULT_GROUP+public ADD_CONFIG")
	author.must("ConfigRemoveRequest", aboutConfig("limits-a", ""))
	c.wantNotice("FuzzyWatchChangeNotify limits-a+DEFAULT_GROUP+public DELETE_CONFIG")
	// What is not acknowledged is told again.
	c.mute.Store(true)
	author.must("ConfigPublishRequest", aboutConfig("limits-b", `,"content":"1"`))
	c.wantNotice("FuzzyWatchChangeNotify limits-b+DEFAULT_GROUP+public ADD_CONFIG")
	c.wantNotice("FuzzyWatchSync FUZZY_WATCH_DIFF_SYNC_NOTIFY " + pattern + " limits-b+DEFAULT_GROUP+public=ADD_CONFIG")
}

func TestPatternsAreBounded(t *testing.T) {
	g := serveGRPC(t, false, nil, nil)
	c := g.connect()
	for _, bad := range []string{"", "public", "public>>a", "public>>>>a", "a>>b>>c>>d", "public>>g>>" + strings.Repeat("x", maxPatternBytes)} {
		if a := c.call("NamingFuzzyWatchRequest", watching("WATCH", bad, "", true)); a.kind != "NamingFuzzyWatchResponse" || a.code() != 400 {
			t.Errorf("%.40s: %+v", bad, a)
		}
	}
	if a := c.call("ConfigFuzzyWatchRequest", watching("PEEK", "public>>g>>*", "", true)); a.kind != "ConfigFuzzyWatchResponse" || a.code() != 400 {
		t.Errorf("%+v", a)
	}
	for n := range maxPatterns {
		c.must("NamingFuzzyWatchRequest", watching("WATCH", fmt.Sprintf("public>>g>>a%d*", n), "", false))
	}
	if a := c.call("NamingFuzzyWatchRequest", watching("WATCH", "public>>g>>more", "", false)); a.code() != codePatterns {
		t.Errorf("%+v", a)
	}
}

func TestFits(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		fits          bool
	}{
		{"*", "", true}, {"*", "x", true}, {"loan", "loan", true}, {"loan", "loans", false}, {"loan*", "loans", true}, {"loan*", "a-loan", false},
		{"*loan", "a-loan", true}, {"*loan", "loans", false}, {"*loan*", "a-loans", true}, {"*loan*", "lo-an", false},
	} {
		if got := fits(c.pattern, c.text); got != c.fits {
			t.Errorf("%s, %s: %v", c.pattern, c.text, got)
		}
	}
}
