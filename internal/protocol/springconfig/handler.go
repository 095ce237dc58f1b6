package springconfig

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
	"github.com/gantry-platform/gantry/internal/release"
)

// Prefix is the path that everything here begins with.
const Prefix = "/spring-config/"

// tokenHeader is where clients put the setting spring.cloud.config.token.
const tokenHeader = "X-Config-Token"

// Handler serves [Prefix]. It is safe for concurrent use.
type Handler struct {
	releases *release.Releaser
	access   edge.Authenticator
	log      *slog.Logger
}

// New makes a handler. A nil logger is silent.
func New(releases *release.Releaser, authenticator edge.Authenticator, logger *slog.Logger) *Handler {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Handler{releases: releases, access: authenticator, log: logger}
}

// ServeHTTP answers what is asked below [Prefix].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		edge.SpringError(w, r, http.StatusMethodNotAllowed, fault.New(fault.Invalid, "springconfig.method", "%.16s is not supported here", r.Method).
			Hinted("clients read by GET; documents are published by `gantry apply` or the native API"))
		return
	}
	if err := h.serve(w, r); err != nil && r.Context().Err() == nil {
		status := edge.Status(err)
		if status == http.StatusInternalServerError {
			h.log.Error("a request of a Spring Cloud Config client failed", "path", r.URL.Path, "error", err)
		}
		edge.SpringError(w, r, status, err)
	}
}

func (h *Handler) serve(w http.ResponseWriter, r *http.Request) error {
	parts, err := segments(r)
	if err != nil {
		return err
	}
	ctx, err := edge.Identify(r, h.access, access.Credential{Token: r.Header.Get(tokenHeader)})
	if err != nil {
		return err
	}
	if err := access.Require(ctx, access.View|access.Serve, edge.Namespace(ctx)); err != nil {
		return err
	}
	return h.route(ctx, w, r, parts)
}

// file matches the last part of a path that asks for the whole configuration as one file. The name may hold hyphens, a profile not.
var file = regexp.MustCompile(`^(.+)-([^-]+)\.(ya?ml|properties|json)$`)

func (h *Handler) route(ctx context.Context, w http.ResponseWriter, r *http.Request, parts []string) error {
	asFile := file.FindStringSubmatch(parts[len(parts)-1])
	switch {
	case len(parts) == 1 && asFile != nil:
		return h.file(ctx, w, r, asFile[1], asFile[2], "", asFile[3])
	case len(parts) == 2 && asFile != nil:
		return h.file(ctx, w, r, asFile[1], asFile[2], parts[0], asFile[3])
	case len(parts) == 2:
		return h.environment(ctx, w, r, parts[0], parts[1], "")
	case len(parts) == 3 && r.URL.Query().Has("useDefaultLabel"):
		return h.resource(ctx, w, r, parts[0], parts[1], "", parts[2])
	case len(parts) == 3:
		return h.environment(ctx, w, r, parts[0], parts[1], parts[2])
	case len(parts) > 3:
		return h.resource(ctx, w, r, parts[0], parts[1], parts[2], strings.Join(parts[3:], "/"))
	}
	return fault.New(fault.NotFound, "springconfig.no_such_path", "there is nothing at this path").
		Hinted("the paths are %[1]s{application}/{profile}[/{label}], %[1]s[{label}/]{application}-{profile}.yml (.yaml, .properties, .json) and %[1]s{application}/{profile}/{label}/{path}", Prefix)
}

// maxParts bounds the parts of a path: three and a document's own.
const maxParts = 32

// segments returns the parts of the path below the prefix, as they are meant. None is empty, "." or "..", or holds a "/": a name is made
// of several parts by writing "(_)" for the "/", as Spring has it.
func segments(r *http.Request) ([]string, error) {
	parts := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), Prefix), "/")
	if len(parts) > maxParts {
		return nil, fault.New(fault.TooLarge, "springconfig.path_too_long", "the path has %d parts", len(parts)).Hinted("at most %d", maxParts)
	}
	for i, escaped := range parts {
		part, err := url.PathUnescape(escaped)
		if err != nil || part == "" || part == "." || part == ".." || strings.ContainsAny(part, "/\\\x00") {
			return nil, fault.New(fault.Invalid, "springconfig.invalid_path", "%.64q is no part of a path", escaped).
				Hinted(`write "(_)" for a "/" inside of a name or a label`)
		}
		parts[i] = part
	}
	return parts, nil
}

// subject is who asks, as cohorts see it: the address that the request came from, which stands for the instance, too.
func subject(r *http.Request) release.Subject {
	address, err := netip.ParseAddr(edge.Source(r))
	if err != nil {
		return release.Subject{}
	}
	address = address.Unmap().WithZone("")
	return release.Subject{Address: address, InstanceID: address.String()}
}

func write(w http.ResponseWriter, contentType string, body []byte) error {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(body) // fails when the reader is gone
	return nil
}
