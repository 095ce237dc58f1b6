package console_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"go.uber.org/goleak"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/console"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const script = "console.log('gantry')"

func zip(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// app is what a build leaves.
func app(t testing.TB) fstest.MapFS {
	return fstest.MapFS{
		".keep":                {Data: []byte("kept")},
		"index.html":           {Data: []byte(`<meta name="csp-nonce" content="{{nonce}}"><div id="root"></div>`)},
		"assets/main-1.js.gz":  {Data: zip(t, script)},
		"assets/main-1.js.br":  {Data: []byte("brotli of the script")},
		"assets/font-1.woff2":  {Data: []byte("font")},
		"icon.svg.gz":          {Data: zip(t, "<svg/>")},
		"assets/odd.unknown":   {Data: []byte("odd")},
		"assets/style-1.css":   {Data: []byte("a{}")},
		"locales/zh/page.json": {Data: []byte("{}")},
	}
}

// off is a server without authentication.
type off struct{}

func (off) Disabled() bool { return true }
func (off) Authenticate(context.Context, access.Credential) (*access.Identity, error) {
	return access.System("test"), nil
}
func (off) Login(context.Context, string, string) (string, *gantryv1.Token, error) {
	panic("nobody logs in")
}
func (off) Logout(context.Context) error { panic("nobody logs out") }

func open(t testing.TB, files fstest.MapFS) http.Handler {
	t.Helper()
	c, err := console.New(console.Options{Files: files, Access: off{}})
	if err != nil {
		t.Fatal(err)
	}
	return c.Handler()
}

func ask(h http.Handler, method, path string, headers ...string) *http.Response {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t testing.TB, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const policy = "default-src 'none'; script-src 'self'; style-src 'self'NONCE; img-src 'self' data:; font-src 'self'; connect-src 'self'; worker-src 'self' blob:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

func TestThePageHasAFreshNonce(t *testing.T) {
	h := open(t, app(t))
	seen := map[string]bool{}
	for range 3 {
		r := ask(h, "GET", "/console/")
		found := regexp.MustCompile(`^<meta name="csp-nonce" content="([A-Z2-7]{20,})"><div id="root"></div>$`).FindStringSubmatch(body(t, r))
		if r.StatusCode != 200 || found == nil || seen[found[1]] {
			t.Fatalf("%d %q", r.StatusCode, found)
		}
		seen[found[1]] = true
		if got := r.Header.Get("Content-Security-Policy"); got != strings.Replace(policy, "NONCE", " 'nonce-"+found[1]+"'", 1) {
			t.Errorf("policy %q", got)
		}
		if r.Header.Get("Cache-Control") != "no-cache" || r.Header.Get("ETag") != "" || r.Header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("%v", r.Header)
		}
	}
}

func TestEveryAnswerIsSecured(t *testing.T) {
	h := open(t, app(t))
	for _, path := range []string{"/console/", "/console/assets/main-1.js", "/console/assets/none.js", "/console/session", "/console"} {
		r := ask(h, "GET", path)
		for name, want := range map[string]string{"Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
			"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff"} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
		if got := r.Header.Get("Content-Security-Policy"); path != "/console/" && got != strings.Replace(policy, "NONCE", "", 1) {
			t.Errorf("%s: %q", path, got)
		}
		if !strings.Contains(r.Header.Get("Permissions-Policy"), "camera=()") {
			t.Errorf("%s: %q", path, r.Header.Get("Permissions-Policy"))
		}
	}
}

func TestPathsAreFilesOrPlacesInTheApp(t *testing.T) {
	h := open(t, app(t))
	for _, c := range []struct {
		path   string
		status int
		holds  string
	}{
		{"/console/", 200, "root"},
		{"/console/default/services", 200, "root"},
		{"/console/default/documents/Config/loan.yaml", 200, "root"},
		{"/console/default/documents/KeyValue/a%2F%2Fb", 200, "root"},
		{"/console/default/documents/KeyValue/..%2F..%2Fetc%2Fpasswd", 200, "root"},
		{"/console/index.html", 200, "csp-nonce\" content=\""},
		{"/console/.keep", 200, "root"},
		{"/console/assets", 200, "root"},
		{"/console/assets/main-1.js", 200, script},
		{"/console/assets/main-1.js.gz", 404, "load the page again"},
		{"/console/assets/main-2.js", 404, "load the page again"},
		{"/console/assets/../index.html", 404, "load the page again"},
		{"/console/assets/..%2f..%2f..%2fetc/passwd", 404, "load the page again"},
		{"/console/assets/%00", 404, "load the page again"},
		{"/console/assets/odd.unknown", 200, "odd"},
		{"/console/icon.svg", 200, "<svg/>"},
		{"/console/locales/zh/page.json", 200, "{}"},
	} {
		r := ask(h, "GET", c.path)
		if got := body(t, r); r.StatusCode != c.status || !strings.Contains(got, c.holds) {
			t.Errorf("%s: %d %q", c.path, r.StatusCode, got)
		}
	}
	if r := ask(h, "GET", "/console"); r.StatusCode != 308 || r.Header.Get("Location") != "/console/" {
		t.Errorf("without a slash: %d %v", r.StatusCode, r.Header)
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND"} {
		if r := ask(h, method, "/console/"); r.StatusCode != 405 || r.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d", method, r.StatusCode)
		}
	}
	for _, path := range []string{"/console/", "/console/assets/main-1.js", "/console/assets/style-1.css"} {
		if r := ask(h, "HEAD", path); r.StatusCode != 200 || body(t, r) != "" || r.Header.Get("Content-Type") == "" {
			t.Errorf("HEAD %s: %d", path, r.StatusCode)
		}
	}
}

func TestEncodings(t *testing.T) {
	h := open(t, app(t))
	const path = "/console/assets/main-1.js"
	for accepted, want := range map[string]string{
		"gzip, deflate, br, zstd": "br", "gzip, deflate": "gzip", "br;q=0.5, gzip;q=0.8": "gzip", "br;q=0, gzip": "gzip", "BR": "br", "x-gzip": "gzip",
		"": "", "identity": "", "deflate": "", "*": "br", "*;q=0, gzip": "gzip", "br;q=0, *": "gzip", "gzip;q=0.001": "gzip", "identity, gzip;q=0.5": "",
		"br;q=x": "", "gzip;q=2": "", "br ; q = 1 , gzip": "br", "gzip;q=0, br;q=0": "", "br, br;q=0": "", strings.Repeat("gzip,", 400): "",
	} {
		r := ask(h, "GET", path, "Accept-Encoding", accepted)
		text := map[string]string{"": script, "gzip": string(zip(t, script)), "br": "brotli of the script"}[want]
		if got := body(t, r); r.StatusCode != 200 || r.Header.Get("Content-Encoding") != want || got != text {
			t.Errorf("%.40q: %d %q %q", accepted, r.StatusCode, r.Header.Get("Content-Encoding"), got)
		}
		if r.Header.Get("Vary") != "Accept-Encoding" || r.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" || r.Header.Get("Content-Type") != "text/javascript; charset=utf-8" {
			t.Errorf("%.40q: %v", accepted, r.Header)
		}
	}
	for _, refused := range []string{"identity;q=0", "*;q=0"} {
		if r := ask(h, "GET", "/console/assets/font-1.woff2", "Accept-Encoding", refused); r.StatusCode != 406 {
			t.Errorf("%s: %d", refused, r.StatusCode)
		}
	}
	if r := ask(h, "GET", path, "Accept-Encoding", "gzip", "Accept-Encoding", "br"); r.Header.Get("Content-Encoding") != "br" {
		t.Error("the second header is not read")
	}
}

func TestWhatTheBrowserHasIsNotSentAgain(t *testing.T) {
	h := open(t, app(t))
	const path = "/console/assets/main-1.js"
	tags := map[string]bool{}
	for _, coding := range []string{"br", "gzip", "identity"} {
		tag := ask(h, "GET", path, "Accept-Encoding", coding).Header.Get("ETag")
		tags[tag] = true
		for given, want := range map[string]int{tag: 304, "W/" + tag: 304, `"x", ` + tag: 304, "*": 304, `"x"`: 200, "": 200} {
			r := ask(h, "GET", path, "Accept-Encoding", coding, "If-None-Match", given)
			if got := body(t, r); r.StatusCode != want || want == 304 && (got != "" || r.Header.Get("Content-Encoding") != "" || r.Header.Get("ETag") != tag) {
				t.Errorf("%s %q: %d", coding, given, r.StatusCode)
			}
		}
	}
	if len(tags) != 3 {
		t.Errorf("encodings share tags: %v", tags)
	}
	files := app(t)
	files["assets/style-1.css"].Data = []byte("b{}")
	other := open(t, files)
	if a, b := ask(h, "GET", "/console/assets/style-1.css"), ask(other, "GET", "/console/assets/style-1.css"); a.Header.Get("ETag") == b.Header.Get("ETag") {
		t.Error("another content has the same tag")
	}
	if r := ask(h, "GET", "/console/icon.svg"); r.Header.Get("Cache-Control") != "no-cache" {
		t.Errorf("a file without its content in its name: %v", r.Header)
	}
}

func TestABinaryWithoutTheApp(t *testing.T) {
	h := open(t, fstest.MapFS{".keep": {Data: []byte("kept")}})
	for _, path := range []string{"/console/", "/console/default/services", "/console/assets/x.js"} {
		r := ask(h, "GET", path)
		if got := body(t, r); r.StatusCode != 404 || !strings.Contains(got, "no console in this binary") || !strings.Contains(got, "make build") {
			t.Errorf("%s: %d %q", path, r.StatusCode, got)
		}
	}
}

func TestABuildThatIsBrokenIsRefused(t *testing.T) {
	for name, files := range map[string]fstest.MapFS{
		"brotli alone": {"a.js.br": {Data: []byte("x")}},
		"no gzip":      {"a.js.gz": {Data: []byte("x")}},
	} {
		if _, err := console.New(console.Options{Files: files, Access: off{}}); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if _, err := console.New(console.Options{Files: console.Built(), Access: off{}}); err != nil {
		t.Errorf("what is in this binary: %v", err)
	}
}

func TestBrowsersAreWelcome(t *testing.T) {
	c, err := console.New(console.Options{Files: app(t), Access: off{}})
	if err != nil {
		t.Fatal(err)
	}
	h := c.Welcome(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) }))
	for accept, want := range map[string]int{"text/html,application/xhtml+xml,*/*;q=0.8": 302, "*/*": 200, "": 200, "text/html;q=0, */*": 200, "application/json": 200, "TEXT/HTML": 302} {
		if r := ask(h, "GET", "/", "Accept", accept); r.StatusCode != want || r.Header.Get("Vary") != "Accept" || want == 302 && r.Header.Get("Location") != "/console/" {
			t.Errorf("%q: %d %v", accept, r.StatusCode, r.Header)
		}
	}
}

// FuzzFiles: whatever is asked for, the answer is one of the files, the page or a refusal, and all of it carries the policy.
func FuzzFiles(f *testing.F) {
	f.Add("assets/main-1.js", "br;q=0.5,gzip", "")
	f.Add("../../etc/passwd", "*;q=0", `"x"`)
	f.Add("assets/\x00%2e%2e/", ";;q=,,=;q=1e400", "*")
	files := app(f)
	h := open(f, files)
	known := map[string]bool{script: true, string(zip(f, script)): true}
	for name, file := range files {
		if name != ".keep" && name != "index.html" {
			known[string(file.Data)] = true
		}
	}
	known["<svg/>"] = true
	f.Fuzz(func(t *testing.T, path, encodings, match string) {
		r := httptest.NewRequest("GET", "/console/", nil)
		r.URL.Path = "/console/" + path
		r.Header.Set("Accept-Encoding", encodings)
		r.Header.Set("If-None-Match", match)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		text := w.Body.String()
		switch w.Code {
		case 200:
			if !known[text] && !strings.Contains(text, `<div id="root">`) {
				t.Errorf("%q", text)
			}
		case 304, 404, 405, 406:
		default:
			t.Errorf("%d", w.Code)
		}
		if !strings.HasPrefix(w.Header().Get("Content-Security-Policy"), "default-src 'none'; script-src 'self'; ") {
			t.Errorf("%v", w.Header())
		}
	})
}
