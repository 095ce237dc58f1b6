package gantry_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	gantry "github.com/gantry-platform/gantry/sdk"
	"github.com/gantry-platform/gantry/sdk/internal/testserver"
)

func benchClient(b *testing.B, cluster *testserver.Cluster) *gantry.Client {
	node := cluster.Start("a:9848")
	b.Cleanup(node.Stop)
	client, err := gantry.Connect(b.Context(), gantry.WithAddresses("a:9848"), gantry.WithPlaintext(), gantry.WithDialer(cluster.Dial),
		gantry.WithLogger(slog.New(slog.DiscardHandler)), gantry.WithWait())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { client.Close() })
	return client
}

// BenchmarkBindingGet measures reading a configuration on the path of a request.
func BenchmarkBindingGet(b *testing.B) {
	cluster := testserver.NewCluster(10 * time.Second)
	cluster.Release("Config", "limits", "yaml", "max-amount: 6000\ntimeout: 2s\n")
	binding, err := gantry.Bind(benchClient(b, cluster), "limits", defaults)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	sum := 0
	for b.Loop() {
		sum += binding.Get().MaxAmount
	}
}

// BenchmarkPick measures choosing among instances of different weights.
func BenchmarkPick(b *testing.B) {
	for _, size := range []int{3, 1000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			cluster := testserver.NewCluster(10 * time.Second)
			for n := range size {
				i := fund(fmt.Sprint(n))
				i.Weight = proto.Float64(float64(1 + n%3))
				cluster.Put(testserver.Ref("fund"), i)
			}
			subscription, err := benchClient(b, cluster).Subscribe("fund")
			if err != nil {
				b.Fatal(err)
			}
			if err := subscription.Ready(b.Context()); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					i := subscription.View().Pick()
					i.Begin()
					i.Done()
				}
			})
		})
	}
}

// BenchmarkDiscover measures an answer from memory.
func BenchmarkDiscover(b *testing.B) {
	cluster := testserver.NewCluster(10 * time.Second)
	cluster.Put(testserver.Ref("fund"), fund("1"))
	client := benchClient(b, cluster)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.Discover(context.Background(), "fund"); err != nil {
			b.Fatal(err)
		}
	}
}
