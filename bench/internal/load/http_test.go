package load_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/bench/internal/load"
)

// TestConn asks Go's own server, one request after another on one connection.
func TestConn(t *testing.T) {
	long := strings.Repeat("long answer ", 10_000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.URL.Path != "/gantry.v1.EchoService/Echo" ||
			r.Header.Get("Content-Type") != "application/proto" || r.Header.Get("Authorization") != "Bearer secret" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		switch string(body) {
		case "chunked":
			w.Write([]byte("first,"))
			w.(http.Flusher).Flush()
			w.Write([]byte(long))
		case "missing":
			w.WriteHeader(http.StatusNotFound)
		default:
			w.Write(body)
		}
	}))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	conn, err := load.Dial(host, time.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, c := range []struct {
		body   string
		status int
		want   string
	}{
		{"short", 200, "short"},
		{"", 200, ""},
		{"chunked", 200, "first," + long},
		{"missing", 404, ""},
		{long, 200, long},
		{"short again", 200, "short again"},
	} {
		status, body, err := conn.Do(load.AppendRequest(nil, host, "EchoService/Echo", "application/proto", "secret", []byte(c.body)))
		if err != nil || status != c.status || !bytes.Equal(body, []byte(c.want)) {
			t.Fatalf("request of %d bytes: status %d, %d bytes, error %v; want %d and %d bytes", len(c.body), status, len(body), err, c.status, len(c.want))
		}
	}
	if status, _, err := conn.Do(load.AppendRequest(nil, host, "EchoService/Echo", "application/proto", "", []byte("x"))); err != nil || status != 400 {
		t.Errorf("without a token: status %d, error %v, want 400", status, err)
	}
}
