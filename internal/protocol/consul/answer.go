package consul

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/gantry-platform/gantry/internal/fault"
)

// stamp sets the headers that clients read beside an answer. revision 0 sets no index.
func (c *call) stamp(revision int64) {
	header := c.w.Header()
	if revision > 0 {
		header.Set("X-Consul-Index", strconv.FormatUint(index(revision), 10))
	}
	header.Set("X-Consul-KnownLeader", strconv.FormatBool(!c.handler.Instances.Stale()))
	header.Set("X-Consul-LastContact", "0")
	policy := "deny"
	if c.handler.Access.Disabled() {
		policy = "allow"
	}
	header.Set("X-Consul-Default-ACL-Policy", policy)
	switch {
	case c.consistent:
		header.Set("X-Consul-Effective-Consistency", "consistent")
	case c.stale:
		header.Set("X-Consul-Effective-Consistency", "stale")
	default:
		header.Set("X-Consul-Effective-Consistency", "leader")
	}
	header.Set("X-Consul-Query-Backend", "blocking-query")
	if c.cached { // every node answers from its mirror, which is never older than the last change it has seen
		header.Set("X-Cache", "HIT")
		header.Set("Age", "0")
	}
}

// json answers with a value.
func (c *call) json(value any) error { return c.jsonStatus(http.StatusOK, value) }

func (c *call) jsonStatus(status int, value any) error {
	encoded, err := encode(value)
	if err != nil {
		return err
	}
	return c.encoded(status, encoded)
}

// encode is JSON as Consul writes it: nothing is escaped for HTML.
func encode(value any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// encoded answers with JSON that is there already.
func (c *call) encoded(status int, value []byte) error {
	if c.pretty {
		var b bytes.Buffer
		if err := json.Indent(&b, value, "", "    "); err == nil {
			b.WriteByte('\n')
			value = b.Bytes()
		}
	}
	c.w.Header().Set("Content-Type", "application/json")
	return c.write(status, value)
}

// text answers with a line for people.
func (c *call) text(status int, text string) error {
	c.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	return c.write(status, []byte(text))
}

func (c *call) write(status int, body []byte) error {
	c.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(status)
	_, _ = c.w.Write(body) // a client that is gone needs no answer
	return nil
}

// refuse answers an error as Consul does: a status and a text. Clients know some of the texts: "ACL not found" and "Permission denied".
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	header := w.Header()
	header.Set("Content-Type", "text/plain; charset=utf-8")
	var method *methodError
	if errors.As(err, &method) {
		header.Set("Allow", strings.Join(method.allowed, ","))
		w.WriteHeader(http.StatusMethodNotAllowed)
		_, _ = w.Write([]byte(err.Error()))
		return
	}
	f := fault.From(err)
	status, text := statusOf(f.Code), f.Error()
	switch {
	case f.Reason == notServed:
		status = http.StatusNotImplemented
	case f.Code == fault.Internal:
		h.Logger.Error("a request failed", "path", r.URL.Path, "error", err)
	case f.Reason == "access.unauthenticated":
		text = "Permission denied: " + text
	case f.Code == fault.Unauthenticated:
		text = "ACL not found" // all of it: clients compare
	case f.Code == fault.Forbidden:
		text = "Permission denied: " + text
	case f.Code == fault.Unavailable && h.Instances.Stale():
		text = "No cluster leader: " + text
	}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text))
}

// statusOf is Consul's status for a class of errors. What can be tried again is 500, which its clients look for.
func statusOf(code fault.Code) int {
	switch code {
	case fault.Invalid:
		return http.StatusBadRequest
	case fault.NotFound:
		return http.StatusNotFound
	case fault.AlreadyExists, fault.Conflict, fault.Precondition:
		return http.StatusConflict
	case fault.Unauthenticated, fault.Forbidden:
		return http.StatusForbidden
	case fault.TooLarge:
		return http.StatusRequestEntityTooLarge
	case fault.Exhausted:
		return http.StatusTooManyRequests
	default:
		return http.StatusInternalServerError
	}
}
