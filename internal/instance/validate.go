package instance

import (
	"cmp"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gantry-platform/gantry/internal/fault"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// invalid is the error of a request that is wrong and stays wrong.
func invalid(field, format string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, "instance.invalid", format, args...).At(field)
}

// quoted cuts what a caller sent, so that an error stays readable.
func quoted(s string) string {
	const most = 64
	if len(s) > most {
		return strconv.Quote(s[:most]) + "..."
	}
	return strconv.Quote(s)
}

// CheckNamespace refuses a name that no namespace can have.
func CheckNamespace(name string) error {
	if f := checkNamespace("namespace", name); f != nil {
		return f
	}
	return nil
}

func checkNamespace(field, name string) *fault.Error {
	if name == "" || len(name) > MaxNamespaceBytes {
		return invalid(field, "a namespace of %d bytes", len(name)).Hinted("use 1 to %d bytes", MaxNamespaceBytes)
	}
	for i := range len(name) {
		c := name[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || i > 0 && (c == '.' || c == '_' || c == '-') {
			continue
		}
		return invalid(field, "%s is not a namespace", quoted(name)).
			Hinted("use letters, digits, \".\", \"_\" and \"-\", a letter or digit first")
	}
	return nil
}

// checkService refuses a name that no service can have. The service is normal.
func checkService(service Service) *fault.Error {
	if f := checkNamespace("service.namespace", service.Namespace); f != nil {
		return f
	}
	if f := checkName("service.group", service.Group, MaxNameBytes); f != nil {
		return f
	}
	return checkName("service.service", service.Name, MaxNameBytes)
}

// checkName allows any printable text, as other registries do, but nothing that hides: no control characters and
// no space at either end.
func checkName(field, name string, most int) *fault.Error {
	switch {
	case name == "":
		return invalid(field, "is empty").Hinted("name it")
	case len(name) > most:
		return invalid(field, "%s has %d bytes", quoted(name), len(name)).Hinted("use at most %d bytes", most)
	case !utf8.ValidString(name):
		return invalid(field, "%s is not valid UTF-8", quoted(name)).Hinted("send text in UTF-8")
	case strings.ContainsFunc(name, unicode.IsControl):
		return invalid(field, "%s holds a control character", quoted(name)).Hinted("use printable characters")
	case name != strings.TrimSpace(name):
		return invalid(field, "%s begins or ends with a space", quoted(name)).Hinted("take the space away")
	}
	return nil
}

func checkAddress(field, address string) *fault.Error {
	if address == "" {
		return invalid(field, "is empty").Hinted("send the IP address or host name that callers dial")
	}
	if len(address) <= MaxAddressBytes {
		if addr, err := netip.ParseAddr(address); err == nil {
			if addr.IsUnspecified() || addr.IsMulticast() {
				return invalid(field, "nobody can dial %s", quoted(address)).Hinted("send the address that callers dial")
			}
			return nil
		}
		if isHostName(address) {
			return nil
		}
	}
	return invalid(field, "%s is neither an IP address nor a host name", quoted(address)).
		Hinted("send it without scheme, port and brackets, such as 10.0.0.7 or loan-1.internal")
}

// isHostName is RFC 1123, with the underscores that container networks use.
func isHostName(name string) bool {
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

func checkWeight(field string, weight float64) *fault.Error {
	if math.IsNaN(weight) || weight < 0 || weight > MaxWeight {
		return invalid(field, "a weight of %v", weight).Hinted("use 0 to %d", MaxWeight)
	}
	return nil
}

// build checks a registration and fills an empty instance from it, without what the server sets. It uses the room that the
// labels have.
func (i *Instance) build(m *gantryv1.Instance) error {
	if m == nil {
		return invalid("instance", "is missing").Hinted("send the instance's address and port")
	}
	i.Address, i.Port, i.Weight, i.Persistent, i.Status = m.Address, uint16(m.Port), 1, m.Persistent, m.Status
	if f := checkAddress("instance.address", m.Address); f != nil {
		return f
	}
	if m.Port > math.MaxUint16 {
		return invalid("instance.port", "there is no port %d", m.Port).Hinted("use 0 to 65535")
	}
	i.ID = idOf(m)
	if f := checkName("instance.id", i.ID, MaxIDBytes); f != nil {
		return f
	}
	if m.Weight != nil {
		i.Weight = *m.Weight
	}
	if f := checkWeight("instance.weight", i.Weight); f != nil {
		return f
	}
	switch i.Status {
	case gantryv1.Status_STATUS_UNSPECIFIED:
		i.Status = gantryv1.Status_STATUS_UP
	case gantryv1.Status_STATUS_STARTING, gantryv1.Status_STATUS_UP, gantryv1.Status_STATUS_DRAINING, gantryv1.Status_STATUS_DOWN:
	default:
		return invalid("instance.status", "there is no status %d", i.Status).Hinted("use STARTING, UP, DRAINING or DOWN")
	}
	if len(m.ProtocolData) > MaxProtocolData {
		return invalid("instance.protocolData", "%d bytes", len(m.ProtocolData)).Hinted("use at most %d", MaxProtocolData)
	}
	i.ProtocolData = string(m.ProtocolData)
	for _, fill := range []func(*Instance, *gantryv1.Instance) *fault.Error{fillPorts, fillLabels, fillMetadata, fillTimes, fillChecks} {
		if f := fill(i, m); f != nil {
			return f
		}
	}
	return nil
}

// idOf is the id that an instance registers under.
func idOf(m *gantryv1.Instance) string {
	if id := m.GetId(); id != "" {
		return id
	}
	return net.JoinHostPort(m.GetAddress(), strconv.Itoa(int(m.GetPort())))
}

func fillPorts(i *Instance, m *gantryv1.Instance) *fault.Error {
	if len(m.Ports) > MaxPorts {
		return invalid("instance.ports", "%d ports", len(m.Ports)).Hinted("use at most %d", MaxPorts)
	}
	for name, number := range m.Ports {
		if f := checkName("", name, MaxPortNameBytes); f != nil {
			return f.At(fmt.Sprintf("instance.ports[%s]", quoted(name)))
		}
		if number == 0 || number > math.MaxUint16 {
			return invalid(fmt.Sprintf("instance.ports[%s]", quoted(name)), "there is no port %d", number).Hinted("use 1 to 65535")
		}
		i.Ports = append(i.Ports, Port{Name: name, Number: uint16(number)})
	}
	slices.SortFunc(i.Ports, func(a, b Port) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

func fillLabels(i *Instance, m *gantryv1.Instance) *fault.Error {
	if len(m.Labels) > MaxLabels {
		return invalid("instance.labels", "%d labels", len(m.Labels)).
			Hinted("use at most %d; what is not for selection belongs into metadata", MaxLabels)
	}
	var f *fault.Error
	i.Labels, f = sortLabels(i.Labels, m.Labels, func(key, value string) *fault.Error {
		if f := checkName("", key, MaxLabelKeyBytes); f != nil {
			return f
		}
		return checkText("", value, MaxLabelValueBytes)
	}, "instance.labels")
	return f
}

func fillMetadata(i *Instance, m *gantryv1.Instance) *fault.Error {
	if len(m.Metadata) > MaxMetadata {
		return invalid("instance.metadata", "%d entries", len(m.Metadata)).Hinted("use at most %d", MaxMetadata)
	}
	total := 0
	var f *fault.Error
	i.Metadata, f = sortLabels(i.Metadata, m.Metadata, func(key, value string) *fault.Error {
		total += len(key) + len(value)
		if total > MaxMetadataBytes {
			return invalid("", "more than %d bytes in all", MaxMetadataBytes).
				Hinted("keep large descriptions in a document and name it here")
		}
		if f := checkText("", key, MaxMetadataBytes); f != nil {
			return f
		}
		return checkText("", value, MaxMetadataBytes)
	}, "instance.metadata")
	return f
}

func checkText(field, text string, most int) *fault.Error {
	if len(text) > most {
		return invalid(field, "a text of %d bytes", len(text)).Hinted("use at most %d bytes", most)
	}
	if !utf8.ValidString(text) {
		return invalid(field, "%s is not valid UTF-8", quoted(text)).Hinted("send text in UTF-8")
	}
	return nil
}

// sortLabels checks and sorts entries into an empty list. Errors name the entry under field.
func sortLabels(labels Labels, m map[string]string, check func(key, value string) *fault.Error, field string) (Labels, *fault.Error) {
	labels = slices.Grow(labels, len(m))
	for key, value := range m {
		if f := check(key, value); f != nil {
			return labels, f.At(field + "[" + quoted(key) + "]")
		}
		labels = append(labels, Label{Key: key, Value: value})
	}
	slices.SortFunc(labels, func(a, b Label) int { return strings.Compare(a.Key, b.Key) })
	return labels, nil
}

func fillTimes(i *Instance, m *gantryv1.Instance) *fault.Error {
	if i.Persistent {
		return nil // checks decide; silence means nothing
	}
	var f *fault.Error
	if i.TTL, f = checkDuration("instance.ttl", m.Ttl, DefaultTTL, MinTTL, MaxTTL); f != nil {
		return f
	}
	i.RemoveAfter, f = checkDuration("instance.removeAfter", m.RemoveAfter, 2*i.TTL, i.TTL, MaxRemoveAfter)
	return f
}

func checkDuration(field string, d *durationpb.Duration, byDefault, least, most time.Duration) (time.Duration, *fault.Error) {
	if d == nil || d.Seconds == 0 && d.Nanos == 0 {
		return byDefault, nil
	}
	value := d.AsDuration()
	if err := d.CheckValid(); err != nil || value < least || value > most {
		return 0, invalid(field, "a time of %v", value).Hinted("use %v to %v", least, most)
	}
	return value, nil
}

func fillChecks(i *Instance, m *gantryv1.Instance) *fault.Error {
	if len(m.Checks) == 0 {
		return nil
	}
	if !i.Persistent {
		return invalid("instance.checks", "an ephemeral instance has no checks").
			Hinted("set persistent, or leave the checks out: beats or the session decide its health")
	}
	if len(m.Checks) > MaxChecks {
		return invalid("instance.checks", "%d checks", len(m.Checks)).Hinted("use at most %d", MaxChecks)
	}
	for n, check := range m.Checks {
		filled, f := fillCheck(fmt.Sprintf("instance.checks[%d]", n), check, i.Port)
		if f != nil {
			return f
		}
		i.Checks = append(i.Checks, filled)
		filled.Id = cmp.Or(filled.Id, defaultCheckID(len(i.Checks)))
		if i.check(filled.Id) < n {
			return invalid(fmt.Sprintf("instance.checks[%d].id", n), "%s is there already", quoted(filled.Id)).Hinted("give each check an id of its own")
		}
	}
	return nil
}

// defaultCheckID is the id of the n-th check, from 1, that has no other.
func defaultCheckID(n int) string { return strconv.Itoa(n) }

// fillCheck checks one check and writes its defaults down, so that they stay what they were when it was registered.
func fillCheck(field string, check *gantryv1.Check, port uint16) (*gantryv1.Check, *fault.Error) {
	if check == nil {
		return nil, invalid(field, "is missing").Hinted("send http, tcp, grpc or ttl")
	}
	if size := proto.Size(check); size > MaxCheckBytes {
		return nil, invalid(field, "a check of %d bytes", size).Hinted("use at most %d bytes", MaxCheckBytes)
	}
	c := proto.CloneOf(check)
	if c.Id != "" {
		if f := checkName(field+".id", c.Id, MaxIDBytes); f != nil {
			return nil, f
		}
	}
	if c.Initial < 0 || c.Initial > gantryv1.CheckStatus_CHECK_STATUS_CRITICAL {
		return nil, invalid(field+".initial", "there is no status %d of a check", c.Initial).Hinted("use PASSING, WARNING or CRITICAL")
	}
	if _, f := checkDuration(field+".deregisterAfter", c.DeregisterAfter, 0, MinDeregisterAfter, MaxDeregisterAfter); f != nil {
		return nil, f
	}
	if probe, ok := c.Probe.(*gantryv1.Check_Ttl); ok {
		return c, fillTTLProbe(field+".ttl", c, probe.Ttl)
	}
	interval, f := checkDuration(field+".interval", c.Interval, DefaultCheckInterval, MinCheckInterval, MaxCheckInterval)
	if f != nil {
		return nil, f
	}
	timeout, f := checkDuration(field+".timeout", c.Timeout, min(DefaultCheckTimeout, interval), time.Millisecond, interval)
	if f != nil {
		return nil, f
	}
	c.Interval, c.Timeout = durationpb.New(interval), durationpb.New(timeout)
	if c.Failures == 0 {
		c.Failures = DefaultCheckFailures
	}
	if c.Successes == 0 {
		c.Successes = DefaultCheckSuccesses
	}
	if c.Failures > MaxCheckCount || c.Successes > MaxCheckCount {
		return nil, invalid(field, "%d failures and %d successes", c.Failures, c.Successes).Hinted("use at most %d", MaxCheckCount)
	}
	return c, fillProbe(field, c, port)
}

// fillTTLProbe checks a check that waits for reports: nothing is counted, each report decides.
func fillTTLProbe(field string, c *gantryv1.Check, probe *gantryv1.TTLProbe) *fault.Error {
	if probe == nil {
		return invalid(field, "is empty").Hinted("send {} for a check that never expires")
	}
	c.Interval, c.Timeout, c.Failures, c.Successes = nil, nil, 0, 0
	_, f := checkDuration(field+".ttl", probe.Ttl, 0, MinTTL, MaxCheckTTL)
	return f
}

func fillProbe(field string, c *gantryv1.Check, port uint16) *fault.Error {
	var target *uint32
	switch probe := c.Probe.(type) {
	case *gantryv1.Check_Http:
		if probe.Http == nil {
			return invalid(field+".http", "is empty").Hinted("send {} for the defaults")
		}
		target = &probe.Http.Port
		if f := fillHTTPProbe(field+".http", probe.Http); f != nil {
			return f
		}
	case *gantryv1.Check_Tcp:
		if probe.Tcp == nil {
			return invalid(field+".tcp", "is empty").Hinted("send {} for the defaults")
		}
		target = &probe.Tcp.Port
	case *gantryv1.Check_Grpc:
		if probe.Grpc == nil {
			return invalid(field+".grpc", "is empty").Hinted("send {} for the defaults")
		}
		target = &probe.Grpc.Port
		if f := checkText(field+".grpc.service", probe.Grpc.Service, MaxNameBytes); f != nil {
			return f
		}
	default:
		return invalid(field, "says nothing of what to probe").Hinted("send http, tcp, grpc or ttl")
	}
	if *target == 0 {
		*target = uint32(port)
	}
	if *target == 0 || *target > math.MaxUint16 {
		return invalid(field+".port", "there is no port %d", *target).Hinted("use 1 to 65535, or give the instance a port")
	}
	return nil
}

func fillHTTPProbe(field string, probe *gantryv1.HTTPProbe) *fault.Error {
	if probe.Path == "" {
		probe.Path = "/"
	}
	if f := checkName(field+".path", probe.Path, MaxCheckBytes); f != nil {
		return f
	}
	// "//host" would be read as another authority.
	if !strings.HasPrefix(probe.Path, "/") || strings.HasPrefix(probe.Path, "//") {
		return invalid(field+".path", "%s is not a path", quoted(probe.Path)).Hinted("begin with one \"/\"")
	}
	if probe.Method == "" {
		probe.Method = "GET"
	}
	switch probe.Method {
	case "GET", "HEAD", "OPTIONS", "POST", "PUT":
	default:
		return invalid(field+".method", "%s", quoted(probe.Method)).Hinted("use GET, HEAD, OPTIONS, POST or PUT")
	}
	for name, value := range probe.Headers {
		if !isToken(name) || strings.ContainsFunc(value, unicode.IsControl) || !utf8.ValidString(value) {
			return invalid(field+".headers["+quoted(name)+"]", "is not a header").Hinted("use a token for the name and printable text")
		}
	}
	return nil
}

// isToken is RFC 9110, 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}
