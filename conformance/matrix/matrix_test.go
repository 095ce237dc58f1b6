package matrix

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/conformance/harness"
	gantry "github.com/gantry-platform/gantry/sdk"
)

// tongues are a client of each language, for a server with authentication on.
func tongues(t *testing.T, server *harness.Server) []tongue {
	t.Helper()
	const user, password = "fleet", "correct horse battery staple"
	server.Call("AccessService/CreateUser", map[string]any{"name": user, "password": password,
		"grants": []map[string]any{{"namespace": "default", "role": "ROLE_SERVICE"}}}, nil)
	token := server.Token("default", "ROLE_SERVICE")
	host, http := split(t, server.HTTP)
	_, grpc := split(t, server.GRPC)

	client, err := gantry.Connect(t.Context(), gantry.WithAddresses(server.GRPC), gantry.WithToken(token), gantry.WithSnapshotFolder(""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	byGRPC, err := newNacosGRPC(host, http, grpc, user, password, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(byGRPC.client.CloseClient)
	byHTTP, err := newNacosHTTP(host, http, user, password, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	viaConsul, err := newConsul(server.HTTP, token)
	if err != nil {
		t.Fatal(err)
	}
	return []tongue{native{client}, byGRPC, byHTTP, newEureka("http://" + user + ":correct%20horse%20battery%20staple@" + server.HTTP + "/eureka"), viaConsul}
}

func split(t *testing.T, address string) (string, int) {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return host, number
}

// TestRegisteredByEachDiscoveredByEach walks the whole matrix.
func TestRegisteredByEachDiscoveredByEach(t *testing.T) {
	server := harness.Start(t)
	all := tongues(t, server)
	metadata := map[string]string{"owner": "risk", "version": "v2"}
	for n, speaker := range all {
		service := fmt.Sprintf("from-%d", n)
		ip, port := fmt.Sprintf("10.7.0.%d", n+1), 8080+n
		address := net.JoinHostPort(ip, strconv.Itoa(port))
		t.Run(speaker.name(), func(t *testing.T) {
			began := time.Now()
			registered, err := speaker.register(t.Context(), service, ip, port, metadata)
			if err != nil {
				t.Fatalf("register: %v", err)
			}
			seenByAll(t, all, service, "takes traffic", func(places map[string]place) error {
				i, there := places[address]
				switch {
				case !there || len(places) != 1:
					return fmt.Errorf("sees %v, want %s alone", places, address)
				case !i.takesTraffic:
					return fmt.Errorf("it takes no traffic")
				}
				for key, value := range metadata {
					if i.metadata[key] != value {
						return fmt.Errorf("metadata %v, want %v in it", i.metadata, metadata)
					}
				}
				return nil
			})
			if err := registered.fail(t.Context()); err != nil {
				t.Fatalf("fail: %v", err)
			}
			seenByAll(t, all, service, "takes no traffic", func(places map[string]place) error {
				if places[address].takesTraffic {
					return fmt.Errorf("it still takes traffic")
				}
				return nil
			})
			if err := registered.deregister(t.Context()); err != nil {
				t.Fatalf("deregister: %v", err)
			}
			seenByAll(t, all, service, "is gone", func(places map[string]place) error {
				if len(places) > 0 {
					return fmt.Errorf("sees %v", places)
				}
				return nil
			})
			fmt.Fprintf(os.Stderr, "%-14s registered, failed and gone for all %d in %v\n", speaker.name(), len(all), time.Since(began).Round(time.Millisecond))
		})
	}
}

func seenByAll(t *testing.T, all []tongue, service, what string, check func(map[string]place) error) {
	t.Helper()
	for _, listener := range all {
		harness.Eventually(t, settling, "the client of "+listener.name()+" sees that it "+what, func() error {
			places, err := listener.discover(t.Context(), service)
			if err != nil {
				return err
			}
			return check(places)
		})
	}
}

// TestAllLanguagesInOneService registers by each into one service, which each sees whole.
func TestAllLanguagesInOneService(t *testing.T) {
	server := harness.Start(t)
	all := tongues(t, server)
	for n, speaker := range all {
		if _, err := speaker.register(t.Context(), "shared", fmt.Sprintf("10.8.0.%d", n+1), 9000+n, map[string]string{"owner": "risk", "version": "v1"}); err != nil {
			t.Fatalf("%s: %v", speaker.name(), err)
		}
	}
	seenByAll(t, all, "shared", "has all instances", func(places map[string]place) error {
		if len(places) != len(all) {
			return fmt.Errorf("sees %d of %d", len(places), len(all))
		}
		return nil
	})
	// A crash of the server: every client registers again, or its instance was kept.
	server.Kill()
	server.Restart()
	seenByAll(t, all, "shared", "has all instances again", func(places map[string]place) error {
		available := 0
		for _, i := range places {
			if i.takesTraffic {
				available++
			}
		}
		if available != len(all) {
			return fmt.Errorf("%d of %d take traffic: %v", available, len(all), places)
		}
		return nil
	})
}
