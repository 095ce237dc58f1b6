package consul

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gantry-platform/gantry/internal/fault"
)

// operation answers one call, or returns an error before it has written anything.
type operation func(*call) error

// route is one operation of the API.
type route struct {
	method string
	// path follows "/v1/". One that ends with "/" takes whatever comes after it.
	path      string
	operation operation
}

// routes find operations. They are filled once, before the first request.
type routes struct {
	whole  map[string][]route
	prefix []route // longest first
}

func (r *routes) add(all []route) {
	if r.whole == nil {
		r.whole = make(map[string][]route)
	}
	for _, route := range all {
		if strings.HasSuffix(route.path, "/") {
			r.prefix = append(r.prefix, route)
		} else {
			r.whole[route.path] = append(r.whole[route.path], route)
		}
	}
	slices.SortStableFunc(r.prefix, func(a, b route) int { return len(b.path) - len(a.path) })
}

// find returns the operation of a path in its escaped form, and what follows the operation's own words, still escaped.
func (r *routes) find(method, path string) (operation, string, error) {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	path = strings.TrimPrefix(path, Prefix)
	var allowed []string
	for _, route := range r.whole[path] {
		if route.method == method {
			return route.operation, "", nil
		}
		allowed = append(allowed, route.method)
	}
	for _, route := range r.prefix {
		rest, found := strings.CutPrefix(path, route.path)
		if !found {
			continue
		}
		if route.method == method {
			return route.operation, rest, nil
		}
		allowed = append(allowed, route.method)
	}
	if len(allowed) > 0 {
		return nil, "", &methodError{method: method, allowed: allowed}
	}
	return nil, "", fault.New(fault.NotFound, "consul.unknown_path", "Invalid path: /v1/%s is not served", cut(path)).
		Hinted("docs/protocols/consul.md lists what is")
}

// methodError is a path that exists for other methods.
type methodError struct {
	method  string
	allowed []string
}

func (e *methodError) Error() string {
	return "method " + e.method + " not allowed; use " + strings.Join(e.allowed, " or ")
}

// cut shortens what a caller sent, so that an error stays readable.
func cut(s string) string {
	const most = 128
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}
