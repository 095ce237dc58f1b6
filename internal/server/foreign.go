package server

import (
	"net/http"
	"strings"
)

// mount is a foreign language on the HTTP port: all paths that begin with one of its prefixes. They do not go through
// http.ServeMux, which would redirect paths like /v1/kv/a//b that these languages mean as they stand.
type mount struct {
	prefixes []string
	handler  http.Handler
}

// mounts are the languages of other registries and configuration centres.
func (s *Server) mounts() []mount {
	return nil
}

// foreign serves the foreign languages, and next everything else.
func (s *Server) foreign(next http.Handler) http.Handler {
	mounts := s.mounts()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i := range mounts {
			for _, prefix := range mounts[i].prefixes {
				if strings.HasPrefix(r.URL.Path, prefix) {
					mounts[i].handler.ServeHTTP(w, r)
					return
				}
			}
		}
		next.ServeHTTP(w, r)
	})
}
