package gantry_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"time"

	gantry "github.com/gantry-platform/gantry/sdk"
	"github.com/gantry-platform/gantry/sdk/internal/testserver"
)

// startServer stands for a gantry server: it returns what the examples need to reach one in memory, with an instance of
// "fund" and a configuration. With a real server, the address is all there is to say.
func startServer() (options []gantry.Option, cluster *testserver.Cluster, stop func()) {
	cluster = testserver.NewCluster(10 * time.Second)
	node := cluster.Start("localhost:9848")
	cluster.Put(testserver.Ref("fund"), fund("1"))
	cluster.Release("Config", "loan-limits.yaml", "yaml", "max-amount: 6000\ntimeout: 2s\n")
	return []gantry.Option{
		gantry.WithAddresses("localhost:9848"), gantry.WithDialer(cluster.Dial), gantry.WithSnapshotFolder(""),
		gantry.WithLogger(slog.New(slog.DiscardHandler)),
	}, cluster, node.Stop
}

func Example() {
	options, _, stop := startServer()
	defer stop()
	ctx := context.Background()
	client, err := gantry.Connect(ctx, append(options,
		gantry.WithIdentity(gantry.Identity{Service: "loan", Version: "1.4.2", Zone: "z1"}))...)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	// After listening on port 8080:
	registration, err := client.Register(ctx, gantry.Instance{Address: "10.0.0.7", Port: 8080})
	if err != nil {
		log.Fatal(err)
	}
	instances, err := client.Discover(ctx, "loan")
	if err != nil {
		log.Fatal(err)
	}
	for _, instance := range instances {
		fmt.Println(instance.Endpoint("http"), instance.Status, instance.Labels["version"])
	}

	// Before the server stops:
	if err := registration.Drain(ctx); err != nil {
		log.Print(err)
	}
	// Output: 10.0.0.7:8080 up 1.4.2
}

func ExampleClient_Subscribe() {
	options, cluster, stop := startServer()
	defer stop()
	client, err := gantry.Connect(context.Background(), options...)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	subscription, err := client.Subscribe("fund")
	if err != nil {
		log.Fatal(err)
	}
	defer subscription.Close()
	for change := range 2 {
		view, err := subscription.Next(context.Background())
		if err != nil {
			log.Fatal(err)
		}
		for _, instance := range view.Available() {
			fmt.Println(change, instance.ID)
		}
		if change == 0 {
			cluster.Put(testserver.Ref("fund"), fund("2"))
		}
	}
	// Output:
	// 0 1
	// 1 1
	// 1 2
}

func ExampleBind() {
	options, cluster, stop := startServer()
	defer stop()
	client, err := gantry.Connect(context.Background(), options...)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	type Limits struct {
		MaxAmount int           `gantry:"max-amount"`
		Timeout   time.Duration `gantry:"timeout"`
		Currency  string        `gantry:"currency"`
	}
	limits, err := gantry.Bind(client, "loan-limits.yaml", Limits{MaxAmount: 5000, Timeout: time.Second, Currency: "CNY"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%+v\n", limits.Get())

	changed := make(chan struct{})
	limits.OnChange(func(old, new Limits) {
		fmt.Println("from", old.MaxAmount, "to", new.MaxAmount)
		close(changed)
	})
	cluster.Release("Config", "loan-limits.yaml", "yaml", "max-amount: 8000\ntimeout: 2s\n")
	<-changed
	// Output:
	// {MaxAmount:6000 Timeout:2s Currency:CNY}
	// from 6000 to 8000
}

func ExampleClient_Document() {
	options, _, stop := startServer()
	defer stop()
	client, err := gantry.Connect(context.Background(), options...)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	document, err := client.Document(gantry.KindConfig, "loan-limits.yaml")
	if err != nil {
		log.Fatal(err)
	}
	defer document.Close()
	content, err := document.Get(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("version %d, %s:\n%s", content.Version, content.Format, content.Data)
	// Output:
	// version 1, yaml:
	// max-amount: 6000
	// timeout: 2s
}

func ExampleClient_Register_withoutServer() {
	options, _, stop := startServer()
	stop()
	client, err := gantry.Connect(context.Background(), options...)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	registration, err := client.Register(context.Background(),
		gantry.Instance{Service: "loan", Address: "10.0.0.7", Port: 8080}, gantry.WithoutWaiting())
	if err != nil {
		log.Fatal(err)
	}
	select {
	case <-registration.Registered():
		fmt.Println("registered")
	default:
		fmt.Println("not yet; the client goes on trying")
	}
	// Output: not yet; the client goes on trying
}
