package instance_test

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/state"
	"github.com/gantry-platform/gantry/internal/state/statetest"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// bench is a node on the system's clock.
func bench(b *testing.B) (*instance.Registry, *state.Store) {
	b.Helper()
	store := statetest.New(b)
	r := instance.New(instance.Options{Store: store})
	statetest.Start(b, store)
	if err := r.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { r.Close() })
	return r, store
}

func benchRegistration(service instance.Service, k int) instance.Registration {
	return instance.Registration{Service: service, Instance: &gantryv1.Instance{
		Address: fmt.Sprintf("10.%d.%d.%d", k>>16&255, k>>8&255, k&255), Port: 8080,
		Labels:   map[string]string{"version": "1.4.2", "zone": "cn-east-1a", "lane": "base"},
		Metadata: map[string]string{"team": "credit", "commit": "3f5c1e77", "started": "2026-01-02T03:04:05Z"}}}
}

func fill(b *testing.B, r *instance.Registry, services, each int) {
	b.Helper()
	var s *instance.Session
	for n := range services {
		if n%5 == 0 { // a session has its limit
			s = r.OpenSession(instance.SessionOptions{})
		}
		service := instance.Service{Name: fmt.Sprintf("service-%d", n)}
		for from := 0; from < each; from += 500 {
			batch := make([]instance.Registration, 0, 500)
			for k := from; k < min(from+500, each); k++ {
				batch = append(batch, benchRegistration(service, n*each+k))
			}
			if _, err := s.Register(b.Context(), batch); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	r, _ := bench(b)
	fill(b, r, 20, 100)
	service := instance.Service{Namespace: "default", Group: "default", Name: "service-7"}
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if r.Lookup(service) == nil {
				b.Error("unknown")
			}
		}
	})
}

func BenchmarkRegister(b *testing.B) {
	r, _ := bench(b)
	var count atomic.Int64
	b.ReportAllocs()
	b.SetParallelism(256)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			k := int(count.Add(1))
			service := instance.Service{Name: fmt.Sprintf("service-%d", k/1000)}
			if _, err := r.Register(context.Background(), benchRegistration(service, k)); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkRegisterSession(b *testing.B) {
	r, _ := bench(b)
	s := r.OpenSession(instance.SessionOptions{})
	b.ReportAllocs()
	k := 0
	for b.Loop() {
		if k%9000 == 0 {
			s = r.OpenSession(instance.SessionOptions{})
		}
		batch := make([]instance.Registration, 100)
		service := instance.Service{Name: fmt.Sprintf("service-%d", k/1000)}
		for n := range batch {
			batch[n] = benchRegistration(service, k)
			k++
		}
		if _, err := s.Register(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(k)/b.Elapsed().Seconds(), "registrations/s")
}

// BenchmarkRegisterStream is 128 sessions with 8 registrations under way each, one a call. It prints the processor
// time of a registration, etcd's part included.
func BenchmarkRegisterStream(b *testing.B) {
	const sessions, window = 128, 8
	r, _ := bench(b)
	open := make([]*instance.Session, sessions)
	for n := range open {
		open[n] = r.OpenSession(instance.SessionOptions{})
	}
	labels := benchRegistration(instance.Service{}, 0).Instance
	var next atomic.Int64
	var group sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	before := processorTime(b)
	for n := range sessions * window {
		group.Go(func() {
			for k := int(next.Add(1)); k <= b.N; k = int(next.Add(1)) {
				m := &gantryv1.Instance{Address: "10.0.0.1", Id: "instance-" + strconv.Itoa(k), Port: 8080, Labels: labels.Labels, Metadata: labels.Metadata}
				service := instance.Service{Name: "service-" + strconv.Itoa(k%200)}
				if _, err := open[n%sessions].Register(context.Background(), []instance.Registration{{Service: service, Instance: m}}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	group.Wait()
	b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N), "cpu-us/op")
}

// processorTime is what this process has used.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// liveHeap is what the heap holds after a collection.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// BenchmarkSessionMemory prints what an instance costs the registry of the node that holds its session: 100 sessions
// of 1,000. What etcd keeps for it is in that too.
func BenchmarkSessionMemory(b *testing.B) {
	const sessions, each = 100, 1000
	r, store := bench(b)
	without := liveHeap()
	for b.Loop() {
		for n := range sessions {
			s := r.OpenSession(instance.SessionOptions{})
			for from := 0; from < each; from += 500 {
				batch := make([]instance.Registration, 500)
				for k := range batch {
					batch[k] = benchRegistration(instance.Service{Name: "service-" + strconv.Itoa((from+k)%200)}, n*each+from+k)
				}
				if _, err := s.Register(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	b.ReportMetric(float64(liveHeap()-without)/(sessions*each), "B/instance")
	runtime.KeepAlive(r)
	runtime.KeepAlive(store)
}

func BenchmarkRegisterAgain(b *testing.B) {
	r, _ := bench(b)
	fill(b, r, 1, 1000)
	s := r.OpenSession(instance.SessionOptions{})
	again := []instance.Registration{benchRegistration(instance.Service{Name: "service-0"}, 7)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Register(b.Context(), again); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBeat(b *testing.B) {
	r, _ := bench(b)
	service := instance.Service{Name: "service"}
	for k := range 100 {
		if _, err := r.Register(b.Context(), benchRegistration(service, k)); err != nil {
			b.Fatal(err)
		}
	}
	ids := []string{"10.0.0.7:8080"}
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if unknown, err := r.Beat(context.Background(), service, ids); err != nil || len(unknown) > 0 {
				b.Error(unknown, err)
			}
		}
	})
}

// BenchmarkChangeSeen is one change after the other, each to its delta at one subscriber, in a service of 5,000: it shows the
// least time between two rounds of pushes.
func BenchmarkChangeSeen(b *testing.B) {
	r, _ := bench(b)
	fill(b, r, 1, 5000)
	service := instance.Service{Name: "service-0"}
	s := r.Subscribe(instance.Follower{})
	defer s.Close()
	if err := s.Add(service, 0); err != nil {
		b.Fatal(err)
	}
	weight := 0.0
	b.ReportAllocs()
	for b.Loop() {
		registration := benchRegistration(service, 5001)
		weight = float64(int(weight+1) % instance.MaxWeight)
		registration.Instance.Weight = &weight
		result, err := r.Register(b.Context(), registration)
		if err != nil {
			b.Fatal(err)
		}
		next(b, s, func(f *instance.Frame) bool { return f.Revision >= result.Revision })
	}
}

// BenchmarkFanOut is one change to its delta at 1,000 subscribers.
func BenchmarkFanOut(b *testing.B) {
	const subscribers = 1000
	r, _ := bench(b)
	fill(b, r, 1, 100)
	service := instance.Service{Name: "service-0"}
	seen := make(chan int64, subscribers)
	for range subscribers {
		s := r.Subscribe(instance.Follower{})
		if err := s.Add(service, 0); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(s.Close)
		go func() {
			for {
				frames, err := s.Next(context.Background())
				if err != nil {
					return
				}
				for _, f := range frames {
					seen <- f.Revision
				}
			}
		}()
	}
	for range subscribers {
		<-seen
	}
	weight := 0.0
	b.ReportAllocs()
	for b.Loop() {
		registration := benchRegistration(service, 101)
		weight = float64(int(weight+1) % instance.MaxWeight)
		registration.Instance.Weight = &weight
		result, err := r.Register(b.Context(), registration)
		if err != nil {
			b.Fatal(err)
		}
		for left := subscribers; left > 0; {
			if <-seen >= result.Revision {
				left--
			}
		}
	}
}

// BenchmarkMemory prints what an instance costs another node's registry, with a snapshot of every service: the heap grows by that
// when such a node joins in.
func BenchmarkMemory(b *testing.B) {
	const services, each = 100, 1000
	r, store := bench(b)
	fill(b, r, services, each)
	without := liveHeap()
	second := statetest.Second(b, store)
	other := instance.New(instance.Options{Store: second})
	statetest.Start(b, second)
	if err := other.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	defer other.Close()
	for b.Loop() {
		for n := range services {
			if snapshot := other.Lookup(instance.Service{Name: fmt.Sprintf("service-%d", n)}); len(snapshot.Instances) != each {
				b.Fatal("not all are there")
			}
		}
	}
	b.ReportMetric(float64(liveHeap()-without)/(services*each), "B/instance")
	runtime.KeepAlive(other)
}
