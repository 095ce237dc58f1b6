package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime/pprof"
	"sync"
	"time"

	"github.com/gantry-platform/gantry/bench/internal/process"
)

// row is one line of the table.
type row struct {
	name string
	what string
	unit string
	// target is 0 where there is none. It is a least value, or a largest one with atMost.
	target float64
	atMost bool
}

// met reports whether a value is on the right side of the target.
func (r row) met(value float64) bool {
	if r.atMost {
		return value <= r.target
	}
	return value >= r.target
}

// scenario measures one or more rows in one go.
type scenario struct {
	rows []row
	// timeout bounds one run.
	timeout time.Duration
	// measure gives a value for each row by name.
	measure func(ctx context.Context, l *lab) (outcome, error)
}

// scenarios lists everything that can be measured, in the order of the table.
func scenarios(s *settings) []scenario {
	all := registerScenarios()
	all = append(all, discoverScenarios()...)
	all = append(all, changeScenario(), releaseScenario(), releaseSDKScenario())
	all = append(all, footprintScenarios()...)
	all = append(all, foreignScenarios(s.rnacos)...)
	return append(all, sdkScenario())
}

func (s scenario) selected(names *regexp.Regexp) []row {
	var rows []row
	for _, r := range s.rows {
		if names.MatchString(r.name) {
			rows = append(rows, r)
		}
	}
	return rows
}

// outcome is what one run gave.
type outcome struct {
	values map[string]float64
	// notes say what is worth knowing beside a value.
	notes map[string]string
}

func (o *outcome) set(name string, value float64, note string) {
	if o.values == nil {
		o.values, o.notes = map[string]float64{}, map[string]string{}
	}
	o.values[name], o.notes[name] = value, note
}

// lab is where one run of a scenario happens: a folder of its own, and the servers that it started.
type lab struct {
	*settings
	// run counts from 0.
	run int
	// window is how long throughput is measured.
	window time.Duration

	folder  string
	servers []*process.Server
}

// execute runs a scenario once and leaves nothing behind.
func (l *lab) execute(ctx context.Context, scenario scenario, parent string) (outcome, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, scenario.timeout, fmt.Errorf("not done within %v", scenario.timeout))
	defer cancel()
	var err error
	if l.folder, err = os.MkdirTemp(parent, "run-"); err != nil {
		return outcome{}, err
	}
	defer os.RemoveAll(l.folder)
	defer func() {
		for _, server := range l.servers {
			server.Kill()
		}
	}()
	result, err := scenario.measure(ctx, l)
	if err != nil && ctx.Err() != nil {
		err = errors.Join(context.Cause(ctx), err)
	}
	return result, err
}

// start runs a server on the lab's folder; a second one after the first ended finds its data.
func (l *lab) start(ctx context.Context) (*process.Server, error) {
	server, err := process.Start(ctx, process.Options{Binary: l.server, Data: filepath.Join(l.folder, "data"), Log: filepath.Join(l.folder, "server.log"),
		Authentication: l.authentication, Profiled: l.profiles != ""})
	if err == nil {
		l.servers = append(l.servers, server)
	}
	return server, err
}

// sleep waits, unless ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// profile takes CPU profiles of the server (nil: of this process alone) and of this process while a row is measured, and the server's allocations
// since its start, if they were asked for. The returned function waits for them.
func (l *lab) profile(ctx context.Context, name string, measured process.Measured) (wait func() error, err error) {
	if l.profiles == "" || l.run > 0 {
		return func() error { return nil }, nil
	}
	server, _ := measured.(*process.Server)
	own, err := os.Create(filepath.Join(l.profiles, name+".client.pprof"))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(own); err != nil {
		own.Close()
		return nil, err
	}
	var others sync.WaitGroup
	var failure error
	if server != nil {
		others.Go(func() {
			seconds := max(1, int(l.window/time.Second))
			failure = server.SaveProfile(ctx, fmt.Sprintf("profile?seconds=%d", seconds), filepath.Join(l.profiles, name+".server.pprof"))
			if failure == nil {
				failure = server.SaveProfile(ctx, "allocs", filepath.Join(l.profiles, name+".allocs.pprof"))
			}
		})
	}
	return func() error {
		pprof.StopCPUProfile()
		others.Wait()
		return errors.Join(failure, own.Close())
	}, nil
}

// heap has the server collect its garbage and saves what is left as a profile, if profiles were asked for. Memory that is measured after it is not what
// it would have been.
func (l *lab) heap(ctx context.Context, name string, server *process.Server) error {
	if l.profiles == "" || l.run > 0 {
		return nil
	}
	return server.SaveProfile(ctx, "heap?gc=1", filepath.Join(l.profiles, name+".heap.pprof"))
}

// rate counts what happens in a second while a load is on: after a warm-up of a quarter of the window, over the window, or until the load has
// ended, if it ends before. The note says what the server's CPU time was for each.
func (l *lab) rate(ctx context.Context, name string, server process.Measured, count func() int64, ended <-chan struct{}) (perSecond float64, note string, err error) {
	if err := sleep(ctx, l.window/4); err != nil {
		return 0, "", err
	}
	profiled, err := l.profile(ctx, name, server)
	if err != nil {
		return 0, "", err
	}
	cpu, err := server.CPUTime()
	if err != nil {
		return 0, "", err
	}
	before, began := count(), time.Now()
	timer := time.NewTimer(l.window)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ended:
	case <-ctx.Done():
	}
	done, took := count()-before, time.Since(began)
	if err := errors.Join(context.Cause(ctx), profiled()); err != nil {
		return 0, "", err
	}
	after, err := server.CPUTime()
	if err != nil {
		return 0, "", err
	}
	if done == 0 || took < l.window/4 {
		return 0, "", fmt.Errorf("%d were answered within %v: too few to tell", done, took)
	}
	cpu = after - cpu
	note = fmt.Sprintf("server: %.2f cores, %.1f µs of CPU each", cpu.Seconds()/took.Seconds(), float64(cpu.Microseconds())/float64(done))
	return float64(done) / took.Seconds(), note, nil
}
