package server

import (
	"errors"
	"math"
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/gantry-platform/gantry/internal/fault"
)

const (
	memoryAuto, memoryOff = "auto", "off"
	// containerPercent of a container's memory is Go's; the rest is for what Go does not count: stacks of the kernel, mapped files, bursts.
	containerPercent = 90
	// leastMemoryLimit is what a node needs when nothing happens. With less it would only collect garbage.
	leastMemoryLimit = 128 << 20
	// tracesMemoryShare is the part of the limit that spans may take unless --traces-memory says more: they are encoded into blocks beside it, and metrics,
	// the state and requests want their part.
	tracesMemoryShare = 4
)

// memoryLimit is what was decided about Go's memory.
type memoryLimit struct {
	// bytes is 0 when nothing was limited here.
	bytes int64
	// from says who decided.
	from string
	// problem is why the container's limit could not be read.
	problem error
}

// completeMemory refuses what is no limit.
func (s *Settings) completeMemory() error {
	if s.MemoryLimit == memoryAuto || s.MemoryLimit == memoryOff {
		return nil
	}
	var size Size
	if err := size.Set(s.MemoryLimit); err != nil || size < leastMemoryLimit {
		return fault.New(fault.Invalid, "setting.bad_value", "%q is no limit of memory", s.MemoryLimit).At("memory-limit").
			Hinted("use auto, off, or a size of at least %s such as 2GiB", Size(leastMemoryLimit))
	}
	return nil
}

// LimitMemory tells Go how much memory it may use, as the settings and the container say: near it Go collects more often instead of letting the heap
// double. It is for the process's owner to call before [Start], since it changes what is the whole process's.
func LimitMemory(s *Settings) {
	s.memory = decideMemory(s.MemoryLimit, os.Getenv("GOMEMLIMIT"), memlimit.FromCgroup)
	if s.memory.bytes > 0 {
		debug.SetMemoryLimit(s.memory.bytes)
	}
}

// decideMemory says what the limit is. A setting wins over GOMEMLIMIT, and that over the container.
func decideMemory(setting, goLimit string, container func() (uint64, error)) memoryLimit {
	var size Size
	switch {
	case setting == memoryOff:
		return memoryLimit{from: "--memory-limit"}
	case setting != memoryAuto && size.Set(setting) == nil:
		return memoryLimit{bytes: int64(size), from: "--memory-limit"}
	case goLimit != "":
		return memoryLimit{from: "GOMEMLIMIT"} // Go has read it
	}
	limit, err := container()
	switch {
	case errors.Is(err, memlimit.ErrNoLimit), errors.Is(err, memlimit.ErrNoCgroup), errors.Is(err, memlimit.ErrCgroupsNotSupported), err == nil && limit > math.MaxInt64/100:
		return memoryLimit{}
	case err != nil:
		return memoryLimit{problem: err}
	}
	return memoryLimit{bytes: max(int64(limit)/100*containerPercent, 1), from: "the container"}
}

// sayMemory writes into the log what limits the memory.
func (s *Server) sayMemory() {
	m := s.settings.memory
	if m.problem != nil {
		s.log.Warn("the memory limit of the container cannot be read; Go's memory is not limited", "error", m.problem, "hint", "set --memory-limit")
	}
	limit := debug.SetMemoryLimit(-1)
	if limit == math.MaxInt64 {
		return
	}
	s.log.Info("Go's memory is limited; it collects garbage more often near that", "limit_mib", limit>>20, "from", m.from, "traces_mib", s.tracesMemory()>>20)
	if limit < leastMemoryLimit {
		s.log.Warn("there is little memory for a server", "limit_mib", limit>>20, "advised_mib", leastMemoryLimit>>20)
	}
	if taken := s.tracesMemory(); taken > limit/2 {
		s.log.Warn("--traces-memory takes more than half of the memory", "limit_mib", limit>>20, "traces_mib", taken>>20)
	}
}

// tracesMemory is what spans may take: what was set, or else the default within a share of the process's limit.
func (s *Server) tracesMemory() int64 {
	memory := int64(s.settings.TracesMemory)
	if s.settings.set["traces-memory"] != "" {
		return memory
	}
	return min(memory, debug.SetMemoryLimit(-1)/tracesMemoryShare)
}
