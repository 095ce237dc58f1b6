package server_test

import (
	"bytes"
	"errors"
	"math"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/server"
)

func TestMemoryLimitIsDecided(t *testing.T) {
	unreadable := errors.New("permission denied")
	for name, c := range map[string]struct {
		setting, goLimit string
		container        uint64
		containerErr     error
		bytes            int64
		from             string
		problem          error
	}{
		"of the container":            {setting: "auto", container: 1000 << 20, bytes: 900 << 20, from: "the container"},
		"a tiny container":            {setting: "auto", container: 50, bytes: 1, from: "the container"},
		"GOMEMLIMIT is left":          {setting: "auto", goLimit: "1GiB", container: 1000 << 20, from: "GOMEMLIMIT"},
		"a setting wins":              {setting: "2GiB", goLimit: "1GiB", container: 1000 << 20, bytes: 2 << 30, from: "--memory-limit"},
		"off":                         {setting: "off", container: 1000 << 20, from: "--memory-limit"},
		"no limit":                    {setting: "auto", containerErr: memlimit.ErrNoLimit},
		"no container":                {setting: "auto", containerErr: memlimit.ErrNoCgroup},
		"another system":              {setting: "auto", containerErr: memlimit.ErrCgroupsNotSupported},
		"a number that means none":    {setting: "auto", container: math.MaxUint64},
		"a limit that nobody can see": {setting: "auto", containerErr: unreadable, problem: unreadable},
	} {
		t.Run(name, func(t *testing.T) {
			bytes, from, problem := server.DecideMemory(c.setting, c.goLimit, func() (uint64, error) { return c.container, c.containerErr })
			if bytes-c.bytes > 100 || c.bytes-bytes > 100 || from != c.from || !errors.Is(problem, c.problem) {
				t.Errorf("%d from %q, %v; want %d from %q, %v", bytes, from, problem, c.bytes, c.from, c.problem)
			}
		})
	}
}

func TestMemoryLimitIsChecked(t *testing.T) {
	for value, good := range map[string]bool{"auto": true, "off": true, "2GiB": true, "128MiB": true, "127MiB": false, "0": false, "much": false, "-1": false} {
		_, err := server.Load("", func(name string) string {
			return map[string]string{"GANTRY_DEV": "true", "GANTRY_MEMORY_LIMIT": value}[name]
		}, nil)
		if f, _ := fault.As(err); good != (err == nil) || !good && (f == nil || f.Field != "memory-limit" || f.Hint == "") {
			t.Errorf("%s: %v", value, err)
		}
	}
}

// TestMemoryLimitIsInForce limits the memory of this process: Go knows, spans get their share, and the log says so.
func TestMemoryLimitIsInForce(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	for _, c := range []struct {
		settings map[string]string
		traces   int64
		says     string
	}{
		{map[string]string{"GANTRY_MEMORY_LIMIT": "1GiB"}, 256 << 20, "limit_mib=1024"},
		{map[string]string{"GANTRY_MEMORY_LIMIT": "8GiB"}, 512 << 20, "limit_mib=8192"},
		{map[string]string{"GANTRY_MEMORY_LIMIT": "1GiB", "GANTRY_TRACES_MEMORY": "600MiB"}, 600 << 20, "takes more than half"},
	} {
		debug.SetMemoryLimit(math.MaxInt64)
		c.settings["GANTRY_DEV"], c.settings["GANTRY_HTTP_LISTEN"], c.settings["GANTRY_GRPC_LISTEN"] = "true", "127.0.0.1:0", "127.0.0.1:0"
		settings, err := server.Load("", func(name string) string { return c.settings[name] }, nil)
		if err != nil {
			t.Fatal(err)
		}
		server.LimitMemory(settings)
		var log bytes.Buffer
		s, err := server.Start(t.Context(), settings, server.Options{Log: &log})
		if err != nil {
			t.Fatal(err)
		}
		traces := s.TracesMemory()
		s.Shutdown(t.Context())
		if traces != c.traces || !strings.Contains(log.String(), c.says) {
			t.Errorf("%v: traces get %d, want %d; the log should say %q:\n%s", c.settings, traces, c.traces, c.says, log.String())
		}
	}
}
