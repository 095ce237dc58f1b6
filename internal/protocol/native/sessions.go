package native

import (
	"context"
	"net"
	"strconv"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func (s *sessions) add(one *session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leaving {
		return fault.New(fault.Unavailable, "server.leaving", "this node is going away").Hinted("open the session on another node")
	}
	s.nextID++
	one.id = strconv.FormatUint(s.nextID, 10)
	s.open[one] = struct{}{}
	return nil
}

func (s *sessions) remove(one *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, one)
}

// subjects are who the open sessions of a namespace say they are.
func (s *sessions) subjects(namespace string) []*gantryv1.Subject {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*gantryv1.Subject
	for one := range s.open {
		name := one.subject.GetService().GetNamespace()
		if name == "" {
			name = "default"
		}
		if name == namespace && one.subject.InstanceId != "" {
			all = append(all, one.subject)
		}
	}
	return all
}

// SessionCount is how many sessions are open on this node.
func (a *API) SessionCount() int {
	a.sessions.mu.Lock()
	defer a.sessions.mu.Unlock()
	return len(a.sessions.open)
}

// Leave tells every session to go elsewhere, takes no new ones, and waits until they are gone or ctx ends. What is left then
// is cut. Where there is no other node nobody can go anywhere, and it does not wait.
func (a *API) Leave(ctx context.Context) {
	a.sessions.mu.Lock()
	a.sessions.leaving = true
	others := a.otherAddresses()
	a.tellAll(&gantryv1.GoAway{Reason: "the node is shutting down", Nodes: others})
	a.sessions.mu.Unlock()
	if len(others) > 0 {
		a.awaitSessions(ctx)
	}
	a.sessions.mu.Lock()
	defer a.sessions.mu.Unlock()
	for one := range a.sessions.open {
		one.cancel(fault.New(fault.Unavailable, "server.leaving", "this node is going away").Hinted("open the session on another node"))
	}
}

// Disperse tells the sessions that are open to go to other nodes, if they can reach any, and to stay until they do. Sessions that are opened
// afterwards are not told, so that clients of a cluster that is lost as a whole do not go round and round.
func (a *API) Disperse(reason string) {
	others := a.otherAddresses()
	if len(others) == 0 {
		return
	}
	a.sessions.mu.Lock()
	defer a.sessions.mu.Unlock()
	a.tellAll(&gantryv1.GoAway{Reason: reason, Nodes: others})
}

// tellAll sends the same to all open sessions. The caller holds sessions.mu.
func (a *API) tellAll(goAway *gantryv1.GoAway) {
	message := &gantryv1.ServerMessage{Message: &gantryv1.ServerMessage_GoAway{GoAway: goAway}}
	for one := range a.sessions.open {
		select {
		case one.outgoing <- message:
		default: // its queue is full: it will notice by the end of the stream
		}
	}
}

func (a *API) awaitSessions(ctx context.Context) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for a.SessionCount() > 0 {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// grpcAddresses are where sessions can be opened: all live nodes.
func (a *API) grpcAddresses() []string {
	addresses := []string{}
	for _, node := range a.Store.Nodes() {
		if node.GRPCAddress != "" {
			addresses = append(addresses, node.GRPCAddress)
		}
	}
	return addresses
}

func (a *API) otherAddresses() []string {
	addresses := []string{}
	for _, node := range a.Store.Nodes() {
		if node.ID != a.Store.Self().ID && node.GRPCAddress != "" {
			addresses = append(addresses, node.GRPCAddress)
		}
	}
	return addresses
}

func hostOnly(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}
