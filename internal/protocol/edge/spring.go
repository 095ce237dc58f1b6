package edge

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
)

// springError is how servers on Spring Boot answer errors.
type springError struct {
	Timestamp string `json:"timestamp"`
	Status    int    `json:"status"`
	Error     string `json:"error"`
	Message   string `json:"message"`
	Path      string `json:"path"`
}

// SpringError answers an error as servers on Spring Boot do, for the languages that are spoken to such servers: Apollo and
// Spring Cloud Config. Causes stay inside.
func SpringError(w http.ResponseWriter, r *http.Request, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	switch status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="gantry", Basic realm="gantry"`)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	_ = json.NewEncoder(w).Encode(springError{ // fails when the reader is gone
		Timestamp: time.Now().UTC().Format("2006-01-02T15:04:05.000Z07:00"), Status: status, Error: http.StatusText(status),
		Message: fault.From(err).Error(), Path: Prefix(r.Context()) + r.URL.Path,
	})
}
