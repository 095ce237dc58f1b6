package nacos

import (
	"log/slog"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/release"
)

// protocol is what registrations say that they came by.
const protocol = "nacos"

// Options say what the protocol speaks for. Access, Instances and Releases are required.
type Options struct {
	Access    *access.Manager
	Instances *instance.Registry
	Releases  *release.Releaser
	// Logger defaults to silence.
	Logger *slog.Logger
	// Nodes are the live nodes of the cluster; nil knows of none.
	Nodes func() []Node
}

// Node is a node of the cluster as Nacos's clients are told of it.
type Node struct {
	// Name for people.
	Name string
	// HTTP is its host:port for clients.
	HTTP string
}

// API serves Nacos's protocol. It is safe for concurrent use. Close it before what it speaks for.
type API struct {
	Options
	digests digests
	pushes  pushes
}

// New makes the API.
func New(o Options) *API {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	a := &API{Options: o}
	a.pushes.api = a
	return a
}

// Close ends the pushes by UDP. Requests that still come are answered as before, without pushes.
func (a *API) Close() { a.pushes.close() }
