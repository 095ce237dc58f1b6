package notify_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/gantry-platform/gantry/internal/policy"
	"github.com/gantry-platform/gantry/internal/signal/alert/notify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func loopback() *notify.Sender {
	return notify.NewSender([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, func() time.Time { return time.UnixMilli(1_700_000_000_123) })
}

func message() *notify.Message {
	start := time.Date(2026, 11, 26, 10, 0, 0, 0, time.UTC)
	return &notify.Message{Receiver: "ops", GroupKey: "default/all:{}", Status: notify.Firing, GroupLabels: map[string]string{"alertname": "error-rate", "service": "loan"}, ExternalURL: "http://gantry.example",
		Alerts: []notify.Alert{
			{Status: notify.Firing, Labels: map[string]string{"alertname": "error-rate", "service": "loan", "severity": "critical"}, Annotations: map[string]string{"summary": "借款 <!channel> fails\r\nBcc: x@y.example"},
				StartsAt: start, Fingerprint: "1", Value: "7", Changes: []string{"09:59:00Z loan release Config loan.yaml version 7 (user:ann)"}},
			{Status: notify.Resolved, Labels: map[string]string{"alertname": "error-rate", "service": "risk", "severity": "critical"}, StartsAt: start, EndsAt: start.Add(time.Minute), Fingerprint: "2"},
		}}
}

// request is what a server got.
type request struct {
	*http.Request
	body map[string]any
}

func serve(t *testing.T, answer func(w http.ResponseWriter)) (*httptest.Server, func() request) {
	t.Helper()
	var mu sync.Mutex
	var got request
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := map[string]any{}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Errorf("the body: %v", err)
		}
		mu.Lock()
		got = request{r, body}
		mu.Unlock()
		answer(w)
	}))
	t.Cleanup(s.Close)
	return s, func() request { mu.Lock(); defer mu.Unlock(); return got }
}

func say(text string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { _, _ = io.WriteString(w, text) }
}

func TestWebhook(t *testing.T) {
	s, got := serve(t, say("anything"))
	r := policy.Receiver{Webhook: &policy.Webhook{URL: s.URL + "/x?a=b", BearerToken: "hunter2", Headers: map[string]string{"X-Team": "credit"}}}
	if err := loopback().Send(t.Context(), r, notify.ChannelWebhook, message()); err != nil {
		t.Fatal(err)
	}
	g := got()
	if g.URL.RequestURI() != "/x?a=b" || g.Header.Get("Authorization") != "Bearer hunter2" || g.Header.Get("X-Team") != "credit" || g.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s %v", g.URL, g.Header)
	}
	for field, want := range map[string]string{"version": "4", "status": "firing", "receiver": "ops", "groupKey": "default/all:{}", "externalURL": "http://gantry.example", "truncatedAlerts": "0"} {
		if fmt.Sprint(g.body[field]) != want {
			t.Errorf("%s is %v", field, g.body[field])
		}
	}
	alerts := g.body["alerts"].([]any)
	first := alerts[0].(map[string]any)
	if len(alerts) != 2 || first["endsAt"] != "0001-01-01T00:00:00Z" || first["startsAt"] != "2026-11-26T10:00:00Z" || first["fingerprint"] != "1" || first["labels"].(map[string]any)["service"] != "loan" {
		t.Errorf("%v", alerts)
	}
	if second := alerts[1].(map[string]any); second["annotations"] == nil {
		t.Error("annotations are null")
	}
}

func TestChats(t *testing.T) {
	sign := func(key, text string) string {
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write([]byte(text))
		return base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	for _, c := range []struct {
		channel, answer string
		receiver        func(*policy.Chat) policy.Receiver
		check           func(g request) bool
		text            func(g request) string
	}{
		{notify.ChannelSlack, "ok", func(c *policy.Chat) policy.Receiver { return policy.Receiver{Slack: c} }, func(g request) bool { return true },
			func(g request) string { return g.body["attachments"].([]any)[0].(map[string]any)["text"].(string) }},
		{notify.ChannelDingTalk, `{"errcode":0,"errmsg":"ok"}`, func(c *policy.Chat) policy.Receiver { return policy.Receiver{DingTalk: c} },
			func(g request) bool {
				q := g.URL.Query()
				return q.Get("access_token") == "0123456789abcdef" && q.Get("timestamp") == "1700000000123" && q.Get("sign") == sign("SEC1", "1700000000123\nSEC1")
			},
			func(g request) string { return g.body["markdown"].(map[string]any)["text"].(string) }},
		{notify.ChannelWeCom, `{"errcode":0,"errmsg":"ok"}`, func(c *policy.Chat) policy.Receiver { return policy.Receiver{WeCom: c} },
			func(g request) bool { return g.body["msgtype"] == "markdown" },
			func(g request) string { return g.body["markdown"].(map[string]any)["content"].(string) }},
		{notify.ChannelFeishu, `{"code":0,"msg":"success"}`, func(c *policy.Chat) policy.Receiver { return policy.Receiver{Feishu: c} },
			func(g request) bool {
				return g.body["timestamp"] == "1700000000" && g.body["sign"] == sign("1700000000\nSEC1", "")
			},
			func(g request) string { return g.body["content"].(map[string]any)["text"].(string) }},
	} {
		t.Run(c.channel, func(t *testing.T) {
			s, got := serve(t, say(c.answer))
			r := c.receiver(&policy.Chat{URL: s.URL + "/robot?access_token=0123456789abcdef", Secret: "SEC1"})
			if err := loopback().Send(t.Context(), r, c.channel, message()); err != nil {
				t.Fatal(err)
			}
			text := c.text(got())
			if !c.check(got()) || !strings.Contains(text, "借款") || !strings.Contains(text, "Config loan.yaml version 7") || strings.Contains(text, "<!channel>") {
				t.Errorf("%s %v", got().URL, got().body)
			}
			// A long one is cut, between characters, and says so.
			long := message()
			for range 500 {
				long.Alerts = append(long.Alerts, long.Alerts[0])
			}
			if err := loopback().Send(t.Context(), r, c.channel, long); err != nil {
				t.Fatal(err)
			}
			if text := c.text(got()); !strings.Contains(text, " more") || !utf8.ValidString(text) || len(text) > 40_000 || c.channel == notify.ChannelWeCom && len(text) > 4096 {
				t.Errorf("%d bytes: %s", len(text), text[len(text)-100:])
			}
		})
	}
}

// TestErrorsTellNothing looks at what is said of failures: enough to act on, and no secret.
func TestErrorsTellNothing(t *testing.T) {
	elsewhere, _ := serve(t, say("ok"))
	status := func(code int) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { w.WriteHeader(code); _, _ = io.WriteString(w, "hunter2") }
	}
	for name, c := range map[string]struct {
		answer    func(http.ResponseWriter)
		channel   string
		want      string
		temporary bool
	}{
		"refused":           {status(403), notify.ChannelWebhook, "answered HTTP 403", false},
		"overloaded":        {status(503), notify.ChannelWebhook, "answered HTTP 503", true},
		"too often":         {status(429), notify.ChannelWebhook, "answered HTTP 429", true},
		"redirected":        {func(w http.ResponseWriter) { w.Header().Set("Location", elsewhere.URL); w.WriteHeader(302) }, notify.ChannelWebhook, "answered HTTP 302; redirects are not followed", false},
		"broken connection": {func(w http.ResponseWriter) { panic(http.ErrAbortHandler) }, notify.ChannelWebhook, "the connection broke before there was an answer", true},
		"a robot refuses":   {say(`{"errcode":300001,"errmsg":"token hunter2hunter2hunter2 is not exist\r\nX"}`), notify.ChannelDingTalk, "refused with code 300001: token (not shown) is not exist  X", false},
		"a robot is busy":   {say(`{"errcode":45009,"errmsg":"api freq out of limit"}`), notify.ChannelWeCom, "refused with code 45009: api freq out of limit", true},
		"no robot":          {say(`<html>hunter2</html>`), notify.ChannelFeishu, "the answer is no JSON; is it the URL of a robot?", false},
		"another JSON":      {say(`{"hunter2":1}`), notify.ChannelFeishu, "the answer has no code; is it the URL of a robot?", false},
		"old Feishu":        {say(`{"StatusCode":0}`), notify.ChannelFeishu, "", false},
		"endless answer":    {func(w http.ResponseWriter) { _, _ = io.WriteString(w, strings.Repeat("x", 1<<20)) }, notify.ChannelWebhook, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := serve(t, c.answer)
			chat := &policy.Chat{URL: s.URL + "/hunter2hunter2hunter2"}
			r := policy.Receiver{Webhook: &policy.Webhook{URL: chat.URL, BearerToken: "hunter2"}, DingTalk: chat, WeCom: chat, Feishu: chat}
			err := loopback().Send(t.Context(), r, c.channel, message())
			var failed *notify.Error
			switch {
			case c.want == "" && err == nil:
			case !errors.As(err, &failed) || failed.Text != c.want || failed.Temporary != c.temporary:
				t.Errorf("%#v", err)
			case strings.Contains(err.Error(), "hunter2"):
				t.Errorf("a secret is told: %v", err)
			}
		})
	}
}

func TestWhyThereIsNoConnection(t *testing.T) {
	plain, _ := serve(t, say("ok"))
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	go func() {
		for {
			connection, err := silent.Accept()
			if err != nil {
				return
			}
			_, _ = connection.Write([]byte("220 mail.example ESMTP\r\n"))
			// Closed with something unread it would be reset, and what was written might be lost.
			_, _ = io.Copy(io.Discard, connection)
			connection.Close()
		}
	}()
	for name, c := range map[string]struct{ url, want string }{
		"nothing listens":  {closed.URL, "the connection was refused: nothing listens at that address and port"},
		"no TLS":           {strings.Replace(plain.URL, "http:", "https:", 1), "the other side does not speak TLS on that port"},
		"another protocol": {"https://" + silent.Addr().String(), "the other side does not speak TLS on that port"},
	} {
		t.Run(name, func(t *testing.T) {
			err := loopback().Send(t.Context(), policy.Receiver{Webhook: &policy.Webhook{URL: c.url}}, notify.ChannelWebhook, message())
			var failed *notify.Error
			if !errors.As(err, &failed) || failed.Text != c.want || !failed.Temporary {
				t.Errorf("%#v", err)
			}
		})
	}
}

func TestWhereConnectionsDoNotGo(t *testing.T) {
	s, _ := serve(t, say("ok"))
	port := s.Listener.Addr().(*net.TCPAddr).Port
	strict := notify.NewSender(nil, nil)
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::]", "[::ffff:127.0.0.1]", "169.254.169.254", "[fe80::1]", "100.100.100.200", "[fd00:ec2::254]", "[64:ff9b::7f00:1]", "224.0.0.1", "2130706433", "0177.0.0.1"} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		err := strict.Send(ctx, policy.Receiver{Webhook: &policy.Webhook{URL: fmt.Sprintf("http://%s:%d/", host, port)}}, notify.ChannelWebhook, message())
		cancel()
		if err == nil || !strings.Contains(err.Error(), "the address is of this machine") && !strings.Contains(err.Error(), "cannot be resolved") {
			t.Errorf("%s: %v", host, err)
		}
	}
	err := strict.Send(t.Context(), policy.Receiver{Email: &policy.Email{Server: s.Listener.Addr().String(), From: "a@b.example", To: []string{"a@b.example"}, TLS: policy.NoTLS}}, notify.ChannelEmail, message())
	if err == nil || !strings.Contains(err.Error(), "the address is of this machine") {
		t.Errorf("mail: %v", err)
	}
}

func TestCertificatesAreChecked(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {}))
	defer s.Close()
	r := policy.Receiver{Webhook: &policy.Webhook{URL: s.URL}}
	if err := loopback().Send(t.Context(), r, notify.ChannelWebhook, message()); err == nil || !strings.Contains(err.Error(), "the certificate is not trusted") {
		t.Errorf("%v", err)
	}
	r.Webhook.CA = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	if err := loopback().Send(t.Context(), r, notify.ChannelWebhook, message()); err != nil {
		t.Errorf("with its CA: %v", err)
	}
}

// mailServer is an SMTP server that keeps one mail.
type mailServer struct {
	address, ca string
	mails       chan string
	logins      chan string
}

// newMailServer speaks TLS from the first byte, or offers STARTTLS, or neither.
func newMailServer(t *testing.T, way policy.EmailTLS, methods string, answers map[string]string) *mailServer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.ParseIP("127.0.0.1")}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &mailServer{address: listener.Addr().String(), ca: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), mails: make(chan string, 10), logins: make(chan string, 10)}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				if way == policy.TLSFromStart {
					conn = tls.Server(conn, config)
				}
				m.serve(conn, config, way, methods, answers)
			})
		}
	})
	t.Cleanup(func() { listener.Close(); all.Wait() })
	return m
}

func (m *mailServer) serve(conn net.Conn, config *tls.Config, way policy.EmailTLS, methods string, answers map[string]string) {
	r := bufio.NewReader(conn)
	reply := func(text string) { _, _ = io.WriteString(conn, text+"\r\n") }
	line := func() (string, bool) {
		text, err := r.ReadString('\n')
		return strings.TrimRight(text, "\r\n"), err == nil
	}
	decoded := func(text string) string { b, _ := base64.StdEncoding.DecodeString(text); return string(b) }
	secure := way == policy.TLSFromStart
	reply("220 mail")
	for {
		text, ok := line()
		if !ok {
			return
		}
		word, rest, _ := strings.Cut(text, " ")
		word = strings.ToUpper(word)
		if answer := answers[word]; answer != "" {
			reply(answer)
			continue
		}
		switch word {
		case "EHLO":
			if way == policy.StartTLS && !secure {
				reply("250-mail\r\n250 STARTTLS")
			} else {
				reply("250-mail\r\n250 AUTH " + methods)
			}
		case "STARTTLS":
			reply("220 go on")
			conn = tls.Server(conn, config)
			r, secure = bufio.NewReader(conn), true
		case "AUTH":
			if mechanism, initial, _ := strings.Cut(rest, " "); mechanism == "PLAIN" {
				m.logins <- decoded(initial)
			} else {
				reply("334 " + base64.StdEncoding.EncodeToString([]byte("Username:")))
				user, _ := line()
				reply("334 " + base64.StdEncoding.EncodeToString([]byte("Password:")))
				password, _ := line()
				m.logins <- decoded(user) + " " + decoded(password)
			}
			reply("235 welcome")
		case "DATA":
			reply("354 go on")
			var b strings.Builder
			for text, ok := line(); ok && text != "."; text, ok = line() {
				b.WriteString(text + "\r\n")
			}
			m.mails <- b.String()
			reply("250 taken")
		case "QUIT":
			reply("221 bye")
			return
		default:
			reply("250 ok")
		}
	}
}

func TestMail(t *testing.T) {
	for name, c := range map[string]struct {
		way            policy.EmailTLS
		methods, login string
	}{
		"STARTTLS": {policy.StartTLS, "PLAIN LOGIN", "\x00gantry\x00hunter2"},
		"TLS":      {policy.TLSFromStart, "LOGIN", "gantry hunter2"},
		"no TLS":   {policy.NoTLS, "PLAIN", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newMailServer(t, c.way, c.methods, nil)
			e := &policy.Email{Server: s.address, From: "Gantry <gantry@a.example>", To: []string{"Ann <ann@a.example>", "bob@a.example"}, TLS: c.way, CA: s.ca}
			if c.login != "" {
				e.Username, e.Password = "gantry", "hunter2"
			}
			if err := loopback().Send(t.Context(), policy.Receiver{Email: e}, notify.ChannelEmail, message()); err != nil {
				t.Fatal(err)
			}
			if c.login != "" {
				if got := <-s.logins; got != c.login {
					t.Errorf("logged in as %q", got)
				}
			}
			parsed, err := mail.ReadMessage(strings.NewReader(<-s.mails))
			if err != nil {
				t.Fatal(err)
			}
			subject, err := new(mime.WordDecoder).DecodeHeader(parsed.Header.Get("Subject"))
			if err != nil || subject != "[FIRING:1] error-rate service=loan" || parsed.Header.Get("Bcc") != "" || !strings.Contains(parsed.Header.Get("To"), "bob@a.example") {
				t.Errorf("%q %v", subject, parsed.Header)
			}
			body, err := io.ReadAll(quotedprintable.NewReader(parsed.Body))
			if err != nil || !strings.Contains(string(body), "借款") || !strings.Contains(string(body), "Config loan.yaml version 7") {
				t.Errorf("%s %v", body, err)
			}
		})
	}
}

func TestMailThatIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		way       policy.EmailTLS
		server    policy.EmailTLS
		answers   map[string]string
		ca        bool
		want      string
		temporary bool
	}{
		"no STARTTLS":     {policy.StartTLS, policy.NoTLS, nil, true, "the mail server has no STARTTLS", false},
		"unknown CA":      {policy.TLSFromStart, policy.TLSFromStart, nil, false, "the certificate is not trusted", false},
		"wrong password":  {policy.TLSFromStart, policy.TLSFromStart, map[string]string{"AUTH": "535 hunter2 is wrong"}, true, "the mail server refuses the login", false},
		"full mailbox":    {policy.TLSFromStart, policy.TLSFromStart, map[string]string{"RCPT": "452 full, hunter2"}, true, "the mail server answered 452 full, (not shown)", true},
		"unknown mailbox": {policy.TLSFromStart, policy.TLSFromStart, map[string]string{"RCPT": "550 nobody"}, true, "the mail server answered 550 nobody", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newMailServer(t, c.server, "PLAIN", c.answers)
			e := &policy.Email{Server: s.address, From: "gantry@a.example", To: []string{"ann@a.example"}, TLS: c.way, Username: "gantry", Password: "hunter2"}
			if c.ca {
				e.CA = s.ca
			}
			err := loopback().Send(t.Context(), policy.Receiver{Email: e}, notify.ChannelEmail, message())
			var failed *notify.Error
			if !errors.As(err, &failed) || !strings.HasPrefix(failed.Text, c.want) || failed.Temporary != c.temporary || strings.Contains(failed.Text, "hunter2") {
				t.Errorf("%#v", err)
			}
		})
	}
}
