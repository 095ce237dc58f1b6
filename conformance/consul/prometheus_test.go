package consul_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	metrics "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/consul"
	"github.com/prometheus/prometheus/discovery/targetgroup"

	"github.com/gantry-platform/gantry/conformance/harness"
)

// discover runs what stands behind Prometheus's consul_sd_configs on a server: Debian's prometheus is built without it, so that its own
// package is run here. It returns the groups as they come.
func discover(t *testing.T, server *harness.Server) <-chan []*targetgroup.Group {
	t.Helper()
	settings := consul.DefaultSDConfig
	settings.Server, settings.Token, settings.RefreshInterval = server.HTTP, config.Secret(server.Token("default", "ROLE_VIEWER")), model.Duration(200*time.Millisecond)
	registry := metrics.NewRegistry()
	refresh := discovery.NewRefreshMetrics(registry)
	own := settings.NewDiscovererMetrics(registry, refresh)
	if err := own.Register(); err != nil {
		t.Fatal(err)
	}
	discoverer, err := settings.NewDiscoverer(discovery.DiscovererOptions{Logger: slog.New(slog.DiscardHandler), Metrics: own})
	if err != nil {
		t.Fatal(err)
	}
	groups := make(chan []*targetgroup.Group)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); discoverer.Run(ctx, groups) }()
	t.Cleanup(func() {
		cancel()
		for {
			select {
			case <-groups:
			case <-ended:
				return
			}
		}
	})
	return groups
}

// targets follows the groups until they are as wanted: each target with its service, version, tags and health.
func targets(t *testing.T, groups <-chan []*targetgroup.Group, known map[string][]string, want ...string) {
	t.Helper()
	slices.Sort(want)
	timeout := time.After(40 * time.Second)
	for {
		all := slices.Sorted(func(yield func(string) bool) {
			for _, list := range known {
				for _, target := range list {
					if !yield(target) {
						return
					}
				}
			}
		})
		if slices.Equal(all, want) {
			return
		}
		select {
		case next := <-groups:
			for _, group := range next {
				known[group.Source] = describe(group)
			}
		case <-timeout:
			t.Fatalf("the targets are %q, want %q", all, want)
		}
	}
}

func describe(group *targetgroup.Group) []string {
	var all []string
	service := group.Labels["__meta_consul_service"]
	for _, target := range group.Targets {
		labels := maps.Clone(target)
		maps.Copy(labels, group.Labels)
		if service != "consul" {
			all = append(all, fmt.Sprint(labels["__address__"], " ", service, " ", labels["__meta_consul_service_metadata_version"], " ", strings.Trim(string(labels["__meta_consul_tags"]), ","), " ",
				labels["__meta_consul_health"], " ", labels["__meta_consul_dc"]))
		}
	}
	return all
}

// TestPrometheusDiscoversByConsul: what a Consul client registers and what others register is a target, over a restart too.
func TestPrometheusDiscoversByConsul(t *testing.T) {
	server := harness.Start(t)
	c := client(t, server)
	registration := &api.AgentServiceRegistration{Name: "loan", ID: "loan-1", Address: "10.0.0.1", Port: 8080, Tags: []string{"blue", "v1"}, Meta: map[string]string{"version": "v1"},
		Check: &api.AgentServiceCheck{TTL: "10m", Status: api.HealthPassing}}
	if err := c.Agent().ServiceRegister(registration); err != nil {
		t.Fatal(err)
	}
	server.Call("InstanceService/Register", map[string]any{"service": map[string]any{"service": "risk"}, "instance": map[string]any{"address": "10.0.0.2", "port": 9090,
		"labels": map[string]any{"version": "v2"}, "persistent": true}}, nil)
	groups, known := discover(t, server), map[string][]string{}
	loan, risk := "10.0.0.1:8080 loan v1 blue,v1 %s dc1", "10.0.0.2:9090 risk v2 version=v2 passing dc1"
	targets(t, groups, known, fmt.Sprintf(loan, "passing"), risk)
	if err := c.Agent().WarnTTL("service:loan-1", "slow"); err != nil {
		t.Fatal(err)
	}
	targets(t, groups, known, fmt.Sprintf(loan, "warning"), risk)
	server.Kill()
	server.Restart()
	harness.Eventually(t, 20*time.Second, "the check is reported", func() error { return c.Agent().PassTTL("service:loan-1", "") })
	targets(t, groups, known, fmt.Sprintf(loan, "passing"), risk)
	if err := c.Agent().ServiceDeregister("loan-1"); err != nil {
		t.Fatal(err)
	}
	targets(t, groups, known, risk)
}
