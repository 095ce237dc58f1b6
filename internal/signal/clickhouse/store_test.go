package clickhouse_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/clickhouse"
)

// fake answers as ClickHouse does, as far as it is told to.
type fake struct {
	*httptest.Server

	mu      sync.Mutex
	inserts []inserted
	selects []url.Values
	headers http.Header
	// insert and answer are asked about inserts and questions; nil is a success.
	insert func(n int) (status, code int)
	answer func(w http.ResponseWriter, r *http.Request, sql string) bool
}

type inserted struct {
	token string
	bytes int
}

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func refuse(w http.ResponseWriter, status, code int) {
	if code != 0 {
		w.Header().Set("X-ClickHouse-Exception-Code", strconv.Itoa(code))
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, "Code: secret words of the engine")
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	values := r.URL.Query()
	sql := values.Get("query")
	f.mu.Lock()
	f.headers = r.Header.Clone()
	answer := f.answer
	f.mu.Unlock()
	if strings.HasPrefix(sql, "INSERT INTO gantry_spans") {
		f.takeInsert(w, values, body)
		return
	}
	f.mu.Lock()
	f.selects = append(f.selects, values)
	f.mu.Unlock()
	text := string(body)
	if answer != nil && answer(w, r, text) {
		return
	}
	switch {
	case strings.Contains(text, "max(version)"):
		_, _ = io.WriteString(w, "1\n")
	case strings.Contains(text, "create_table_query"):
		_, _ = io.WriteString(w, "TTL x + toIntervalSecond(604800) toIntervalSecond(691200)\n")
	}
}

func (f *fake) takeInsert(w http.ResponseWriter, values url.Values, body []byte) {
	reader, err := zstd.NewReader(bytes.NewReader(body))
	if err != nil {
		refuse(w, 500, 1)
		return
	}
	defer reader.Close()
	rows, err := io.ReadAll(reader)
	if err != nil {
		refuse(w, 500, 1)
		return
	}
	f.mu.Lock()
	f.inserts = append(f.inserts, inserted{values.Get("insert_deduplication_token"), len(rows)})
	n, insert := len(f.inserts), f.insert
	f.mu.Unlock()
	if insert != nil {
		if status, code := insert(n); status != 0 {
			refuse(w, status, code)
		}
	}
}

func (f *fake) taken() []inserted {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.inserts
}

func (f *fake) open(t *testing.T, options clickhouse.Options) *clickhouse.Store {
	t.Helper()
	options.URL = f.URL + "/traces"
	options.Pause = time.Millisecond
	return open(t, options)
}

func some(now time.Time) *signal.Batch { return batch("default", now, newFleet(1, now).trace()...) }

// What may pass is tried again with the same token; what may not is not. Senders are told to send again in either case, and not what ClickHouse says.
func TestInsertsThatFail(t *testing.T) {
	for name, c := range map[string]struct {
		insert func(n int) (int, int)
		tries  int
		code   fault.Code
		reason string
	}{
		"once":         {func(n int) (int, int) { return []int{0, 500, 0}[n], 999 }, 2, 0, ""},
		"memory":       {func(int) (int, int) { return 500, 241 }, 3, fault.Exhausted, "traces.clickhouse_busy"},
		"parts":        {func(int) (int, int) { return 500, 252 }, 3, fault.Exhausted, "traces.clickhouse_busy"},
		"a proxy":      {func(int) (int, int) { return 502, 0 }, 3, fault.Unavailable, "traces.clickhouse"},
		"another":      {func(int) (int, int) { return 404, 0 }, 1, fault.Unavailable, "traces.clickhouse"},
		"login":        {func(int) (int, int) { return 403, 516 }, 1, fault.Unavailable, "traces.clickhouse_login"},
		"rights":       {func(int) (int, int) { return 403, 497 }, 1, fault.Unavailable, "traces.clickhouse_rights"},
		"no database":  {func(int) (int, int) { return 404, 81 }, 1, fault.Unavailable, "traces.clickhouse_database"},
		"no table":     {func(n int) (int, int) { return []int{0, 404, 0}[n], 60 }, 2, 0, ""},
		"a long query": {func(int) (int, int) { return 500, 159 }, 3, fault.Unavailable, "traces.clickhouse"},
		"a redirect":   {func(int) (int, int) { return 307, 0 }, 1, fault.Unavailable, "traces.clickhouse"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.insert = c.insert
			s := f.open(t, clickhouse.Options{})
			err := s.Write(t.Context(), some(moment()))
			taken := f.taken()
			if len(taken) != c.tries {
				t.Errorf("%d tries, not %d", len(taken), c.tries)
			}
			for _, i := range taken {
				if i.token == "" || i != taken[0] {
					t.Errorf("a repeated insert is not the same: %+v", taken)
				}
			}
			if c.reason == "" {
				if err != nil {
					t.Errorf("%v", err)
				}
			} else if got, ok := fault.As(err); !ok || got.Code != c.code || got.Reason != c.reason || got.Hint == "" || strings.Contains(got.Error(), "secret") {
				t.Errorf("%v", err)
			}
			if s.Pressure() != 0 {
				t.Errorf("the pressure is %f", s.Pressure())
			}
		})
	}
}

func TestTokensOfInsertsDiffer(t *testing.T) {
	f := newFake(t)
	s := f.open(t, clickhouse.Options{})
	b := some(moment())
	write(t, s, b)
	write(t, s, b)
	if taken := f.taken(); len(taken) != 2 || taken[0].token == taken[1].token {
		t.Errorf("%+v", taken)
	}
}

// Rows that wait are bounded; when ClickHouse goes on, all that was taken is written.
func TestMemoryIsBounded(t *testing.T) {
	f := newFake(t)
	hold := make(chan struct{})
	f.insert = func(int) (int, int) { <-hold; return 0, 0 }
	s := f.open(t, clickhouse.Options{Memory: 100 << 10, Inserts: 2, Rows: 20})
	now := moment()
	answers := make(chan error)
	fleet := newFleet(8, now)
	const writes = 200
	for range writes {
		b := batch("default", now, fleet.trace()...)
		go func() { answers <- s.Write(context.Background(), b) }()
	}
	refused := 0
	// Those over the bound are answered while the others are held.
	for s.Pressure() < 0.5 {
		if err := <-answers; !fault.Is(err, fault.Exhausted) {
			t.Fatalf("%v", err)
		}
		refused++
	}
	if p := s.Pressure(); p > 1 {
		t.Errorf("the pressure is %f", p)
	}
	if err := <-answers; !fault.Is(err, fault.Exhausted) {
		t.Errorf("over the bound: %v", err)
	}
	refused++
	close(hold)
	for range writes - refused {
		if err := <-answers; err != nil && !fault.Is(err, fault.Exhausted) {
			t.Error(err)
		}
	}
	if s.Pressure() != 0 {
		t.Errorf("at rest the pressure is %f", s.Pressure())
	}
}

// A writer that goes away does not take the others' rows along.
func TestWriterGivesUp(t *testing.T) {
	f := newFake(t)
	hold := make(chan struct{})
	f.insert = func(int) (int, int) { <-hold; return 0, 0 }
	s := f.open(t, clickhouse.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	answers := make(chan error, 2)
	b := some(moment())
	go func() { answers <- s.Write(ctx, b) }()
	for len(f.taken()) == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-answers; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	close(hold)
	write(t, s, b)
}

func TestCloseSendsWhatWaits(t *testing.T) {
	f := newFake(t)
	s := f.open(t, clickhouse.Options{Linger: time.Hour})
	answers := make(chan error)
	b := some(moment())
	go func() { answers <- s.Write(context.Background(), b) }()
	for s.Pressure() == 0 {
		time.Sleep(time.Millisecond)
	}
	go func() { _ = s.Close() }()
	if err := <-answers; err != nil || len(f.taken()) != 1 {
		t.Errorf("%v, %d inserts", err, len(f.taken()))
	}
	if err := s.Write(t.Context(), b); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a closed store: %v", err)
	}
}

// ClickHouse comes up after the server.
func TestClickHouseComesLater(t *testing.T) {
	f := newFake(t)
	var mu sync.Mutex
	away := true
	f.answer = func(w http.ResponseWriter, _ *http.Request, _ string) bool {
		mu.Lock()
		defer mu.Unlock()
		if away {
			refuse(w, 503, 0)
		}
		return away
	}
	var log lines
	s := f.open(t, clickhouse.Options{Wait: 10 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(&log, nil)), User: "gantry", Password: "hunter2"})
	now := moment()
	refused := func(err error) {
		t.Helper()
		if got, ok := fault.As(err); !ok || got.Code != fault.Unavailable || got.Hint == "" {
			t.Errorf("%v", err)
		}
	}
	refused(s.Write(t.Context(), some(now)))
	_, err := s.Search(t.Context(), signal.TraceQuery{Namespace: "default"})
	refused(err)
	_, err = s.Services(t.Context(), "default", signal.Range{})
	refused(err)
	mu.Lock()
	away = false
	mu.Unlock()
	for s.Write(t.Context(), some(now)) != nil {
	}
	if text := log.String(); !strings.Contains(text, "secret words of the engine") || strings.Contains(text, "hunter2") {
		t.Errorf("the log says %s", text)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.headers.Get("X-ClickHouse-User") != "gantry" || f.headers.Get("X-ClickHouse-Key") != "hunter2" {
		t.Errorf("the login is %v", f.headers)
	}
}

type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Answers that are errors, too slow, too large or torn.
func TestQuestionsThatFail(t *testing.T) {
	status := func(status, code int) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { refuse(w, status, code) }
	}
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter)
		code   fault.Code
	}{
		"timeout": {status(500, 159), fault.DeadlineExceeded},
		"memory":  {status(500, 241), fault.Exhausted},
		"limit":   {status(500, 396), fault.TooLarge},
		"login":   {status(403, 516), fault.Unavailable},
		"other":   {status(500, 47), fault.Unavailable},
		"torn":    {func(w http.ResponseWriter) { _, _ = w.Write([]byte{200, 1}) }, fault.Unavailable},
		"broken":  {func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, fault.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			s := f.open(t, clickhouse.Options{})
			write(t, s, some(moment())) // the tables are there
			f.mu.Lock()
			f.answer = func(w http.ResponseWriter, _ *http.Request, _ string) bool { c.answer(w); return true }
			f.mu.Unlock()
			_, traceErr := s.Trace(t.Context(), "default", signal.TraceID{1}, signal.Range{})
			_, namesErr := s.Endpoints(t.Context(), "default", "x", signal.KindServer, signal.Range{})
			found, searchErr := s.Search(t.Context(), signal.TraceQuery{Namespace: "default"})
			if name == "timeout" {
				if searchErr != nil || !found.Truncated {
					t.Errorf("a search out of time: %+v, %v", found, searchErr)
				}
				searchErr = traceErr
			}
			for what, err := range map[string]error{"trace": traceErr, "names": namesErr, "search": searchErr} {
				if got, ok := fault.As(err); !ok || got.Code != c.code || got.Hint == "" || strings.Contains(got.Error(), "secret") {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}

// Nothing that a user says is in the text of SQL.
func TestValuesAreParameters(t *testing.T) {
	f := newFake(t)
	s := f.open(t, clickhouse.Options{})
	const evil = "evil' OR 1 --\t\\\x00"
	var mu sync.Mutex
	var asked []string
	f.mu.Lock()
	f.answer = func(_ http.ResponseWriter, _ *http.Request, sql string) bool {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, sql)
		return false
	}
	f.mu.Unlock()
	write(t, s, some(moment()))
	q := signal.TraceQuery{Namespace: evil, Service: evil, Endpoint: evil, Instance: evil, Version: evil, Lane: evil, Release: evil, Attributes: []signal.Match{{Key: evil, Text: evil}}}
	if _, err := s.Search(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Services(t.Context(), evil, signal.Range{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Endpoints(t.Context(), evil, evil, signal.KindServer, signal.Range{}); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if text := strings.Join(asked, "\n"); strings.Contains(text, "evil") || len(asked) < 3 {
		t.Errorf("asked was %s", text)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	last := f.selects[len(f.selects)-1]
	if last.Get("param_p0") != `evil\' OR 1 --\t\\\0` || last.Get("database") != "traces" {
		t.Errorf("the parameters are %v", last)
	}
	q.Attributes[0].Text = strings.Repeat("x", 1<<20)
	if _, err := s.Search(t.Context(), q); !fault.Is(err, fault.TooLarge) {
		t.Errorf("a huge text: %v", err)
	}
}

func TestURL(t *testing.T) {
	for text, want := range map[string]string{"http://h:8123/traces": "http://h:8123/ traces", "https://h": "https://h/ default", "https://h/": "https://h/ default", "http://[::1]:8123/x": "http://[::1]:8123/ x"} {
		address, database, err := clickhouse.CheckURL(text)
		if err != nil || address.String()+" "+database != want {
			t.Errorf("%s: %v %s, %v", text, address, database, err)
		}
	}
	for _, text := range []string{"", "h:8123", "tcp://h:9000/x", "http://u:hunter2@h/x", "http://u@h/x", "http://h/x/y", "http://h/x?password=hunter2", "http://h/x#y", "http://", "http://u:hunter2@h:port/", "http:x"} {
		_, _, err := clickhouse.CheckURL(text)
		if f, ok := fault.As(err); !ok || f.Field != "clickhouse-url" || f.Hint == "" || strings.Contains(f.Error(), "hunter2") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
