package process

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Memory is what a process holds, in bytes.
type Memory struct {
	// Resident is all of it (VmRSS). Of that, Anonymous is the program's own, and File is mapped files: the program's code and
	// the pages of etcd's database, which the system takes back when it needs them.
	Resident, Anonymous, File uint64
}

// Measured is a process whose use of the machine can be read.
type Measured interface {
	Memory() (Memory, error)
	CPUTime() (time.Duration, error)
}

// Memory reads what the server holds now.
func (s *Server) Memory() (Memory, error) { return memoryOf(s.command.Process.Pid) }

func memoryOf(pid int) (Memory, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Memory{}, err
	}
	return parseMemory(string(data))
}

// parseMemory reads /proc/<pid>/status (proc(5)), which counts in KiB.
func parseMemory(status string) (Memory, error) {
	var m Memory
	fields := map[string]*uint64{"VmRSS": &m.Resident, "RssAnon": &m.Anonymous, "RssFile": &m.File}
	for line := range strings.Lines(status) {
		name, rest, _ := strings.Cut(line, ":")
		to := fields[name]
		if to == nil {
			continue
		}
		kib, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		if err != nil {
			return Memory{}, fmt.Errorf("%s of a process: %w", name, err)
		}
		*to = kib << 10
	}
	if m.Resident == 0 {
		return Memory{}, fmt.Errorf("the system does not say what memory a process has")
	}
	return m, nil
}

// clockTick is the unit of CPU time in /proc: USER_HZ, which is 100 on every architecture that Go runs on.
const clockTick = time.Second / 100

// CPUTime is how long the server has computed so far, on all cores together, to the hundredth of a second.
func (s *Server) CPUTime() (time.Duration, error) { return cpuTimeOf(s.command.Process.Pid) }

func cpuTimeOf(pid int) (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	return parseCPUTime(data)
}

// parseCPUTime reads utime and stime, fields 14 and 15 of /proc/<pid>/stat (proc(5)). The second field is the program's name in
// parentheses and may hold anything.
func parseCPUTime(stat []byte) (time.Duration, error) {
	_, rest, found := bytes.Cut(stat[max(0, bytes.LastIndexByte(stat, ')')):], []byte(") "))
	fields := bytes.Fields(rest)
	const utime, stime = 14 - 3, 15 - 3 // counted from the third field
	if !found || len(fields) <= stime {
		return 0, fmt.Errorf("the system does not say what CPU time a process used")
	}
	user, err := strconv.ParseInt(string(fields[utime]), 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(string(fields[stime]), 10, 64)
	if err != nil {
		return 0, err
	}
	return time.Duration(user+system) * clockTick, nil
}
