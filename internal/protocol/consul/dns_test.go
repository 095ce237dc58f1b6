package consul_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/protocol/consul"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// resolver is a DNS server on loopback, over a node.
type resolver struct {
	t       testing.TB
	address string
}

func serveDNS(t testing.TB, n *node) *resolver {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	packets, err := net.ListenPacket("udp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, server := range consul.NewDNS(n.handler).Servers(packets, listener) {
		started, ended := make(chan struct{}), make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		go func() { defer close(ended); _ = server.ActivateAndServe() }()
		<-started
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			_ = server.ShutdownContext(ctx)
			<-ended
		})
	}
	return &resolver{t, listener.Addr().String()}
}

// ask exchanges one question; set changes it before it is sent.
func (r *resolver) ask(network, name string, kind uint16, set ...func(*dns.Msg)) *dns.Msg {
	r.t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(name, kind)
	for _, s := range set {
		s(m)
	}
	client := &dns.Client{Net: network, Timeout: 20 * time.Second}
	answer, _, err := client.Exchange(m, r.address)
	if err != nil {
		r.t.Fatalf("%s %s: %v", name, dns.TypeToString[kind], err)
	}
	return answer
}

// words are records without what is the same in all.
func words(records []dns.RR) []string {
	var all []string
	for _, rr := range records {
		switch rr := rr.(type) {
		case *dns.A:
			all = append(all, "A "+rr.A.String())
		case *dns.AAAA:
			all = append(all, "AAAA "+rr.AAAA.String())
		case *dns.SRV:
			all = append(all, fmt.Sprintf("SRV %d %d %s", rr.Weight, rr.Port, rr.Target))
		case *dns.CNAME:
			all = append(all, "CNAME "+rr.Target)
		case *dns.SOA:
			all = append(all, "SOA")
		case *dns.OPT:
		default:
			all = append(all, rr.String())
		}
	}
	slices.Sort(all)
	return all
}

func TestNamesOfServices(t *testing.T) {
	n := start(t, false)
	r := serveDNS(t, n)
	for _, body := range []string{
		`{"Name":"loan","ID":"a","Address":"10.0.0.1","Port":80,"Tags":["v1","Blue"],"Check":{"TTL":"1m","Status":"passing"}}`,
		`{"Name":"loan","ID":"b","Address":"10.0.0.2","Port":81,"Tags":["v2"],"Weights":{"Passing":5,"Warning":3},"Check":{"TTL":"1m","Status":"warning"}}`,
		`{"Name":"loan","ID":"c","Address":"10.0.0.3","Port":82,"Check":{"TTL":"1m"}}`,
		`{"Name":"loan","ID":"d","Address":"fe80::1","Port":83}`,
		`{"Name":"down","Address":"10.0.0.4","Check":{"TTL":"1m"}}`,
		`{"Name":"named","Address":"db.example.com","Port":5432}`,
	} {
		n.put("/v1/agent/service/register", body)
	}
	if err := n.registry.CreateNamespace(t.Context(), "staging", ""); err != nil {
		t.Fatal(err)
	}
	n.put("/v1/agent/service/register?ns=staging", `{"Name":"loan","Address":"10.9.0.1","Port":80}`)
	n.put("/v1/catalog/register", `{"Node":"ext","Address":"10.8.0.1","Check":{"CheckID":"alive","Status":"critical"}}`)
	n.put("/v1/catalog/register", `{"Node":"ext","Address":"10.8.0.1","SkipNodeUpdate":true,"Service":{"Service":"far","Port":9}}`)
	srv := []string{"SRV 1 80 0a000001.addr.dc1.consul.", "SRV 1 83 fe800000000000000000000000000001.addr.dc1.consul.", "SRV 3 81 0a000002.addr.dc1.consul."}
	for _, c := range []struct {
		name          string
		kind          uint16
		rcode         int
		answer, extra []string
	}{
		{"loan.service.consul.", dns.TypeA, 0, []string{"A 10.0.0.1", "A 10.0.0.2"}, nil},
		{"LOAN.Service.dc1.CONSUL.", dns.TypeAAAA, 0, []string{"AAAA fe80::1"}, nil},
		{"loan.service.consul.", dns.TypeSRV, 0, srv, []string{"A 10.0.0.1", "A 10.0.0.2", "AAAA fe80::1"}},
		{"v1.loan.service.consul.", dns.TypeA, 0, []string{"A 10.0.0.1"}, nil},
		{"_loan._blue.service.consul.", dns.TypeSRV, 0, srv[:1], []string{"A 10.0.0.1"}},
		{"_loan._tcp.service.dc1.consul.", dns.TypeSRV, 0, srv, []string{"A 10.0.0.1", "A 10.0.0.2", "AAAA fe80::1"}},
		{"v3.loan.service.consul.", dns.TypeA, dns.RcodeNameError, nil, nil},
		{"down.service.consul.", dns.TypeA, dns.RcodeNameError, nil, nil},
		{"far.service.consul.", dns.TypeA, dns.RcodeNameError, nil, nil},
		{"nobody.service.consul.", dns.TypeSRV, dns.RcodeNameError, nil, nil},
		{"loan.service.dc2.consul.", dns.TypeA, dns.RcodeNameError, nil, nil},
		{"loan.service.consul.", dns.TypeTXT, 0, nil, nil},
		{"named.service.consul.", dns.TypeA, 0, []string{"CNAME db.example.com."}, nil},
		{"named.service.consul.", dns.TypeSRV, 0, []string{"SRV 1 5432 db.example.com."}, nil},
		{"loan.service.ns.staging.consul.", dns.TypeA, 0, []string{"A 10.9.0.1"}, nil},
		{"loan.service.ns.nowhere.dc1.consul.", dns.TypeA, dns.RcodeNameError, nil, nil},
		{"0a000001.addr.dc1.consul.", dns.TypeA, 0, []string{"A 10.0.0.1"}, nil},
		{"0a000001.addr.consul.", dns.TypeAAAA, 0, nil, nil},
		{"0a0000.addr.consul.", dns.TypeA, dns.RcodeNameError, nil, nil},
		{"gantry.node.consul.", dns.TypeA, 0, []string{"A 127.0.0.1"}, nil},
		{"ext.node.dc1.consul.", dns.TypeA, 0, []string{"A 10.8.0.1"}, nil},
		{"nobody.node.consul.", dns.TypeA, dns.RcodeNameError, nil, nil},
		{"consul.", dns.TypeSOA, 0, []string{"SOA"}, nil},
		{"service.consul.", dns.TypeA, 0, nil, nil},
		{"example.com.", dns.TypeA, dns.RcodeRefused, nil, nil},
	} {
		for _, network := range []string{"udp", "tcp"} {
			m := r.ask(network, c.name, c.kind)
			if m.Rcode != c.rcode || !slices.Equal(words(m.Answer), c.answer) || !slices.Equal(words(m.Extra), c.extra) {
				t.Errorf("%s %s %s: %s %v and %v, want %s %v and %v", network, c.name, dns.TypeToString[c.kind], dns.RcodeToString[m.Rcode], words(m.Answer), words(m.Extra),
					dns.RcodeToString[c.rcode], c.answer, c.extra)
			}
			if soa := len(m.Ns) == 1 && m.Ns[0].Header().Rrtype == dns.TypeSOA; soa != (len(c.answer) == 0 && c.rcode != dns.RcodeRefused) {
				t.Errorf("%s: authority %v", c.name, m.Ns)
			}
			for _, rr := range m.Answer {
				if rr.Header().Ttl != 0 || !strings.EqualFold(rr.Header().Name, c.name) {
					t.Errorf("%s: %v", c.name, rr)
				}
			}
		}
	}
}

func TestLargeAnswersAreCut(t *testing.T) {
	n := start(t, false)
	r := serveDNS(t, n)
	for k := range 80 {
		address := netip.AddrFrom4([4]byte{10, 0, 1, byte(k)}).String()
		m := &gantryv1.Instance{Address: address, Port: 80}
		if _, err := n.registry.Register(t.Context(), instance.Registration{Service: loan, Instance: m}); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		network  string
		size     uint16
		most     int
		complete bool
	}{
		"plain": {"udp", 0, 512, false}, "edns": {"udp", 4096, 1232, false}, "tcp": {"tcp", 0, 65535, true},
	} {
		m := r.ask(c.network, "loan.service.consul.", dns.TypeSRV, func(m *dns.Msg) {
			if c.size > 0 {
				m.SetEdns0(c.size, false)
			}
		})
		m.Compress = true // as it came
		packed, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if m.Truncated == c.complete || len(packed) > c.most || (len(m.Answer) == 80) != c.complete {
			t.Errorf("%s: %d bytes, %d answers, truncated %v", name, len(packed), len(m.Answer), m.Truncated)
		}
	}
	first := map[string]bool{}
	for range 20 {
		first[words(r.ask("tcp", "loan.service.consul.", dns.TypeA).Answer[:1])[0]] = true
	}
	if len(first) < 3 {
		t.Errorf("the first answer is always of %v", first)
	}
}

func TestOddQuestions(t *testing.T) {
	n := start(t, false)
	r := serveDNS(t, n)
	for name, c := range map[string]struct {
		set   func(*dns.Msg)
		rcode int
	}{
		"notify":        {func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }, dns.RcodeNotImplemented},
		"two questions": {func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }, dns.RcodeFormatError},
		"chaos":         {func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }, dns.RcodeRefused},
	} {
		if m := r.ask("tcp", "consul.", dns.TypeA, c.set); m.Rcode != c.rcode {
			t.Errorf("%s: %s", name, dns.RcodeToString[m.Rcode])
		}
	}
}

// sink takes one answer.
type sink struct {
	dns.ResponseWriter
	remote net.Addr
	answer *dns.Msg
}

func (s *sink) RemoteAddr() net.Addr      { return s.remote }
func (s *sink) WriteMsg(m *dns.Msg) error { s.answer = m; return nil }

// FuzzDNS: whatever comes in is answered by something that fits, or not at all.
func FuzzDNS(f *testing.F) {
	n := start(f, false)
	n.put("/v1/agent/service/register", `{"Name":"loan","ID":"a","Address":"10.0.0.1","Port":80,"Tags":["v1"]}`)
	server := consul.NewDNS(n.handler)
	for _, name := range []string{"loan.service.consul.", "_loan._v1.service.dc1.consul.", "a.b.ns.default.consul.", "gantry.node.consul.", "0a000001.addr.consul.", "consul.", "x."} {
		for _, kind := range []uint16{dns.TypeA, dns.TypeSRV, dns.TypeANY} {
			m := new(dns.Msg)
			m.SetQuestion(name, kind)
			m.SetEdns0(900, true)
			packed, err := m.Pack()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(packed)
		}
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		question := new(dns.Msg)
		if question.Unpack(packet) != nil {
			return
		}
		to := &sink{remote: &net.UDPAddr{}}
		server.ServeDNS(to, question)
		if to.answer == nil {
			if !question.Response {
				t.Fatal("no answer")
			}
			return
		}
		packed, err := to.answer.Pack()
		if err != nil {
			t.Fatalf("an answer that cannot be packed: %v", err)
		}
		if len(packed) > 1232 {
			t.Fatalf("an answer of %d bytes", len(packed))
		}
	})
}
