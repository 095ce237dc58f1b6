package nacos

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
)

const (
	// maxReceivers bounds who is pushed to, and maxReceiversOf each host: its processes times its services.
	maxReceivers   = 20_000
	maxReceiversOf = 2_000
	// receiverLife is how long a receiver stays that does not ask again. Clients ask every 10 s.
	receiverLife = 20 * time.Second
	// ackTimeout is how long a push waits for its acknowledgement before it is sent once more.
	ackTimeout = 2 * time.Second
	// pushPause is the least time between two rounds of pushes: half of what Nacos waits, so that a rolling restart is some packets and not thousands.
	pushPause = 250 * time.Millisecond
	// compressOver is the size from which packets are compressed, as in Nacos, and maxPacket that of the largest datagram. Who would get more asks
	// every 10 s anyway.
	compressOver = 1 << 10
	maxPacket    = 65_000
	// maxAck bounds an acknowledgement, and maxAgent what is kept of a client's name for itself.
	maxAck   = 2 << 10
	maxAgent = 64
)

// pushes tell clients of 1.x by UDP what changed in services that they listed with a port. Packets go to the address that the list was asked
// from and nowhere else, so that nobody can have them sent to a third. While there is no receiver there is neither a socket nor a goroutine.
type pushes struct {
	api *API

	mu        sync.Mutex
	closed    bool
	receivers map[instance.Service]map[receiverKey]*receiver
	count     int
	byHost    map[netip.Addr]int
	// awaited finds who a push was sent to that was not acknowledged. number is that of the last push.
	awaited map[ackKey]*receiver
	number  int64
	stop    context.CancelFunc // of the worker; nil while there is none
	workers sync.WaitGroup
}

type receiverKey struct {
	address  netip.AddrPort
	clusters string
}

// ackKey is what an acknowledgement says, and where it comes from.
type ackKey struct {
	address netip.AddrPort
	number  int64
}

// receiver is a client's port for one service.
type receiver struct {
	receiverKey
	agent    string
	identity *access.Identity
	seen     time.Time
	// awaiting is the number of a push that was not acknowledged, 0 for none; packet is that push, and sent when.
	awaiting int64
	packet   []byte
	sent     time.Time
	again    bool
}

// want notes that a client wants pushes of a service, and reports whether it gets them.
func (p *pushes) want(ctx context.Context, service instance.Service, clusters, host string, port int, agent string) bool {
	address, err := netip.ParseAddr(host)
	if err != nil || len(clusters) > instance.MaxNameBytes {
		return false
	}
	address = address.Unmap()
	key := receiverKey{netip.AddrPortFrom(address, uint16(port)), clusters}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	r := p.receivers[service][key]
	if r == nil {
		if p.count >= maxReceivers || p.byHost[address] >= maxReceiversOf || p.start() != nil {
			return false
		}
		r = &receiver{receiverKey: key, agent: strings.ToValidUTF8(agent[:min(len(agent), maxAgent)], "")}
		if p.receivers[service] == nil {
			p.receivers[service] = map[receiverKey]*receiver{}
		}
		p.receivers[service][key] = r
		p.count++
		p.byHost[address]++
	}
	r.seen, r.identity = time.Now(), access.FromContext(ctx)
	return true
}

// start opens the socket and begins to follow the changes from now on, unless that goes on already. The caller holds mu.
func (p *pushes) start() error {
	if p.stop != nil {
		return nil
	}
	conn, err := net.ListenUDP("udp", nil)
	if err != nil {
		p.api.Logger.Warn("clients of Nacos 1.x get no pushes", "error", err)
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	p.receivers, p.byHost, p.awaited = map[instance.Service]map[receiverKey]*receiver{}, map[netip.Addr]int{}, map[ackKey]*receiver{}
	p.count, p.stop = 0, stop
	from := p.api.Instances.ChangesFromNow()
	p.workers.Go(func() { p.receive(conn) })
	p.workers.Go(func() {
		p.run(ctx, conn, from)
		_ = conn.Close() // ends receive
	})
	return nil
}

// close ends the pushes for good.
func (p *pushes) close() {
	p.mu.Lock()
	p.closed = true
	if p.stop != nil {
		p.stop()
	}
	p.mu.Unlock()
	p.workers.Wait()
}

// run pushes until nobody wants it any more.
func (p *pushes) run(ctx context.Context, conn *net.UDPConn, sequence uint64) {
	upkeep := time.NewTicker(ackTimeout / 2)
	defer upkeep.Stop()
	pause := time.NewTimer(pushPause)
	defer pause.Stop()
	for {
		changed := p.api.Instances.Changed()
		changes, next, complete := p.api.Instances.ChangesSince(sequence)
		sequence = next
		if !complete {
			p.pushAll(conn)
		} else if len(changes) > 0 {
			services := make(map[instance.Service]struct{}, len(changes))
			for n := range changes {
				services[changes[n].Service] = struct{}{}
			}
			for service := range services {
				p.push(conn, service)
			}
			pause.Reset(pushPause)
			select {
			case <-pause.C:
				continue
			case <-ctx.Done():
			}
		}
		select {
		case <-changed:
		case now := <-upkeep.C:
			if p.tidy(conn, now) {
				return
			}
		case <-ctx.Done():
			p.mu.Lock()
			p.stop = nil
			p.mu.Unlock()
			return
		}
	}
}

// tidy forgets who did not ask again, and sends once more what was not acknowledged. It reports that nobody is left.
func (p *pushes) tidy(conn *net.UDPConn, now time.Time) (idle bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for service, receivers := range p.receivers {
		for key, r := range receivers {
			if now.Sub(r.seen) > receiverLife {
				delete(receivers, key)
				p.settled(r)
				p.count--
				if p.byHost[key.address.Addr()]--; p.byHost[key.address.Addr()] == 0 {
					delete(p.byHost, key.address.Addr())
				}
				continue
			}
			if r.awaiting == 0 || now.Sub(r.sent) < ackTimeout {
				continue
			}
			if r.again {
				p.settled(r) // it asks again itself
				continue
			}
			r.again, r.sent = true, now
			_, _ = conn.WriteToUDPAddrPort(r.packet, r.address)
		}
		if len(receivers) == 0 {
			delete(p.receivers, service)
		}
	}
	if p.count > 0 {
		return false
	}
	p.stop() // only to free the context: run returns
	p.stop = nil
	return true
}

func (p *pushes) pushAll(conn *net.UDPConn) {
	p.mu.Lock()
	services := make([]instance.Service, 0, len(p.receivers))
	for service := range p.receivers {
		services = append(services, service)
	}
	p.mu.Unlock()
	for _, service := range services {
		p.push(conn, service)
	}
}

// push sends a service to its receivers.
func (p *pushes) push(conn *net.UDPConn, service instance.Service) {
	p.mu.Lock()
	defer p.mu.Unlock()
	receivers := p.receivers[service]
	if len(receivers) == 0 {
		return
	}
	snapshot := p.api.Instances.Lookup(service)
	now := time.Now()
	p.number = max(p.number+1, now.UnixNano())
	packets := map[string][]byte{}
	for _, r := range receivers {
		if !r.identity.May(mayRead, service.Namespace) {
			continue
		}
		packet, made := packets[r.clusters]
		if !made {
			packet = packetOf(service, snapshot, r.clusters, now.UnixMilli(), p.number)
			packets[r.clusters] = packet
		}
		if len(packet) > maxPacket {
			continue
		}
		p.settled(r)
		r.awaiting, r.packet, r.sent, r.again = p.number, packet, now, false
		p.awaited[ackKey{r.address, p.number}] = r
		_, _ = conn.WriteToUDPAddrPort(packet, r.address) // who does not get it asks again
	}
}

// settled ends the waiting for a receiver's acknowledgement. The caller holds mu.
func (p *pushes) settled(r *receiver) {
	if r.awaiting != 0 {
		delete(p.awaited, ackKey{r.address, r.awaiting})
		r.awaiting, r.packet = 0, nil
	}
}

// packetOf is a push of a service: an envelope with the answer to a list as text. number is what it is acknowledged by.
func packetOf(service instance.Service, snapshot *instance.Snapshot, clusters string, now, number int64) []byte {
	info := serviceInfo{name: groupedName(service), groupName: groupNameOf(service.Group), clusters: clusters, cacheMillis: cachePushed,
		lastRefTime: now, hosts: hostsOf(snapshot, clusters, selection{disabled: true})}
	data := info.append(nil)
	packet := appendString(append(make([]byte, 0, 2*len(data)), `{"type":"dom","data":`...), string(data))
	packet = strconv.AppendInt(append(packet, `,"lastRefTime":`...), number, 10)
	packet = append(packet, '}')
	if len(packet) < compressOver {
		return packet
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(packet) // into memory
	_ = w.Close()
	return b.Bytes()
}

// receive takes acknowledgements until the socket is closed.
func (p *pushes) receive(conn *net.UDPConn) {
	var room [maxAck]byte
	for {
		n, from, err := conn.ReadFromUDPAddrPort(room[:])
		if err != nil {
			return // it was closed; without acknowledgements pushes are sent twice, which harms nobody
		}
		number, err := readAck(room[:n])
		if err != nil {
			continue
		}
		p.acknowledge(netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), number)
	}
}

func (p *pushes) acknowledge(from netip.AddrPort, number int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r := p.awaited[ackKey{from, number}]; r != nil {
		p.settled(r)
	}
}

// subscribers are the receivers of a service.
func (p *pushes) subscribers(service instance.Service) []receiver {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []receiver
	for _, r := range p.receivers[service] {
		all = append(all, *r)
	}
	return all
}

// readAck reads an acknowledgement: which push it is of, as a number or as text.
func readAck(data []byte) (int64, error) {
	var ack struct {
		Type        string          `json:"type"`
		LastRefTime json.RawMessage `json:"lastRefTime"`
	}
	if err := json.Unmarshal(data, &ack); err != nil {
		return 0, err
	}
	if ack.Type != "push-ack" {
		return 0, fault.New(fault.Invalid, "nacos.no_ack", "a packet of type %s", quoted(ack.Type))
	}
	return strconv.ParseInt(strings.Trim(string(ack.LastRefTime), `"`), 10, 64)
}
