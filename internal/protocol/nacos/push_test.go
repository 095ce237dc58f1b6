package nacos

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/internal/instance"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// receiverSocket is a client's port for pushes.
type receiverSocket struct {
	t    testing.TB
	conn *net.UDPConn
	port string
}

func listenUDP(t testing.TB) *receiverSocket {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &receiverSocket{t: t, conn: conn, port: strconv.Itoa(conn.LocalAddr().(*net.UDPAddr).Port)}
}

// next takes a push, and acknowledges it if told to.
func (s *receiverSocket) next(acknowledge bool) (info listed, number int64, compressed bool) {
	s.t.Helper()
	if err := s.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		s.t.Fatal(err)
	}
	room := make([]byte, 64<<10)
	n, from, err := s.conn.ReadFromUDP(room)
	if err != nil {
		s.t.Fatal(err)
	}
	data := room[:n]
	if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		compressed = true
		r, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			s.t.Fatal(err)
		}
		if data, err = io.ReadAll(r); err != nil {
			s.t.Fatal(err)
		}
	}
	var push struct {
		Type, Data  string
		LastRefTime int64
	}
	if err := json.Unmarshal(data, &push); err != nil || push.Type != "dom" {
		s.t.Fatalf("%v in %s", err, data)
	}
	if err := json.Unmarshal([]byte(push.Data), &info); err != nil {
		s.t.Fatalf("%v in %s", err, push.Data)
	}
	if acknowledge {
		ack := fmt.Sprintf(`{"type":"push-ack","lastRefTime":"%d","data":""}`, push.LastRefTime)
		if _, err := s.conn.WriteToUDP([]byte(ack), from); err != nil {
			s.t.Fatal(err)
		}
	}
	return info, push.LastRefTime, compressed
}

func (s *web) add(service string, n int) {
	s.t.Helper()
	_, err := s.Instances.Register(s.t.Context(), instance.Registration{Service: instance.Service{Name: service},
		Instance: &gantryv1.Instance{Address: fmt.Sprintf("10.0.%d.%d", n/250, n%250+1), Port: 8080}})
	if err != nil {
		s.t.Fatal(err)
	}
}

func TestChangesArePushed(t *testing.T) {
	s := serve(t, false)
	t.Cleanup(s.Close)
	socket := listenUDP(t)
	// The address that the client says is not believed: pushes go where the request came from.
	got := s.list("serviceName", "loan", "udpPort", socket.port, "clientIP", "192.0.2.1")
	if got.CacheMillis != cachePushed || len(got.Hosts) != 0 {
		t.Fatalf("%+v", got)
	}
	s.want(s.call("GET /v1/ns/service/subscribers", "serviceName", "loan"), 200, `"addrStr":"127.0.0.1:`+socket.port+`"`, `"count":1`)
	s.add("loan", 0)
	info, first, compressed := socket.next(true)
	if info.Name != "DEFAULT_GROUP@@loan" || len(info.Hosts) != 1 || compressed {
		t.Errorf("%+v, compressed %v", info, compressed)
	}
	s.add("other", 0) // nobody asked for it
	for n := range 20 {
		s.add("loan", n+1)
	}
	var number int64
	for len(info.Hosts) < 21 { // several changes may come together
		if info, number, compressed = socket.next(true); number <= first {
			t.Errorf("push %d after %d", number, first)
		}
		first = number
		if info.Name != "DEFAULT_GROUP@@loan" {
			t.Errorf("pushed %s", info.Name)
		}
	}
	if !compressed {
		t.Error("a large push is not compressed")
	}
}

func TestWhatIsNotAcknowledgedIsPushedOnceMore(t *testing.T) {
	s := serve(t, false)
	t.Cleanup(s.Close)
	socket := listenUDP(t)
	s.list("serviceName", "loan", "udpPort", socket.port)
	s.add("loan", 0)
	_, first, _ := socket.next(false)
	if _, again, _ := socket.next(true); again != first {
		t.Errorf("push %d, then %d", first, again)
	}
	s.awaitPushes("the acknowledgement is taken", func(p *pushes) bool { return len(p.awaited) == 0 })
}

// awaitPushes waits until the pushes look as wanted.
func (s *web) awaitPushes(what string, looks func(*pushes) bool) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for {
		s.pushes.mu.Lock()
		done := looks(&s.pushes)
		s.pushes.mu.Unlock()
		if done {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			s.t.Fatalf("waited in vain until %s", what)
		}
	}
}

func TestReceiversThatDoNotAskAgainAreForgotten(t *testing.T) {
	s := serve(t, false)
	socket := listenUDP(t)
	s.list("serviceName", "loan", "udpPort", socket.port)
	s.list("serviceName", "bank", "udpPort", socket.port)
	s.pushes.mu.Lock()
	for _, receivers := range s.pushes.receivers {
		for _, r := range receivers {
			r.seen = r.seen.Add(-receiverLife - time.Second)
		}
	}
	s.pushes.mu.Unlock()
	// The worker and its socket end with the last receiver: TestMain would see them.
	s.awaitPushes("nobody is left", func(p *pushes) bool { return p.stop == nil && p.count == 0 })
	s.list("serviceName", "loan", "udpPort", socket.port)
	s.add("loan", 0)
	if info, _, _ := socket.next(true); len(info.Hosts) != 1 {
		t.Errorf("%+v", info)
	}
	s.Close()
	if s.list("serviceName", "loan", "udpPort", socket.port).CacheMillis != cachePolled {
		t.Error("pushes are promised after the end")
	}
}

func TestWhoMayNotReadGetsNoPush(t *testing.T) {
	s := serve(t, true)
	t.Cleanup(s.Close)
	ctx := system(t)
	made, secret, err := s.Access.CreateToken(ctx, "test", []*gantryv1.Grant{{Namespace: "default", Role: gantryv1.Role_ROLE_SERVICE}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	stays, revoked := listenUDP(t), listenUDP(t)
	s.token = secret
	s.list("serviceName", "loan", "udpPort", revoked.port)
	_, s.token, err = s.Access.CreateToken(ctx, "test", []*gantryv1.Grant{{Namespace: "default", Role: gantryv1.Role_ROLE_SERVICE}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	s.list("serviceName", "loan", "udpPort", stays.port)
	if err := s.Access.RevokeToken(ctx, made.GetId()); err != nil {
		t.Fatal(err)
	}
	s.add("loan", 0)
	stays.next(true)
	s.pushes.mu.Lock()
	defer s.pushes.mu.Unlock()
	for _, r := range s.pushes.receivers[loan] {
		if strconv.Itoa(int(r.address.Port())) == revoked.port && !r.sent.IsZero() {
			t.Error("a push went to who lost the right")
		}
	}
}
