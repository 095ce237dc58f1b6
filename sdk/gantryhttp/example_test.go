package gantryhttp_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"time"

	gantry "github.com/gantry-platform/gantry/sdk"
	"github.com/gantry-platform/gantry/sdk/gantryhttp"
	"github.com/gantry-platform/gantry/sdk/internal/testserver"
)

func ExampleNew() {
	// The test server stands for a gantry server; with a real one, its address is all there is to say.
	cluster := testserver.NewCluster(10 * time.Second)
	defer cluster.Start("localhost:9848").Stop()
	ctx := context.Background()
	client, err := gantry.Connect(ctx, gantry.WithAddresses("localhost:9848"), gantry.WithDialer(cluster.Dial),
		gantry.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	// A service called "fund", which registers after listening.
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s answers %s", r.Host, r.URL.Path)
	}))
	defer server.Close()
	host, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	number, _ := strconv.Atoi(port)
	if _, err := client.Register(ctx, gantry.Instance{Service: "fund", Address: host, Port: number}); err != nil {
		log.Fatal(err)
	}

	// Its callers name it.
	transport := gantryhttp.New(client)
	defer transport.Close()
	httpClient := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	response, err := httpClient.Get("http://fund/balance")
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(body))
	// Output: fund answers /balance
}
