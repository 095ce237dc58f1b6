package consul

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"hash/fnv"
	"math/big"
	"net/http"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"sync"
	"time"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
)

// agent are the agent's operations that read.
func (h *Handler) agent() []route {
	root := sync.OnceValues(newRoot)
	return []route{
		{http.MethodGet, "agent/self", (*call).self},
		{http.MethodGet, "agent/version", func(c *call) error { return c.json(map[string]string{"HumanVersion": Version, "Gantry": h.Version}) }},
		{http.MethodGet, "agent/members", (*call).members},
		{http.MethodGet, "agent/metrics", (*call).metrics},
		{http.MethodGet, "agent/host", (*call).hostInfo},
		{http.MethodGet, "agent/services", (*call).agentServices},
		{http.MethodGet, "agent/service/", (*call).agentService},
		{http.MethodGet, "agent/checks", (*call).agentChecks},
		{http.MethodGet, "agent/health/service/id/", (*call).agentHealthByID},
		{http.MethodGet, "agent/health/service/name/", (*call).agentHealthByName},
		{http.MethodGet, "agent/connect/ca/roots", func(c *call) error { return c.roots(root) }},
	}
}

func (c *call) self() error {
	if err := c.may(mayRead); err != nil {
		return err
	}
	h := c.handler
	agent := h.nodes(c.namespace).agent
	return c.json(map[string]any{
		"Config": map[string]any{"Datacenter": Datacenter, "PrimaryDatacenter": Datacenter, "NodeName": h.Node, "NodeID": agent.ID, "Revision": "",
			"Server": true, "Version": Version, "BuildDate": "0001-01-01T00:00:00Z"},
		// What clients look at there.
		"DebugConfig": map[string]any{"Datacenter": Datacenter, "NodeName": h.Node, "ACLsEnabled": !h.Access.Disabled(), "SerfAdvertiseAddrLAN": "tcp://" + h.Nodes()[0]},
		"Stats":       map[string]any{"agent": map[string]string{}, "consul": map[string]string{"server": "true", "known_datacenters": "1"}},
		"Member":      h.member(0),
		"Meta":        agent.Meta,
	})
}

// member is a node of Gantry as a member of Consul's gossip.
type member struct {
	Name                                                                         string
	Addr                                                                         string
	Port                                                                         uint16
	Tags                                                                         map[string]string
	Status                                                                       int
	ProtocolMin, ProtocolMax, ProtocolCur, DelegateMin, DelegateMax, DelegateCur uint8 `bexpr:"-"`
}

// member is the n-th live node. All of them together are Consul's one node; from the second on they have their addresses as names.
func (h *Handler) member(n int) member {
	address := h.Nodes()[n]
	host, port := splitAddress(address)
	m := member{Name: h.Node, Addr: host, Port: uint16(port), Status: 1, ProtocolMin: 1, ProtocolMax: 5, ProtocolCur: 2, DelegateMin: 2, DelegateMax: 5, DelegateCur: 4,
		Tags: map[string]string{"role": "consul", "dc": Datacenter, "port": strconv.Itoa(port), "build": Version, "vsn": "2"}}
	if n > 0 {
		m.Name = address
	}
	return m
}

func (c *call) members() error {
	if err := c.may(mayRead); err != nil {
		return err
	}
	all := make([]member, len(c.handler.Nodes()))
	for n := range all {
		all[n] = c.handler.member(n)
	}
	all, err := filter(c, all)
	if err != nil {
		return err
	}
	return c.json(all)
}

// metrics are the two gauges that are asked for most; Gantry's own stand at /metrics.
func (c *call) metrics() error {
	if err := c.may(access.View); err != nil {
		return err
	}
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/sched/goroutines:goroutines"}}
	metrics.Read(samples)
	hostname, err := os.Hostname()
	if err != nil {
		return err
	}
	type gauge struct {
		Name   string
		Value  float64
		Labels map[string]string
	}
	prefix := "consul." + hostname + ".runtime."
	return c.json(map[string]any{"Timestamp": time.Now().UTC().Format("2006-01-02 15:04:05 -0700 MST"), "Points": []any{}, "Counters": []any{}, "Samples": []any{},
		"Gauges": []gauge{{prefix + "alloc_bytes", float64(samples[0].Value.Uint64()), map[string]string{}},
			{prefix + "num_goroutines", float64(samples[1].Value.Uint64()), map[string]string{}}}})
}

func (c *call) hostInfo() error {
	if err := c.may(access.View); err != nil {
		return err
	}
	hostname, err := os.Hostname()
	if err != nil {
		return err
	}
	return c.json(map[string]any{"CollectionTime": time.Now().UnixNano(),
		"Host": map[string]any{"hostname": hostname, "os": runtime.GOOS, "kernelArch": runtime.GOARCH}, "CPU": make([]struct{}, runtime.NumCPU())})
}

// ofAgent are the agent's instances by the ids that are shown. Of those that are called the same, the caller's own has the id, and the others the
// ids with their addresses.
func (c *call) ofAgent() map[string]*entry {
	all := make(map[string]*entry)
	source := c.source()
	c.handler.each(c.namespace, func(_ string, list []*entry) {
		for _, e := range list {
			if !e.agent() {
				continue
			}
			id := e.service.ID
			if other, taken := all[id]; taken {
				if e.instance.Address == source && other.instance.Address != source {
					all[other.instance.Name()+"@"+other.instance.Target()] = other
				} else {
					id += "@" + e.instance.Target()
				}
			}
			all[id] = e
		}
	})
	return all
}

func (c *call) agentServices() error {
	if err := c.may(mayRead); err != nil {
		return err
	}
	all := make(map[string]*agentService)
	for id, e := range c.ofAgent() {
		all[id] = e.asAgent()
	}
	all, err := filterMap(c, all)
	if err != nil {
		return err
	}
	c.stamp(0)
	return c.json(all)
}

// agentService answers one service, when its hash is not the one that the caller has, or when the wait is over.
func (c *call) agentService() error {
	if err := c.may(mayRead); err != nil {
		return err
	}
	id, err := c.name("service id")
	if err != nil {
		return err
	}
	var answer []byte
	var hash string
	look := func() error {
		f, err := c.service(id)
		if err != nil {
			return err
		}
		s := f.asAgent()
		if answer, err = encode(s); err != nil {
			return err
		}
		hash = contentHash(answer)
		s.ContentHash = hash
		answer, err = encode(s)
		return err
	}
	if err := look(); err != nil {
		return err
	}
	if c.hash == hash {
		if err := c.blockWhile(func() (bool, error) { err := look(); return c.hash == hash, err }); err != nil {
			return err
		}
	}
	c.stamp(0)
	c.w.Header().Set("X-Consul-ContentHash", hash)
	return c.encoded(http.StatusOK, answer)
}

func contentHash(content []byte) string {
	hash := fnv.New64a()
	_, _ = hash.Write(content)
	return strconv.FormatUint(hash.Sum64(), 16)
}

// blockWhile waits as block does, while same says so after each change.
func (c *call) blockWhile(same func() (bool, error)) error {
	next := c.anyChange()
	var failure error
	c.index = 1
	_, err := c.block(func() int64 {
		still, err := same()
		failure = err
		if still && err == nil {
			return 1
		}
		return 2
	}, func(ctx context.Context, after int64) error { return next(ctx, after) })
	if err != nil {
		return err
	}
	return failure
}

func (c *call) agentChecks() error {
	if err := c.may(mayRead); err != nil {
		return err
	}
	all := make(map[string]healthCheck)
	nodes := c.handler.nodes(c.namespace)
	for _, check := range nodes.checks[c.handler.Node][1:] {
		all[check.CheckID] = check
	}
	for id, e := range c.ofAgent() {
		for _, check := range nodes.own(e) {
			check.CreateIndex, check.ModifyIndex = 0, 0
			key := check.CheckID
			if _, taken := all[key]; taken {
				key += "@" + id
			}
			all[key] = check
		}
	}
	all, err := filterMap(c, all)
	if err != nil {
		return err
	}
	c.stamp(0)
	return c.json(all)
}

// healthOf is a service with its checks, as load balancers ask the agent for it.
type healthOf struct {
	AggregatedStatus string
	Service          *agentService
	Checks           []healthCheck
}

func (c *call) agentHealthByID() error {
	if err := c.may(mayRead); err != nil {
		return err
	}
	id, err := c.name("service id")
	if err != nil {
		return err
	}
	f, err := c.service(id)
	if fault.Is(err, fault.NotFound) {
		return c.text(http.StatusNotFound, "ServiceId "+cut(id)+" not found")
	}
	if err != nil {
		return err
	}
	return c.health(f.status, healthOf{f.status, f.asAgent(), c.handler.nodes(c.namespace).own(f.entry)})
}

func (c *call) agentHealthByName() error {
	if err := c.may(mayRead); err != nil {
		return err
	}
	name, err := c.name("service name")
	if err != nil {
		return err
	}
	nodes := c.handler.nodes(c.namespace)
	var all []healthOf
	var checks []healthCheck
	for _, e := range c.handler.find(c.namespace, name) {
		if e.agent() {
			own := nodes.own(e)
			all, checks = append(all, healthOf{e.status, e.asAgent(), own}), append(checks, own...)
		}
	}
	if len(all) == 0 {
		return c.text(http.StatusNotFound, "ServiceName "+cut(name)+" Not Found")
	}
	return c.health(aggregate(checks), all)
}

// health answers with the status of HTTP that stands for one of health.
func (c *call) health(status string, answer any) error {
	code := http.StatusServiceUnavailable
	switch status {
	case statusPassing:
		code = http.StatusOK
	case statusWarning:
		code = http.StatusTooManyRequests
	}
	c.stamp(0)
	if c.query.Get("format") == "text" {
		return c.text(code, status)
	}
	return c.jsonStatus(code, answer)
}

// root is a certificate authority that signs nothing.
type root struct {
	pem, serial         string
	notBefore, notAfter time.Time
}

func newRoot() (root, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return root{}, err
	}
	now := time.Now().UTC().Truncate(time.Second)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Gantry: no service mesh"}, NotBefore: now, NotAfter: now.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return root{}, err
	}
	return root{string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})), "1", template.NotBefore, template.NotAfter}, nil
}

// roots answers with a root, because tools wait for one before they do anything else. Connect is not served, so that it signs nothing.
func (c *call) roots(make func() (root, error)) error {
	r, err := make()
	if err != nil {
		return err
	}
	c.stamp(1)
	const id = "no-service-mesh"
	return c.json(map[string]any{"ActiveRootID": id, "TrustDomain": "none.consul", "Roots": []map[string]any{{"ID": id, "Name": "Gantry: no service mesh", "SerialNumber": 1,
		"RootCert": r.pem, "IntermediateCerts": []string{}, "Active": true, "NotBefore": r.notBefore, "NotAfter": r.notAfter, "CreateIndex": 1, "ModifyIndex": 1}}})
}
