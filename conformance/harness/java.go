package harness

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mavenTimeout bounds a build: the first one downloads what the project needs.
const mavenTimeout = 8 * time.Minute

// Maven builds the Maven project in a folder: offline if it can, otherwise with downloads. Without Java or Maven the test is skipped, or
// fails when GANTRY_REQUIRE_JAVA is 1, as where all tests are wanted.
func Maven(t testing.TB, folder string) {
	t.Helper()
	for _, program := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("GANTRY_REQUIRE_JAVA") == "1" {
				t.Fatalf("no %s: apt-get install maven default-jdk-headless", program)
			}
			t.Skipf("no %s: this test runs a Java client; apt-get install maven default-jdk-headless", program)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), mavenTimeout)
	defer cancel()
	var output []byte
	var err error
	for _, offline := range []bool{true, false} {
		args := []string{"--quiet", "--batch-mode", "package"}
		if offline {
			args = append(args, "--offline")
		}
		command := exec.CommandContext(ctx, "mvn", args...)
		command.Dir = folder
		command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		command.WaitDelay = 5 * time.Second
		if output, err = command.CombinedOutput(); err == nil {
			return
		}
	}
	t.Fatalf("mvn package: %v\n%s", err, output)
}

// Program is a program that takes commands by its input, a line each, and answers by lines of JSON that begin with "@".
type Program struct {
	t       testing.TB
	input   io.WriteCloser
	answers chan Answer
}

// Answer is what a [Program] says.
type Answer struct {
	Event, Key string
	Value      any
}

// Java runs java with arguments, and ends it with the test. Its other output is shown when the test fails.
func Java(t testing.TB, args ...string) *Program {
	t.Helper()
	command := exec.Command("java", append([]string{"-Xmx256m", "-XX:TieredStopAtLevel=1"}, args...)...)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	rest := new(Process) // keeps what it prints, bounded
	command.Stderr = rest
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	p := &Program{t: t, input: input, answers: make(chan Answer, 1024)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.read(output, rest)
		_ = command.Wait() // how it ended is seen in its output
	}()
	t.Cleanup(func() {
		input.Close()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			_ = command.Process.Kill()
			<-done
		}
		if t.Failed() {
			t.Logf("java said:\n%s", rest.Output())
		}
	})
	return p
}

func (p *Program) read(output io.Reader, rest io.Writer) {
	defer close(p.answers)
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		text, found := bytes.CutPrefix(lines.Bytes(), []byte("@"))
		var answer Answer
		if !found || json.Unmarshal(text, &answer) != nil {
			_, _ = rest.Write(append(bytes.Clone(lines.Bytes()), '\n'))
			continue
		}
		p.answers <- answer
	}
}

// Send gives it a command.
func (p *Program) Send(words ...string) {
	p.t.Helper()
	if _, err := io.WriteString(p.input, strings.Join(words, " ")+"\n"); err != nil {
		p.t.Fatalf("the program does not listen: %v", err)
	}
}

// Await returns the next answer that is one of some events; others before it are dropped.
func (p *Program) Await(atMost time.Duration, events ...string) Answer {
	p.t.Helper()
	timeout := time.NewTimer(atMost)
	defer timeout.Stop()
	for {
		select {
		case answer, open := <-p.answers:
			if !open {
				p.t.Fatalf("the program ended before it said %v", events)
			}
			for _, event := range events {
				if answer.Event == event {
					return answer
				}
			}
		case <-timeout.C:
			p.t.Fatalf("in %v the program did not say %v", atMost, events)
		}
	}
}

// Ask sends a command and returns the answer to it, which may be "failed".
func (p *Program) Ask(words ...string) Answer {
	p.t.Helper()
	p.Send(words...)
	return p.Await(2*time.Minute, words[0], "failed")
}
