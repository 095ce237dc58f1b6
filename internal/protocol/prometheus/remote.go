package prometheus

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/storage/remote"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
)

// Bounds of one remote read: Prometheus's own defaults.
const (
	readSamples = 50_000_000
	readFrame   = 1 << 20
)

// remoteRead answers /read: the samples of selectors, as chunks in a stream when the reader can take them.
func (h *Handler) remoteRead(w http.ResponseWriter, r *http.Request) {
	ctx, view, err := h.view(r)
	if err != nil {
		h.fail(w, r, err, 0)
		return
	}
	if !h.begin(w, r) {
		return
	}
	defer h.end()
	r = r.WithContext(ctx)
	r.Body = http.MaxBytesReader(w, r.Body, maxWrite)
	// The handler is made for each request, because it reads through the caller's view; it holds nothing but its figures, which are nobody's.
	remote.NewReadHandler(h.options.Logger, prometheus.NewRegistry(), view, func() config.Config { return config.Config{} }, readSamples, 1, readFrame).ServeHTTP(w, r)
}

// remoteWrite takes /write, of both versions of the protocol.
func (h *Handler) remoteWrite(w http.ResponseWriter, r *http.Request) {
	ctx, err := edge.Identify(r, h.options.Access, access.Credential{})
	namespace := ""
	if err == nil {
		namespace = edge.Namespace(ctx)
		err = access.Require(ctx, access.Serve, namespace)
	}
	if err == nil && h.options.HasNamespace != nil && !h.options.HasNamespace(namespace) {
		err = fault.New(fault.NotFound, "namespace.unknown", "no namespace %q", namespace).At("namespace").Hinted("make it: gantry namespace create %s", namespace)
	}
	if err == nil {
		err = h.options.Series.Writable()
	}
	if err != nil {
		h.fail(w, r, err, 0)
		return
	}
	if !h.begin(w, r) {
		return
	}
	defer h.end()
	r = r.WithContext(ctx)
	r.Body = http.MaxBytesReader(w, r.Body, maxWrite)
	inlet := h.options.Series.Into(namespace)
	// Of version 1 the handler throws a request away for one bad sample. Here the good ones are kept, and the sender is told of the bad ones by the
	// status for which it does not send them again.
	if !strings.Contains(r.Header.Get("Content-Type"), string(remoteapi.WriteV2MessageType)) {
		judged := &verdict{ResponseWriter: w}
		inlet = inlet.Passing(func(err error) {
			if judged.refused++; judged.first == nil {
				judged.first = err
			}
		})
		w = judged
	}
	// The store counts and names what is refused; a line in the log for each sample would be a weapon.
	remote.NewWriteHandler(slog.New(slog.DiscardHandler), prometheus.NewRegistry(), inlet,
		remoteapi.MessageTypes{remoteapi.WriteV1MessageType, remoteapi.WriteV2MessageType}, false, true).ServeHTTP(w, r)
}

// verdict turns the success of a request of which samples were refused into 400.
type verdict struct {
	http.ResponseWriter
	refused int
	first   error
}

// WriteHeader implements http.ResponseWriter.
func (v *verdict) WriteHeader(status int) {
	if v.refused == 0 || status >= http.StatusBadRequest {
		v.ResponseWriter.WriteHeader(status)
		return
	}
	http.Error(v.ResponseWriter, fmt.Sprintf("%d samples were refused and the others are kept; the first: %v", v.refused, v.first), http.StatusBadRequest)
}

// begin takes one of the places for large requests, or says that there is none.
func (h *Handler) begin(w http.ResponseWriter, r *http.Request) bool {
	select {
	case h.transfers <- struct{}{}:
		return true
	default:
		h.fail(w, r, tooBusy(), 0)
		return false
	}
}

func (h *Handler) end() { <-h.transfers }
