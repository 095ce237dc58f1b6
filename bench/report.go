package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/gantry-platform/gantry/bench/internal/stats"
)

// host is the machine and the program that figures belong to.
type host struct {
	CPU        string    `json:"cpu"`
	Cores      int       `json:"cores"`
	MemoryGiB  float64   `json:"memory_gib"`
	System     string    `json:"system"`
	Go         string    `json:"go"`
	Server     string    `json:"server"`
	FileSystem string    `json:"file_system"`
	SyncMedian string    `json:"sync_median"`
	SyncP99    string    `json:"sync_p99"`
	At         time.Time `json:"at"`
}

func describeHost(ctx context.Context, server, folder string) (host, error) {
	h := host{CPU: field("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(), Go: runtime.Version(), At: time.Now().UTC()}
	var kib float64
	if _, err := fmt.Sscan(field("/proc/meminfo", "MemTotal"), &kib); err != nil {
		return host{}, fmt.Errorf("read the size of the memory: %w", err)
	}
	h.MemoryGiB = kib / (1 << 20)
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return host{}, err
	}
	h.System = runtime.GOOS + " " + strings.TrimSpace(string(release))
	version, err := exec.CommandContext(ctx, server, "version").Output()
	if err != nil {
		return host{}, fmt.Errorf("ask %s for its version: %w", server, err)
	}
	h.Server = strings.TrimSpace(string(version))
	if h.FileSystem, err = fileSystem(folder); err != nil {
		return host{}, err
	}
	median, p99, err := syncTime(folder)
	h.SyncMedian, h.SyncP99 = median.String(), p99.String()
	return h, err
}

// field is the first value of a name in a file of "name : value" lines, or "".
func field(path, name string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if key, value, found := strings.Cut(lines.Text(), ":"); found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// fileSystem names the kind of file system under a folder (statfs(2)).
func fileSystem(folder string) (string, error) {
	var found syscall.Statfs_t
	if err := syscall.Statfs(folder, &found); err != nil {
		return "", err
	}
	names := map[int64]string{0xef53: "ext4", 0x58465342: "xfs", 0x9123683e: "btrfs", 0x01021994: "tmpfs (in memory: nothing is durable there)",
		0x794c7630: "overlayfs", 0x2fc12fc1: "zfs"}
	if name := names[int64(found.Type)]; name != "" {
		return name, nil
	}
	return fmt.Sprintf("0x%x", found.Type), nil
}

// syncTime measures what one small durable write costs: 4 KiB and fdatasync, as a log does.
func syncTime(folder string) (median, p99 time.Duration, err error) {
	file, err := os.Create(filepath.Join(folder, "sync"))
	if err != nil {
		return 0, 0, err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	const writes = 200
	block := make([]byte, 4<<10)
	times := make([]time.Duration, writes)
	for n := range times {
		began := time.Now()
		if _, err := file.Write(block); err != nil {
			return 0, 0, err
		}
		if err := syscall.Fdatasync(int(file.Fd())); err != nil {
			return 0, 0, err
		}
		times[n] = time.Since(began).Round(time.Microsecond)
	}
	return stats.Quantile(times, 0.5), stats.Quantile(times, 0.99), nil
}

func (h host) print(w io.Writer) {
	fmt.Fprintf(w, "machine  %d cores, %s, %.0f GiB, %s, %s\nserver   %s\ndisk     %s, one durable write %s (median), %s (p99)\n",
		h.Cores, h.CPU, h.MemoryGiB, h.System, h.Go, h.Server, h.FileSystem, h.SyncMedian, h.SyncP99)
}

// report is the table.
type report struct {
	Host           host    `json:"host"`
	Seconds        int     `json:"seconds"`
	Authentication bool    `json:"authentication"`
	Rows           []entry `json:"rows"`
}

// entry is a row with what was measured.
type entry struct {
	Name   string  `json:"name"`
	What   string  `json:"what"`
	Unit   string  `json:"unit"`
	Target float64 `json:"target,omitempty"`
	AtMost bool    `json:"at_most,omitempty"`
	Met    *bool   `json:"met,omitempty"`
	stats.Summary
	Note  string `json:"note,omitempty"`
	Error string `json:"error,omitempty"`
}

func newReport(h host, s *settings) *report {
	return &report{Host: h, Seconds: s.seconds, Authentication: s.authentication}
}

// add puts rows into the table, with what every run gave, or why they could not be measured.
func (r *report) add(rows []row, results []outcome, failure error) {
	for _, row := range rows {
		e := entry{Name: row.name, What: row.what, Unit: row.unit, Target: row.target, AtMost: row.atMost}
		if failure != nil {
			e.Error = failure.Error()
			r.Rows = append(r.Rows, e)
			continue
		}
		var values []float64
		for _, result := range results {
			values = append(values, result.values[row.name])
			e.Note = result.notes[row.name]
		}
		e.Summary = stats.Summarize(values)
		if row.target > 0 {
			met := row.met(e.Median)
			e.Met = &met
		}
		r.Rows = append(r.Rows, e)
	}
}

func (r *report) print(w io.Writer) {
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ROW\tWHAT\tMEDIAN\tMIN - MAX\tTARGET\t\tNOTE (LAST RUN)")
	for _, e := range r.Rows {
		if e.Error != "" {
			first, _, _ := strings.Cut(e.Error, "\n")
			fmt.Fprintf(table, "%s\t%s\t-\t-\t%s\tfailed\t%s\n", e.Name, e.What, e.goal(), first)
			continue
		}
		verdict := ""
		if e.Met != nil && *e.Met {
			verdict = "met"
		} else if e.Met != nil {
			verdict = "MISSED"
		}
		fmt.Fprintf(table, "%s\t%s\t%s %s\t%s - %s\t%s\t%s\t%s\n", e.Name, e.What, figure(e.Median), e.Unit, figure(e.Min), figure(e.Max), e.goal(), verdict, e.Note)
	}
	table.Flush()
}

// goal is the target as it is written in the table.
func (e entry) goal() string {
	switch {
	case e.Target == 0:
		return ""
	case e.AtMost:
		return fmt.Sprintf("<= %s %s", figure(e.Target), e.Unit)
	}
	return fmt.Sprintf(">= %s %s", figure(e.Target), e.Unit)
}

// figure writes a value with three digits at least, and thousands apart.
func figure(value float64) string {
	switch {
	case value < 10:
		return fmt.Sprintf("%.2f", value)
	case value < 100:
		return fmt.Sprintf("%.1f", value)
	}
	digits := fmt.Sprintf("%.0f", value)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

func (r *report) save(path string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}
