package consul

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// maxBody bounds a registration, as Consul does.
const maxBody = 512 << 10

func invalid(field, format string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, "consul.invalid", format, args...).At(field)
}

// period is a time as Consul's clients write it: "10s", or a number of nanoseconds.
type period time.Duration

// UnmarshalJSON implements json.Unmarshaler.
func (p *period) UnmarshalJSON(b []byte) error {
	text := strings.Trim(string(b), `"`)
	if text == "" || text == "null" {
		return nil
	}
	d, err := duration(text)
	if err != nil {
		return invalid("", "invalid duration %q", cut(text)).Hinted("write it such as 10s or 1m30s")
	}
	*p = period(d)
	return nil
}

// checkDefinition is a check in a registration.
type checkDefinition struct {
	ID, CheckID, Name, Notes, Status, ServiceID, Output string

	TTL, Interval, Timeout, DeregisterCriticalServiceAfter period

	HTTP, Method, Body string
	Header             map[string][]string
	TCP, GRPC          string
	GRPCUseTLS         bool
	TCPUseTLS          bool

	SuccessBeforePassing, FailuresBeforeCritical int

	// What is refused.
	Script, Shell                                                      string
	Args, ScriptArgs                                                   []string
	DockerContainerID, UDP, H2PING, OSService, AliasNode, AliasService string
}

// serviceDefinition is a service in a registration.
type serviceDefinition struct {
	ID, Name, Service string
	Tags              []string
	Meta              map[string]string
	Port              int
	Address           string
	SocketPath        string
	TaggedAddresses   map[string]serviceAddress
	Weights           *struct{ Passing, Warning *int }
	EnableTagOverride bool
	Kind              string
	Proxy, Connect    json.RawMessage
	Locality          *locality
	Check             *checkDefinition
	Checks            []*checkDefinition
}

// decodeBody reads a JSON object whose names may be written as Consul's two ways have them: EnableTagOverride and enable_tag_override.
func decodeBody(body []byte, into any) error {
	body, err := plain(body, 0)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		if f, ok := fault.As(err); ok {
			return f
		}
		return invalid("body", "Request decode failed: %v", err).Hinted("send a JSON object")
	}
	return nil
}

// asWritten are the names whose values are the client's own: nothing inside is renamed.
func asWritten(name string) bool {
	switch name {
	case "meta", "nodemeta", "taggedaddresses", "proxy", "connect", "header":
		return true
	}
	return false
}

// plain takes the underscores from the names of an object, and of the objects in it.
func plain(body []byte, depth int) ([]byte, error) {
	const deepest = 4 // registration, service, checks, check
	body = bytes.TrimSpace(body)
	if depth > deepest || len(body) == 0 {
		return body, nil
	}
	switch body[0] {
	case '{':
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(body, &fields); err != nil {
			return nil, invalid("body", "Request decode failed: %v", err)
		}
		renamed := make(map[string]json.RawMessage, len(fields))
		for name, value := range fields {
			name = strings.ToLower(strings.ReplaceAll(name, "_", ""))
			var err error
			if !asWritten(name) {
				if value, err = plain(value, depth+1); err != nil {
					return nil, err
				}
			}
			renamed[name] = value
		}
		return json.Marshal(renamed)
	case '[':
		var items []json.RawMessage
		if err := json.Unmarshal(body, &items); err != nil {
			return nil, invalid("body", "Request decode failed: %v", err)
		}
		for n := range items {
			var err error
			if items[n], err = plain(items[n], depth+1); err != nil {
				return nil, err
			}
		}
		return json.Marshal(items)
	}
	return body, nil
}

// fill writes what a definition says into a registration; checks apart.
func (d *serviceDefinition) fill(m *gantryv1.Instance, x *extra) error {
	if d.Port < 0 || d.Port > math.MaxUint16 {
		return invalid("Port", "there is no port %d", d.Port).Hinted("use 0 to 65535")
	}
	m.Port, m.Metadata, m.Persistent = uint32(d.Port), d.Meta, true
	x.Tags, x.TaggedAddresses, x.EnableTagOverride, x.Kind = d.Tags, d.TaggedAddresses, d.EnableTagOverride, d.Kind
	x.SocketPath, x.Locality, x.Proxy, x.Connect = d.SocketPath, d.Locality, object(d.Proxy), object(d.Connect)
	if err := d.refuseMesh(); err != nil {
		return err
	}
	if d.Weights != nil {
		if w := d.Weights.Passing; w != nil {
			if *w < 0 || *w > instance.MaxWeight {
				return invalid("Weights.Passing", "Passing must be greater than 0 and at most %d", instance.MaxWeight)
			}
			weight := float64(*w)
			m.Weight = &weight
		}
		x.WarningWeight = d.Weights.Warning
	}
	return nil
}

// object is raw JSON unless it says nothing.
func object(raw json.RawMessage) json.RawMessage {
	switch string(bytes.TrimSpace(raw)) {
	case "", "null", "{}":
		return nil
	}
	return raw
}

// refuseMesh refuses what only a service mesh could do. What describes a proxy is kept and shown, for the tools that run one themselves.
func (d *serviceDefinition) refuseMesh() error {
	var connect struct{ SidecarService json.RawMessage }
	if raw := object(d.Connect); raw != nil {
		if err := json.Unmarshal(raw, &connect); err != nil {
			return invalid("Connect", "Request decode failed: %v", err)
		}
	}
	if object(connect.SidecarService) != nil || string(connect.SidecarService) == "{}" {
		return errMesh("Connect.SidecarService")
	}
	return nil
}

func errMesh(field string) *fault.Error {
	return fault.New(fault.Invalid, "consul.no_mesh", "Connect is not served: Gantry runs no service mesh").At(field).Hinted("leave it out; docs/protocols/consul.md says what is served")
}

// check makes a check of the registry of a definition. id is what it is called when it does not say so itself; service is for its default name.
func (d *checkDefinition) check(id, name string) (*gantryv1.Check, checkWords, error) {
	words := checkWords{Name: cmp.Or(d.Name, name), Notes: d.Notes}
	c := &gantryv1.Check{Id: cmp.Or(d.CheckID, d.ID, id)}
	var err error
	if c.Initial, err = initial(d.Status); err != nil {
		return nil, words, err
	}
	if after := time.Duration(d.DeregisterCriticalServiceAfter); after > 0 {
		c.DeregisterAfter = durationpb.New(max(after, instance.MinDeregisterAfter))
	}
	if refused := cmp.Or(d.Script, d.DockerContainerID, strings.Join(append(d.Args, d.ScriptArgs...), " ")); refused != "" {
		return nil, words, invalid("Args", "Scripts are not run on this server").Hinted("use an HTTP, TCP, gRPC or TTL check")
	}
	if refused := cmp.Or(d.UDP, d.H2PING, d.OSService, d.AliasNode, d.AliasService); refused != "" {
		return nil, words, invalid("Check", "UDP, H2PING, OSService and alias checks are not made").Hinted("use an HTTP, TCP, gRPC or TTL check")
	}
	switch {
	case d.HTTP != "":
		err = d.http(c)
	case d.TCP != "":
		err = d.tcp(c)
	case d.GRPC != "":
		err = d.grpc(c)
	case d.TTL > 0:
		c.Probe = &gantryv1.Check_Ttl{Ttl: &gantryv1.TTLProbe{Ttl: durationpb.New(max(time.Duration(d.TTL), instance.MinTTL))}}
		return c, words, nil
	default:
		return nil, words, invalid("Check", "TTL must be > 0 for TTL checks").Hinted("a check has one of TTL, HTTP, TCP and GRPC")
	}
	if err != nil {
		return nil, words, err
	}
	if d.Interval <= 0 {
		return nil, words, invalid("Check.Interval", "Interval must be > 0 for HTTP, TCP or gRPC checks").Hinted("such as 10s")
	}
	interval := max(time.Duration(d.Interval), instance.MinCheckInterval)
	c.Interval = durationpb.New(interval)
	timeout := time.Duration(d.Timeout)
	if timeout <= 0 {
		timeout = 10 * time.Second // Consul's
	}
	c.Timeout = durationpb.New(min(timeout, interval))
	c.Successes, c.Failures = uint32(max(1, d.SuccessBeforePassing)), uint32(max(1, d.FailuresBeforeCritical))
	return c, words, nil
}

func initial(status string) (gantryv1.CheckStatus, error) {
	switch status {
	case "":
		return gantryv1.CheckStatus_CHECK_STATUS_UNSPECIFIED, nil
	case statusPassing, "pass":
		return gantryv1.CheckStatus_CHECK_STATUS_PASSING, nil
	case statusWarning, "warn":
		return gantryv1.CheckStatus_CHECK_STATUS_WARNING, nil
	case statusCritical, "fail":
		return gantryv1.CheckStatus_CHECK_STATUS_CRITICAL, nil
	}
	return 0, invalid("Status", "Invalid check status: %q", cut(status)).Hinted("Status for checks must be \"passing\", \"warning\" or \"critical\"")
}

// http makes a probe of a URL. Its host is only what the probe asks for: the connection goes to the instance's own address and nowhere else, as
// Consul's agent, too, asks what runs beside it.
func (d *checkDefinition) http(c *gantryv1.Check) error {
	target, err := url.Parse(d.HTTP)
	if err != nil || target.Scheme != "http" && target.Scheme != "https" || target.Host == "" {
		return invalid("Check.HTTP", "%q is not a URL", cut(d.HTTP)).Hinted("such as http://localhost:8080/health")
	}
	if d.Body != "" {
		return invalid("Check.Body", "checks send no body").Hinted("leave it out")
	}
	probe := &gantryv1.HTTPProbe{Path: target.EscapedPath(), Tls: target.Scheme == "https", Method: strings.ToUpper(d.Method), Port: 80, Headers: map[string]string{}}
	if target.RawQuery != "" {
		probe.Path = cmp.Or(probe.Path, "/") + "?" + target.RawQuery
	}
	if probe.Tls {
		probe.Port = 443
	}
	if port := target.Port(); port != "" {
		if probe.Port, err = portNumber("Check.HTTP", port); err != nil {
			return err
		}
	}
	for name, values := range d.Header {
		probe.Headers[name] = strings.Join(values, ", ")
	}
	if host := target.Hostname(); !isHere(host) && net.ParseIP(host) == nil && d.Header["Host"] == nil {
		probe.Headers["Host"] = target.Host
	}
	c.Probe = &gantryv1.Check_Http{Http: probe}
	return nil
}

// isHere reports whether a host is the caller's own, to itself.
func isHere(host string) bool { return host == "localhost" || net.ParseIP(host).IsLoopback() }

func (d *checkDefinition) tcp(c *gantryv1.Check) error {
	if d.TCPUseTLS {
		return invalid("Check.TCPUseTLS", "TCP checks open a connection without TLS").Hinted("use an HTTP check on an https URL")
	}
	_, text, err := net.SplitHostPort(d.TCP)
	if err != nil {
		return invalid("Check.TCP", "%q is not host:port", cut(d.TCP))
	}
	port, err := portNumber("Check.TCP", text)
	c.Probe = &gantryv1.Check_Tcp{Tcp: &gantryv1.TCPProbe{Port: port}}
	return err
}

func (d *checkDefinition) grpc(c *gantryv1.Check) error {
	target, service, _ := strings.Cut(d.GRPC, "/")
	_, text, err := net.SplitHostPort(target)
	if err != nil {
		return invalid("Check.GRPC", "%q is not host:port/service", cut(d.GRPC))
	}
	port, err := portNumber("Check.GRPC", text)
	c.Probe = &gantryv1.Check_Grpc{Grpc: &gantryv1.GRPCProbe{Port: port, Service: service, Tls: d.GRPCUseTLS}}
	return err
}

func portNumber(field, text string) (uint32, error) {
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return 0, invalid(field, "there is no port %q", cut(text)).Hinted("use 1 to 65535")
	}
	return uint32(port), nil
}

// definitions are the checks of a service, with the ids and names that Consul gives those without.
func (d *serviceDefinition) definitions(id, name string) ([]*gantryv1.Check, map[string]checkWords, error) {
	var all []*checkDefinition
	if d.Check != nil && !d.Check.empty() {
		all = append(all, d.Check)
	}
	for _, check := range d.Checks {
		if check != nil {
			all = append(all, check)
		}
	}
	if len(all) > instance.MaxChecks {
		return nil, nil, invalid("Checks", "%d checks", len(all)).Hinted("use at most %d", instance.MaxChecks)
	}
	checks, words := make([]*gantryv1.Check, 0, len(all)), make(map[string]checkWords, len(all))
	for n, definition := range all {
		checkID := "service:" + id
		if len(all) > 1 {
			checkID += fmt.Sprintf(":%d", n+1)
		}
		check, word, err := definition.check(checkID, fmt.Sprintf("Service '%s' check", name))
		if err != nil {
			return nil, nil, err
		}
		checks, words[check.Id] = append(checks, check), word
	}
	return checks, words, nil
}

func (d *checkDefinition) empty() bool {
	return d.HTTP == "" && d.TCP == "" && d.GRPC == "" && d.TTL == 0 && d.Interval == 0 && d.Status == "" && d.CheckID == "" && d.Name == "" && d.Script == "" &&
		len(d.Args) == 0 && len(d.ScriptArgs) == 0 && d.DockerContainerID == "" && d.UDP == "" && d.H2PING == "" && d.OSService == "" && d.AliasNode == "" && d.AliasService == ""
}
