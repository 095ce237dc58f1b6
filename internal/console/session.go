package console

import (
	"encoding/json"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
)

const (
	cookieName = "gantry_session"
	// maxLogin bounds the body of a login: the longest user and password, with room for how JSON writes them.
	maxLogin = 16 << 10
)

// login is what a browser sends.
type login struct {
	User     string `json:"user"`
	Password string `json:"password"`
}

// session is the answer to a login. The token is not in it.
type session struct {
	User    string    `json:"user"`
	Expires time.Time `json:"expires"`
}

// refusal is an error in the API's words, as at the other plain HTTP paths.
type refusal struct {
	Code    string `json:"code"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
	Field   string `json:"field,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

func (c *Console) serveSession(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	var err error
	switch r.Method {
	case http.MethodPost:
		err = c.login(w, r)
	case http.MethodDelete:
		err = c.logout(w, r)
	default:
		w.Header().Set("Allow", "POST, DELETE")
		http.Error(w, "log in by POST, log out by DELETE", http.StatusMethodNotAllowed)
	}
	if err != nil {
		c.refuse(w, err)
	}
}

func (c *Console) login(w http.ResponseWriter, r *http.Request) error {
	if err := c.sameOrigin(r); err != nil {
		return err
	}
	given, err := readLogin(w, r)
	if err != nil {
		return err
	}
	// Nobody yet, but from somewhere: guesses are counted by their source.
	anonymous, err := c.access.Authenticate(r.Context(), access.Credential{Source: r.RemoteAddr})
	if err != nil {
		return err
	}
	secret, made, err := c.access.Login(access.NewContext(r.Context(), anonymous), given.User, given.Password)
	if err != nil {
		return err
	}
	expires := made.GetExpiresAt().AsTime()
	http.SetCookie(w, c.cookie(secret, expires))
	writeJSON(w, http.StatusOK, session{User: made.GetUser(), Expires: expires})
	return nil
}

func readLogin(w http.ResponseWriter, r *http.Request) (login, error) {
	// A form of another page cannot send this type without asking first.
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return login{}, fault.New(fault.Invalid, "console.bad_body", "the body is not declared as JSON").At("Content-Type").Hinted("send application/json")
	}
	body, err := edge.Body(w, r, maxLogin)
	if err != nil {
		return login{}, err
	}
	var given login
	if err := json.Unmarshal(body, &given); err != nil {
		// What was sent holds a password, so that the reason is not repeated.
		return login{}, fault.New(fault.Invalid, "console.bad_body", "the body is not a user and a password as JSON").At("body").Hinted(`such as {"user": "ann", "password": "..."}`)
	}
	return given, nil
}

// logout ends the session's token and takes the cookie away. Without a session that is still good there is nothing to end.
func (c *Console) logout(w http.ResponseWriter, r *http.Request) error {
	if err := c.sameOrigin(r); err != nil {
		return err
	}
	if cookie, err := r.Cookie(cookieName); err == nil && cookie.Value != "" && !c.access.Disabled() {
		identity, err := c.access.Authenticate(r.Context(), access.Credential{Token: cookie.Value, Source: r.RemoteAddr})
		if err == nil {
			err = c.access.Logout(access.NewContext(r.Context(), identity))
		}
		if err != nil && !fault.Is(err, fault.Unauthenticated) && !fault.Is(err, fault.Precondition) {
			return err // the token lives on: the browser must not believe that it does not
		}
	}
	http.SetCookie(w, c.cookie("", time.Time{}))
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// cookie holds a session's token; with none it takes the browser's away.
func (c *Console) cookie(token string, expires time.Time) *http.Cookie {
	cookie := &http.Cookie{Name: cookieName, Value: token, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: c.secure, Expires: expires}
	if token == "" {
		cookie.MaxAge = -1
	}
	return cookie
}

// sameOrigin refuses what the browser says comes from another origin. It is the rule of [http.CrossOriginProtection] for every method: there, reading is allowed to
// everybody.
func (c *Console) sameOrigin(r *http.Request) error {
	asWrite := *r
	asWrite.Method = http.MethodPost
	if err := c.origin.Check(&asWrite); err != nil {
		return fault.New(fault.Forbidden, "console.cross_origin", "the request comes from another page than the console's").
			Hinted("open the console itself; behind a proxy, let it pass on the header Host, or set --external-url").Because(err)
	}
	return nil
}

// Credentials lets the session's cookie count as a token for the paths that the app needs, and serves next.
func (c *Console) Credentials(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !counts(r.URL.Path) || r.Header.Get("Authorization") != "" || c.access.Disabled() {
			next.ServeHTTP(w, r)
			return
		}
		cookie, err := r.Cookie(cookieName)
		if err != nil || cookie.Value == "" {
			if byScript(r) {
				w = &quiet{ResponseWriter: w}
			}
			next.ServeHTTP(w, r)
			return
		}
		w = &quiet{ResponseWriter: w}
		if err := c.sameOrigin(r); err != nil {
			c.refuse(w, err)
			return
		}
		if _, err := c.access.Authenticate(r.Context(), access.Credential{Token: cookie.Value, Source: r.RemoteAddr}); fault.Is(err, fault.Unauthenticated) {
			// next refuses it, in its own words.
			http.SetCookie(w, c.cookie("", time.Time{}))
		}
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+cookie.Value)
		r.Header.Del("Cookie")
		next.ServeHTTP(w, r)
	})
}

// byScript tells whether a page of a browser sent the request, and not who types an address.
func byScript(r *http.Request) bool {
	mode := r.Header.Get("Sec-Fetch-Mode")
	return mode != "" && mode != "navigate" || r.Header.Get("Origin") != ""
}

// quiet leaves WWW-Authenticate out of answers to the app: a browser would ask for a user and a password by itself, in front of the app's own page for that.
type quiet struct{ http.ResponseWriter }

// WriteHeader implements [http.ResponseWriter].
func (q *quiet) WriteHeader(status int) {
	q.Header().Del("WWW-Authenticate")
	q.ResponseWriter.WriteHeader(status)
}

// Flush implements [http.Flusher], for streams.
func (q *quiet) Flush() { _ = http.NewResponseController(q.ResponseWriter).Flush() }

// Unwrap is for [http.ResponseController].
func (q *quiet) Unwrap() http.ResponseWriter { return q.ResponseWriter }

// counts tells whether the cookie counts for a path.
func counts(path string) bool {
	return strings.HasPrefix(path, "/gantry.v1.") || strings.HasPrefix(path, "/prometheus/api/v1/")
}

func (c *Console) refuse(w http.ResponseWriter, err error) {
	f := fault.From(err)
	if f.Code == fault.Internal {
		c.log.Error("a request of the console failed", "error", err)
	}
	// No WWW-Authenticate: a browser would ask for a password by itself.
	writeJSON(w, edge.Status(f), refusal{Code: f.Code.String(), Reason: f.Reason, Message: f.Message, Field: f.Field, Hint: f.Hint})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// An error here is a caller that has gone: there is nobody to tell.
	_ = json.NewEncoder(w).Encode(body)
}
