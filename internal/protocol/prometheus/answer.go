package prometheus

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/util/stats"

	"github.com/gantry-platform/gantry/internal/fault"
)

// result is the value of a query, which may be large: it is written piece by piece.
type result struct {
	kind   string
	vector promql.Vector
	matrix promql.Matrix
	// other is a scalar or a string.
	other any
	stats *stats.QueryStats
	close func()
}

// answer writes the envelope of a success.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, q *question, data any) {
	w.Header().Set("Content-Type", "application/json")
	large, isResult := data.(*result)
	if isResult {
		defer large.close()
	}
	to := bufio.NewWriterSize(w, 64<<10)
	_, _ = to.WriteString(`{"status":"success","data":`)
	var err error
	if isResult {
		err = large.write(to)
	} else {
		err = write(to, data)
	}
	for name, lines := range map[string][]string{"warnings": q.warnings, "infos": q.infos} {
		if len(lines) > 0 && err == nil {
			_, _ = to.WriteString(`,"` + name + `":`)
			err = write(to, lines)
		}
	}
	_, _ = to.WriteString("}")
	if err != nil {
		// The beginning has gone out: the client must see that the answer is not whole.
		h.options.Logger.Warn("an answer could not be written", "path", r.URL.Path, "error", err)
		panic(http.ErrAbortHandler)
	}
	_ = to.Flush() // the client may be gone
}

func write(to *bufio.Writer, value any) error {
	encoded, err := json.Marshal(value)
	if err == nil {
		_, _ = to.Write(encoded)
	}
	return err
}

func (r *result) write(to *bufio.Writer) error {
	_, _ = to.WriteString(`{"resultType":"` + r.kind + `","result":`)
	var err error
	switch {
	case r.other != nil:
		err = write(to, r.other)
	case r.kind == "vector":
		err = writeList(to, r.vector)
	default:
		err = writeList(to, r.matrix)
	}
	if err == nil && r.stats != nil {
		_, _ = to.WriteString(`,"stats":`)
		err = write(to, *r.stats)
	}
	_, _ = to.WriteString("}")
	return err
}

func writeList[T any](to *bufio.Writer, list []T) error {
	_ = to.WriteByte('[')
	for i := range list {
		if i > 0 {
			_ = to.WriteByte(',')
		}
		if err := write(to, list[i]); err != nil {
			return err
		}
	}
	return to.WriteByte(']')
}

// fail writes an error in Prometheus's shape: its types and statuses are what clients know. A status of 0 means the one that belongs to the error.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error, status int) {
	f := fault.From(err)
	if f.Code == fault.Internal {
		h.options.Logger.Error("a request failed", "path", r.URL.Path, "error", err)
	}
	kind, usual := shapeOf(f)
	if status == 0 {
		status = usual
	}
	header := w.Header()
	switch f.Code {
	case fault.Unauthenticated:
		header.Set("WWW-Authenticate", `Bearer realm="gantry", Basic realm="gantry"`)
	case fault.Exhausted, fault.Unavailable:
		header.Set("Retry-After", strconv.Itoa(retryAfter))
	}
	header.Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"status": "error", "errorType": kind, "error": f.Error()})
}

// retryAfter is in seconds: a queue of queries moves on within it.
const retryAfter = 5

// statusCanceled is what nginx, and after it Prometheus, calls a request that its client gave up.
const statusCanceled = 499

// shapeOf is Prometheus's word and status for an error.
func shapeOf(f *fault.Error) (string, int) {
	switch f.Code {
	case fault.Invalid:
		if f.Reason == "query.failed" {
			return "execution", http.StatusUnprocessableEntity
		}
		return "bad_data", http.StatusBadRequest
	case fault.TooLarge:
		return "execution", http.StatusUnprocessableEntity
	case fault.NotFound:
		return "not_found", http.StatusNotFound
	case fault.Unauthenticated:
		return "unauthenticated", http.StatusUnauthorized
	case fault.Forbidden:
		return "forbidden", http.StatusForbidden
	case fault.Exhausted:
		return "too_many_requests", http.StatusTooManyRequests
	case fault.Unavailable:
		return "unavailable", http.StatusServiceUnavailable
	case fault.DeadlineExceeded:
		if f.Reason == "request.canceled" {
			return "canceled", statusCanceled
		}
		return "timeout", http.StatusServiceUnavailable
	default:
		return "internal", http.StatusInternalServerError
	}
}
