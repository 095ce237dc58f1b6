package server

import (
	"context"
	"net"

	"github.com/miekg/dns"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/protocol/consul"
)

// listenDNS opens the DNS port for both transports, if it is asked for.
func (s *Server) listenDNS() error {
	address := s.settings.DNSListen
	if address == "" {
		return nil
	}
	listener, err := listen("dns-listen", address)
	if err == nil {
		// The same port for both, also when the system chose it.
		s.listeners.dns, s.listeners.dnsPackets = listener, nil
		packets, packetsErr := net.ListenPacket("udp", listener.Addr().String())
		if packetsErr == nil {
			s.listeners.dnsPackets = packets
			return nil
		}
		listener.Close()
		s.listeners.dns = nil
		err = fault.New(fault.Precondition, "server.cannot_listen", "cannot listen on %s by UDP: %v", address, rootCause(packetsErr)).At("dns-listen").Because(packetsErr).
			Hinted("stop what listens there (ss -lunp shows it), or choose another address with --dns-listen")
	}
	if s.settings.Dev && s.settings.set["dns-listen"] == "" {
		s.log.Warn("the DNS port is taken by another program", "address", address)
		return nil
	}
	return err
}

// serveDNS begins to answer.
func (s *Server) serveDNS() {
	if s.listeners.dns == nil {
		return
	}
	s.dns = consul.NewDNS(s.consul).Servers(s.listeners.dnsPackets, s.listeners.dns)
	for _, server := range s.dns {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		ended := make(chan struct{})
		s.workers.Go(func() {
			defer close(ended)
			if err := server.ActivateAndServe(); err != nil && !s.stopping.Load() {
				s.log.Error("the DNS port ended", "error", err)
			}
		})
		select { // it can be shut down from here on
		case <-started:
		case <-ended:
		}
	}
}

// DNSAddress is where the server answers DNS; empty when it does not.
func (s *Server) DNSAddress() string {
	if s.listeners.dns == nil {
		return ""
	}
	return s.listeners.dns.Addr().String()
}

func stopDNS(ctx context.Context, server *dns.Server) {
	// What is still being answered when ctx ends is cut with its sockets.
	_ = server.ShutdownContext(ctx)
}
