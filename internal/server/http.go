package server

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/pprof"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/console"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
	"github.com/gantry-platform/gantry/internal/protocol/promsd"
)

func (s *Server) newHTTPServer() *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true) // gRPC clients of the API without TLS
	return &http.Server{Handler: s.handler(), BaseContext: func(net.Listener) context.Context { return edge.WithLeaving(context.Background(), s.leaving) },
		ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: headerBytes,
		Protocols: protocols, ErrorLog: slogLogger(s.log)}
}

// handler is everything on the HTTP port. Health answers from the first moment; the rest is built when the rooms are there.
func (s *Server) handler() http.Handler {
	health := http.NewServeMux()
	health.HandleFunc("GET /healthz", s.healthz)
	health.HandleFunc("GET /readyz", s.readyz)
	rest := sync.OnceValue(func() http.Handler { return edge.Namespaces(s.console.Credentials(s.foreign(s.routes()))) })
	return s.guarded(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/healthz" || r.URL.Path == "/readyz":
			health.ServeHTTP(w, r)
		case !s.ready.Load():
			w.Header().Set("Retry-After", "1")
			http.Error(w, "the server is starting or stopping; /readyz says why", http.StatusServiceUnavailable)
		default:
			rest().ServeHTTP(w, r)
		}
	}))
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	s.api.Register(mux)
	mux.Handle("/metrics", s.authenticated(promhttp.HandlerFor(prometheus.Gatherers{s.metrics, prometheus.DefaultGatherer}, promhttp.HandlerOpts{})))
	mux.Handle(promsd.Path, promsd.Handler(s.instances, s.identify))
	mux.Handle(strings.TrimSuffix(console.Prefix, "/"), s.console.Handler())
	mux.Handle("GET /{$}", s.console.Welcome(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("Gantry " + s.version + "\n\nConsole  /console/\nAPI      /gantry.v1.* (Connect: JSON by POST, or gRPC)\n" +
			"Metrics  /metrics\nHealth   /healthz, /readyz\nTargets  /prometheus/sd\n" +
			"Signals  Prometheus's query API /prometheus/api/v1/, Jaeger's /jaeger/api/, Zipkin's spans /api/v2/spans, events /events/v1/, OTLP on its own ports\n" +
			"Others   Nacos /nacos/, Eureka /eureka/, Consul /v1/, Apollo /configs/, Spring Cloud Config /spring-config/\n         in another namespace than default: /ns/<namespace>/ before these\n\nThe command `gantry status` says more.\n"))
	})))
	return mux
}

// guarded keeps a defect in one request from ending the process, and sets what every answer should carry.
func (s *Server) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if v := recover(); v != nil {
				if v == http.ErrAbortHandler {
					panic(v)
				}
				s.log.Error("a request panicked", "path", r.URL.Path, "panic", v, "stack", string(debug.Stack()))
				http.Error(w, "internal error", http.StatusInternalServerError)
			}
		}()
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

// identify says who sent a plain HTTP request.
func (s *Server) identify(r *http.Request) (*access.Identity, error) {
	ctx, err := edge.Identify(r, s.access, access.Credential{})
	if err != nil {
		return nil, err
	}
	return access.FromContext(ctx), nil
}

// authenticated lets in whoever is somebody.
func (s *Server) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		identity, err := s.identify(r)
		if err != nil || !identity.Active() {
			w.Header().Set("WWW-Authenticate", `Bearer realm="gantry", Basic realm="gantry"`)
			http.Error(w, "a token or a user and password is needed", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// healthz says that the process is alive.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n"))
}

// readyz says whether this node should be sent requests, and why not. A node without quorum answers reads and is ready for them;
// it says that it cannot write.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	answer := struct {
		Ready      bool   `json:"ready"`
		Quorum     bool   `json:"quorum"`
		Unwritable string `json:"unwritable,omitempty"`
		Reason     string `json:"reason,omitempty"`
	}{Ready: s.ready.Load()}
	status := http.StatusOK
	switch {
	case s.stopping.Load():
		answer.Reason, status = "stopping", http.StatusServiceUnavailable
	case !answer.Ready:
		answer.Reason, status = "starting: waiting for the state", http.StatusServiceUnavailable
	default:
		answer.Quorum = s.store.Quorum()
		if err := s.store.Writable(); err != nil {
			answer.Unwritable = err.Error()
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}

// serveDebug serves Go's profiles on an address of its own.
func (s *Server) serveDebug() error {
	if s.settings.DebugListen == "" {
		return nil
	}
	if !isLoopback(s.settings.DebugListen) {
		return fault.New(fault.Invalid, "setting.bad_value", "profiles are served on loopback alone, not on %q", s.settings.DebugListen).At("debug-listen").
			Hinted("use 127.0.0.1 and a port")
	}
	listener, err := listen("debug-listen", s.settings.DebugListen)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout}
	s.http = append(s.http, server)
	s.workers.Go(func() { _ = server.Serve(listener) })
	return nil
}
