package nacos

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/internal/protocol/edge"
)

// listening is what a client sends that holds configurations: name, md5, name, md5...
func listening(tenant string, held ...string) string {
	var b strings.Builder
	for n := 0; n < len(held); n += 2 {
		b.WriteString(held[n] + wordSeparator + defaultGroup + wordSeparator + held[n+1])
		if tenant != "" {
			b.WriteString(wordSeparator + tenant)
		}
		b.WriteString(lineSeparator)
	}
	return b.String()
}

// unescaped is an answer's list of changed names.
func unescaped(t testing.TB, body string) string {
	t.Helper()
	text, err := url.QueryUnescape(body)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

var hangUp = http.Header{timeoutHeader: {"30000"}, noHangUpHeader: {"true"}}

func TestListeningAnswersWhatDiffers(t *testing.T) {
	s := serve(t, false)
	s.publishText(publication{key: key(t, "a"), content: "1"})
	current := md5Of([]byte("1"))
	for _, c := range []struct {
		tenant string
		held   []string
		want   string
	}{
		{"", []string{"a", current, "absent", ""}, ""},
		{"", []string{"a", "00", "absent", ""}, "a\x02DEFAULT_GROUP\x01"},
		{"public", []string{"a", "00"}, "a\x02DEFAULT_GROUP\x02public\x01"},
		{"", []string{"absent", md5OfNothing}, ""},
		{"", []string{"a", md5OfNothing}, "a\x02DEFAULT_GROUP\x01"},
		{"", []string{"absent", "00", "a", current}, "absent\x02DEFAULT_GROUP\x01"},
	} {
		a := s.want(s.callWith(hangUp, "POST /v1/cs/configs/listener", "Listening-Configs", listening(c.tenant, c.held...)), 200)
		if got := unescaped(t, a.body); got != c.want {
			t.Errorf("%q: %q, want %q", c.held, got, c.want)
		}
	}
	a := s.want(s.call("POST /v1/cs/configs/listener", "Listening-Configs", listening("", "a", "00")), 200)
	if a.body != "a%02DEFAULT_GROUP%01" {
		t.Errorf("on the wire: %q", a.body)
	}
}

// poll asks in the background; the answer comes by the channel.
func (s *web) poll(ctx context.Context, text string) <-chan string {
	body := make(chan string, 1)
	form := url.Values{"Listening-Configs": {text}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/nacos/v1/cs/configs/listener", strings.NewReader(form.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set(timeoutHeader, "30000")
	go func() {
		defer close(body)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			body <- "failed: " + err.Error()
			return
		}
		defer response.Body.Close()
		data := make([]byte, 4096)
		n, _ := response.Body.Read(data)
		body <- string(data[:n])
	}()
	return body
}

func TestListeningWaitsForAChange(t *testing.T) {
	s := serve(t, false)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	// More names than one watcher takes.
	var held []string
	for n := range 2500 {
		held = append(held, fmt.Sprintf("c%d", n), "")
	}
	small, large := s.poll(ctx, listening("", "c2499", "")), s.poll(ctx, listening("", held...))
	s.publishText(publication{key: key(t, "c2499"), content: "new"})
	for name, answers := range map[string]<-chan string{"one": small, "many": large} {
		if got := unescaped(t, <-answers); got != "c2499\x02DEFAULT_GROUP\x01" {
			t.Errorf("%s: %q", name, got)
		}
	}
	// A beta for others is no news; one for the caller is.
	current := md5Of([]byte("new"))
	waiting := s.poll(ctx, listening("", "c2499", current))
	s.publishText(publication{key: key(t, "c2499"), content: "theirs", betaIPs: "10.0.0.1"})
	s.publishText(publication{key: key(t, "c2499"), content: "mine", betaIPs: "127.0.0.1"})
	if got := unescaped(t, <-waiting); got != "c2499\x02DEFAULT_GROUP\x01" {
		t.Errorf("beta: %q", got)
	}
	if got := s.content(key(t, "c2499"), "127.0.0.1"); got != "mine" {
		t.Errorf("%q", got)
	}
}

func TestListeningEndsWithTheServer(t *testing.T) {
	s := serve(t, false)
	leaving, leave := context.WithCancelCause(t.Context())
	form := url.Values{"Listening-Configs": {listening("", "a", "")}}
	r := httptest.NewRequest(http.MethodPost, "/nacos/v1/cs/configs/listener", strings.NewReader(form.Encode()))
	r = r.WithContext(edge.WithLeaving(r.Context(), leaving))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set(timeoutHeader, "30000")
	w := httptest.NewRecorder()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Handler().ServeHTTP(w, r)
	}()
	leave(errors.New("stopping"))
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("the request still waits")
	}
	if w.Code != 200 || w.Body.Len() != 0 {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}

func TestHowLongAClientWaits(t *testing.T) {
	for _, c := range []struct {
		timeout, noHangUp string
		want              time.Duration
		fails             bool
	}{
		{"30000", "", 29500 * time.Millisecond, false}, {"", "", 0, false}, {"30000", "true", 0, false}, {"1000", "", 10 * time.Second, false},
		{"99999999999", "", mostHold - answerEarlier, false}, {"x", "", 0, true}, {"-1", "", 0, true},
	} {
		header := http.Header{}
		header.Set(timeoutHeader, c.timeout)
		header.Set(noHangUpHeader, c.noHangUp)
		if got, err := holdOf(header); got != c.want || (err != nil) != c.fails {
			t.Errorf("%q %q: %v %v", c.timeout, c.noHangUp, got, err)
		}
	}
}
