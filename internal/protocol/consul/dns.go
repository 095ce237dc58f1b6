package consul

import (
	"encoding/hex"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/gantry-platform/gantry/internal/instance"
)

// Limits of DNS. There is no authentication and a source can be forged, so that an answer is small and whatever is too much is dropped.
const (
	domain = "consul."
	// maxDNSRunning bounds the questions that are answered at once.
	maxDNSRunning = 512
	// maxDNSSize bounds an answer over UDP: what passes everywhere unfragmented (DNS flag day 2020).
	maxDNSSize = 1232
	// maxDNSAnswers and maxDNSAnswersTCP bound the instances of one answer, which are chosen anew each time.
	maxDNSAnswers    = 64
	maxDNSAnswersTCP = 1024
	maxDNSTCPQueries = 128
	dnsTimeout       = 5 * time.Second
)

// DNS answers questions below "consul.": services, nodes and addresses. It reads what [Handler] reads, without asking who wants to know.
type DNS struct {
	handler *Handler
	running atomic.Int64
}

// NewDNS makes the answerer.
func NewDNS(h *Handler) *DNS { return &DNS{handler: h} }

// Servers make a server for each transport. Run them with ActivateAndServe and end them with ShutdownContext.
func (d *DNS) Servers(packets net.PacketConn, listener net.Listener) []*dns.Server {
	return []*dns.Server{
		{PacketConn: packets, Handler: d, UDPSize: maxDNSSize, ReadTimeout: dnsTimeout, WriteTimeout: dnsTimeout},
		{Listener: listener, Handler: d, ReadTimeout: dnsTimeout, WriteTimeout: dnsTimeout, MaxTCPQueries: maxDNSTCPQueries,
			IdleTimeout: func() time.Duration { return dnsTimeout }},
	}
}

// ServeDNS implements dns.Handler.
func (d *DNS) ServeDNS(w dns.ResponseWriter, question *dns.Msg) {
	if d.running.Add(1) > maxDNSRunning {
		d.running.Add(-1)
		return // the asker asks again
	}
	defer d.running.Add(-1)
	defer func() {
		if v := recover(); v != nil {
			d.handler.Logger.Error("a question panicked", "panic", v, "stack", string(debug.Stack()))
		}
	}()
	_, tcp := w.RemoteAddr().(*net.TCPAddr)
	if answer := d.answer(question, tcp); answer != nil {
		_ = w.WriteMsg(answer) // who is gone needs no answer
	}
}

// answer makes the answer to a message; nil for what is no question.
func (d *DNS) answer(question *dns.Msg, tcp bool) *dns.Msg {
	if question.Response {
		return nil
	}
	m := new(dns.Msg)
	m.SetReply(question)
	m.Compress = true
	size := dns.MinMsgSize
	if options := question.IsEdns0(); options != nil {
		size = max(size, min(int(options.UDPSize()), maxDNSSize))
		m.SetEdns0(maxDNSSize, false)
		if options.Version() != 0 {
			m.Rcode = dns.RcodeBadVers
			return m
		}
	}
	if tcp {
		size = dns.MaxMsgSize
	}
	switch {
	case question.Opcode != dns.OpcodeQuery:
		m.Rcode = dns.RcodeNotImplemented
	case len(question.Question) != 1:
		m.Rcode = dns.RcodeFormatError
	case question.Question[0].Qclass != dns.ClassINET && question.Question[0].Qclass != dns.ClassANY || !dns.IsSubDomain(domain, strings.ToLower(question.Question[0].Name)):
		m.Rcode = dns.RcodeRefused // nothing is asked of others
	default:
		m.Authoritative = true
		d.resolve(m, question.Question[0], tcp)
	}
	m.Truncate(size)
	return m
}

// reply is an answer in the making.
type reply struct {
	*dns.Msg
	asked uint16
	name  string // as it was asked
}

// resolve fills in the answer to one question.
func (d *DNS) resolve(m *dns.Msg, question dns.Question, tcp bool) {
	r := &reply{Msg: m, asked: question.Qtype, name: question.Name}
	found := d.look(r, strings.TrimSuffix(question.Name, "."), tcp)
	if !found {
		m.Rcode = dns.RcodeNameError
	}
	if len(m.Answer) == 0 {
		m.Ns = append(m.Ns, soa())
	}
}

func soa() dns.RR {
	return &dns.SOA{Hdr: header(domain, dns.TypeSOA), Ns: "ns." + domain, Mbox: "hostmaster." + domain, Serial: uint32(time.Now().Unix()),
		Refresh: 3600, Retry: 600, Expire: 86400}
}

// header is of a record that nobody may keep: what it says may change at any moment.
func header(name string, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET}
}

// look answers what a name stands for, and reports whether it stands for something.
func (d *DNS) look(r *reply, name string, tcp bool) bool {
	labels := strings.Split(name, ".")
	labels = labels[:len(labels)-1] // "consul"
	if len(labels) == 0 {
		if r.asked == dns.TypeSOA || r.asked == dns.TypeANY {
			r.Answer = append(r.Answer, soa())
		}
		return true
	}
	if n := len(labels); n > 1 && strings.EqualFold(labels[n-1], Datacenter) {
		labels = labels[:n-1]
	}
	namespace := instance.Default
	if n := len(labels); n > 2 && strings.EqualFold(labels[n-2], "ns") {
		namespace, labels = labels[n-1], labels[:n-2]
		if instance.CheckNamespace(namespace) != nil {
			return false
		}
	}
	kind, rest := labels[len(labels)-1], labels[:len(labels)-1]
	switch strings.ToLower(kind) {
	case "service":
		return d.lookService(r, namespace, rest, tcp)
	case "node":
		return d.lookNode(r, namespace, strings.Join(rest, "."))
	case "addr":
		return len(rest) == 1 && r.lookAddress(rest[0])
	}
	return false
}

// lookService answers tag.name and _name._tag.
func (d *DNS) lookService(r *reply, namespace string, labels []string, tcp bool) bool {
	if len(labels) == 0 {
		return true // names below it exist
	}
	name, tag := labels[len(labels)-1], strings.Join(labels[:len(labels)-1], ".")
	if len(labels) == 2 && strings.HasPrefix(labels[0], "_") && strings.HasPrefix(labels[1], "_") { // RFC 2782
		name, tag = labels[0][1:], labels[1][1:]
		if strings.EqualFold(tag, "tcp") || strings.EqualFold(tag, "udp") {
			tag = ""
		}
	}
	healthy := d.healthy(namespace, name, tag)
	if len(healthy) == 0 {
		return false
	}
	rand.Shuffle(len(healthy), func(a, b int) { healthy[a], healthy[b] = healthy[b], healthy[a] })
	limit := maxDNSAnswers
	if tcp {
		limit = maxDNSAnswersTCP
	}
	seen := make(map[string]bool)
	for _, e := range healthy[:min(len(healthy), limit)] {
		r.add(e, seen)
	}
	return true
}

// healthy are the instances of a service that take traffic, warnings included. Resolvers write names small.
func (d *DNS) healthy(namespace, name, tag string) []*entry {
	all := d.handler.find(namespace, name)
	if len(all) == 0 {
		all = d.handler.find(namespace, strings.ToLower(name))
	}
	var nodes *nodes
	var healthy []*entry
	for _, e := range all {
		status := e.status
		if e.extra.Node != "" {
			if nodes == nil {
				nodes = d.handler.nodes(namespace)
			}
			status = aggregate(nodes.checksOf(e))
		}
		if status != statusCritical && status != statusMaint && (tag == "" || e.tagged([]string{tag})) {
			healthy = append(healthy, e)
		}
	}
	return healthy
}

// add adds the records of an instance that the question is about. Two that differ in nothing are one.
func (r *reply) add(e *entry, seen map[string]bool) {
	address, err := netip.ParseAddr(e.instance.Address)
	if r.asked == dns.TypeSRV || r.asked == dns.TypeANY {
		target := dns.Fqdn(e.instance.Address)
		if err == nil {
			target = hex.EncodeToString(address.Unmap().AsSlice()) + ".addr." + Datacenter + "." + domain
		}
		srv := &dns.SRV{Hdr: header(r.name, dns.TypeSRV), Priority: 1, Weight: uint16(min(max(e.service.Weights.Passing, 0), 65535)), Port: uint16(e.service.Port), Target: target}
		if e.status == statusWarning {
			srv.Weight = uint16(min(max(e.service.Weights.Warning, 0), 65535))
		}
		r.Answer = append(r.Answer, srv)
		if err == nil && !seen["extra "+target] {
			seen["extra "+target] = true
			r.Extra = append([]dns.RR{record(target, address)}, r.Extra...)
		}
	}
	switch {
	case r.asked == dns.TypeSRV || seen[e.instance.Address]:
	case err == nil:
		seen[e.instance.Address] = r.put(r.name, address)
	case (r.asked == dns.TypeA || r.asked == dns.TypeAAAA || r.asked == dns.TypeCNAME) && len(r.Answer) == 0: // a host name can stand alone only
		r.Answer = append(r.Answer, &dns.CNAME{Hdr: header(r.name, dns.TypeCNAME), Target: dns.Fqdn(e.instance.Address)})
	}
}

// put adds an address when the question is about its kind.
func (r *reply) put(name string, address netip.Addr) bool {
	rr := record(name, address)
	if kind := rr.Header().Rrtype; kind != r.asked && r.asked != dns.TypeANY {
		return false
	}
	if len(r.Answer) > 0 && r.Answer[0].Header().Rrtype == dns.TypeCNAME {
		r.Answer = nil
	}
	r.Answer = append(r.Answer, rr)
	return true
}

func record(name string, address netip.Addr) dns.RR {
	address = address.Unmap()
	if address.Is4() {
		return &dns.A{Hdr: header(name, dns.TypeA), A: address.AsSlice()}
	}
	return &dns.AAAA{Hdr: header(name, dns.TypeAAAA), AAAA: address.AsSlice()}
}

// lookNode answers a node's address; the agent's node has those of all of Gantry's.
func (d *DNS) lookNode(r *reply, namespace, name string) bool {
	if name == "" {
		return true
	}
	if strings.EqualFold(name, d.handler.Node) {
		for _, address := range d.handler.Nodes() {
			host, _ := splitAddress(address)
			if ip, err := netip.ParseAddr(host); err == nil {
				r.put(r.name, ip)
			}
		}
		return true
	}
	n := d.handler.nodes(namespace).byName[name]
	if n == nil {
		return false
	}
	if ip, err := netip.ParseAddr(n.Address); err == nil {
		r.put(r.name, ip)
	} else if r.asked == dns.TypeA || r.asked == dns.TypeAAAA || r.asked == dns.TypeCNAME {
		r.Answer = append(r.Answer, &dns.CNAME{Hdr: header(r.name, dns.TypeCNAME), Target: dns.Fqdn(n.Address)})
	}
	return true
}

// lookAddress answers 0a000001.addr: names that SRV records lead to.
func (r *reply) lookAddress(label string) bool {
	raw, err := hex.DecodeString(label)
	if err != nil {
		return false
	}
	address, ok := netip.AddrFromSlice(raw)
	if ok {
		r.put(r.name, address)
	}
	return ok
}
