package consul_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/gantry-platform/gantry/conformance/harness"
)

// client is Consul's own, with a token of Gantry.
func client(t *testing.T, server *harness.Server) *api.Client {
	t.Helper()
	c, err := api.NewClient(&api.Config{Address: server.HTTP, Token: server.Token("default", "ROLE_SERVICE")})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func loan(port int) *api.AgentServiceRegistration {
	return &api.AgentServiceRegistration{Name: "loan", ID: fmt.Sprintf("loan-%d", port), Port: port, Address: "127.0.0.1", Tags: []string{"v1"},
		Meta: map[string]string{"version": "v1"}, Check: &api.AgentServiceCheck{TTL: "3s", DeregisterCriticalServiceAfter: "1m"}}
}

// passing are the ports of the healthy instances.
func passing(c *api.Client, q *api.QueryOptions) ([]int, uint64, error) {
	entries, meta, err := c.Health().Service("loan", "", true, q)
	if err != nil {
		return nil, 0, err
	}
	var ports []int
	for _, e := range entries {
		ports = append(ports, e.Service.Port)
	}
	slices.Sort(ports)
	return ports, meta.LastIndex, nil
}

// TestAClientSurvivesItsServer: services that report every second, and one that watches, live through a server that is killed and started again.
func TestAClientSurvivesItsServer(t *testing.T) {
	server := harness.Start(t)
	c := client(t, server)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	for _, port := range []int{8001, 8002} {
		if err := c.Agent().ServiceRegister(loan(port)); err != nil {
			t.Fatal(err)
		}
	}
	go func() { // as a service does: report, whatever happens
		defer close(ended)
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			for _, port := range []int{8001, 8002} {
				_ = c.Agent().UpdateTTL(fmt.Sprintf("service:loan-%d", port), "", api.HealthPassing) // the next one tries again
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	defer func() { cancel(); <-ended }()
	see := func(what string, want ...int) {
		t.Helper()
		harness.Eventually(t, 30*time.Second, what, func() error {
			ports, _, err := passing(c, nil)
			if err == nil && !slices.Equal(ports, want) {
				err = fmt.Errorf("healthy are %v", ports)
			}
			return err
		})
	}
	see("both are healthy", 8001, 8002)
	_, index, err := passing(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	watched := make(chan error, 1)
	go func() {
		_, _, err := passing(c, (&api.QueryOptions{WaitIndex: index, WaitTime: time.Minute}).WithContext(ctx))
		watched <- err
	}()
	server.Kill()
	if err := <-watched; err == nil {
		t.Error("the blocking query ended without an error when the server was killed")
	}
	server.Restart()
	see("both are healthy after the restart", 8001, 8002)
	// Nobody reports for this one: it falls silent.
	if err := c.Agent().ServiceRegister(loan(8003)); err != nil {
		t.Fatal(err)
	}
	if err := c.Agent().PassTTL("service:loan-8003", "once"); err != nil {
		t.Fatal(err)
	}
	see("the third is healthy", 8001, 8002, 8003)
	see("the third falls silent", 8001, 8002)
	if err := c.Agent().ServiceDeregister("loan-8003"); err != nil {
		t.Fatal(err)
	}
	if err := c.Agent().PassTTL("service:loan-8003", ""); err == nil || !strings.Contains(err.Error(), "Unknown check ID") {
		t.Errorf("a report of what is gone: %v", err)
	}
}

// TestABlockingQueryHearsOfChanges: it holds while nothing happens, and answers when something does.
func TestABlockingQueryHearsOfChanges(t *testing.T) {
	server := harness.Start(t)
	c := client(t, server)
	if err := c.Agent().ServiceRegister(loan(8001)); err != nil {
		t.Fatal(err)
	}
	_, index, err := passing(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, again, err := passing(c, &api.QueryOptions{WaitIndex: index, WaitTime: 500 * time.Millisecond}); err != nil || again != index || time.Since(began) < 500*time.Millisecond {
		t.Errorf("nothing changed: index %d after %v, want %d; %v", again, time.Since(began), index, err)
	}
	answered := make(chan error, 1)
	go func() {
		ports, next, err := passing(c, &api.QueryOptions{WaitIndex: index, WaitTime: time.Minute})
		if err == nil && (next <= index || !slices.Equal(ports, []int{8001})) {
			err = errors.New(fmt.Sprint("it answers ", ports, " at ", next))
		}
		answered <- err
	}()
	if err := c.Agent().PassTTL("service:loan-8001", ""); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

// TestTheSameIDOnTwoAddresses: frameworks call an instance by its name and port, which is the same on every host.
func TestTheSameIDOnTwoAddresses(t *testing.T) {
	server := harness.Start(t)
	c := client(t, server)
	for _, address := range []string{"127.0.0.1", "127.0.0.2"} {
		r := loan(8001)
		r.Address = address
		for range 2 { // registering again changes nothing
			if err := c.Agent().ServiceRegister(r); err != nil {
				t.Fatal(err)
			}
		}
	}
	services, _, err := c.Catalog().Service("loan", "", nil)
	if err != nil || len(services) != 2 || services[0].ServiceAddress == services[1].ServiceAddress || services[0].ServiceID != "loan-8001" || services[1].ServiceID != "loan-8001" {
		t.Fatalf("%d services, %v", len(services), err)
	}
	// The one on the caller's own address is meant.
	if err := c.Agent().PassTTL("service:loan-8001", ""); err != nil {
		t.Fatal(err)
	}
	entries, _, err := c.Health().Service("loan", "", true, nil)
	if err != nil || len(entries) != 1 || entries[0].Service.Address != "127.0.0.1" {
		t.Fatalf("%d healthy, %v", len(entries), err)
	}
	if err := c.Agent().ServiceDeregister("loan-8001"); err != nil {
		t.Fatal(err)
	}
	if services, _, err = c.Catalog().Service("loan", "", nil); err != nil || len(services) != 1 || services[0].ServiceAddress != "127.0.0.2" {
		t.Fatalf("%d left, %v", len(services), err)
	}
}
