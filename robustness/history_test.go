//go:build linux

package robustness

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// outcome is what a client knows of its operation.
type outcome int

const (
	done     outcome = iota
	conflict         // nothing happened: another version was the latest
	unknown          // it may have happened, or may happen yet
)

// operation is a read of a document's latest version, or a publish that expects one.
type operation struct {
	document string
	publish  bool
	expected int64  // of a publish: the version that must be the latest
	checksum string // of a publish: of its content, which no other publish has
}

// answer is what came back. A read answers with the version and checksum that it saw.
type answer struct {
	outcome  outcome
	version  int64
	checksum string
}

// version is the state of a document in the model: its latest version.
type version struct {
	number   int64
	checksum string
}

// documentModel says how a document behaves if it is on one machine and operations come one after another.
var documentModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byDocument := map[string][]porcupine.Operation{}
		for _, one := range history {
			name := one.Input.(operation).document
			byDocument[name] = append(byDocument[name], one)
		}
		var parts [][]porcupine.Operation
		for _, part := range byDocument {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() any { return version{} },
	Step: func(state, input, output any) (bool, any) {
		before, asked, got := state.(version), input.(operation), output.(answer)
		if !asked.publish {
			return got.version == before.number && got.checksum == before.checksum, before
		}
		after := version{number: before.number + 1, checksum: asked.checksum}
		fits := asked.expected == before.number
		switch got.outcome {
		case conflict:
			return !fits, before
		case unknown:
			// Not to have happened is the same as to happen after all others, when it does not fit any more or nobody looks.
			if fits {
				return true, after
			}
			return true, before
		default:
			return fits && got.version == after.number, after
		}
	},
	DescribeOperation: func(input, output any) string {
		asked, got := input.(operation), output.(answer)
		if !asked.publish {
			return fmt.Sprintf("%s: read -> %d %.6s", asked.document, got.version, got.checksum)
		}
		result := fmt.Sprintf("version %d", got.version)
		if got.outcome != done {
			result = [...]string{"", "conflict", "unknown"}[got.outcome]
		}
		return fmt.Sprintf("%s: publish %.6s on %d -> %s", asked.document, asked.checksum, asked.expected, result)
	},
	DescribeState: func(state any) string {
		held := state.(version)
		return fmt.Sprintf("%d %.6s", held.number, held.checksum)
	},
}

// history is what all clients saw.
type history struct {
	began time.Time

	mu         sync.Mutex
	operations []porcupine.Operation
	clients    int
	// released are the acknowledged versions with their content.
	released map[string]map[int64]string
	// unknowns counts operations of unknown outcome by what was said of them.
	unknowns map[string]int
	// progress counts acknowledged releases by the node that acknowledged them.
	progress map[string]int
}

func newHistory() *history {
	return &history{began: time.Now(), released: map[string]map[int64]string{}, unknowns: map[string]int{}, progress: map[string]int{}}
}

// client is a number for one who does one thing after another.
func (h *history) client() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clients++
	return h.clients - 1
}

// now is a time that never goes back.
func (h *history) now() int64 { return int64(time.Since(h.began)) }

// add records an operation that began at called and whose answer has just come.
func (h *history) add(client int, called int64, asked operation, got answer, content string) {
	returned := h.now()
	if got.outcome == unknown {
		returned = math.MaxInt64
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.operations = append(h.operations, porcupine.Operation{ClientId: client, Input: asked, Call: called, Output: got, Return: returned})
	if asked.publish && got.outcome == done {
		if h.released[asked.document] == nil {
			h.released[asked.document] = map[int64]string{}
		}
		h.released[asked.document][got.version] = content
	}
}

// doubt notes why an outcome is unknown.
func (h *history) doubt(reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.unknowns) < 20 {
		h.unknowns[reason]++
	}
}

// progressed notes that a node acknowledged a release.
func (h *history) progressed(node string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.progress[node]++
}

// progressOf is how many releases a node has acknowledged.
func (h *history) progressOf(node string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.progress[node]
}

// checkTimeout bounds the search for an order of the operations, which can take exponential time when there is none.
const checkTimeout = 20 * time.Second

// check fails the test when there is no order of the operations that explains what the clients saw.
func (h *history) check(t *testing.T) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	result, info := porcupine.CheckOperationsVerbose(documentModel, h.operations, checkTimeout)
	t.Logf("%d operations of %d clients: %s; of unknown outcome: %v", len(h.operations), h.clients, result, h.unknowns)
	if result == porcupine.Ok {
		return
	}
	path := filepath.Join(os.TempDir(), "gantry-"+strings.ReplaceAll(t.Name(), "/", "-")+".html")
	if err := porcupine.VisualizePath(documentModel, info, path); err != nil {
		t.Errorf("the picture of the history: %v", err)
	}
	t.Errorf("the history is not linearizable (%s); see %s", result, path)
}
