package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain lets the test's program stand for programs that the demo runs.
func TestMain(m *testing.M) {
	switch os.Getenv("DEMO_TEST_ROLE") {
	case "polite":
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		fmt.Println("up")
		<-ctx.Done()
		fmt.Println("bye")
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("up")
		select {}
	case "broken":
		fmt.Fprintln(os.Stderr, "cannot go on")
		os.Exit(3)
	default:
		goleak.VerifyTestMain(m)
	}
}

// play starts a program, and returns it when it has said that it is up.
func play(t *testing.T, role string) (*process, *bufio.Reader) {
	t.Helper()
	reader, writer := io.Pipe()
	p := &process{name: role, path: os.Args[0], env: []string{"DEMO_TEST_ROLE=" + role}, out: writer, log: filepath.Join(t.TempDir(), "log")}
	ended := make(chan *process, 1)
	if err := p.start(ended); err != nil {
		t.Fatal(err)
	}
	go func() {
		<-ended
		writer.Close()
	}()
	lines := bufio.NewReader(reader)
	if line, err := lines.ReadString('\n'); role != "broken" && (err != nil || line != "up\n") {
		t.Fatalf("%q, %v", line, err)
	}
	return p, lines
}

func TestStopIsOrderly(t *testing.T) {
	p, lines := play(t, "polite")
	if !p.running() {
		t.Fatal("not running")
	}
	stopped := make(chan error, 1)
	go func() { stopped <- p.stop(nil) }()
	if line, err := lines.ReadString('\n'); err != nil || line != "bye\n" {
		t.Errorf("%q, %v", line, err)
	}
	if err := <-stopped; err != nil || p.running() {
		t.Errorf("running %v: %v", p.running(), err)
	}
	if err := p.stop(nil); err != nil {
		t.Errorf("stopping again: %v", err)
	}
}

func TestStopKillsWhenAsked(t *testing.T) {
	p, _ := play(t, "stubborn")
	kill := make(chan struct{})
	close(kill)
	if err := p.stop(kill); err == nil || !strings.Contains(err.Error(), "killed") || p.running() {
		t.Errorf("running %v: %v", p.running(), err)
	}
}

func TestLastWords(t *testing.T) {
	p, _ := play(t, "broken")
	<-p.ended
	if !strings.Contains(p.how(), "exit status 3") || !strings.Contains(p.lastWords(), "broken: cannot go on") {
		t.Errorf("%s; %s", p.how(), p.lastWords())
	}
}

func TestGivesUp(t *testing.T) {
	f := &fleet{out: io.Discard}
	p := &process{name: "loan-1", began: time.Now()}
	for range maxQuick - 1 {
		if err := f.mourn(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.mourn(p); err == nil || !strings.Contains(err.Error(), "loan-1") {
		t.Errorf("got %v", err)
	}
	p.began = time.Now().Add(-time.Hour)
	if err := f.mourn(p); err != nil {
		t.Errorf("after an hour: %v", err)
	}
}

func TestPortInUse(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	address := listener.Addr().String()
	if _, err := freeAddress("http-listen", address); err == nil || !strings.Contains(err.Error(), address+" is in use") || !strings.Contains(err.Error(), "DEMO_FLAGS") {
		t.Errorf("got %v", err)
	}
	free, err := freeAddress("http-listen", "127.0.0.1:0")
	if err != nil || strings.HasSuffix(free, ":0") {
		t.Errorf("%q, %v", free, err)
	}
}

func TestUsage(t *testing.T) {
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"-h"}, 0, "-http-listen"},
		{[]string{"-nonsense"}, 2, "nonsense"},
		{[]string{"more"}, 2, "Usage"},
		{[]string{"-for", "-1s"}, 2, "Usage"},
		{[]string{"-gantry", "/nowhere/gantry"}, 1, "make demo"},
	} {
		var out, errOut strings.Builder
		if code := run(test.args, &out, &errOut); code != test.code || !strings.Contains(errOut.String(), test.says) {
			t.Errorf("%v: %d\n%s", test.args, code, errOut.String())
		}
	}
}

func TestGuideCanBePasted(t *testing.T) {
	var out strings.Builder
	o := options{gantry: "/opt/gantry", lending: "/opt/lending", try: "examples/lending/try", http: "127.0.0.1:8848", grpc: "127.0.0.1:9848"}
	f := newFleet(o, t.TempDir(), &out, nil)
	self := &exec.Cmd{Process: &os.Process{Pid: os.Getpid()}}
	for _, p := range f.all() {
		p.command = self
	}
	f.guide(endpoints{portal: "127.0.0.1:1", metrics: "127.0.0.1:2"})
	text := out.String()
	for _, part := range []string{"/opt/gantry services", "http://127.0.0.1:1/loans", fmt.Sprintf("kill -9 %d", self.Process.Pid)} {
		if !strings.Contains(text, part) {
			t.Errorf("the guide does not say %q:\n%s", part, text)
		}
	}
	if strings.Contains(strings.ReplaceAll(text, "'{\"customer\": \"li-lei\", \"amount\": 8000, \"months\": 12}'", ""), "{") {
		t.Errorf("something is not filled in:\n%s", text)
	}
}
