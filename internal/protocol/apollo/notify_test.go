package apollo_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/internal/release"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func notify(namespace string, id int64) string {
	return url.QueryEscape(fmt.Sprintf(`[{"namespaceName":%q,"notificationId":%d}]`, namespace, id))
}

func many(namespaces int) string {
	parts := make([]string, namespaces)
	for i := range parts {
		parts[i] = fmt.Sprintf(`{"namespaceName":"n%d","notificationId":-1}`, i)
	}
	return url.QueryEscape("[" + strings.Join(parts, ",") + "]")
}

func blanks(count int) string { return strings.Repeat("+", count) }

type notification struct {
	NamespaceName  string
	NotificationID int64
	Messages       struct{ Details map[string]int64 }
}

// poll asks for notifications, and waits for the answer.
type poll struct {
	done   chan struct{}
	status int
	news   []notification
}

func (n *node) poll(query string) *poll {
	n.t.Helper()
	p := &poll{done: make(chan struct{})}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, n.http.URL+"/notifications/v2?"+query, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		defer cancel()
		response, err := n.http.Client().Do(request)
		if err != nil {
			return
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		p.status = response.StatusCode
		_ = json.Unmarshal(body, &p.news)
	}()
	return p
}

func (p *poll) answer() (int, []notification) {
	<-p.done
	return p.status, p.news
}

// held waits until so many requests are held.
func (n *node) held(count int) {
	n.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		families, err := n.metrics.Gather()
		if err != nil {
			n.t.Fatal(err)
		}
		for _, family := range families {
			if family.GetName() == "gantry_apollo_held" && family.Metric[0].Gauge.GetValue() == float64(count) {
				return
			}
		}
	}
	n.t.Fatalf("never %d requests are held", count)
}

func TestNewsWakesAHeldClient(t *testing.T) {
	n := start(t, options{open: true})
	at := ref("loan/application.properties")
	first := n.release(at, "v=1")
	query := func(id int64) string {
		return "appId=loan&cluster=default&notifications=" + url.QueryEscape(fmt.Sprintf(
			`[{"namespaceName":"application.properties","notificationId":%d},{"namespaceName":"redis","notificationId":-1}]`, id))
	}
	expect := func(what string, p *poll, id int64) {
		t.Helper()
		status, news := p.answer()
		if status != http.StatusOK || len(news) != 1 || news[0].NamespaceName != "application" || news[0].NotificationID != id ||
			news[0].Messages.Details["loan+default+application"] != id {
			t.Fatalf("%s: %d %+v, want id %d", what, status, news, id)
		}
	}
	expect("at first", n.poll(query(-1)), first)

	p := n.poll(query(first))
	n.held(1)
	n.publish(release.Draft{Ref: at, Content: []byte("v=2")})
	n.held(1)
	second := n.release(at, "v=2")
	expect("released", p, second)
	if second <= first {
		t.Fatalf("ids go down: %d, %d", first, second)
	}

	// A gray release is told to all: the request does not say who they are. Publishing before it is not.
	p = n.poll(query(second))
	n.held(1)
	gray := n.gray(at, "v=3", &gantryv1.Cohort{Addresses: []string{"203.0.113.7"}})
	expect("gray", p, gray)
	p = n.poll(query(gray))
	n.held(1)
	d, err := n.releases.Abort(system(t), release.Step{Ref: at})
	if err != nil {
		t.Fatal(err)
	}
	expect("given up", p, d.Revision)
	p = n.poll(query(d.Revision))
	n.held(1)
	if d, err = n.releases.Delete(system(t), release.Step{Ref: at}); err != nil {
		t.Fatal(err)
	}
	expect("deleted", p, d.Revision)

	p = n.poll(query(d.Revision))
	n.held(1)
	public := n.release(ref("public/redis.properties"), "host=x")
	if status, news := p.answer(); status != http.StatusOK || len(news) != 1 || news[0].NamespaceName != "redis" || news[0].NotificationID != public ||
		news[0].Messages.Details["public+default+redis"] != public {
		t.Fatalf("a public namespace: %d %+v", status, news)
	}
	n.held(0)
}

func TestNotificationsOfClusters(t *testing.T) {
	n := start(t, options{open: true})
	n.release(ref("loan/application.properties"), "a=1")
	sh := n.release(ref("loan/sh/application.properties"), "a=2")
	query := "appId=loan&cluster=blue&dataCenter=sh&notifications=" + notify("application", sh)
	p := n.poll(query)
	n.held(1)
	blue := n.release(ref("loan/blue/application.properties"), "a=3")
	if status, news := p.answer(); status != 200 || len(news) != 1 || news[0].NotificationID != blue || len(news[0].Messages.Details) != 3 ||
		news[0].Messages.Details["loan+blue+application"] != blue || news[0].Messages.Details["loan+sh+application"] != sh {
		t.Errorf("%d %+v", status, news)
	}
}

func TestWithoutNewsAWaitEnds(t *testing.T) {
	n := start(t, options{open: true, hold: 200 * time.Millisecond})
	at := n.release(ref("loan/application.properties"), "a=1")
	query := func(id int64) string { return "appId=loan&cluster=default&notifications=" + notify("application", id) }
	if status, news := n.poll(query(at)).answer(); status != http.StatusNotModified || news != nil {
		t.Errorf("the same id: %d %+v", status, news)
	}
	if status, news := n.poll("appId=loan&cluster=default&notifications=" + notify("nothing", -1)).answer(); status != http.StatusNotModified {
		t.Errorf("a namespace that is not there: %d %+v", status, news)
	}
	// An id from elsewhere, such as from Apollo itself before the move, is put right.
	if status, news := n.poll(query(at + 1_000_000)).answer(); status != http.StatusOK || len(news) != 1 || news[0].NotificationID != at {
		t.Errorf("an id from elsewhere: %d %+v", status, news)
	}
	if a := n.get(fmt.Sprintf("/notifications?appId=loan&cluster=default&namespace=application&notificationId=%d", at)); a.status != http.StatusNotModified {
		t.Errorf("the old way: %+v", a)
	}
	if a := n.get("/notifications?appId=loan&cluster=default"); a.status != 200 || a.body != fmt.Sprintf(`{"namespaceName":"application","notificationId":%d}`+"\n", at) {
		t.Errorf("the old way with news: %+v", a)
	}
}

func TestAnIdFromElsewhereIsWokenByAnyChange(t *testing.T) {
	n := start(t, options{open: true})
	n.release(ref("loan/application.properties"), "a=1")
	p := n.poll("appId=loan&cluster=default&notifications=" + notify("application", 1<<40))
	n.held(1)
	second := n.release(ref("loan/application.properties"), "a=2")
	if status, news := p.answer(); status != 200 || len(news) != 1 || news[0].NotificationID != second {
		t.Errorf("%d %+v", status, news)
	}
}

func TestHeldRequestsAreBounded(t *testing.T) {
	n := start(t, options{open: true, held: 2})
	query := "appId=loan&cluster=default&notifications=" + notify("application", -1)
	first, second := n.poll(query), n.poll(query)
	n.held(2)
	if a := n.get("/notifications/v2?" + query); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("a third: %+v", a)
	}
	// The server goes: they are let go, without news, to ask another node.
	n.leave()
	for _, p := range []*poll{first, second} {
		if status, news := p.answer(); status != http.StatusNotModified {
			t.Errorf("let go: %d %+v", status, news)
		}
	}
	n.held(0)
}

func TestManyAreWokenAtOnce(t *testing.T) {
	n := start(t, options{open: true})
	at := n.release(ref("loan/application.properties"), "a=1")
	const clients = 200
	polls := make([]*poll, clients)
	for i := range polls {
		polls[i] = n.poll("appId=loan&cluster=default&notifications=" + notify("application", at))
	}
	n.held(clients)
	second := n.release(ref("loan/application.properties"), "a=2")
	var all sync.WaitGroup
	for _, p := range polls {
		all.Go(func() {
			if status, news := p.answer(); status != 200 || len(news) != 1 || news[0].NotificationID != second {
				t.Errorf("%d %+v", status, news)
			}
		})
	}
	all.Wait()
}

// A client that heard of a release from another node is not given what was before it.
func TestAClientIsNotServedWhatIsBehindWhatItHeard(t *testing.T) {
	n := start(t, options{open: true})
	at := ref("loan/application.properties")
	first := n.release(at, "v=1")
	messages := url.QueryEscape(fmt.Sprintf(`{"details":{"loan+default+application":%d,"other":9}}`, first+1))
	read := make(chan string)
	began := time.Now()
	go func() {
		read <- n.get("/configs/loan/default/application?messages=" + messages).body
	}()
	n.release(at, "v=2")
	if body := <-read; !strings.Contains(body, `"v":"2"`) && time.Since(began) < time.Second {
		t.Errorf("it was given %s after %v", body, time.Since(began))
	}
	for _, odd := range []string{"{", `{"details":3}`, strings.Repeat("x", 20_000), `{"details":{"loan+default+application":"9"}}`} {
		if c := n.config("/configs/loan/default/application?messages=" + url.QueryEscape(odd)); c.Configurations["v"] != "2" {
			t.Errorf("%.20s: %+v", odd, c)
		}
	}
	if c := n.config("/configs/loan/default/application?messages=" + url.QueryEscape(`{"details":{"loan+default+application":9000000000}}`)); c.Configurations["v"] != "2" {
		t.Errorf("an id that never comes: %+v", c)
	}
}
