package process

import (
	"strings"
	"testing"
	"time"
)

func TestParseMemory(t *testing.T) {
	got, err := parseMemory("Name:\tgantry\nVmRSS:\t   51200 kB\nRssAnon:\t   30000 kB\nRssFile:\t   21200 kB\nRssShmem:\t       0 kB\n")
	if want := (Memory{Resident: 51200 << 10, Anonymous: 30000 << 10, File: 21200 << 10}); err != nil || got != want {
		t.Errorf("memory %+v, error %v, want %+v", got, err, want)
	}
	for _, bad := range []string{"", "Name:\tgantry\n", "VmRSS:\tmany kB\n"} {
		if got, err := parseMemory(bad); err == nil {
			t.Errorf("memory of %q = %+v, want an error", bad, got)
		}
	}
}

func TestParseCPUTime(t *testing.T) {
	// The name of a program can hold what separates the fields.
	stat := "4711 (a ) b) S 1 4711 4711 0 -1 4194560 1 2 3 4 150 50 7 8 20 0 9 0 100 200 300\n"
	if got, err := parseCPUTime([]byte(stat)); err != nil || got != 2*time.Second {
		t.Errorf("CPU time %v, error %v, want 2s", got, err)
	}
	for _, bad := range []string{"", "4711 (gantry", "4711 (gantry) S 1 2", "1 (a) S 1 2 3 4 5 6 7 8 9 10 x 50"} {
		if got, err := parseCPUTime([]byte(bad)); err == nil {
			t.Errorf("CPU time of %q = %v, want an error", bad, got)
		}
	}
}

func TestFigures(t *testing.T) {
	const before = "# HELP a_seconds Time.\n# TYPE a_seconds histogram\na_seconds_bucket{le=\"1\"} 3\na_seconds_sum 1.5\na_seconds_count 3\nb 7\nc{x=\"y z\"} 4\n"
	const after = "a_seconds_sum 3.5\na_seconds_count 7\nb 1e+06\n"
	first, err := parseFigures(strings.NewReader(before))
	if err != nil {
		t.Fatal(err)
	}
	second, err := parseFigures(strings.NewReader(after))
	if err != nil {
		t.Fatal(err)
	}
	if len(first) != 3 || first["b"] != 7 || second["b"] != 1e6 {
		t.Errorf("figures %v and %v", first, second)
	}
	if got := second.Mean(first, "a_seconds"); got != 0.5 {
		t.Errorf("mean %v, want 0.5", got)
	}
	if got := second.Mean(second, "a_seconds"); got != 0 {
		t.Errorf("mean of nothing %v, want 0", got)
	}
	if _, err := parseFigures(strings.NewReader("a many\n")); err == nil {
		t.Error("a figure that is no number is taken")
	}
}
