package server_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/internal/server"
)

// browse sends a request as a browser would; the client keeps no cookies and follows nothing.
func browse(t *testing.T, s *server.Server, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequest(method, "http://"+s.HTTPAddress()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(answer)
}

// sameOrigin is what a browser says of the console's own requests.
var sameOrigin = []string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors"}

const session = "/console/session"

// signIn logs a user in, and returns the cookie as the browser sends it.
func signIn(t *testing.T, s *server.Server, user, password string) string {
	t.Helper()
	body, err := json.Marshal(map[string]string{"user": user, "password": password})
	if err != nil {
		t.Fatal(err)
	}
	r, answer := browse(t, s, "POST", session, string(body), sameOrigin...)
	if r.StatusCode != 200 {
		t.Fatalf("%d %s", r.StatusCode, answer)
	}
	cookies := r.Cookies()
	if len(cookies) != 1 {
		t.Fatalf("cookies: %v", cookies)
	}
	return cookies[0].Name + "=" + cookies[0].Value
}

// guardedWithViewer is a node with a user ann, who may view.
func guardedWithViewer(t *testing.T) (s *server.Server, admin string) {
	t.Helper()
	s, admin = startGuarded(t)
	if status, answer := call(t, s, "AccessService/CreateUser", `{"name":"ann","password":"correct horse battery","grants":[{"namespace":"default","role":"ROLE_VIEWER"}]}`,
		"Authorization", "Bearer "+admin); status != 200 {
		t.Fatal(answer)
	}
	return s, admin
}

func TestLoginOfABrowser(t *testing.T) {
	s, _ := guardedWithViewer(t)
	r, answer := browse(t, s, "POST", session, `{"user":"ann","password":"correct horse battery"}`, sameOrigin...)
	cookie := r.Header.Get("Set-Cookie")
	if r.StatusCode != 200 || !strings.Contains(answer, `"user":"ann"`) || strings.Contains(answer, "gty_") || r.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %s", r.StatusCode, answer)
	}
	for _, attribute := range []string{"gantry_session=gty_", "; Path=/;", "; HttpOnly", "; SameSite=Strict", "; Expires="} {
		if !strings.Contains(cookie, attribute) {
			t.Errorf("%q lacks %q", cookie, attribute)
		}
	}
	if strings.Contains(cookie, "Secure") || strings.Contains(cookie, "Domain") {
		t.Errorf("without TLS: %q", cookie)
	}
	if left := time.Until(r.Cookies()[0].Expires); left < 11*time.Hour || left > 13*time.Hour {
		t.Errorf("the cookie lasts %s", left)
	}
	for _, c := range []struct {
		body    string
		headers []string
		status  int
		holds   string
	}{
		{`{"user":"ann","password":"wrong"}`, sameOrigin, 401, `{"code":"unauthenticated","reason":"access.bad_credentials","message":"the user or the password is wrong","hint":"`},
		{`{"user":"nobody","password":"wrong"}`, sameOrigin, 401, "access.bad_credentials"},
		{`{"user":"ann","password":"correct horse battery"`, sameOrigin, 400, "console.bad_body"},
		{`{"user":"ann","password":"correct horse battery"}`, []string{"Sec-Fetch-Site", "cross-site"}, 403, "console.cross_origin"},
		{`{"user":"ann","password":"correct horse battery"}`, []string{"Sec-Fetch-Site", "same-site"}, 403, "console.cross_origin"},
		{`{"user":"ann","password":"correct horse battery"}`, []string{"Origin", "https://evil.example"}, 403, "console.cross_origin"},
		{`{"user":"ann","password":"correct horse battery"}`, append([]string{"Content-Type", "text/plain"}, sameOrigin...), 400, "console.bad_body"},
		{`{"user":"` + strings.Repeat("a", 20<<10) + `"}`, sameOrigin, 413, "request.too_large"},
	} {
		r, answer := browse(t, s, "POST", session, c.body, c.headers...)
		if r.StatusCode != c.status || !strings.Contains(answer, c.holds) || r.Header.Get("Set-Cookie") != "" || r.Header.Get("WWW-Authenticate") != "" || strings.Contains(answer, "horse") {
			t.Errorf("%.60s %v: %d %s", c.body, c.headers, r.StatusCode, answer)
		}
	}
	if r, _ := browse(t, s, "GET", session, "", sameOrigin...); r.StatusCode != 405 || r.Header.Get("Allow") != "POST, DELETE" {
		t.Errorf("GET: %d", r.StatusCode)
	}
	for i := range 40 {
		r, answer = browse(t, s, "POST", session, `{"user":"ann","password":"wrong`+strings.Repeat("!", i)+`"}`, sameOrigin...)
		if r.StatusCode == http.StatusTooManyRequests {
			break
		}
	}
	if r.StatusCode != http.StatusTooManyRequests || !strings.Contains(answer, "access.throttled") {
		t.Errorf("guesses are not held up: %d %s", r.StatusCode, answer)
	}
}

func TestTheCookieIsATokenForTheConsoleAlone(t *testing.T) {
	s, admin := guardedWithViewer(t)
	cookie := signIn(t, s, "ann", "correct horse battery")
	const (
		who     = "/gantry.v1.AccessService/WhoAmI"
		release = "/gantry.v1.ReleaseService/Release"
		query   = "/prometheus/api/v1/query?query=1"
	)
	own := "http://" + s.HTTPAddress()
	for _, c := range []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		holds                    string
	}{
		{"the API", "POST", who, `{}`, sameOrigin, 200, `"user:ann"`},
		{"by Origin", "POST", who, `{}`, []string{"Origin", own}, 200, `"user:ann"`},
		{"a program", "POST", who, `{}`, nil, 200, `"user:ann"`},
		{"another site", "POST", who, `{}`, []string{"Sec-Fetch-Site", "cross-site"}, 403, "console.cross_origin"},
		{"another port", "POST", who, `{}`, []string{"Sec-Fetch-Site", "same-site"}, 403, "console.cross_origin"},
		{"another origin", "POST", who, `{}`, []string{"Origin", "http://evil.example"}, 403, "console.cross_origin"},
		{"no origin", "POST", who, `{}`, []string{"Origin", "null"}, 403, "console.cross_origin"},
		{"a viewer's release", "POST", release, `{"ref":{"kind":"Config","name":"a.yaml"}}`, sameOrigin, 403, "permission_denied"},
		{"figures of a namespace", "GET", "/ns/default" + query, "", sameOrigin, 200, `"success"`},
		{"figures, typed", "GET", "/ns/default" + query, "", []string{"Sec-Fetch-Site", "none"}, 200, `"success"`},
		{"figures, from another site", "GET", "/ns/default" + query, "", []string{"Sec-Fetch-Site", "cross-site"}, 403, "console.cross_origin"},
		{"figures, from another origin", "GET", "/ns/default" + query, "", []string{"Origin", "http://evil.example"}, 403, "console.cross_origin"},
		{"figures of all", "GET", query, "", sameOrigin, 403, ""},
		{"a header wins", "POST", who, `{}`, append([]string{"Authorization", "Bearer " + admin}, sameOrigin...), 200, `"user:admin"`},
		{"a header wins that is wrong", "POST", who, `{}`, append([]string{"Authorization", "Bearer gty_wrong"}, sameOrigin...), 401, "unauthenticated"},
		{"a header from elsewhere", "POST", who, `{}`, []string{"Authorization", "Bearer " + admin, "Sec-Fetch-Site", "cross-site"}, 200, `"user:admin"`},
		{"other languages", "GET", "/v1/kv/a?recurse", "", sameOrigin, 403, ""},
		{"metrics", "GET", "/metrics", "", sameOrigin, 401, ""},
		{"events", "POST", "/events/v1/t", `{}`, sameOrigin, 401, ""},
	} {
		r, answer := browse(t, s, c.method, c.path, c.body, append([]string{"Cookie", cookie}, c.headers...)...)
		if r.StatusCode != c.status || !strings.Contains(answer, c.holds) {
			t.Errorf("%s: %d %s", c.name, r.StatusCode, answer)
		}
		if r.Header.Get("Set-Cookie") != "" {
			t.Errorf("%s: the cookie of a good session is set again: %s", c.name, r.Header.Get("Set-Cookie"))
		}
	}
}

func TestTheEndOfASession(t *testing.T) {
	s, admin := guardedWithViewer(t)
	const who = "/gantry.v1.AccessService/WhoAmI"
	cleared := func(r *http.Response) bool {
		cookie := r.Header.Get("Set-Cookie")
		return strings.HasPrefix(cookie, "gantry_session=;") && strings.Contains(cookie, "Max-Age=0")
	}
	cookie := signIn(t, s, "ann", "correct horse battery")
	as := append([]string{"Cookie", cookie}, sameOrigin...)
	if r, _ := browse(t, s, "DELETE", session, "", "Cookie", cookie, "Sec-Fetch-Site", "cross-site"); r.StatusCode != 403 || r.Header.Get("Set-Cookie") != "" {
		t.Errorf("another site logs out: %d", r.StatusCode)
	}
	if r, answer := browse(t, s, "POST", who, `{}`, as...); r.StatusCode != 200 {
		t.Fatalf("%d %s", r.StatusCode, answer)
	}
	if r, answer := browse(t, s, "DELETE", session, "", as...); r.StatusCode != 204 || !cleared(r) {
		t.Errorf("log out: %d %s %v", r.StatusCode, answer, r.Header)
	}
	// The token is over, also for who kept it.
	if status, _ := call(t, s, "AccessService/WhoAmI", `{}`, "Authorization", "Bearer "+strings.TrimPrefix(cookie, "gantry_session=")); status != 401 {
		t.Errorf("the token lives on: %d", status)
	}
	for path, body := range map[string]string{who: `{}`, "/ns/default/prometheus/api/v1/query?query=1": ""} {
		method := "POST"
		if body == "" {
			method = "GET"
		}
		r, answer := browse(t, s, method, path, body, as...)
		if r.StatusCode != 401 || !cleared(r) || r.Header.Get("WWW-Authenticate") != "" {
			t.Errorf("%s: %d %s %v", path, r.StatusCode, answer, r.Header)
		}
	}
	if r, _ := browse(t, s, "DELETE", session, "", as...); r.StatusCode != 204 || !cleared(r) {
		t.Errorf("log out again: %d", r.StatusCode)
	}
	cookie = signIn(t, s, "ann", "correct horse battery")
	if status, answer := call(t, s, "AccessService/UpdateUser", `{"name":"ann","disabled":true}`, "Authorization", "Bearer "+admin); status != 200 {
		t.Fatal(answer)
	}
	if r, _ := browse(t, s, "POST", who, `{}`, append([]string{"Cookie", cookie}, sameOrigin...)...); r.StatusCode != 401 || !cleared(r) {
		t.Errorf("a disabled user: %d", r.StatusCode)
	}
	// Who has no session is not asked by the browser itself.
	if r, _ := browse(t, s, "GET", "/ns/default/prometheus/api/v1/query?query=1", "", sameOrigin...); r.StatusCode != 401 || r.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("%d %v", r.StatusCode, r.Header)
	}
	if r, _ := browse(t, s, "GET", "/ns/default/prometheus/api/v1/query?query=1", ""); r.StatusCode != 401 || r.Header.Get("WWW-Authenticate") == "" {
		t.Errorf("a program: %d %v", r.StatusCode, r.Header)
	}
}

func TestWithoutAuthenticationNobodyLogsIn(t *testing.T) {
	s := start(t, nil)
	if r, answer := browse(t, s, "POST", "/gantry.v1.AccessService/WhoAmI", `{}`, append([]string{"Cookie", "gantry_session=gty_old"}, sameOrigin...)...); r.StatusCode != 200 ||
		!strings.Contains(answer, `"authenticationOff":true`) {
		t.Errorf("%d %s", r.StatusCode, answer)
	}
	if r, answer := browse(t, s, "POST", session, `{"user":"a","password":"b"}`, sameOrigin...); r.StatusCode != 409 || !strings.Contains(answer, "access.authentication_off") {
		t.Errorf("%d %s", r.StatusCode, answer)
	}
	if r, _ := browse(t, s, "DELETE", session, "", sameOrigin...); r.StatusCode != 204 {
		t.Errorf("%d", r.StatusCode)
	}
}

func TestTheCookieIsSecureWhereTheAddressIs(t *testing.T) {
	s := start(t, map[string]string{"GANTRY_AUTHENTICATION": "on", "GANTRY_DATA": t.TempDir(), "GANTRY_EXTERNAL_URL": "https://gantry.example"})
	password, err := os.ReadFile(filepath.Join(s.DataDir(), "admin-password"))
	if err != nil {
		t.Fatal(err)
	}
	// The proxy in front sends a Host of its own.
	r, answer := browse(t, s, "POST", session, `{"user":"admin","password":"`+strings.TrimSpace(string(password))+`"}`, "Origin", "https://gantry.example")
	if r.StatusCode != 200 || !strings.Contains(r.Header.Get("Set-Cookie"), "; Secure") {
		t.Errorf("%d %s %v", r.StatusCode, answer, r.Header)
	}
}

func TestBrowsersAreLedToTheConsole(t *testing.T) {
	s := start(t, nil)
	if r, _ := browse(t, s, "GET", "/", "", "Accept", "text/html,*/*;q=0.8"); r.StatusCode != 302 || r.Header.Get("Location") != "/console/" {
		t.Errorf("%d %v", r.StatusCode, r.Header)
	}
	if r, answer := browse(t, s, "GET", "/", ""); r.StatusCode != 200 || !strings.Contains(answer, "Console  /console/") {
		t.Errorf("%d %s", r.StatusCode, answer)
	}
	if r, _ := browse(t, s, "GET", "/console", ""); r.StatusCode != 308 {
		t.Errorf("%d", r.StatusCode)
	}
	// With the console or without: paths are not rewritten, and the policy is there.
	for _, path := range []string{"/console/", "/console/default/documents/KeyValue/a%2F%2Fb", "/console/x//y"} {
		r, answer := browse(t, s, "GET", path, "", "Accept", "text/html")
		if r.StatusCode != 200 && !strings.Contains(answer, "no console in this binary") || !strings.Contains(r.Header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: %d %s", path, r.StatusCode, answer)
		}
	}
	if r, _ := browse(t, s, "GET", "/consolex", ""); r.StatusCode != 404 {
		t.Errorf("%d", r.StatusCode)
	}
}
