package nacos

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/internal/release"
)

func aboutConfig(dataID, rest string) string {
	return fmt.Sprintf(`{"requestId":"9","module":"config","dataId":%q,"group":"DEFAULT_GROUP","tenant":""%s}`, dataID, rest)
}

func listenTo(dataID, md5 string) string {
	return fmt.Sprintf(`{"listen":true,"configListenContexts":[{"group":"DEFAULT_GROUP","md5":%q,"dataId":%q,"tenant":""}]}`, md5, dataID)
}

// changed are the dataIds of an answer to a listen request.
func changed(a *answered) string {
	text := ""
	list, _ := a.body["changedConfigs"].([]any)
	for _, one := range list {
		name, _ := one.(map[string]any)
		text += fmt.Sprint(name["dataId"], "/", name["group"], " ")
	}
	return text
}

func TestPublishQueryAndRemoveByGRPC(t *testing.T) {
	g := serveGRPC(t, false, nil, nil)
	c := g.connect()
	none := c.call("ConfigQueryRequest", aboutConfig("a.yaml", ""))
	if none.kind != "ConfigQueryResponse" || none.good() || none.code() != 300 || none.number("resultCode") != 500 || none.body["requestId"] != "9" {
		t.Errorf("nothing there: %+v", none)
	}
	before := time.Now().Add(-time.Minute)
	if a := c.must("ConfigPublishRequest", aboutConfig("a.yaml", `,"content":"a: 1","casMd5":null,"additionMap":{"type":"yaml","tag":null,"appName":"loan","encryptedDataKey":""}`)); a.kind != "ConfigPublishResponse" {
		t.Errorf("%+v", a)
	}
	a := c.must("ConfigQueryRequest", aboutConfig("a.yaml", ""))
	if a.body["content"] != "a: 1" || a.body["md5"] != md5Of([]byte("a: 1")) || a.body["contentType"] != "yaml" || a.body["beta"] != false ||
		time.UnixMilli(int64(a.number("lastModified"))).Before(before) {
		t.Errorf("%+v", a.body)
	}
	lost := c.call("ConfigPublishRequest", aboutConfig("a.yaml", `,"content":"a: 2","casMd5":"00000000000000000000000000000000"`))
	if lost.kind != "ConfigPublishResponse" || lost.good() || lost.code() != 500 {
		t.Errorf("a lost compare-and-set: %+v", lost)
	}
	c.must("ConfigPublishRequest", aboutConfig("a.yaml", fmt.Sprintf(`,"content":"a: 2","casMd5":%q`, md5Of([]byte("a: 1")))))
	if got := g.content(key(t, "a.yaml"), ""); got != "a: 2" {
		t.Errorf("content %q", got)
	}
	if a := c.must("ConfigRemoveRequest", aboutConfig("a.yaml", "")); a.kind != "ConfigRemoveResponse" {
		t.Errorf("%+v", a)
	}
	if a := c.call("ConfigQueryRequest", aboutConfig("a.yaml", "")); a.code() != 300 {
		t.Errorf("after it was removed: %+v", a)
	}
	for _, body := range []string{aboutConfig("a.yaml", `,"content":"x","additionMap":{"tag":"t"}`), aboutConfig("", `,"content":"x"`), aboutConfig("a b", `,"content":"x"`),
		aboutConfig("a", ``)} {
		if a := c.call("ConfigPublishRequest", body); a.kind != "ConfigPublishResponse" || a.good() || a.code() != 400 || a.body["message"] == "" {
			t.Errorf("%s: %+v", body, a)
		}
	}
	if a := c.call("ConfigPublishRequest", aboutConfig("big", `,"content":"`+strings.Repeat("x", 2<<20)+`"`)); a.good() || a.code() != 413 {
		t.Errorf("2 MiB: %v", a.body)
	}
}

func TestBetaIsForTheAddressThatTheClientNames(t *testing.T) {
	g := serveGRPC(t, false, nil, nil)
	plain := g.connect()
	chosen := g.dial()
	chosen.open()
	chosen.setUp(`{"abilityTable":{}}`, "10.1.2.3")
	chosen.next()
	plain.must("ConfigPublishRequest", aboutConfig("b", `,"content":"all"`))
	plain.must("ConfigPublishRequest", aboutConfig("b", `,"content":"few","additionMap":{"betaIps":"10.1.2.3,10.1.2.4"}`))
	if a := plain.must("ConfigQueryRequest", aboutConfig("b", "")); a.body["content"] != "all" || a.body["beta"] != false {
		t.Errorf("%+v", a.body)
	}
	if a := chosen.must("ConfigQueryRequest", aboutConfig("b", "")); a.body["content"] != "few" || a.body["beta"] != true || a.body["isBeta"] != true {
		t.Errorf("%+v", a.body)
	}
}

func (c *client) nextConfig(want string) {
	c.t.Helper()
	p := c.next()
	var name struct{ DataID, Group string }
	if err := json.Unmarshal(p.body, &name); err != nil || p.kind != "ConfigChangeNotifyRequest" || name.DataID+"/"+name.Group != want {
		c.t.Fatalf("%s %s, want news of %s", p.kind, p.body, want)
	}
}

func (c *client) silent(what string) {
	c.t.Helper()
	// Whatever was on its way comes before the answer to this, which goes through the same notices.
	select {
	case p := <-c.incoming:
		c.t.Fatalf("%s: %s %s", what, p.kind, p.body)
	case <-time.After(50 * time.Millisecond):
	}
}

func TestListeningTellsWhatTheClientDoesNotHave(t *testing.T) {
	g := serveGRPC(t, false, nil, nil)
	c, author := g.connect(), g.connect()
	if got := changed(c.must("ConfigBatchListenRequest", listenTo("a", ""))); got != "" {
		t.Errorf("nothing is there, and the client has nothing: %s", got)
	}
	author.must("ConfigPublishRequest", aboutConfig("a", `,"content":"1"`))
	c.nextConfig("a/DEFAULT_GROUP")
	if got := changed(c.must("ConfigBatchListenRequest", listenTo("a", ""))); got != "a/DEFAULT_GROUP " {
		t.Errorf("changed: %q", got)
	}
	if got := changed(c.must("ConfigBatchListenRequest", listenTo("a", md5Of([]byte("1"))))); got != "" {
		t.Errorf("the client has it: %q", got)
	}
	c.silent("it was told already")
	author.must("ConfigPublishRequest", aboutConfig("a", `,"content":"2"`))
	c.nextConfig("a/DEFAULT_GROUP")
	author.must("ConfigPublishRequest", aboutConfig("a", `,"content":"1"`))
	c.nextConfig("a/DEFAULT_GROUP") // it may have read "2" meanwhile
	author.must("ConfigRemoveRequest", aboutConfig("a", ""))
	c.nextConfig("a/DEFAULT_GROUP")
	c.must("ConfigBatchListenRequest", strings.Replace(listenTo("a", ""), "true", "false", 1))
	author.must("ConfigPublishRequest", aboutConfig("a", `,"content":"3"`))
	c.silent("it does not listen any more")

	// Two at once, one of which the client does not have.
	author.must("ConfigPublishRequest", aboutConfig("b", `,"content":"b"`))
	both := fmt.Sprintf(`{"configListenContexts":[{"group":"DEFAULT_GROUP","md5":"old","dataId":"a"},{"group":"DEFAULT_GROUP","md5":%q,"dataId":"b"}]}`, md5Of([]byte("b")))
	if got := changed(c.must("ConfigBatchListenRequest", both)); got != "a/DEFAULT_GROUP " {
		t.Errorf("changed: %q", got)
	}
	c.silent("the answer said it")
}

func TestNoticesThatAreNotAcknowledgedComeAgain(t *testing.T) {
	g := serveGRPC(t, false, func(p *pace) { p.tick, p.ack = 5*time.Millisecond, 20*time.Millisecond }, nil)
	c, author := g.connect(), g.connect()
	c.must("ConfigBatchListenRequest", listenTo("a", ""))
	c.mute.Store(true)
	author.must("ConfigPublishRequest", aboutConfig("a", `,"content":"1"`))
	for range 3 {
		c.nextConfig("a/DEFAULT_GROUP")
	}
	// To say that one has it is as good.
	c.must("ConfigBatchListenRequest", listenTo("a", md5Of([]byte("1"))))
	eventually(t, "it is quiet", func() bool {
		for len(c.incoming) > 0 {
			<-c.incoming
		}
		time.Sleep(100 * time.Millisecond)
		return len(c.incoming) == 0
	})
}

func TestTooManyListens(t *testing.T) {
	g := serveGRPC(t, false, nil, nil)
	c := g.connect()
	listen := func(from, until int) string {
		var all []string
		for n := from; n < until; n++ {
			all = append(all, fmt.Sprintf(`{"group":"G","dataId":"d%d","md5":""}`, n))
		}
		return `{"configListenContexts":[` + strings.Join(all, ",") + `]}`
	}
	if a := c.call("ConfigBatchListenRequest", listen(0, release.MaxWatched+1)); a.kind != "ConfigChangeBatchListenResponse" || a.good() || a.code() != 413 {
		t.Errorf("%+v", a)
	}
	c.must("ConfigBatchListenRequest", listen(0, release.MaxWatched))
	if a := c.call("ConfigBatchListenRequest", listen(release.MaxWatched, release.MaxWatched+1)); a.good() || a.code() != 413 {
		t.Errorf("one more: %+v", a)
	}
	c.must("ConfigBatchListenRequest", listen(0, release.MaxWatched))
}
