package alert_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/signal/alert"
	"github.com/gantry-platform/gantry/internal/signal/alert/notify"
	"github.com/gantry-platform/gantry/internal/state"
	"github.com/gantry-platform/gantry/internal/state/statetest"
)

// store is a real TSDB with its engine.
type store struct {
	t      testing.TB
	db     *tsdb.DB
	engine *promql.Engine
	mu     sync.Mutex
	broken error
	// lacks is a warning beside every answer.
	lacks string
}

func newStore(t testing.TB) *store {
	t.Helper()
	options := tsdb.DefaultOptions()
	options.OutOfOrderTimeWindow = (60 * 24 * time.Hour).Milliseconds()
	options.RetentionDuration = (90 * 24 * time.Hour).Milliseconds()
	db, err := tsdb.Open(t.TempDir(), nil, nil, options, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1_000_000, Timeout: 10 * time.Second, LookbackDelta: 5 * time.Minute})
	t.Cleanup(func() { engine.Close() })
	return &store{t: t, db: db, engine: engine}
}

func (s *store) Instant(ctx context.Context, _, query string, at time.Time) (promql.Vector, []string, error) {
	s.mu.Lock()
	broken, lacks := s.broken, s.lacks
	s.mu.Unlock()
	if broken != nil {
		return nil, nil, broken
	}
	q, err := s.engine.NewInstantQuery(ctx, s.db, nil, query, at)
	if err != nil {
		return nil, nil, err
	}
	defer q.Close()
	vector, err := q.Exec(ctx).Vector()
	if lacks != "" {
		return slices.Clone(vector), []string{lacks}, err
	}
	return slices.Clone(vector), nil, err
}

func (s *store) breaks(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = err
}

func (s *store) warns(lacks string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lacks = lacks
}

func (s *store) put(at time.Time, value float64, pairs ...string) {
	s.t.Helper()
	appender := s.db.Appender(context.Background())
	if _, err := appender.Append(0, labels.FromStrings(pairs...), at.UnixMilli(), value); err != nil {
		s.t.Fatal(err)
	}
	if err := appender.Commit(); err != nil {
		s.t.Fatal(err)
	}
}

// requests puts a native histogram that has counted so many requests of a tenth of a second and of two seconds.
func (s *store) requests(at time.Time, fast, slow uint64, pairs ...string) {
	s.t.Helper()
	appender := s.db.Appender(context.Background())
	h := &histogram.Histogram{Schema: 0, Count: fast + slow, Sum: float64(fast)*0.1 + float64(slow)*2, ZeroThreshold: 1e-9,
		PositiveSpans: []histogram.Span{{Offset: -3, Length: 1}, {Offset: 3, Length: 1}}, PositiveBuckets: []int64{int64(fast), int64(slow) - int64(fast)}}
	if _, err := appender.AppendHistogram(0, labels.FromStrings(append([]string{"__name__", "gantry_request_duration_seconds"}, pairs...)...), at.UnixMilli(), h, nil); err != nil {
		s.t.Fatal(err)
	}
	if err := appender.Commit(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *store) ask(query string, at time.Time) []promql.Sample {
	s.t.Helper()
	vector, _, err := s.Instant(context.Background(), "", query, at)
	if err != nil {
		s.t.Fatal(err)
	}
	return vector
}

// documents are in memory.
type documents struct {
	mu       sync.Mutex
	contents map[alert.Ref]string
	versions map[alert.Ref]int64
	unread   bool
	// retired are those that were taken out of force, and why.
	retired []string
}

func (d *documents) set(kind, name, content string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	ref := alert.Ref{Namespace: "default", Kind: kind, Name: name}
	d.contents[ref] = content
	d.versions[ref]++
}

func (d *documents) remove(kind, name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.contents, alert.Ref{Namespace: "default", Kind: kind, Name: name})
}

func (d *documents) Namespaces() []string { return []string{"default"} }

func (d *documents) Versions(namespace, kind string) map[string]int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := map[string]int64{}
	for ref := range d.contents {
		if ref.Namespace == namespace && ref.Kind == kind {
			out[ref.Name] = d.versions[ref]
		}
	}
	return out
}

func (d *documents) Read(_ context.Context, ref alert.Ref, version int64) (alert.Document, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.unread {
		return alert.Document{}, fmt.Errorf("not now")
	}
	if d.versions[ref] != version {
		return alert.Document{}, fmt.Errorf("version %d is not in force", version)
	}
	return alert.Document{Format: "yaml", Content: []byte(d.contents[ref]), Author: "user:ann"}, nil
}

func (d *documents) Retire(_ context.Context, ref alert.Ref, version int64, unchangedSince time.Time, why string) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.unread {
		return false, fmt.Errorf("not now")
	}
	d.retired = append(d.retired, fmt.Sprintf("%s/%s@%d unchanged since %s: %s", ref.Kind, ref.Name, version, unchangedSince.UTC().Format(time.RFC3339), why))
	delete(d.contents, ref)
	return true, nil
}

// hook is a webhook that keeps what it gets.
type hook struct {
	*httptest.Server
	mu     sync.Mutex
	got    []hooked
	status int
}

type hooked struct {
	Version, GroupKey, Status, Receiver string
	GroupLabels, CommonLabels           map[string]string
	Alerts                              []struct {
		Status, Fingerprint, Value string
		Labels, Annotations        map[string]string
		StartsAt, EndsAt           time.Time
		Changes                    []string
	}
}

func newHook(t testing.TB) *hook {
	h := &hook{status: 200}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		var m hooked
		if err := json.Unmarshal(data, &m); err != nil {
			t.Errorf("webhook: %v: %s", err, data)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.status == 200 {
			h.got = append(h.got, m)
		}
		w.WriteHeader(h.status)
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) answer(status int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status = status
}

// take answers what came since the last time.
func (h *hook) take() []hooked {
	h.mu.Lock()
	defer h.mu.Unlock()
	got := h.got
	h.got = nil
	return got
}

// world is a state with engines on it that tests drive by the clock's hands.
type world struct {
	t         testing.TB
	ctx       context.Context
	state     *state.Store
	series    *store
	documents *documents
	hook      *hook
	changes   []alert.Change
	engines   []*alert.Engine

	mu  sync.Mutex
	now time.Time
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) Changes(_ context.Context, _ string, services []string, since, until time.Time) ([]alert.Change, error) {
	var out []alert.Change
	for _, c := range w.changes {
		if slices.Contains(services, c.Service) && !c.At.Before(since) && c.At.Before(until) {
			out = append(out, c)
		}
	}
	return out, nil
}

// newWorld has so many engines, which see the same state and are, to it, one node each believing that all work is its own.
func newWorld(t testing.TB, engines int) *world {
	t.Helper()
	w := &world{t: t, state: statetest.New(t), series: newStore(t), hook: newHook(t), now: time.Date(2026, 11, 26, 10, 0, 0, 0, time.UTC),
		documents: &documents{contents: map[alert.Ref]string{}, versions: map[alert.Ref]int64{}}}
	ctx, cancel := context.WithTimeout(access.NewContext(context.Background(), access.System("test")), time.Minute)
	t.Cleanup(cancel)
	w.ctx = ctx
	for range engines {
		w.engines = append(w.engines, w.engine(w.state))
	}
	statetest.Start(t, w.state)
	for _, e := range w.engines {
		e.StartDelivery()
	}
	return w
}

func (w *world) engine(s *state.Store) *alert.Engine {
	w.t.Helper()
	e, err := alert.New(alert.Options{Store: s, Documents: w.documents, Series: w.series, Appendable: w.series.db, Changes: w, ExternalURL: "http://gantry.example",
		Sender: notify.NewSender([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, nil), Logger: statetest.Logger(w.t), Now: w.clock})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(e.Close)
	return e
}

// pass moves the clock on.
func (w *world) pass(d time.Duration) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
	return w.now
}

// turn is one round of one engine: documents, evaluation, telling.
func (w *world) turn(engine int) {
	w.t.Helper()
	e, now := w.engines[engine], w.clock()
	e.Reconcile(w.ctx)
	e.Evaluate(w.ctx, now)
	e.Tell(w.ctx, now)
	if w.ctx.Err() != nil {
		w.t.Fatal("the test took too long")
	}
}

// states are the alerts of the namespace by the label service, as an engine shows them.
func (w *world) states(engine int) map[string]alert.State {
	w.t.Helper()
	o, err := w.engines[engine].List(w.ctx, "default")
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]alert.State{}
	for _, r := range o.Rules {
		for _, a := range r.Alerts {
			out[a.Labels["service"]] = a.State
		}
	}
	return out
}

func (w *world) expect(engine int, want map[string]alert.State) {
	w.t.Helper()
	if got := w.states(engine); !maps.Equal(got, want) {
		w.t.Fatalf("at %s: %v, want %v", w.clock().Format("15:04:05"), got, want)
	}
}

func (w *world) route(text string) {
	w.documents.set("Receiver", "ops", "webhook: {url: '"+w.hook.URL+"'}\n")
	w.documents.set("NotificationRoute", "all", "receivers: [ops]\n"+text)
}

func (w *world) history() []alert.Transition {
	w.t.Helper()
	entries, _, err := w.engines[0].History(w.ctx, alert.HistoryQuery{Namespace: "default"})
	if err != nil {
		w.t.Fatal(err)
	}
	return entries
}
