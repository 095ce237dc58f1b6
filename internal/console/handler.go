package console

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/gantry-platform/gantry/internal/access"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// Prefix is where the app is, and SessionPath where a browser logs in and out.
const (
	Prefix      = "/console/"
	SessionPath = Prefix + "session"
)

// Access knows people; access.Manager is one.
type Access interface {
	Disabled() bool
	Authenticate(ctx context.Context, credential access.Credential) (*access.Identity, error)
	Login(ctx context.Context, name, password string) (secret string, made *gantryv1.Token, err error)
	Logout(ctx context.Context) error
}

// Options say what a [Console] works with.
type Options struct {
	// Files is the app. Required; [Built] is the one of this binary.
	Files fs.FS
	// Access is required.
	Access Access
	// ExternalURL is where people reach the server; a proxy may have a name and TLS of its own. Empty: where the request came to.
	ExternalURL string
	// TLS: the server's own port speaks TLS.
	TLS bool
	// Logger defaults to none.
	Logger *slog.Logger
}

// Console serves the app. Its methods may be called concurrently.
type Console struct {
	access Access
	log    *slog.Logger
	files  map[string]*file
	// page is index.html, cut where its nonces stand; nil when the binary has no app.
	page   [][]byte
	secure bool
	origin *http.CrossOriginProtection
}

// New reads the app.
func New(o Options) (*Console, error) {
	if o.Files == nil || o.Access == nil {
		return nil, errors.New("console: Options lack Files or Access")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Console{access: o.Access, log: o.Logger, origin: http.NewCrossOriginProtection(), secure: o.TLS}
	if o.ExternalURL != "" {
		external, err := url.Parse(o.ExternalURL)
		if err == nil {
			// A proxy may send another Host than the one that browsers see.
			err = c.origin.AddTrustedOrigin(external.Scheme + "://" + external.Host)
		}
		if err != nil {
			return nil, err
		}
		c.secure = c.secure || external.Scheme == "https"
	}
	var err error
	if c.files, err = readFiles(o.Files); err != nil {
		return nil, err
	}
	index := c.files[page]
	if index == nil {
		return c, nil
	}
	delete(c.files, page)
	content, err := index.plain()
	if err != nil {
		return nil, err
	}
	whole, err := io.ReadAll(content)
	if err != nil {
		return nil, err
	}
	c.page = bytes.Split(whole, []byte(nonceMark))
	return c, nil
}

// Handler serves everything at and below [Prefix], the path without its last slash too.
func (c *Console) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secure(w.Header(), "")
		name, below := strings.CutPrefix(r.URL.Path, Prefix)
		switch {
		case r.URL.Path == SessionPath:
			c.serveSession(w, r)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "the console is read by GET", http.StatusMethodNotAllowed)
		case !below:
			http.Redirect(w, r, Prefix, http.StatusPermanentRedirect)
		case c.page == nil:
			c.serveMissing(w, r)
		case c.files[name] != nil:
			c.serveFile(w, r, name, c.files[name])
		case strings.HasPrefix(name, assets):
			w.Header().Set("Cache-Control", "no-store")
			http.Error(w, "no such file in this version of the console; load the page again", http.StatusNotFound)
		default:
			c.servePage(w, r)
		}
	})
}

// Welcome leads browsers from the server's root to the app, and everybody else to next.
func (c *Console) Welcome(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Accept")
		if accepts(r.Header.Get("Accept"), "text/html") {
			w.Header().Set("Cache-Control", "no-store")
			http.Redirect(w, r, Prefix, http.StatusFound)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// servePage answers the page with a nonce of its own. It has no ETag: a browser that keeps the page would keep its nonce, and the answer names another.
func (c *Console) servePage(w http.ResponseWriter, r *http.Request) {
	nonce := rand.Text()
	secure(w.Header(), nonce)
	whole := bytes.Join(c.page, []byte(nonce))
	w.Header().Set("Content-Type", types[".html"])
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("Content-Length", strconv.Itoa(len(whole)))
	if r.Method == http.MethodGet {
		// An error here is a caller that has gone: there is nobody to tell.
		_, _ = w.Write(whole)
	}
}

func (c *Console) serveFile(w http.ResponseWriter, r *http.Request, name string, f *file) {
	h := w.Header()
	h.Add("Vary", "Accept-Encoding")
	as, ok := choose(strings.Join(r.Header.Values("Accept-Encoding"), ","), func(e encoding) bool { return f.encoded[e] != nil })
	if !ok {
		http.Error(w, "the file comes in br, gzip or identity", http.StatusNotAcceptable)
		return
	}
	// An encoding is another representation, and has another tag.
	etag := `"` + f.etag + "-" + string(as) + `"`
	h.Set("ETag", etag)
	if strings.HasPrefix(name, assets) {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache")
	}
	if matches(r.Header.Get("If-None-Match"), etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", f.contentType)
	if as != identity {
		h.Set("Content-Encoding", string(as))
	}
	if content, there := f.encoded[as]; there {
		h.Set("Content-Length", strconv.Itoa(len(content)))
		if r.Method == http.MethodGet {
			_, _ = w.Write(content)
		}
		return
	}
	// Nearly nobody asks for it as it is, so it is not kept in that form.
	if content, err := f.plain(); err == nil && r.Method == http.MethodGet {
		_, _ = io.Copy(w, content)
	}
}

// matches tells whether If-None-Match names a tag (RFC 9110, 13.1.2: weak comparison).
func matches(header, etag string) bool {
	for part := range strings.SplitSeq(header, ",") {
		if part = strings.TrimSpace(part); part == "*" || strings.TrimPrefix(part, "W/") == etag {
			return true
		}
	}
	return false
}

// missing is what a binary without the app says.
const missing = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Gantry</title>
<h1>There is no console in this binary</h1>
<p>It was built without Node. Everything else works: the API, the command <code>gantry</code>, and the languages of other registries.</p>
<p>To build it with the console, install Node 20.19 or newer and npm, and run <code>make build</code> in the folder of the sources. Binaries of a release have it.</p>
</html>
`

func (c *Console) serveMissing(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", types[".html"])
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNotFound)
	if r.Method == http.MethodGet {
		_, _ = io.WriteString(w, missing)
	}
}
