package harness

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// installTimeout bounds an installation by pip or npm: the first one downloads.
const installTimeout = 5 * time.Minute

// Python prepares a virtual environment in a folder with a requirements.txt, and returns its interpreter. Without Python the test is skipped, or fails when
// GANTRY_REQUIRE_PYTHON is 1.
func Python(t testing.TB, folder string) string {
	t.Helper()
	needs(t, "GANTRY_REQUIRE_PYTHON", "apt-get install python3-venv", "python3")
	environment, err := filepath.Abs(filepath.Join(folder, ".venv"))
	if err != nil {
		t.Fatal(err)
	}
	interpreter := filepath.Join(environment, "bin", "python")
	requirements := filepath.Join(folder, "requirements.txt")
	if fresh(t, requirements, filepath.Join(environment, "requirements.txt")) {
		return interpreter
	}
	command(t, "", "python3", "-m", "venv", "--clear", environment)
	command(t, "", interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements)
	settle(t, requirements, filepath.Join(environment, "requirements.txt"))
	return interpreter
}

// Node installs the packages of a folder with a package.json. Without Node the test is skipped, or fails when GANTRY_REQUIRE_NODE is 1.
func Node(t testing.TB, folder string) {
	t.Helper()
	needs(t, "GANTRY_REQUIRE_NODE", "apt-get install nodejs npm", "node", "npm")
	wanted, have := filepath.Join(folder, "package.json"), filepath.Join(folder, "node_modules", ".package.json")
	if fresh(t, wanted, have) {
		return
	}
	command(t, folder, "npm", "install", "--silent", "--no-audit", "--no-fund")
	settle(t, wanted, have)
}

func needs(t testing.TB, required, how string, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv(required) == "1" {
				t.Fatalf("no %s: %s", program, how)
			}
			t.Skipf("no %s: %s", program, how)
		}
	}
}

// fresh tells whether what is installed is what is wanted.
func fresh(t testing.TB, wanted, have string) bool {
	t.Helper()
	want, err := os.ReadFile(wanted)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(have)
	return err == nil && string(got) == string(want)
}

// settle notes what is installed, after all of it is.
func settle(t testing.TB, wanted, have string) {
	t.Helper()
	want, err := os.ReadFile(wanted)
	if err == nil {
		err = os.WriteFile(have, want, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func command(t testing.TB, folder, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), installTimeout)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	c.Dir = folder
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	c.WaitDelay = 5 * time.Second
	if output, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, output)
	}
}
