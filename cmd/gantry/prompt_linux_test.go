package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// person sits at a pseudo-terminal: reads what is shown, and types answers to questions.
type person struct {
	terminal *os.File
	mu       sync.Mutex
	shown    bytes.Buffer
	done     chan struct{}
}

// sit opens a terminal whose person types each answer when its question is shown.
func sit(t *testing.T, script ...string) *person {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo-terminal here: %v", err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := &person{terminal: terminal, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.read(master, script)
	}()
	t.Cleanup(func() {
		terminal.Close()
		<-p.done
		master.Close()
	})
	return p
}

func (p *person) read(master *os.File, script []string) {
	part := make([]byte, 1024)
	from := 0
	for {
		n, err := master.Read(part)
		p.mu.Lock()
		p.shown.Write(part[:n])
		rest := p.shown.String()[from:]
		p.mu.Unlock()
		if len(script) > 0 && strings.Contains(rest, script[0]) {
			from += len(rest)
			fmt.Fprint(master, script[1])
			script = script[2:]
		}
		if err != nil {
			return // the terminal was closed
		}
	}
}

// run executes a command at the terminal and returns what it showed.
func (p *person) run(t *testing.T, o *operator, args ...string) (code int, shown string) {
	t.Helper()
	code = run(t.Context(), args, p.terminal, p.terminal, p.terminal, func(name string) string { return o.env[name] })
	p.terminal.Close()
	<-p.done
	return code, p.shown.String()
}

func TestPasswordsAreTypedWithoutEcho(t *testing.T) {
	o := newOperator(t)
	const secret = "a horse that is typed"
	p := sit(t, "Password for eve", secret+"\n", "Again", secret+"\n")
	code, shown := p.run(t, o, "user", "create", "eve", "--grant", o.env["GANTRY_NAMESPACE"]+"=viewer")
	t.Cleanup(func() { o.runIn(context.Background(), "user", "delete", "eve", "-y") })
	if code != exitDone {
		t.Fatalf("exit code %d: %s", code, shown)
	}
	wantNoWords(t, shown, secret)

	p = sit(t, "User:", "eve\n", "Password of eve", secret+"\n")
	eve := o.with("GANTRY_TOKEN", "")
	if code, shown = p.run(t, eve, "login"); code != exitDone {
		t.Fatalf("exit code %d: %s", code, shown)
	}
	wantNoWords(t, shown, secret)
	wantWords(t, shown, "eve is signed in")

	p = sit(t, "Password for ada", "one horse of many\n", "Again", "another horse\n")
	if code, shown = p.run(t, o, "user", "create", "ada"); code != exitInvalid {
		t.Fatalf("exit code %d: %s", code, shown)
	}
	wantWords(t, shown, "not the same")
}

func TestDangerousCommandsAskAPerson(t *testing.T) {
	o := newOperator(t)
	o.must("apply", "-f", file(t, "loan.yaml", config("loan.yaml", "limit: 5")))
	code, shown := sit(t, "[y/N]", "n\n").run(t, o, "delete", "Config", "loan.yaml")
	if code != exitFailed {
		t.Fatalf("exit code %d: %s", code, shown)
	}
	wantWords(t, shown, "Delete Config/loan.yaml?", "Nothing was changed")
	o.must("get", "Config", "loan.yaml")
	if code, shown = sit(t, "[y/N]", "y\n").run(t, o, "delete", "Config", "loan.yaml"); code != exitDone {
		t.Fatalf("exit code %d: %s", code, shown)
	}
	wantNoWords(t, o.must("get"), "loan.yaml")
}

func TestATerminalShowsColoursAndProgress(t *testing.T) {
	o := newOperator(t)
	register(t, o, "loan", "10.0.0.1", "north")
	_, shown := sit(t).run(t, o, "services")
	wantWords(t, shown, "\x1b[32mok\x1b[0m")
	_, shown = sit(t).run(t, o.with("NO_COLOR", "1"), "services")
	wantNoWords(t, shown, "\x1b[")

	folder := t.TempDir()
	for i := range 2 * progressLeast {
		name := fmt.Sprintf("%d.yaml", i)
		if err := os.WriteFile(filepath.Join(folder, name), []byte(config(name, "a: 1")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, shown = sit(t).run(t, o, "import", folder)
	wantWords(t, shown, "\r\x1b[Kapplying 0 of 40", "40 created")
}

func TestAPersonCanLeave(t *testing.T) {
	o := newOperator(t)
	code, shown := sit(t, "Password for eve", "half a pass\x03").run(t, o, "user", "create", "eve")
	if code != exitInterrupted {
		t.Fatalf("exit code %d: %s", code, shown)
	}
	wantNoWords(t, o.must("user", "list", "-o", "json"), `"eve"`)
}
