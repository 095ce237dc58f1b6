package consul

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
)

// Limits of a call.
const (
	// defaultWait and maxWait bound a blocking query, as in Consul.
	defaultWait = 5 * time.Minute
	maxWait     = 10 * time.Minute
	// maxQueryBytes bounds the query of a URL.
	maxQueryBytes = 16 << 10
	// maxNodeMeta bounds the pairs of ?node-meta=.
	maxNodeMeta = 16
)

// call is one request, with what all operations have in common read and checked.
type call struct {
	handler *Handler
	w       http.ResponseWriter
	r       *http.Request
	// ctx carries who calls.
	ctx context.Context
	// path follows the operation's own words, still escaped.
	path      string
	query     url.Values
	namespace string

	// index and hash are what the client has; 0 and "" do not block.
	index int64
	hash  string
	wait  time.Duration

	consistent, stale, cached, pretty bool
	near, filter                      string
	nodeMeta                          map[string]string
}

// read makes a call of a request.
func (h *Handler) read(w http.ResponseWriter, r *http.Request, path string) (*call, error) {
	if len(r.URL.RawQuery) > maxQueryBytes {
		return nil, fault.New(fault.TooLarge, "request.too_large", "a query of %d bytes", len(r.URL.RawQuery)).Hinted("use at most %d", maxQueryBytes)
	}
	r, err := h.identify(r)
	if err != nil {
		return nil, err
	}
	c := &call{handler: h, w: w, r: r, ctx: r.Context(), path: path, query: r.URL.Query(), namespace: edge.Namespace(r.Context())}
	return c, c.options()
}

// options reads the parameters that all operations have.
func (c *call) options() error {
	_, c.consistent = c.query["consistent"]
	_, c.stale = c.query["stale"]
	_, c.cached = c.query["cached"]
	_, c.pretty = c.query["pretty"]
	c.near, c.filter, c.hash = c.query.Get("near"), c.query.Get("filter"), c.query.Get("hash")
	if c.consistent && c.stale {
		return fault.New(fault.Invalid, "consul.consistency", "Cannot specify ?stale with ?consistent, conflicting semantics.").At("stale")
	}
	if c.cached && (c.consistent || c.stale) {
		c.cached = false
	}
	if dc := c.query.Get("dc"); dc != "" && dc != Datacenter {
		return fault.New(fault.Unavailable, "consul.datacenter", "No path to datacenter").At("dc").Hinted("there is %q alone", Datacenter)
	}
	if err := c.place(); err != nil {
		return err
	}
	if err := c.blocking(); err != nil {
		return err
	}
	return c.readNodeMeta()
}

// place reads the namespace that the call itself names, which is Gantry's. There is one partition.
func (c *call) place() error {
	for _, named := range []string{c.query.Get("ns"), c.r.Header.Get("X-Consul-Namespace")} {
		if named == "" {
			continue
		}
		if err := instance.CheckNamespace(named); err != nil {
			return err
		}
		c.namespace = named
		break
	}
	for _, named := range []string{c.query.Get("partition"), c.r.Header.Get("X-Consul-Partition")} {
		if named != "" && named != "default" {
			return fault.New(fault.Invalid, "consul.partition", "Invalid query parameter: \"partition\" - Partitions are a Consul Enterprise feature").
				At("partition").Hinted("use namespaces")
		}
	}
	if c.query.Get("peer") != "" || c.query.Get("sg") != "" || c.query.Get("sameness-group") != "" {
		return fault.New(fault.Invalid, "consul.peering", "there are no cluster peers and no sameness groups").At("peer").Hinted("leave the parameter out")
	}
	return nil
}

func (c *call) blocking() error {
	if text := c.query.Get("index"); text != "" {
		value, err := strconv.ParseUint(text, 10, 63)
		if err != nil {
			return fault.New(fault.Invalid, "consul.index", "Invalid index").At("index").Hinted("send the X-Consul-Index of the last answer")
		}
		c.index = int64(value)
	}
	c.wait = defaultWait
	if text := c.query.Get("wait"); text != "" {
		wait, err := duration(text)
		if err != nil || wait < 0 {
			return fault.New(fault.Invalid, "consul.wait", "Invalid wait time").At("wait").Hinted("use a time such as 30s or 5m, at most %v", maxWait)
		}
		if wait > 0 {
			c.wait = min(wait, maxWait)
		}
	}
	return nil
}

// duration reads a time as Consul's clients write it: "10s", or a number of nanoseconds.
func duration(text string) (time.Duration, error) {
	if nanoseconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.Duration(nanoseconds), nil
	}
	return time.ParseDuration(text)
}

func (c *call) readNodeMeta() error {
	pairs := c.query["node-meta"]
	if len(pairs) > maxNodeMeta {
		return fault.New(fault.Invalid, "consul.node_meta", "%d pairs", len(pairs)).At("node-meta").Hinted("use at most %d", maxNodeMeta)
	}
	for _, pair := range pairs {
		if c.nodeMeta == nil {
			c.nodeMeta = make(map[string]string, len(pairs))
		}
		key, value, _ := strings.Cut(pair, ":")
		c.nodeMeta[key] = value
	}
	return nil
}

// name is what follows the operation's words, unescaped; what is only for error messages.
func (c *call) name(what string) (string, error) {
	name, err := url.PathUnescape(c.path)
	if err != nil {
		return "", fault.New(fault.Invalid, "consul.path", "the path is not escaped as paths are").At(what)
	}
	if name == "" {
		return "", fault.New(fault.Invalid, "consul.path", "Missing %s", what).At(what).Hinted("put it behind the path's last \"/\"")
	}
	return name, nil
}

// may asks for a right in the call's namespace.
func (c *call) may(p access.Permission) error { return access.Require(c.ctx, p, c.namespace) }

// given reports whether a parameter is there and not "false" or "0".
func (c *call) given(parameter string) bool {
	values, ok := c.query[parameter]
	if !ok {
		return false
	}
	value, err := strconv.ParseBool(values[0])
	return err != nil || value
}
