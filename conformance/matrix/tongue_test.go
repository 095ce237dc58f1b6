package matrix

import (
	"context"
	"time"
)

// place is an instance as a client sees it.
type place struct {
	metadata map[string]string
	// takesTraffic: the client would call it.
	takesTraffic bool
}

// tongue is a client of one language.
type tongue interface {
	name() string
	// register makes an instance at an address of a service, and keeps it alive.
	register(ctx context.Context, service, ip string, port int, metadata map[string]string) (registration, error)
	// discover answers the instances of a service by "ip:port".
	discover(ctx context.Context, service string) (map[string]place, error)
}

// registration is what a client registered.
type registration interface {
	// fail makes the instance one that takes no traffic, in the way that the language has for it.
	fail(ctx context.Context) error
	// deregister removes it.
	deregister(ctx context.Context) error
}

// settling is how long a change may take until every client sees it: the slowest polls.
const settling = 20 * time.Second
