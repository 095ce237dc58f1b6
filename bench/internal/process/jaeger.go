package process

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// StartJaeger runs Jaeger's all-in-one program (version 1, cmd/all-in-one of its Go module) with Badger on disk, with its own defaults but for ports and folder. GRPC is its
// OTLP port, HTTP that of its query API.
func StartJaeger(ctx context.Context, binary, folder string) (*Rival, error) {
	addresses, err := freeAddresses(10)
	if err != nil {
		return nil, err
	}
	r := &Rival{HTTP: addresses[0], GRPC: addresses[1], exited: make(chan struct{})}
	log, err := os.OpenFile(filepath.Join(folder, "jaeger.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own
	r.command = exec.CommandContext(ctx, binary, "--badger.ephemeral=false", "--badger.directory-key="+filepath.Join(folder, "jaeger", "key"),
		"--badger.directory-value="+filepath.Join(folder, "jaeger", "value"), "--query.http-server.host-port="+r.HTTP, "--collector.otlp.grpc.host-port="+r.GRPC,
		"--collector.otlp.http.host-port="+addresses[2], "--query.grpc-server.host-port="+addresses[3], "--collector.grpc-server.host-port="+addresses[4],
		"--collector.http-server.host-port="+addresses[5], "--admin.http.host-port="+addresses[6], "--http-server.host-port="+addresses[7],
		"--processor.jaeger-binary.server-host-port="+addresses[8], "--processor.jaeger-compact.server-host-port="+addresses[9])
	r.command.Dir = folder
	r.command.Stdout, r.command.Stderr = log, log
	r.command.Env = append(os.Environ(), "SPAN_STORAGE_TYPE=badger")
	if err := r.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = r.command.Wait() // a rival that ends shows in what is measured
		close(r.exited)
	}()
	for _, address := range []string{r.HTTP, r.GRPC} {
		if err := r.awaitPort(ctx, address); err != nil {
			r.Kill()
			return nil, fmt.Errorf("jaeger: %w", err)
		}
	}
	return r, nil
}
