package consul

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
	"github.com/gantry-platform/gantry/internal/release/keyvalue"
)

// sessions are the operations on sessions.
func (h *Handler) sessions() []route {
	return []route{
		{http.MethodPut, "session/create", (*call).createSession},
		{http.MethodPut, "session/destroy/", (*call).destroySession},
		{http.MethodPut, "session/renew/", (*call).renewSession},
		{http.MethodGet, "session/info/", (*call).sessionInfo},
		{http.MethodGet, "session/node/", (*call).sessionsOfNode},
		{http.MethodGet, "session/list", func(c *call) error { return c.listSessions("") }},
	}
}

// maxSession bounds the body of a session.
const maxSession = 64 << 10

// secondsBelow: a delay given as a number less than it is meant in seconds, not in nanoseconds, as everywhere in Consul.
const secondsBelow = 1000

// session is one as Consul writes it.
type session struct {
	ID            string
	Name          string
	Node          string
	LockDelay     time.Duration
	Behavior      string
	TTL           string
	NodeChecks    []string
	ServiceChecks []keyvalue.ServiceCheck
	CreateIndex   uint64
	ModifyIndex   uint64
}

func sessionOf(s *keyvalue.Session) session {
	w := session{ID: s.ID, Name: s.Name, Node: s.Node, LockDelay: s.LockDelay, Behavior: s.Behavior, NodeChecks: s.NodeChecks,
		ServiceChecks: s.ServiceChecks, CreateIndex: index(s.Created), ModifyIndex: index(s.Created)}
	if w.NodeChecks == nil {
		w.NodeChecks = []string{}
	}
	if s.TTL > 0 {
		w.TTL = s.TTL.String()
		if s.TTL%time.Second == 0 { // as clients write it
			w.TTL = fmt.Sprintf("%ds", s.TTL/time.Second)
		}
	}
	return w
}

func sessionsOf(all []*keyvalue.Session) []session {
	sessions := make([]session, len(all))
	for i, s := range all {
		sessions[i] = sessionOf(s)
	}
	return sessions
}

// createSession answers PUT /v1/session/create.
func (c *call) createSession() error {
	body, err := edge.Body(c.w, c.r, maxSession)
	if err != nil {
		return err
	}
	wanted, err := readSession(body, c.handler.Node)
	if err != nil {
		return err
	}
	wanted.Namespace = c.namespace
	made, err := c.handler.Keys.Create(c.ctx, wanted)
	if f, ok := fault.As(err); ok && f.Reason != "session.invalid" && (f.Code == fault.Invalid || f.Code == fault.NotFound || f.Code == fault.Precondition) {
		// Nodes and checks that are not there, or not well: Consul finds out when it applies the change.
		return c.text(http.StatusInternalServerError, f.Error())
	}
	if err != nil {
		return err
	}
	return c.json(struct{ ID string }{made.ID})
}

// sessionBody is what a client asks for. The pointers tell what was left out from what is empty.
type sessionBody struct {
	Name          string
	Node          string
	LockDelay     lockDelay
	Behavior      string
	TTL           string
	Checks        *[]string // the older name of NodeChecks
	NodeChecks    *[]string
	ServiceChecks []keyvalue.ServiceCheck
}

// lockDelay is a time as clients write it: "15s", or a number.
type lockDelay struct {
	given bool
	time.Duration
}

// UnmarshalJSON implements json.Unmarshaler.
func (d *lockDelay) UnmarshalJSON(data []byte) error {
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		return err
	}
	switch v := value.(type) {
	case nil:
		return nil
	case float64:
		if v != v || v > float64(time.Hour) || v < 0 {
			return fmt.Errorf("LockDelay %v is out of range", v)
		}
		d.Duration = time.Duration(v)
	case string:
		var err error
		if d.Duration, err = time.ParseDuration(v); err != nil {
			return fmt.Errorf("LockDelay %.64q is no time", v)
		}
	default:
		return fmt.Errorf("LockDelay is neither a text nor a number")
	}
	if d.Duration > 0 && d.Duration < secondsBelow {
		d.Duration *= time.Second
	}
	d.given = true
	return nil
}

// readSession reads the body of a session; an empty one asks for the defaults.
func readSession(body []byte, node string) (keyvalue.Session, error) {
	s := keyvalue.Session{Node: node, LockDelay: keyvalue.DefaultLockDelay, Behavior: keyvalue.Release, NodeChecks: []string{keyvalue.NodeCheck}}
	if body = bytes.TrimSpace(body); len(body) == 0 {
		return s, nil
	}
	var asked sessionBody
	if err := json.Unmarshal(body, &asked); err != nil {
		return s, fault.New(fault.Invalid, "consul.body", "Request decode failed: %v", err).At("body").
			Hinted("send a session, such as {\"TTL\":\"30s\",\"LockDelay\":\"15s\"}")
	}
	s.Name, s.ServiceChecks = asked.Name, asked.ServiceChecks
	if asked.Node != "" {
		s.Node = asked.Node
	}
	if asked.Behavior != "" {
		s.Behavior = asked.Behavior
	}
	if asked.LockDelay.given {
		s.LockDelay = asked.LockDelay.Duration
	}
	switch {
	case asked.NodeChecks != nil:
		s.NodeChecks = *asked.NodeChecks
		if asked.Checks != nil {
			s.NodeChecks = append(s.NodeChecks, *asked.Checks...)
		}
	case asked.Checks != nil:
		s.NodeChecks = *asked.Checks
	}
	if asked.TTL != "" {
		ttl, err := time.ParseDuration(asked.TTL)
		if err != nil {
			return s, fault.New(fault.Invalid, "session.invalid", "Session TTL '%.64s' invalid: it is no time", asked.TTL).At("TTL").
				Hinted("use a time such as 30s, from %v to %v", keyvalue.MinTTL, keyvalue.MaxTTL)
		}
		s.TTL = ttl
	}
	return s, nil
}

// destroySession answers PUT /v1/session/destroy/{id}.
func (c *call) destroySession() error {
	id, err := c.name("session")
	if err != nil {
		return err
	}
	if err := c.handler.Keys.Destroy(c.ctx, c.namespace, id); err != nil {
		return err
	}
	return c.json(true)
}

// renewSession answers PUT /v1/session/renew/{id}.
func (c *call) renewSession() error {
	id, err := c.name("session")
	if err != nil {
		return err
	}
	s, err := c.handler.Keys.Renew(c.ctx, c.namespace, id)
	if err != nil {
		return err
	}
	if s == nil {
		return c.text(http.StatusNotFound, fmt.Sprintf("Session id '%s' not found", cut(id)))
	}
	return c.json(sessionsOf([]*keyvalue.Session{s}))
}

// sessionInfo answers GET /v1/session/info/{id}.
func (c *call) sessionInfo() error {
	id, err := c.name("session")
	if err != nil {
		return err
	}
	if err := c.blockOnSessions(); err != nil {
		return err
	}
	s, revision, err := c.handler.Keys.Session(c.ctx, c.namespace, id)
	if err != nil {
		return err
	}
	c.stamp(revision)
	if s == nil {
		return c.json([]session{})
	}
	return c.json([]session{sessionOf(s)})
}

// sessionsOfNode answers GET /v1/session/node/{node}.
func (c *call) sessionsOfNode() error {
	node, err := c.name("node name")
	if err != nil {
		return err
	}
	return c.listSessions(node)
}

// listSessions answers the sessions of a node, or with an empty one all.
func (c *call) listSessions(node string) error {
	if err := c.blockOnSessions(); err != nil {
		return err
	}
	all, revision, err := c.handler.Keys.Sessions(c.ctx, c.namespace, node)
	if err != nil {
		return err
	}
	c.stamp(revision)
	return c.json(sessionsOf(all))
}

// blockOnSessions holds a query that names an index until a session of the namespace was made or has ended.
func (c *call) blockOnSessions() error {
	if c.index == 0 {
		return nil
	}
	keys := c.handler.Keys
	var failed error
	changed := keys.SessionsChanged(c.namespace)
	_, err := c.block(func() (revision int64) {
		_, revision, failed = keys.Session(c.ctx, c.namespace, "")
		return revision
	}, func(ctx context.Context, _ int64) error {
		if failed != nil {
			return failed
		}
		select {
		case <-changed:
			changed = keys.SessionsChanged(c.namespace)
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	if failed != nil {
		return failed
	}
	return err
}
