package server_test

import (
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/gantry-platform/gantry/internal/server"
)

func TestNamesAreAnsweredOnAPortOfTheirOwn(t *testing.T) {
	s := start(t, map[string]string{"GANTRY_DNS_LISTEN": "127.0.0.1:0"})
	status, answer := call(t, s, "InstanceService/Register", `{"service":{"service":"loan"},"instance":{"address":"10.0.0.1","port":8080}}`)
	if status != 200 {
		t.Fatalf("register: %d %s", status, answer)
	}
	for _, network := range []string{"udp", "tcp"} {
		m := new(dns.Msg)
		m.SetQuestion("loan.service.consul.", dns.TypeA)
		answer, _, err := (&dns.Client{Net: network, Timeout: 20 * time.Second}).Exchange(m, s.DNSAddress())
		if err != nil || len(answer.Answer) != 1 || !strings.HasSuffix(answer.Answer[0].String(), "10.0.0.1") {
			t.Errorf("%s: %v, %v", network, answer, err)
		}
	}
	if closed := start(t, nil); closed.DNSAddress() != "" {
		t.Errorf("nobody asked for DNS, and it is at %s", closed.DNSAddress())
	}
}

func TestDNSWithoutAuthenticationStaysOnLoopback(t *testing.T) {
	env := map[string]string{"GANTRY_DEV": "true", "GANTRY_DNS_LISTEN": "0.0.0.0:8600"}
	if _, err := server.Load("", func(name string) string { return env[name] }, nil); err == nil || !strings.Contains(err.Error(), "dns-listen") {
		t.Errorf("%v", err)
	}
}
