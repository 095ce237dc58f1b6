package nacos

import (
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
)

// Bounds of one request.
const (
	// maxParams is several times what the largest form has.
	maxParams = 128
	// maxForm bounds the forms of services: an instance's metadata, escaped.
	maxForm = 256 << 10
	// maxConfigForm bounds those of configuration: a content of 1 MiB, or three thousand listened names, escaped.
	maxConfigForm = 4 << 20
)

// params are the parameters of a request, of the query and then of the form. They are few: a list is faster than a map.
type params []param

type param struct{ key, value string }

// get returns the first value of a key, or "". Blank is none, as in Nacos.
func (p params) get(key string) string {
	for n := range p {
		if p[n].key == key {
			if value := p[n].value; strings.TrimSpace(value) != "" {
				return value
			}
		}
	}
	return ""
}

// first returns the value of the first key that has one.
func (p params) first(keys ...string) string {
	for _, key := range keys {
		if value := p.get(key); value != "" {
			return value
		}
	}
	return ""
}

// flag reads a truth; "" is the default. Like Nacos it takes anything else than true, y, yes, on and 1 for false.
func (p params) flag(key string, byDefault bool) bool {
	switch value := strings.ToLower(p.get(key)); value {
	case "":
		return byDefault
	case "true", "y", "yes", "on", "1":
		return true
	default:
		return false
	}
}

// number reads a whole number within bounds; "" is the default.
func (p params) number(key string, byDefault, least, most int) (int, error) {
	text := p.get(key)
	if text == "" {
		return byDefault, nil
	}
	value, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || value < least || value > most {
		return 0, invalid(key, "%s is no number of %d to %d", quoted(text), least, most)
	}
	return value, nil
}

// parse adds the parameters of a query or form.
func (p params) parse(text string) (params, error) {
	for text != "" {
		var pair string
		pair, text, _ = strings.Cut(text, "&")
		if pair == "" {
			continue
		}
		if len(p) == maxParams {
			return nil, fault.New(fault.TooLarge, "nacos.too_large", "more than %d parameters", maxParams).Hinted("send what the operation has")
		}
		key, value, _ := strings.Cut(pair, "=")
		key, err := unescape(key)
		if err == nil {
			value, err = unescape(value)
		}
		if err != nil {
			return nil, invalid(key, "the parameter is not escaped as forms are").Because(err)
		}
		p = append(p, param{key, value})
	}
	return p, nil
}

// unescape spares the copy where nothing is escaped.
func unescape(text string) (string, error) {
	if strings.IndexByte(text, '%') < 0 && strings.IndexByte(text, '+') < 0 {
		return text, nil
	}
	return url.QueryUnescape(text)
}

// read reads the parameters of a request whose form has at most limit bytes.
func readParams(w http.ResponseWriter, r *http.Request, limit int64) (params, error) {
	p, err := make(params, 0, 16).parse(r.URL.RawQuery)
	if err != nil || r.Method == http.MethodGet || r.Method == http.MethodHead || r.ContentLength == 0 || !isForm(r) {
		return p, err
	}
	body, err := readBody(w, r, limit)
	if err != nil {
		return nil, err
	}
	return p.parse(body)
}

// isForm reports whether the body is a form. Who says nothing means one.
func isForm(r *http.Request) bool {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return kind == "" || strings.EqualFold(strings.TrimSpace(kind), "application/x-www-form-urlencoded")
}

// readBody reads a body, in one piece where its length is said.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) (string, error) {
	if r.ContentLength <= 0 || r.ContentLength > limit {
		body, err := edge.Body(w, r, limit)
		return string(body), err
	}
	var b strings.Builder
	b.Grow(int(r.ContentLength))
	if n, err := io.Copy(&b, io.LimitReader(r.Body, r.ContentLength)); err != nil || n < r.ContentLength {
		return "", fault.New(fault.Invalid, "request.broken_off", "the body broke off").At("body").Hinted("send it again").Because(err)
	}
	return b.String(), nil
}

// instanceOf reads an instance from parameters.
func (p params) instance() (Instance, error) {
	i := newInstance()
	i.IP = p.get("ip")
	i.ClusterName = p.first("clusterName", "cluster")
	i.Healthy = p.flag("healthy", true)
	i.Ephemeral = p.flag("ephemeral", true)
	i.Enabled = p.flag("enabled", p.flag("enable", true))
	var err error
	if i.Port, err = p.port(); err != nil {
		return i, err
	}
	if i.Weight, err = p.weight(1); err != nil {
		return i, err
	}
	i.Metadata, err = parseMetadata(p.get("metadata"))
	i.normal()
	return i, err
}

// address reads how Nacos names an instance.
func (p params) address() (ip string, port int, cluster string, err error) {
	i := Instance{IP: p.get("ip"), ClusterName: p.first("clusterName", "cluster")}
	if i.normal(); i.IP == "" {
		return "", 0, "", missing("ip")
	}
	port, err = p.port()
	return i.IP, port, i.ClusterName, err
}

func (p params) port() (int, error) {
	if p.get("port") == "" {
		return 0, missing("port")
	}
	return p.number("port", 0, 0, 65535)
}

func (p params) weight(byDefault float64) (float64, error) {
	text := p.get("weight")
	if text == "" {
		return byDefault, nil
	}
	weight, err := strconv.ParseFloat(text, 64)
	if err != nil || !(weight >= 0 && weight <= 10000) {
		return 0, invalid("weight", "instance format invalid: The weights range from 0.0 to 10000.0")
	}
	return weight, nil
}

// parseMetadata reads metadata as JSON, or as "key=value,key=value".
func parseMetadata(text string) (metadata, error) {
	text = strings.TrimSpace(text)
	if text == "" || text == "null" {
		return nil, nil
	}
	if text[0] == '{' {
		var m metadata
		if err := m.UnmarshalJSON([]byte(text)); err != nil {
			return nil, invalid("metadata", "metadata format incorrect: it is no JSON object of text").Because(err)
		}
		return m, nil
	}
	m := metadata{}
	for entry := range strings.SplitSeq(text, ",") {
		key, value, found := strings.Cut(entry, "=")
		if !found {
			return nil, invalid("metadata", "metadata format incorrect: %s", quoted(entry)).Hinted("send a JSON object, or key=value,key=value")
		}
		m[key] = value
	}
	return m, nil
}
