package series_test

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/internal/signal/series"
)

// Blocks are read by Prometheus's own tool, of another version than the library that wrote them.
func TestPromtoolReadsTheBlocks(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("no promtool on this machine; Debian's prometheus has it")
	}
	now, dir := time.Now(), t.TempDir()
	s := open(t, series.Options{Dir: dir, Upkeep: 10 * time.Millisecond, Retention: 20 * time.Hour})
	history(t, s, now, 10)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	run := func(arguments ...string) string {
		output, err := exec.Command(promtool, append([]string{"tsdb"}, arguments...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("promtool tsdb %v: %v\n%s", arguments, err, output)
		}
		return string(output)
	}
	blocks := len(s.Blocks())
	if list := run("list", dir); strings.Count(list, "\n") < blocks || blocks < 3 || strings.Contains(list, "ERR") {
		t.Errorf("%d blocks: %s", blocks, list)
	}
	if analysis := run("analyze", dir); !strings.Contains(analysis, "loans") && !strings.Contains(analysis, "Total Series: 1") {
		t.Error(analysis)
	}
	if dump := run("dump", dir); strings.Count(dump, `__name__="loans"`) < 500 {
		t.Errorf("%d lines are dumped", strings.Count(dump, "\n"))
	}
}
