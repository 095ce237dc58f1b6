package nacos_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/conformance/harness"
)

// lookForJava skips a test where there is no Java or Maven, unless GANTRY_REQUIRE_JAVA=1 asks for them.
func lookForJava(t *testing.T) {
	t.Helper()
	for _, program := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("GANTRY_REQUIRE_JAVA") == "1" {
				t.Fatalf("%v, and GANTRY_REQUIRE_JAVA=1", err)
			}
			t.Skipf("%v", err)
		}
	}
}

// compile builds the program of java/ with the client of a Maven profile, and returns the class path. What is in the local repository
// is used as it is; otherwise Maven fetches it.
func compile(t *testing.T, profile string) string {
	t.Helper()
	out := t.TempDir()
	list := filepath.Join(out, "class-path")
	arguments := []string{"-q", "-B", "-P" + profile, "-Dout=" + out, "-Dmdep.outputFile=" + list, "compile", "dependency:build-classpath"}
	run := func(arguments ...string) ([]byte, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
		defer cancel()
		command := exec.CommandContext(ctx, "mvn", arguments...)
		command.Dir = "java"
		return command.CombinedOutput()
	}
	if _, err := run(append([]string{"-o"}, arguments...)...); err != nil {
		if output, err := run(arguments...); err != nil {
			t.Fatalf("mvn: %v\n%s", err, output)
		}
	}
	classPath, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(out, "classes") + string(os.PathListSeparator) + strings.TrimSpace(string(classPath))
}

// probe is a running program of java/.
type probe struct {
	t     *testing.T
	input io.Writer
	did   chan line

	mu   sync.Mutex
	told map[string][]string
}

type line struct{ Did, Told, Result, Failed string }

func runProbe(t *testing.T, classPath string, s *harness.Server) *probe {
	t.Helper()
	home := t.TempDir()
	command := exec.Command("java", "-Xmx256m", "-cp", classPath, "-Duser.home="+home, "-Dnacos.logging.path="+home, "-DJM.LOG.PATH="+home,
		"-Dnacos.server.grpc.port.offset="+strconv.Itoa(int(portOf(t, s.GRPC))-int(portOf(t, s.HTTP))), "gantry.Probe", s.HTTP, grpcUser, grpcPassword)
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var complaints strings.Builder
	command.Stderr = &complaints
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	p := &probe{t: t, input: input, did: make(chan line, 100), told: map[string][]string{}}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		lines := bufio.NewScanner(output)
		for lines.Scan() {
			p.take(lines.Bytes())
		}
	}()
	t.Cleanup(func() {
		input.Close()
		stop := time.AfterFunc(10*time.Second, func() { _ = command.Process.Kill() })
		defer stop.Stop()
		<-ended
		err := command.Wait()
		if t.Failed() {
			t.Logf("java: %v\n%s", err, complaints.String())
			for _, log := range []string{"naming.log", "config.log", "remote.log"} {
				if text, err := os.ReadFile(filepath.Join(home, "nacos", log)); err == nil {
					t.Logf("%s:\n%s", log, text[max(0, len(text)-6000):])
				}
			}
		}
	})
	return p
}

func (p *probe) take(text []byte) {
	var l line
	if json.Unmarshal(text, &l) != nil {
		return // a log line of the client
	}
	if l.Told == "" {
		p.did <- l
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told[l.Told] = append(p.told[l.Told], l.Result)
}

// try does one thing.
func (p *probe) try(what string) (string, error) {
	p.t.Helper()
	if _, err := io.WriteString(p.input, what+"\n"); err != nil {
		p.t.Fatal(err)
	}
	select {
	case l := <-p.did:
		if l.Did != what {
			p.t.Fatalf("%q was done in place of %q", l.Did, what)
		}
		if l.Failed != "" {
			return "", fmt.Errorf("%s: %s", what, l.Failed)
		}
		return l.Result, nil
	case <-time.After(time.Minute):
		p.t.Fatalf("%s: no answer", what)
		return "", nil
	}
}

// must does one thing and wants this result.
func (p *probe) must(what, result string) {
	p.t.Helper()
	if got, err := p.try(what); err != nil || got != result {
		p.t.Fatalf("%s: %q, %v; want %q", what, got, err, result)
	}
}

// wantTold waits until a listener's newest news is this.
func (p *probe) wantTold(what, want string) {
	p.t.Helper()
	harness.Eventually(p.t, recovery, what+" is told "+want, func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		told := p.told[what]
		if len(told) == 0 || told[len(told)-1] != want {
			return fmt.Errorf("told %q", told)
		}
		return nil
	})
}

func TestTheJavaClient(t *testing.T) {
	lookForJava(t)
	for _, profile := range []string{"client2", "client3"} {
		t.Run(profile, func(t *testing.T) {
			s := startForGRPC(t)
			p := runProbe(t, compile(t, profile), s)
			p.must("open", "")
			javaNaming(p)
			javaConfig(p)
			if profile == "client3" {
				javaWatch(p)
			}
			s.Kill()
			s.Restart()
			javaRecovers(t, p, s)
		})
	}
}

func javaNaming(p *probe) {
	p.must("subscribe loan", "")
	p.must("subscribe bulk", "")
	p.must("register loan 10.0.0.1", "")
	p.wantTold("loan", "10.0.0.1/2.5/v1")
	p.must("select loan", "10.0.0.1/2.5/v1")
	p.must("batch bulk 10.0.1.1 10.0.1.2 10.0.1.3", "")
	p.wantTold("bulk", "10.0.1.1/2.5/v1 10.0.1.2/2.5/v1 10.0.1.3/2.5/v1")
	p.must("unbatch bulk 10.0.1.1", "")
	p.wantTold("bulk", "10.0.1.2/2.5/v1 10.0.1.3/2.5/v1")
	p.must("register-persistent ledger 127.0.0.9", "")
	p.must("services", "bulk ledger loan")
	p.must("deregister loan 10.0.0.1", "")
	p.wantTold("loan", "")
	p.must("register loan 10.0.0.2", "")
	p.wantTold("loan", "10.0.0.2/2.5/v1")
}

func javaConfig(p *probe) {
	p.must("get limits", "null")
	p.must("publish limits one", "true")
	p.must("get limits", "one")
	p.must("cas limits two "+md5Hex("other"), "false")
	p.must("cas limits two "+md5Hex("one"), "true")
	p.must("listen limits", "")
	p.must("publish limits three", "true")
	p.wantTold("limits", "three")
	p.must("publish gone soon", "true")
	p.must("remove gone", "true")
	p.must("get gone", "null")
}

// javaWatch follows services and configurations by pattern, which clients of 3.x can.
func javaWatch(p *probe) {
	p.must("publish watched-before x", "true")
	p.must("watch", "")
	p.wantTold("configs", "ADD_CONFIG watched-before")
	p.must("register watched 10.0.2.1", "")
	p.wantTold("services", "ADD_SERVICE watched")
	p.must("deregister watched 10.0.2.1", "")
	p.wantTold("services", "DELETE_SERVICE watched")
	p.must("publish watched x", "true")
	p.wantTold("configs", "ADD_CONFIG watched")
	p.must("remove watched", "true")
	p.wantTold("configs", "DELETE_CONFIG watched")
}

func javaRecovers(t *testing.T, p *probe, s *harness.Server) {
	harness.Eventually(t, recovery, "publishing works again", func() error {
		if got, err := p.try("publish limits four"); err != nil || got != "true" {
			return fmt.Errorf("%q, %v", got, err)
		}
		return nil
	})
	p.wantTold("limits", "four")
	time.Sleep(20 * time.Second) // past the ttl of what was registered, which nothing but the connection extends
	if got := inRegistry(s, "loan") + ", " + inRegistry(s, "bulk") + ", " + inRegistry(s, "ledger"); got != "10.0.0.2, 10.0.1.2 10.0.1.3, 127.0.0.9" {
		t.Fatalf("after the restart %s", got)
	}
	p.must("register loan 10.0.0.3", "")
	p.wantTold("loan", "10.0.0.3/2.5/v1")
	p.must("publish limits five", "true")
	p.wantTold("limits", "five")
	p.must("deregister-persistent ledger 127.0.0.9", "")
	p.must("close-provider", "")
	p.wantTold("loan", "")
	p.wantTold("bulk", "")
	if got := inRegistry(s, "loan") + inRegistry(s, "bulk") + inRegistry(s, "ledger"); got != "" {
		t.Errorf("left are %s", got)
	}
}
