package migrate

import (
	"context"
	"net"
	"strconv"
	"time"
)

// The marks of copies, as metadata.
const (
	// MarkFrom says of which kind of system a copy is: "nacos", ..., or "gantry" for copies in the source.
	MarkFrom = "gantry.mirrored-from"
	// MarkBy says which mirror made it: the source's host and port. So a mirror that starts again finds what its last run left behind, and
	// leaves alone what mirrors of other sources made.
	MarkBy = "gantry.mirrored-by"
)

// Service names a service in Gantry's words.
type Service struct{ Namespace, Group, Name string }

// String is the name for people.
func (s Service) String() string { return s.Namespace + "/" + s.Group + "/" + s.Name }

// Instance is one instance in Gantry's words.
type Instance struct {
	// ID is what names it in its registry and service.
	ID      string
	Address string
	Port    int
	// Ports are further ports by name.
	Ports    map[string]uint32
	Weight   float64
	Labels   map[string]string
	Metadata map[string]string
	// Available: up and healthy. Others are not copied.
	Available bool
}

// marked reports whether it is a copy, whoever made it.
func (i *Instance) marked() bool { return i.Metadata[MarkFrom] != "" }

// by reports whether it is a copy that this mirror, or an earlier run of it, made.
func (i *Instance) by(m marks) bool {
	return i.Metadata[MarkFrom] == m.from && i.Metadata[MarkBy] == m.by
}

// marks are what copies of one direction carry.
type marks struct{ from, by string }

// place is where an instance is dialled.
type place struct {
	address string
	port    int
}

func (i *Instance) place() place { return place{i.Address, i.Port} }

// spot names a copy: there is at most one for an address and port of a service.
type spot struct {
	Service
	place
}

// String is the copy's name for people.
func (s spot) String() string {
	return s.Service.String() + " at " + net.JoinHostPort(s.address, strconv.Itoa(s.port))
}

// Copy is an instance that is to be registered on the other side. Its metadata carries the marks.
type Copy struct {
	Service  Service
	Instance Instance
}

// View is what is registered on a side: services with their instances, copies among them. It is shared and never changed.
type View map[Service][]Instance

// Registry is one side of a mirror. Follow is called by one goroutine, the others by another; all of them may run at once.
type Registry interface {
	// Kind is the system's name: "nacos", or "gantry".
	Kind() string
	// Follow shows what is registered: first of all, and then again after changes, until ctx ends or the side does not answer
	// properly any more. It never returns nil.
	Follow(ctx context.Context, show func(View)) error
	// Register adds copies, or replaces those that are there, and answers an error for each: nil for those that are registered.
	Register(ctx context.Context, copies []Copy) []error
	// Beat keeps registered copies alive, and answers which of them the side does not know any more: they are to be registered again. Those
	// that an error kept from being asked about are none of them.
	Beat(ctx context.Context, copies []Copy) (unknown []int, err error)
	// BeatEvery is the time between beats.
	BeatEvery() time.Duration
	// Remove takes copies back, and answers an error for each. What has taken a copy's place meanwhile stays.
	Remove(ctx context.Context, copies []Copy) []error
	// Close lets go of connections.
	Close()
}
