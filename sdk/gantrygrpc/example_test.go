package gantrygrpc_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	gantry "github.com/gantry-platform/gantry/sdk"
	"github.com/gantry-platform/gantry/sdk/gantrygrpc"
	"github.com/gantry-platform/gantry/sdk/internal/testserver"
)

func ExampleDialOptions() {
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

	// A service called "risk", which registers after listening.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, health{})
	go server.Serve(listener)
	defer server.Stop()
	port := listener.Addr().(*net.TCPAddr).Port
	if _, err := client.Register(ctx, gantry.Instance{Service: "risk", Address: "127.0.0.1", Port: port}); err != nil {
		log.Fatal(err)
	}

	// Its callers name it.
	conn, err := grpc.NewClient("gantry:///risk",
		append(gantrygrpc.DialOptions(client), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	_, err = grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{}, grpc.WaitForReady(true))
	fmt.Println("answered:", err == nil)
	// Output: answered: true
}
