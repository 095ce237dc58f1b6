package consul

import (
	"log/slog"
	"math"
	"net/http"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
	"github.com/gantry-platform/gantry/internal/release/keyvalue"
)

// Prefix begins the paths that are Consul's.
const Prefix = "/v1/"

// Protocol is what registrations by Consul's API are marked with.
const Protocol = "consul"

// Datacenter is the only one.
const Datacenter = "dc1"

// Version is that of the Consul whose API is spoken; clients choose by it what they send.
const Version = "1.21.5"

// Options say what the language works with.
type Options struct {
	Instances *instance.Registry
	Access    *access.Manager
	// Keys are served when they are there.
	Keys *keyvalue.Keys
	// Node is the name of the one node that agent-registered services belong to. It must be the same on all nodes of the cluster.
	Node string
	// Nodes answers host:port of the HTTP ports of all live nodes, this one first.
	Nodes func() []string
	// Version is Gantry's own.
	Version string
	Logger  *slog.Logger
}

// Handler serves the paths under [Prefix]. Its methods may be called concurrently.
type Handler struct {
	Options
	routes  routes
	waiters waiters
}

// New makes the handler.
func New(options Options) *Handler {
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	h := &Handler{Options: options}
	for _, part := range [][]route{h.status(), h.agent(), h.registrations(), h.catalog(), h.catalogWrites(), h.health(), h.refusals()} {
		h.routes.add(part)
	}
	if h.Keys != nil {
		h.routes.add(h.keyValues())
		h.routes.add(h.sessions())
	}
	return h
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	operation, rest, err := h.routes.find(r.Method, r.URL.EscapedPath())
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	c, err := h.read(w, r, rest)
	if err == nil {
		err = operation(c)
	}
	if err != nil && r.Context().Err() == nil {
		h.refuse(w, r, err)
	}
}

// identify finds the token where Consul's clients put it.
func (h *Handler) identify(r *http.Request) (*http.Request, error) {
	token := r.Header.Get("X-Consul-Token")
	if token == "" {
		token = r.URL.Query().Get("token")
	}
	if token == "" && r.Header.Get("Authorization") == "Bearer" { // a client without a token that sets the header all the same
		r.Header.Del("Authorization")
	}
	ctx, err := edge.Identify(r, h.Access, access.Credential{Token: token})
	if err != nil {
		return nil, err
	}
	return r.WithContext(ctx), nil
}

// index is a revision as Consul's clients know it: above zero.
func index(revision int64) uint64 { return uint64(max(1, min(revision, math.MaxInt64))) }
