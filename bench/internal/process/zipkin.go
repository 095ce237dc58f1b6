package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Zipkin is Zipkin's server. HTTP is its one port.
type Zipkin struct{ Rival }

// ZipkinLimits say how much its storage in memory is to hold.
type ZipkinLimits struct {
	// Spans is MEM_MAX_SPANS: beyond it the oldest traces go.
	Spans int
	// HeapMiB is the size of Java's heap, from the start.
	HeapMiB int
}

// StartZipkin runs Zipkin's server (the jar "exec" of io.zipkin:zipkin-server) by the java on the PATH, with storage in memory, and with its own defaults
// but for its port and the limits. It returns when the server says that it is up.
func StartZipkin(ctx context.Context, jar, folder string, limits ZipkinLimits) (*Zipkin, error) {
	jar, err := filepath.Abs(jar) // it runs in another folder
	if err != nil {
		return nil, err
	}
	addresses, err := freeAddresses(1)
	if err != nil {
		return nil, err
	}
	z := &Zipkin{Rival{HTTP: addresses[0]}}
	host, port, err := net.SplitHostPort(z.HTTP)
	if err != nil {
		return nil, err
	}
	heap := fmt.Sprintf("%dm", limits.HeapMiB)
	command := exec.CommandContext(ctx, "java", "-Xms"+heap, "-Xmx"+heap, "-jar", jar,
		"--armeria.ports[0].ip="+host, "--armeria.ports[0].port="+port, "--armeria.ports[0].protocols[0]=http")
	command.Env = append(os.Environ(), "STORAGE_TYPE=mem", fmt.Sprintf("MEM_MAX_SPANS=%d", limits.Spans))
	if err := z.launch(ctx, "zipkin", folder, command); err != nil {
		return nil, err
	}
	if err := z.awaitUp(ctx); err != nil {
		z.Kill()
		return nil, fmt.Errorf("zipkin: %w\n%s", err, tail(z.log))
	}
	return z, nil
}

// awaitUp waits until the server answers that it is up, and reads its version.
func (z *Zipkin) awaitUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for {
		err := z.get(ctx, "/health", &struct{}{})
		if err == nil {
			break
		}
		select {
		case <-poll.C:
		case <-z.exited:
			return errors.New("it ended while it started")
		case <-ctx.Done():
			return err
		}
	}
	var info struct {
		Zipkin struct {
			Version string `json:"version"`
		} `json:"zipkin"`
	}
	if err := z.get(ctx, "/info", &info); err != nil {
		return err
	}
	z.Version = info.Zipkin.Version
	return nil
}

// Dropped is how many spans it says that it took in, and how many of them it dropped.
func (z *Zipkin) Dropped(ctx context.Context) (taken, dropped int64, err error) {
	var figures map[string]float64
	if err := z.get(ctx, "/metrics", &figures); err != nil {
		return 0, 0, err
	}
	return int64(figures["counter.zipkin_collector.spans.http"]), int64(figures["counter.zipkin_collector.spans_dropped.http"]), nil
}

func (z *Zipkin) get(ctx context.Context, path string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+z.HTTP+path, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("zipkin answers %s to %s", response.Status, path)
	}
	return json.NewDecoder(response.Body).Decode(into)
}
