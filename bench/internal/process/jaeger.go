package process

import (
	"bufio"
	"context"
	"debug/buildinfo"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Jaeger is Jaeger's all-in-one program. GRPC is its OTLP port, HTTP that of its query API.
type Jaeger struct {
	Rival
	admin string
}

// StartJaeger runs Jaeger's all-in-one program (version 1, cmd/all-in-one of its Go module) with Badger in folder/badger, with its own defaults but for
// ports and folder.
func StartJaeger(ctx context.Context, binary, folder string) (*Jaeger, error) {
	binary, err := filepath.Abs(binary) // it runs in another folder
	if err != nil {
		return nil, err
	}
	version, err := jaegerVersion(binary)
	if err != nil {
		return nil, err
	}
	addresses, err := freeAddresses(7)
	if err != nil {
		return nil, err
	}
	j := &Jaeger{Rival: Rival{HTTP: addresses[0], GRPC: addresses[1], Version: version}, admin: addresses[6]}
	command := exec.CommandContext(ctx, binary, "--badger.ephemeral=false", "--badger.directory-key="+filepath.Join(folder, "badger", "key"),
		"--badger.directory-value="+filepath.Join(folder, "badger", "value"), "--query.http-server.host-port="+j.HTTP, "--collector.otlp.grpc.host-port="+j.GRPC,
		"--collector.otlp.http.host-port="+addresses[2], "--query.grpc-server.host-port="+addresses[3], "--collector.grpc-server.host-port="+addresses[4],
		"--collector.http-server.host-port="+addresses[5], "--admin.http.host-port="+j.admin)
	command.Env = append(os.Environ(), "SPAN_STORAGE_TYPE=badger")
	if err := j.launch(ctx, "jaeger", folder, command); err != nil {
		return nil, err
	}
	return j, nil
}

// jaegerModule is the Go module that the program is made of.
const jaegerModule = "github.com/jaegertracing/jaeger"

// jaegerVersion reads the version out of the program, which knows none itself unless its own project built it.
func jaegerVersion(binary string) (string, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return "", fmt.Errorf("jaeger: %w", err)
	}
	for _, module := range append(info.Deps, &info.Main) {
		if module.Path == jaegerModule {
			return module.Version, nil
		}
	}
	return "", fmt.Errorf("jaeger: %s is not built of the module %s", binary, jaegerModule)
}

// Stored is how many spans it has written so far, and how many it could not write.
func (j *Jaeger) Stored(ctx context.Context) (written, failed int64, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+j.admin+"/metrics", nil)
	if err != nil {
		return 0, 0, err
	}
	figures, err := figuresOf(request, parseStored)
	return int64(figures["ok"]), int64(figures["err"]), err
}

// parseStored adds up the spans of all services, by result.
func parseStored(from io.Reader) (Figures, error) {
	const metric = "jaeger_collector_spans_saved_by_svc_total{"
	figures := Figures{}
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		labels, found := strings.CutPrefix(lines.Text(), metric)
		if !found {
			continue
		}
		end := strings.LastIndexByte(labels, '}')
		_, result, _ := strings.Cut(labels, `result="`)
		result, _, named := strings.Cut(result, `"`)
		if end < 0 || !named {
			return nil, fmt.Errorf("metric %s%s has no result", metric, labels)
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(labels[end+1:]), 64)
		if err != nil {
			return nil, fmt.Errorf("metric %s: %w", metric, err)
		}
		figures[result] += value
	}
	return figures, lines.Err()
}
