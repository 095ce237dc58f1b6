//go:build linux

package robustness

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	metricsv1 "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	metricpb "go.opentelemetry.io/proto/otlp/metrics/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// The signals that are sent to a disk until it is full.
const (
	spanSignal   = "spans"
	metricSignal = "metrics"
	eventSignal  = "events"
)

func allSignals() []string { return []string{spanSignal, metricSignal, eventSignal} }

// signalLoad sends signals of all kinds to a node until it is ended. It remembers what was acknowledged and how the last request of each kind went.
type signalLoad struct {
	n       *node
	stop    context.CancelFunc
	senders sync.WaitGroup

	mu sync.Mutex
	// acked are the ids of what is said to be durable.
	acked map[string][]string
	// refused counts, since it was last looked at, answers that ask to send later; wrong are answers that a sender could not go on from.
	refused map[string]int
	wrong   []string
}

var errLater = errors.New("send later")

func startSignals(t *testing.T, n *node) *signalLoad {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	l := &signalLoad{n: n, stop: stop, acked: map[string][]string{}, refused: map[string]int{}}
	connection, err := grpc.NewClient(n.otlp, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	traces := collector.NewTraceServiceClient(connection)
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	l.run(ctx, spanSignal, 3, 0, func(ctx context.Context, id string) error { return sendBulk(ctx, traces, id) })
	l.run(ctx, metricSignal, 2, 20*time.Millisecond, func(ctx context.Context, id string) error { return sendPoints(ctx, client, n, id) })
	l.run(ctx, eventSignal, 2, 0, func(ctx context.Context, id string) error { return sendEvent(ctx, client, n, id) })
	t.Cleanup(l.end)
	return l
}

func (l *signalLoad) end() {
	l.stop()
	l.senders.Wait()
}

// run starts senders of a kind. Between two requests they pause, and longer when they are asked to.
func (l *signalLoad) run(ctx context.Context, kind string, senders int, pause time.Duration, send func(context.Context, string) error) {
	for range senders {
		l.senders.Go(func() {
			for ctx.Err() == nil {
				id := hex.EncodeToString(randomID(16))
				one, cancel := context.WithTimeout(ctx, 5*time.Second)
				err := send(one, id)
				cancel()
				l.note(ctx, kind, id, err)
				wait := pause
				if err != nil {
					wait = 50 * time.Millisecond
				}
				select {
				case <-time.After(wait):
				case <-ctx.Done():
				}
			}
		})
	}
}

func (l *signalLoad) note(ctx context.Context, kind, id string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.acked[kind] = append(l.acked[kind], id)
	case errors.Is(err, errLater):
		l.refused[kind]++
	case ctx.Err() != nil, isNetwork(err): // the node is away
	default:
		l.wrong = append(l.wrong, kind+": "+err.Error())
	}
}

func isNetwork(err error) bool {
	var operation *net.OpError
	return errors.As(err, &operation) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}

// figures are how many of each kind were acknowledged and refused until now.
func (l *signalLoad) figures() (acked, refused map[string]int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	acked = map[string]int{}
	for kind, ids := range l.acked {
		acked[kind] = len(ids)
	}
	return acked, maps.Clone(l.refused)
}

// awaitRefused waits until of each kind so many more requests are refused than now, and none is acknowledged meanwhile.
func (l *signalLoad) awaitRefused(t *testing.T, more int) {
	t.Helper()
	acked, refused := l.figures()
	eventually(t, 60*time.Second, func(context.Context) error {
		nowAcked, nowRefused := l.figures()
		for _, kind := range allSignals() {
			if nowAcked[kind] > acked[kind] {
				acked, refused = nowAcked, nowRefused
				return fmt.Errorf("%s are still acknowledged", kind)
			}
			if n := nowRefused[kind] - refused[kind]; n < more {
				return fmt.Errorf("%d requests of %s are refused", n, kind)
			}
		}
		return nil
	})
}

// awaitTaken waits until of each kind so many more are acknowledged.
func (l *signalLoad) awaitTaken(t *testing.T, more int) {
	t.Helper()
	before, _ := l.figures()
	eventually(t, 60*time.Second, func(context.Context) error {
		acked, _ := l.figures()
		for _, kind := range allSignals() {
			if n := acked[kind] - before[kind]; n < more {
				return fmt.Errorf("%d requests of %s are acknowledged", n, kind)
			}
		}
		return nil
	})
}

func (l *signalLoad) checkAnswers(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, wrong := range l.wrong {
		if i < 5 {
			t.Errorf("an answer that a sender cannot go on from: %s", wrong)
		}
	}
}

func noise(bytes int) string { return base64.StdEncoding.EncodeToString(randomID(bytes)) }

func text(key, value string) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: value}}}
}

// sendBulk sends one trace of 50 spans that no compression makes small.
func sendBulk(ctx context.Context, client collector.TraceServiceClient, id string) error {
	trace, _ := hex.DecodeString(id)
	now := uint64(time.Now().UnixNano())
	spans := make([]*otlp.Span, 50)
	for i := range spans {
		spans[i] = &otlp.Span{TraceId: trace, SpanId: randomID(8), Name: "store", Kind: otlp.Span_SPAN_KIND_INTERNAL, StartTimeUnixNano: now, EndTimeUnixNano: now + 1e6,
			Attributes: []*common.KeyValue{text("noise", noise(2000))}}
	}
	answer, err := client.Export(ctx, &collector.ExportTraceServiceRequest{ResourceSpans: []*otlp.ResourceSpans{{
		Resource: &resource.Resource{Attributes: []*common.KeyValue{text("service.name", "bulk")}}, ScopeSpans: []*otlp.ScopeSpans{{Spans: spans}}}}})
	s := status.Convert(err)
	switch code := s.Code(); {
	case err == nil && answer.GetPartialSuccess().GetRejectedSpans() > 0:
		return errLater // normal spans are left out while memory is short: said, and so not acknowledged
	case err == nil:
		return nil
	case code == codes.DeadlineExceeded, code == codes.Canceled, code == codes.Unavailable && len(s.Details()) == 0 && brokeOff(s.Message()):
		return io.EOF // the node is away
	case code != codes.Unavailable && code != codes.ResourceExhausted:
		return err
	}
	for _, detail := range s.Details() {
		if _, ok := detail.(*errdetails.RetryInfo); ok {
			return errLater
		}
	}
	return fmt.Errorf("without RetryInfo: %w", err)
}

// brokeOff tells the words of grpc-go for a node that is not there, or no longer, from those of a node.
func brokeOff(message string) bool {
	return strings.Contains(message, "connection") || strings.Contains(message, "error reading from server")
}

// sendPoints sends ten points of series of their own by OTLP over HTTP.
func sendPoints(ctx context.Context, client *http.Client, n *node, id string) error {
	now := uint64(time.Now().UnixNano())
	points := make([]*metricpb.NumberDataPoint, 10)
	for i := range points {
		points[i] = &metricpb.NumberDataPoint{TimeUnixNano: now, Value: &metricpb.NumberDataPoint_AsInt{AsInt: int64(i)},
			Attributes: []*common.KeyValue{text("request", id), text("noise", noise(400)), text("number", fmt.Sprint(i))}}
	}
	body, err := proto.Marshal(&metricsv1.ExportMetricsServiceRequest{ResourceMetrics: []*metricpb.ResourceMetrics{{ScopeMetrics: []*metricpb.ScopeMetrics{{
		Metrics: []*metricpb.Metric{{Name: "disk_points", Data: &metricpb.Metric_Gauge{Gauge: &metricpb.Gauge{DataPoints: points}}}}}}}}})
	if err != nil {
		return err
	}
	host, _, _ := net.SplitHostPort(n.http)
	answer, err := postSignal(ctx, client, "http://"+net.JoinHostPort(host, "4318")+"/v1/metrics", "application/x-protobuf", body)
	if err != nil {
		return err
	}
	var taken metricsv1.ExportMetricsServiceResponse
	if err := proto.Unmarshal(answer, &taken); err != nil {
		return err
	}
	if partial := taken.GetPartialSuccess(); partial.GetRejectedDataPoints() > 0 {
		return fmt.Errorf("%d points rejected: %s", partial.RejectedDataPoints, partial.ErrorMessage)
	}
	return nil
}

func sendEvent(ctx context.Context, client *http.Client, n *node, id string) error {
	fields := map[string]string{}
	for i := range 4 {
		fields[fmt.Sprintf("noise%d", i)] = noise(2000)
	}
	body, err := json.Marshal(map[string]any{"id": id, "service": "bulk", "fields": fields})
	if err != nil {
		return err
	}
	_, err = postSignal(ctx, client, "http://"+n.http+"/events/v1/disk", "application/json", body)
	return err
}

func postSignal(ctx context.Context, client *http.Client, address, contentType string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", contentType)
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return nil, err
	case response.StatusCode == http.StatusOK:
		return answer, nil
	case response.StatusCode != http.StatusServiceUnavailable && response.StatusCode != http.StatusTooManyRequests:
		return nil, fmt.Errorf("%s: %s", response.Status, answer)
	case response.Header.Get("Retry-After") == "":
		return nil, fmt.Errorf("%s without Retry-After: %s", response.Status, answer)
	default:
		return nil, errLater
	}
}

// check asks for everything that was acknowledged.
func (l *signalLoad) check(t *testing.T) {
	t.Helper()
	found := map[string]func(context.Context) (map[string]bool, error){metricSignal: l.n.metricRequests, eventSignal: l.n.eventIDs, spanSignal: l.wholeTraces}
	for _, kind := range allSignals() {
		there, err := found[kind](t.Context())
		if err != nil {
			t.Fatal(err)
		}
		missing := slices.DeleteFunc(slices.Clone(l.acked[kind]), func(id string) bool { return there[id] })
		if len(missing) > 0 {
			t.Errorf("%d of %d acknowledged requests of %s are gone, such as %s", len(missing), len(l.acked[kind]), kind, missing[0])
		}
		t.Logf("%d acknowledged requests of %s, %d refused", len(l.acked[kind]), kind, l.refused[kind])
	}
}

func (l *signalLoad) wholeTraces(ctx context.Context) (map[string]bool, error) {
	there := map[string]bool{}
	for _, id := range l.acked[spanSignal] {
		got, err := l.n.api.traces.GetTrace(ctx, &gantryv1.GetTraceRequest{TraceId: id})
		if err != nil && connect.CodeOf(err) != connect.CodeNotFound {
			return nil, err
		}
		there[id] = len(got.GetSpans()) == 50 && len(got.GetPartial()) == 0
	}
	return there, nil
}

// metricRequests are the values of the label "request".
func (n *node) metricRequests(ctx context.Context) (map[string]bool, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.http+"/prometheus/api/v1/label/request/values?match[]="+url.QueryEscape("disk_points"), nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var answer struct{ Data []string }
	err = json.NewDecoder(response.Body).Decode(&answer)
	there := map[string]bool{}
	for _, id := range answer.Data {
		there[id] = true
	}
	return there, err
}

// eventIDs follows the log of events to its end. No id may stand there twice.
func (n *node) eventIDs(ctx context.Context) (map[string]bool, error) {
	there := map[string]bool{}
	after := "" // the beginning
	for {
		answer, err := n.api.events.Query(ctx, &gantryv1.QueryEventsRequest{Topic: "disk", After: &after, Limit: 200})
		if err != nil {
			return nil, err
		}
		if len(answer.Partial) > 0 {
			return nil, fmt.Errorf("partial: %v", answer.Partial)
		}
		for _, e := range answer.Events {
			if there[e.Id] {
				return nil, fmt.Errorf("event %s is there twice", e.Id)
			}
			there[e.Id] = true
		}
		if len(answer.Events) == 0 {
			return there, nil
		}
		after = answer.Next
	}
}

// checkReads asks for what must be answered from a node whose disk is full.
func checkReads(t *testing.T, n *node) {
	t.Helper()
	if !n.running() {
		t.Fatalf("%s ended on a full disk: %v", n.name, n.outcome)
	}
	if _, err := n.api.releases.Get(t.Context(), &gantryv1.GetRequest{Ref: configRef("kept.txt")}); err != nil {
		t.Errorf("a document on a full disk: %v", err)
	}
	if _, _, err := n.api.lookup(t.Context(), "nobody"); err != nil {
		t.Errorf("a look-up on a full disk: %v", err)
	}
	if found, err := n.api.traces.SearchTraces(t.Context(), &gantryv1.SearchTracesRequest{Service: "bulk", Limit: 5}); err != nil || len(found.Traces) == 0 {
		t.Errorf("a search on a full disk: %d traces, %v", len(found.GetTraces()), err)
	}
	// Signals are refused by the disk as it is, and the status is of the last look, up to a second ago.
	eventually(t, 10*time.Second, func(ctx context.Context) error {
		answer, err := n.api.status(ctx)
		if err == nil && !strings.Contains(answer.GetUnwritable(), "MiB left") {
			err = fmt.Errorf("the status on a full disk: %q", answer.GetUnwritable())
		}
		return err
	})
}

// reserve takes room on the disk that the test gives back later.
func (d *disk) reserve(size int) {
	d.t.Helper()
	if err := os.WriteFile(filepath.Join(d.path, "reserve"), make([]byte, size), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func (d *disk) release() {
	d.t.Helper()
	if err := os.Remove(filepath.Join(d.path, "reserve")); err != nil {
		d.t.Fatal(err)
	}
}

// TestSignalsFillTheDisk sends spans, metrics and events until the disk has no more for them. The node leaves the minimum free, refuses in words that
// senders wait by, bears it when another program takes even that, starts again beside it, and goes on when there is room.
func TestSignalsFillTheDisk(t *testing.T) {
	t.Parallel()
	const minimum = 64 * mebibyte
	d, n := newDiskNode(t)
	d.reserve(56 * mebibyte)
	if _, err := n.api.releases.Publish(t.Context(), &gantryv1.PublishRequest{Ref: configRef("kept.txt"), Format: "text", Content: []byte("kept"), Release: true}); err != nil {
		t.Fatal(err)
	}
	l := startSignals(t, n)
	l.awaitTaken(t, 10)
	l.awaitRefused(t, 20)
	// What was under way when the minimum was reached may be above it, and no more.
	if free := d.free(); free < minimum-16*mebibyte {
		t.Errorf("signals left %d MiB of the %d that are others'", free>>20, minimum>>20)
	}
	checkReads(t, n)
	for _, query := range []string{"gantry_traces_refused_batches_total{reason=\"disk_full\"}", "gantry_series_dropped_samples_total{reason=\"disk_full\"}",
		"gantry_events_refused_total{reason=\"event.disk_full\"}"} {
		if said, err := n.figures(t.Context()); err != nil || !strings.Contains(said, query) {
			t.Errorf("the figures lack %s: %v", query, err)
		}
	}

	// Another program takes all that is left.
	d.fill(0)
	l.awaitRefused(t, 60)
	checkReads(t, n)
	if d.free() > 1*mebibyte {
		d.fill(0)
	}
	l.awaitRefused(t, 20)
	checkReads(t, n)
	d.clear()

	// A restart beside a full disk, with what etcd needs to open its files.
	n.kill()
	n.start()
	eventually(t, 40*time.Second, func(ctx context.Context) error {
		if !n.running() {
			t.Fatalf("it did not start on a full disk: %v\n%s", n.outcome, n.tail(10))
		}
		answer, err := n.api.readiness(ctx)
		if err == nil && (!answer.Ready || !strings.Contains(answer.Unwritable, "MiB left")) {
			err = fmt.Errorf("%+v", answer)
		}
		return err
	})
	l.awaitRefused(t, 20)
	checkReads(t, n)
	if said := n.tail(200); !strings.Contains(said, "the disk is nearly full") {
		t.Errorf("the log does not say why nothing is taken:\n%s", said)
	}

	// Room, without a restart.
	d.release()
	n.awaitReady()
	l.awaitTaken(t, 10)
	l.end()
	l.checkAnswers(t)
	l.check(t)
	n.kill()
	n.start()
	n.awaitReady()
	l.check(t)
}

// figures is what /metrics shows.
func (n *node) figures(ctx context.Context) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.http+"/metrics", nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}
