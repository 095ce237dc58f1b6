package server

import (
	"net/http"
	"strings"

	"github.com/gantry-platform/gantry/internal/console"
	"github.com/gantry-platform/gantry/internal/protocol/apollo"
	"github.com/gantry-platform/gantry/internal/protocol/consul"
	"github.com/gantry-platform/gantry/internal/protocol/eureka"
	"github.com/gantry-platform/gantry/internal/protocol/jaeger"
	"github.com/gantry-platform/gantry/internal/protocol/nacos"
	prometheusapi "github.com/gantry-platform/gantry/internal/protocol/prometheus"
	"github.com/gantry-platform/gantry/internal/protocol/springconfig"
	"github.com/gantry-platform/gantry/internal/protocol/zipkin"
)

// mount is a foreign language on the HTTP port: all paths that begin with one of its prefixes. They do not go through
// http.ServeMux, which would redirect paths like /v1/kv/a//b that these languages mean as they stand.
type mount struct {
	prefixes []string
	handler  http.Handler
}

// mounts are the languages of other registries and configuration centres.
func (s *Server) mounts() []mount {
	return []mount{
		{[]string{consul.Prefix}, s.consul},
		{[]string{eureka.Prefix}, eureka.New(eureka.Options{Instances: s.instances, Access: s.access, Logger: s.log.With("part", "eureka")})},
		{[]string{nacos.Prefix}, s.nacos.Handler()},
		{apollo.Prefixes(), s.apollo},
		{[]string{prometheusapi.Prefix}, s.prometheusAPI()},
		{[]string{springconfig.Prefix}, springconfig.New(s.releases, s.access, s.log.With("part", "springconfig"))},
		{[]string{zipkin.Prefix, zipkin.Path}, s.newZipkin()},
		{[]string{jaeger.Prefix}, s.newJaeger()},
		// The console's paths hold names of documents, in which two slashes are two.
		{[]string{console.Prefix}, s.console.Handler()},
	}
}

func (s *Server) newConsul() *consul.Handler {
	return consul.New(consul.Options{Instances: s.instances, Access: s.access, Keys: s.keys, Node: s.settings.ConsulNode, Nodes: s.httpAddresses, Version: s.version,
		Logger: s.log.With("part", "consul")})
}

// httpAddresses are host:port of the HTTP ports of all live nodes, this one first.
func (s *Server) httpAddresses() []string {
	self := s.store.Self()
	all := []string{self.HTTPAddress}
	for _, node := range s.store.Nodes() {
		if node.ID != self.ID {
			all = append(all, node.HTTPAddress)
		}
	}
	return all
}

// nacosNodes are the live nodes as Nacos's clients are told of them.
func (s *Server) nacosNodes() []nacos.Node {
	var nodes []nacos.Node
	for _, node := range s.store.Nodes() {
		nodes = append(nodes, nacos.Node{Name: node.Name, HTTP: node.HTTPAddress})
	}
	return nodes
}

// otherHTTPAddresses are where the other live nodes are reached.
func (s *Server) otherHTTPAddresses() []string {
	var addresses []string
	for _, node := range s.store.Nodes() {
		if node.ID != s.store.Self().ID {
			addresses = append(addresses, node.HTTPAddress)
		}
	}
	return addresses
}

// foreign serves the foreign languages, and next everything else.
func (s *Server) foreign(next http.Handler) http.Handler {
	mounts := s.mounts()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i := range mounts {
			for _, prefix := range mounts[i].prefixes {
				if strings.HasPrefix(r.URL.Path, prefix) {
					mounts[i].handler.ServeHTTP(w, r)
					return
				}
			}
		}
		next.ServeHTTP(w, r)
	})
}
