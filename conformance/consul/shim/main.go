// Command shim stands on the PATH as "consul" for Consul's own test harness. It knows the two calls that the harness makes: `consul version` and
// `consul agent -config-file F`, for which it runs a real gantry server (GANTRY_BINARY) on the ports of that file and says of the agent's node
// what the file says of it.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// version is that of the Consul whose API Gantry speaks.
const version = "1.21.5"

// config is what the harness writes down of its server.
type config struct {
	NodeName  string            `json:"node_name"`
	NodeID    string            `json:"node_id"`
	NodeMeta  map[string]string `json:"node_meta"`
	DataDir   string            `json:"data_dir"`
	Addresses struct{ HTTP string }
	Ports     struct {
		HTTP, DNS, GRPC int
	}
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "version" {
		fmt.Printf("{\"Version\": %q, \"Revision\": \"\", \"Prerelease\": \"\"}\n", version)
		return
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "shim:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	file := ""
	for n, arg := range args {
		if strings.TrimLeft(arg, "-") == "config-file" && n+1 < len(args) && file == "" {
			file = args[n+1]
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var c config
	if err := json.Unmarshal(data, &c); err != nil {
		return err
	}
	if c.Addresses.HTTP != "" {
		return fmt.Errorf("the HTTP port is a TCP port, not %q", c.Addresses.HTTP)
	}
	address := func(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
	server := exec.Command(os.Getenv("GANTRY_BINARY"), "server", "--dev", "--data", c.DataDir, "--http-listen", address(c.Ports.HTTP),
		"--grpc-listen", address(c.Ports.GRPC), "--dns-listen", address(c.Ports.DNS), "--consul-node", c.NodeName, "--minimum-free", "1MiB")
	server.Stdout, server.Stderr = os.Stdout, os.Stderr
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if err := server.Start(); err != nil {
		return err
	}
	go func() {
		for s := range signals {
			_ = server.Process.Signal(s) // it may have ended
		}
	}()
	go describe(c, "http://"+address(c.Ports.HTTP))
	return server.Wait()
}

// describe says of the agent's node what Consul's agent would read from its file.
func describe(c config, url string) {
	body, err := json.Marshal(map[string]any{"Node": c.NodeName, "ID": c.NodeID, "Address": "127.0.0.1", "NodeMeta": c.NodeMeta})
	if err != nil {
		fmt.Fprintln(os.Stderr, "shim:", err)
		return
	}
	for range 300 {
		request, err := http.NewRequest(http.MethodPut, url+"/v1/catalog/register", bytes.NewReader(body))
		if err != nil {
			fmt.Fprintln(os.Stderr, "shim:", err)
			return
		}
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		time.Sleep(50 * time.Millisecond) // the server is starting
	}
}
