package nacos

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
)

// Prefix begins all paths of the protocol.
const Prefix = "/nacos/"

// exchange is one request and its answer.
type exchange struct {
	http.ResponseWriter
	request *http.Request
	params
	// results: answers are v2's {"code","message","data"}; otherwise v1's plain text or bare JSON.
	results bool
}

// operation answers a request or returns an error, with nothing written.
type operation func(context.Context, *exchange) error

// route is a path's operations by method.
type route struct {
	get, post, put, delete, patch operation
	// open: no credential is looked at.
	open bool
	// limit bounds the form; 0 is maxForm.
	limit int64
}

func (r *route) operation(method string) operation {
	switch method {
	case http.MethodGet, http.MethodHead:
		return r.get
	case http.MethodPost:
		return r.post
	case http.MethodPut:
		return r.put
	case http.MethodDelete:
		return r.delete
	case http.MethodPatch:
		return r.patch
	}
	return nil
}

func (r *route) allowed() string {
	var methods []string
	for _, method := range [...]string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch} {
		if r.operation(method) != nil {
			methods = append(methods, method)
		}
	}
	return strings.Join(methods, ", ")
}

// handler finds a request's operation.
type handler struct {
	*API
	routes map[string]*route
}

// Handler serves the HTTP API under [Prefix].
func (a *API) Handler() http.Handler {
	h := &handler{API: a, routes: map[string]*route{}}
	for _, routes := range []map[string]*route{a.instanceRoutes(), a.serviceRoutes(), a.configRoutes(), a.consoleRoutes()} {
		for path, r := range routes {
			h.routes[path] = r
		}
	}
	return h
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/nacos"), "/")
	x := &exchange{ResponseWriter: w, request: r, results: !strings.HasPrefix(path, "/v1/")}
	route := h.routes[path]
	if route == nil {
		h.fail(x, fault.New(fault.NotFound, "nacos.no_such_path", "%s is nothing that is served here", quoted(path)).
			Hinted("see docs/protocols/nacos.md for what is"))
		return
	}
	operation := route.operation(r.Method)
	if operation == nil {
		w.Header().Set("Allow", route.allowed())
		x.text(http.StatusMethodNotAllowed, "use "+route.allowed())
		return
	}
	limit := route.limit
	if limit == 0 {
		limit = maxForm
	}
	var err error
	if x.params, err = readParams(w, r, limit); err == nil {
		ctx := r.Context()
		if !route.open {
			ctx, err = edge.Identify(r, h.Access, x.credential())
		}
		if err == nil {
			err = operation(ctx, x)
		}
	}
	if err != nil {
		h.fail(x, err)
	}
}

// credential is what a client sends in places of Nacos's own: its token as a parameter or a header, or a user and password.
func (x *exchange) credential() access.Credential {
	if token := x.get("accessToken"); token != "" {
		return access.Credential{Token: token}
	}
	if token := x.request.Header.Get("accessToken"); token != "" {
		return access.Credential{Token: token}
	}
	if user := x.get("username"); user != "" {
		return access.Credential{User: user, Password: x.get("password")}
	}
	return access.Credential{}
}

// fail answers an error in the shape of the path's version.
func (h *handler) fail(x *exchange, err error) {
	f := fault.From(err)
	if f.Code == fault.Internal {
		h.Logger.Error("a request of Nacos's protocol failed", "path", x.request.URL.Path, "error", err)
	}
	status := statusOfError(err)
	switch {
	case x.results:
		b := strconv.AppendInt([]byte(`{"code":`), int64(resultOfError(err)), 10)
		b = appendString(append(b, `,"message":`...), resultWord(resultOfError(err)))
		b = appendString(append(b, `,"data":`...), messageOfError(err))
		x.json(status, append(b, '}'))
	case f.Reason == reasonNoConfig:
		x.text(status, f.Message)
	case f.Reason == reasonBareFalse:
		x.text(status, "false")
	default:
		x.text(status, "caused: "+messageOfError(err)+";")
	}
}

func (x *exchange) text(status int, text string) {
	x.Header()["Content-Type"] = textType
	x.WriteHeader(status)
	_, _ = x.Write([]byte(text)) // the reader may be gone
}

// json writes an answer in pieces, so that what is shared by many answers need not be copied.
func (x *exchange) json(status int, pieces ...[]byte) {
	size := 0
	for _, piece := range pieces {
		size += len(piece)
	}
	header := x.Header()
	header["Content-Type"] = jsonType
	header.Set("Content-Length", strconv.Itoa(size))
	x.WriteHeader(status)
	for _, piece := range pieces {
		_, _ = x.Write(piece) // the reader may be gone
	}
}

// Values of Content-Type, which net/http does not change.
var (
	jsonType = []string{"application/json;charset=UTF-8"}
	textType = []string{"text/plain;charset=UTF-8"}
)

// success begins and ends a result of v2.
const (
	success    = `{"code":0,"message":"success","data":`
	successEnd = `}`
)

// answer writes JSON: bare, or as the data of a result.
func (x *exchange) answer(data []byte) error {
	if x.results {
		x.json(http.StatusOK, []byte(success), data, []byte(successEnd))
	} else {
		x.json(http.StatusOK, data)
	}
	return nil
}

// value is answer for what is made seldom.
func (x *exchange) value(value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return x.answer(data)
}

// done says that it was done.
func (x *exchange) done() error {
	if !x.results {
		x.text(http.StatusOK, "ok")
		return nil
	}
	return x.answer([]byte(`"ok"`))
}

// yes is v1's true.
func (x *exchange) yes() error { return x.answer([]byte("true")) }

// service reads the service of a request and asks whether the caller may.
func (x *exchange) service(ctx context.Context, may access.Permission) (instance.Service, error) {
	service, err := serviceOf(x.get("namespaceId"), x.get("groupName"), x.get("serviceName"))
	if err != nil {
		return service, err
	}
	return service, access.Require(ctx, may, service.Namespace)
}

// page is a part of a list.
type page struct{ number, size int }

// maxPage bounds a page, as Nacos does.
const maxPage = 500

func (x *exchange) page(byDefault int) (page, error) {
	number, err := x.number("pageNo", 1, -1<<31, 1<<31-1)
	if err != nil {
		return page{}, err
	}
	size, err := x.number("pageSize", byDefault, -1<<31, 1<<31-1)
	return page{max(number, 1), min(max(size, 1), maxPage)}, err
}

// of returns where the page begins and ends in a list.
func (p page) of(total int) (from, until int) {
	if p.number-1 > total/p.size {
		return total, total
	}
	from = (p.number - 1) * p.size
	return min(from, total), min(from+p.size, total)
}

// pages is how many there are.
func (p page) pages(total int) int { return (total + p.size - 1) / p.size }

// nowMillis is the time as Nacos's clients compare it.
func nowMillis() int64 { return time.Now().UnixMilli() }

// appendInt writes a number and what ends it.
func appendInt(b []byte, n int, end byte) []byte {
	return append(strconv.AppendInt(b, int64(n), 10), end)
}

// rest answers as some paths of v1 do: with code, message and data.
func (x *exchange) rest(data any) error {
	if x.results {
		return x.value(data)
	}
	return x.value(map[string]any{"code": http.StatusOK, "message": nil, "data": data})
}

// cutLast is strings.Cut at the last separator.
func cutLast(s, separator string) (before, after string, found bool) {
	if at := strings.LastIndex(s, separator); at >= 0 {
		return s[:at], s[at+len(separator):], true
	}
	return s, "", false
}
