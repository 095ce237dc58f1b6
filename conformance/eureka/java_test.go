package eureka_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/conformance/harness"
)

// build compiles the Java program once and returns its class path.
var build = sync.OnceValues(func() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, "mvn", "-q", "-B", "package", "dependency:copy-dependencies", "-DoutputDirectory=target/lib")
	command.Dir = "java"
	if output, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("mvn: %w\n%s", err, output)
	}
	dir, err := filepath.Abs("java")
	return filepath.Join(dir, "target", "classes") + ":" + filepath.Join(dir, "target", "lib", "*"), err
})

// needJava skips without Java, unless GANTRY_REQUIRE_JAVA says that it has to be there.
func needJava(t *testing.T) {
	t.Helper()
	for _, program := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("GANTRY_REQUIRE_JAVA") != "" {
				t.Fatalf("no %s, and GANTRY_REQUIRE_JAVA is set", program)
			}
			t.Skipf("no %s", program)
		}
	}
}

// javaClient is a process with Netflix's client in it.
type javaClient struct {
	t       *testing.T
	command *exec.Cmd
	input   io.WriteCloser
	mu      sync.Mutex
	last    view
	stopped bool
	log     strings.Builder
	done    chan struct{}
}

// view is what it says it holds.
type view struct {
	Holds, VIP []string
	Hash       string
}

func startJava(t *testing.T, url, app, id, port string, options ...string) *javaClient {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	arguments := append(options, "-Xmx128m", "-cp", path, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "gantry.Client", url, app, id, port)
	c := &javaClient{t: t, command: exec.Command("java", arguments...), done: make(chan struct{})}
	c.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if c.input, err = c.command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	output, err := c.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.command.Stderr = c
	if err := c.command.Start(); err != nil {
		t.Fatal(err)
	}
	go c.read(output)
	t.Cleanup(func() {
		_ = c.command.Process.Kill() // it may have ended
		<-c.done
		if t.Failed() {
			c.mu.Lock()
			defer c.mu.Unlock()
			t.Logf("%s holds %+v and said:\n%s", id, c.last, c.log.String())
		}
	})
	return c
}

func (c *javaClient) Write(data []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.log.Len() < 64<<10 {
		c.log.Write(data)
	}
	return len(data), nil
}

func (c *javaClient) read(output io.Reader) {
	defer close(c.done)
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		var line struct {
			view
			Stopped bool
		}
		if json.Unmarshal(lines.Bytes(), &line) != nil {
			continue // a library's
		}
		c.mu.Lock()
		if c.stopped = c.stopped || line.Stopped; !line.Stopped {
			c.last = line.view
		}
		c.mu.Unlock()
	}
	_ = c.command.Wait()
}

func (c *javaClient) say(line string) {
	c.t.Helper()
	if _, err := fmt.Fprintln(c.input, line); err != nil {
		c.t.Fatal(err)
	}
}

// holds waits until it holds just these instances.
func (c *javaClient) holds(hash string, vip []string, want ...string) {
	c.t.Helper()
	harness.Eventually(c.t, 90*time.Second, fmt.Sprintf("Netflix's client holds %v, hash %s, and %v by address", want, hash, vip), func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.last.Hash != hash || !slices.Equal(c.last.Holds, want) || !slices.Equal(c.last.VIP, vip) {
			return fmt.Errorf("it holds %+v", c.last)
		}
		return nil
	})
}

// compact is what is held without metadata.
func compact(instances ...string) []string {
	for n := range instances {
		instances[n] = strings.NewReplacer(" java & co ", " - ", " go ", " - ").Replace(instances[n])
	}
	return instances
}

func TestNetflixsClient(t *testing.T) {
	needJava(t)
	server := harness.Start(t)
	url := address(server, server.Token("default", "ROLE_SERVICE")) + "/"
	// The second asks for short answers, which have no metadata.
	loan := startJava(t, url, "loan-service", "loan-1", "8080")
	risk := startJava(t, url, "risk-service", "risk-1", "8081", "-Daccept=compact")
	const (
		loanUp = "LOAN-SERVICE/loan-1 UP 127.0.0.1:8080 java & co loan-service"
		riskUp = "RISK-SERVICE/risk-1 UP 127.0.0.1:8081 java & co risk-service"
	)
	loan.holds("UP_2_", []string{"loan-1"}, loanUp, riskUp)
	risk.holds("UP_2_", []string{"risk-1"}, compact(loanUp, riskUp)...)
	native(t, server, "loan-service", "loan-1", "UP")

	// What other languages register, and what operators do.
	server.Call("InstanceService/Register", map[string]any{"service": map[string]any{"service": "loan-service"},
		"instance": map[string]any{"id": "native-1", "address": "10.0.0.9", "port": 9090, "persistent": true, "metadata": map[string]string{"owner": "go"}}}, nil)
	nativeUp := "LOAN-SERVICE/native-1 UP 10.0.0.9:9090 go loan-service"
	loan.holds("UP_3_", []string{"loan-1", "native-1"}, loanUp, nativeUp, riskUp)
	risk.holds("UP_3_", []string{"risk-1"}, compact(loanUp, nativeUp, riskUp)...)
	server.Call("InstanceService/Deregister", map[string]any{"service": map[string]any{"service": "loan-service"}, "id": "native-1"}, nil)
	loan.holds("UP_2_", []string{"loan-1"}, loanUp, riskUp)

	// A change of status travels by registration and delta.
	risk.say("status OUT_OF_SERVICE")
	riskOut := strings.Replace(riskUp, "UP", "OUT_OF_SERVICE", 1)
	loan.holds("OUT_OF_SERVICE_1_UP_1_", []string{"loan-1"}, loanUp, riskOut)
	risk.holds("OUT_OF_SERVICE_1_UP_1_", []string{"risk-1"}, compact(loanUp, riskOut)...)
	risk.say("status UP")
	loan.holds("UP_2_", []string{"loan-1"}, loanUp, riskUp)

	// The server crashes and comes back under them.
	server.Kill()
	server.Restart()
	loan.holds("UP_2_", []string{"loan-1"}, loanUp, riskUp)
	fund := startJava(t, url, "fund-service", "fund-1", "8082")
	fundUp := "FUND-SERVICE/fund-1 UP 127.0.0.1:8082 java & co fund-service"
	loan.holds("UP_3_", []string{"loan-1"}, fundUp, loanUp, riskUp)
	risk.holds("UP_3_", []string{"risk-1"}, compact(fundUp, loanUp, riskUp)...)
	// Their registrations are lost: they register again by themselves.
	for _, lost := range [][2]string{{"loan-service", "loan-1"}, {"risk-service", "risk-1"}} {
		server.Call("InstanceService/Deregister", map[string]any{"service": map[string]any{"service": lost[0]}, "id": lost[1]}, nil)
	}
	fund.holds("UP_3_", []string{"fund-1"}, fundUp, loanUp, riskUp)

	// Leaving in order, and by a crash.
	loan.say("stop")
	fund.holds("UP_2_", []string{"fund-1"}, fundUp, riskUp)
	if err := risk.command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	fund.holds("UP_1_", []string{"fund-1"}, fundUp)
}
