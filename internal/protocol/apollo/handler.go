package apollo

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
	"github.com/gantry-platform/gantry/internal/release"
)

// Prefixes are the paths that are Apollo's.
func Prefixes() []string {
	return []string{"/configs/", "/configfiles/", "/notifications", "/services/"}
}

// Authenticator is [access.Manager].
type Authenticator interface {
	edge.Authenticator
	// Disabled reports whether authentication is off.
	Disabled() bool
}

// Options are what a [Handler] works with. Releases, Access and Registerer are required.
type Options struct {
	Releases   *release.Releaser
	Access     Authenticator
	Registerer prometheus.Registerer
	// Logger hears of wrong signatures, at level debug, and of documents that cannot be served. Default silence.
	Logger *slog.Logger
	// Now is the wall clock that signatures are held against. Default [time.Now].
	Now func() time.Time
	// Hold is how long a request for notifications waits for news. Default a minute, as Apollo does; clients give up after 90 s.
	Hold time.Duration
	// MaxHeld bounds the requests that wait on this node. Default 20,000: twice the clients that a node is built for.
	MaxHeld int
}

const (
	defaultHold    = time.Minute
	defaultMaxHeld = 20_000
)

// Handler serves Apollo's paths. It is safe for concurrent use.
type Handler struct {
	releases   *release.Releaser
	access     Authenticator
	log        *slog.Logger
	now        func() time.Time
	hold       time.Duration
	maxHeld    int64
	held       atomic.Int64
	signatures *prometheus.CounterVec
}

// New makes a handler and registers its metrics.
func New(o Options) (*Handler, error) {
	if o.Releases == nil || o.Access == nil || o.Registerer == nil {
		return nil, errors.New("apollo: Options lack Releases, Access or Registerer")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Hold <= 0 {
		o.Hold = defaultHold
	}
	if o.MaxHeld <= 0 {
		o.MaxHeld = defaultMaxHeld
	}
	h := &Handler{releases: o.Releases, access: o.Access, log: o.Logger, now: o.Now, hold: o.Hold, maxHeld: int64(o.MaxHeld),
		signatures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gantry_apollo_signatures_total",
			Help: "Requests for applications with access keys, by the mode of the keys and what the signature was: right, wrong, missing, or skewed in time."},
			[]string{"mode", "result"})}
	held := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gantry_apollo_held", Help: "Requests for notifications that wait for news."},
		func() float64 { return float64(h.held.Load()) })
	for _, collector := range []prometheus.Collector{h.signatures, held} {
		if err := o.Registerer.Register(collector); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// ServeHTTP answers Apollo's paths.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		edge.SpringError(w, r, http.StatusMethodNotAllowed, fault.New(fault.Invalid, "apollo.method", "%.16s is not supported here", r.Method).
			Hinted("clients read by GET; documents are published by `gantry apply` or the native API"))
		return
	}
	if err := h.route(w, r); err != nil {
		h.refuse(w, r, err)
	}
}

func (h *Handler) route(w http.ResponseWriter, r *http.Request) error {
	parts := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	switch {
	case parts[0] == "services" && len(parts) == 2:
		return services(w, r, parts[1])
	case parts[0] == "configs" && len(parts) == 4:
		return h.config(w, r, parts[1:])
	case parts[0] == "configfiles" && len(parts) == 4:
		return h.file(w, r, asProperties, parts[1:])
	case parts[0] == "configfiles" && len(parts) == 5 && parts[1] == "json":
		return h.file(w, r, asJSON, parts[2:])
	case parts[0] == "configfiles" && len(parts) == 5 && parts[1] == "raw":
		return h.file(w, r, asRaw, parts[2:])
	case parts[0] == "notifications" && len(parts) == 2 && parts[1] == "v2":
		return h.notifications(w, r)
	case parts[0] == "notifications" && len(parts) == 1:
		return h.notification(w, r)
	}
	return fault.New(fault.NotFound, "apollo.no_such_path", "there is nothing at this path").
		Hinted("the paths are /configs, /configfiles, /configfiles/json and /configfiles/raw, each with /{appId}/{cluster}/{namespace}, /notifications/v2 and /services/config")
}

// refuse answers an error in Apollo's shape. Clients read the status alone: they go on with what they have, and ask again.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	status := edge.Status(err)
	if r.Context().Err() != nil {
		return // nobody reads it
	}
	if status == http.StatusInternalServerError {
		h.log.Error("a request of an Apollo client failed", "path", r.URL.Path, "error", err)
	}
	edge.SpringError(w, r, status, err)
}

func writeJSON(w http.ResponseWriter, value any) error {
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.Header().Set("Cache-Control", "no-store")
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(value) // fails when the reader is gone
	return nil
}

// service is an address as Apollo's meta service names it.
type service struct {
	AppName     string `json:"appName"`
	InstanceID  string `json:"instanceId"`
	HomepageURL string `json:"homepageUrl"`
}

// services tells clients where the config service is: where they reached this server. The Host header is theirs, and so it is told to
// nobody else; what proxies forward is not believed.
func services(w http.ResponseWriter, r *http.Request, name string) error {
	var app string
	switch name {
	case "config":
		app = "APOLLO-CONFIGSERVICE"
	case "meta":
		app = "APOLLO-METASERVICE"
	case "admin":
		// Apollo's portal changes documents through it; that protocol is not served.
		return writeJSON(w, []service{})
	default:
		return fault.New(fault.NotFound, "apollo.no_such_path", "there is no service %.32q", name).Hinted("ask for /services/config")
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	w.Header().Set("Vary", "Host")
	return writeJSON(w, []service{{AppName: app, InstanceID: r.Host + ":" + strings.ToLower(app), HomepageURL: scheme + "://" + r.Host + edge.Prefix(r.Context()) + "/"}})
}
