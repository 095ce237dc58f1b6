package nacos

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gantry-platform/gantry/internal/instance"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// selection says which instances of a service are wanted. Its comparable part is the key of the form that is made once per change.
type selection struct {
	// healthyOnly leaves out the unhealthy.
	healthyOnly bool
	// disabled takes also those that are not enabled.
	disabled bool
}

// hosts are instances of a service as JSON. They are shared: nobody changes them.
type hosts struct {
	// array is the JSON array.
	array []byte
	count int
	// protected: nothing else is left, so instances that are lost read as healthy.
	protected bool
}

// hostsOf writes instances of a service; snapshot may be nil. The selection of all clusters is made once per change, and of
// named ones, which a client can choose at will, at each call.
func hostsOf(snapshot *instance.Snapshot, clusters string, s selection) *hosts {
	if snapshot == nil {
		return &hosts{array: []byte("[]")}
	}
	if clusters == "" {
		return snapshot.Form(s, func() any { return s.encode(snapshot, "") }).(*hosts)
	}
	return s.encode(snapshot, clusters)
}

func (s selection) encode(snapshot *instance.Snapshot, clusters string) *hosts {
	h := &hosts{}
	if available := snapshot.Available(); len(available) > 0 && !available[0].Available() {
		h.protected = true
	}
	grouped := groupedName(snapshot.Service)
	size := 2
	if clusters == "" {
		size += len(snapshot.Instances) * 320
	}
	h.array = append(make([]byte, 0, size), '[')
	for _, i := range snapshot.Instances {
		healthy := isHealthy(i, h.protected)
		if s.healthyOnly && !healthy || !s.disabled && !isEnabled(i) || clusters != "" && !inClusters(clusters, clusterOf(i)) {
			continue
		}
		if h.count++; h.count > 1 {
			h.array = append(h.array, ',')
		}
		h.array = appendHost(h.array, i, grouped, healthy)
	}
	h.array = append(h.array, ']')
	return h
}

func isHealthy(i *instance.Instance, protected bool) bool {
	return i.Health != gantryv1.Health_HEALTH_UNHEALTHY || protected && i.Protected
}

func isEnabled(i *instance.Instance) bool { return i.EffectiveStatus() == gantryv1.Status_STATUS_UP }

// inClusters reports whether a cluster is in a list divided by commas.
func inClusters(list, cluster string) bool {
	for name := range strings.SplitSeq(list, ",") {
		if name == cluster {
			return true
		}
	}
	return false
}

// appendHost writes one instance.
func appendHost(b []byte, i *instance.Instance, grouped string, healthy bool) []byte {
	b = appendString(append(b, `{"instanceId":`...), i.ID)
	b = appendString(append(b, `,"ip":`...), i.Address)
	b = strconv.AppendUint(append(b, `,"port":`...), uint64(i.Port), 10)
	b = appendFloat(append(b, `,"weight":`...), i.EffectiveWeight())
	b = strconv.AppendBool(append(b, `,"healthy":`...), healthy)
	b = strconv.AppendBool(append(b, `,"enabled":`...), isEnabled(i))
	b = strconv.AppendBool(append(b, `,"ephemeral":`...), !i.Persistent)
	b = appendString(append(b, `,"clusterName":`...), clusterOf(i))
	b = appendString(append(b, `,"serviceName":`...), grouped)
	b = appendMetadata(append(b, `,"metadata":`...), i)
	b = strconv.AppendBool(append(b, `,"valid":`...), healthy)
	return append(b, '}')
}

// appendMetadata writes what edge.Metadata says, without the cluster, which has a field of its own.
func appendMetadata(b []byte, i *instance.Instance) []byte {
	b = append(b, '{')
	first := len(b)
	entry := func(label instance.Label) {
		if len(b) > first {
			b = append(b, ',')
		}
		b = appendString(append(appendString(b, label.Key), ':'), label.Value)
	}
	for _, label := range i.Metadata {
		entry(label)
	}
	for _, label := range i.Labels {
		if _, known := i.Metadata.Lookup(label.Key); !known && label.Key != clusterLabel {
			entry(label)
		}
	}
	return append(b, '}')
}

// Times after which a client asks again, in milliseconds: as Nacos has them for clients that get pushes and for those that do not.
const (
	cachePushed = 10_000
	cachePolled = 3_000
)

// serviceInfo is the answer to who wants a service's instances.
type serviceInfo struct {
	// name is "service" by gRPC and "group@@service" by HTTP.
	name, groupName, clusters string
	cacheMillis               int64
	// lastRefTime orders the answers for the client, which drops an older one than it has. Milliseconds.
	lastRefTime int64
	hosts       *hosts
}

// append writes the answer as JSON.
func (s *serviceInfo) append(b []byte) []byte {
	return s.appendEnd(append(s.appendBegin(b), s.hosts.array...))
}

// appendBegin and appendEnd write what stands before and after the instances, for who has a place to write them to without a copy.
func (s *serviceInfo) appendBegin(b []byte) []byte {
	b = appendString(append(b, `{"name":`...), s.name)
	b = appendString(append(b, `,"groupName":`...), s.groupName)
	b = appendString(append(b, `,"clusters":`...), s.clusters)
	b = strconv.AppendInt(append(b, `,"cacheMillis":`...), s.cacheMillis, 10)
	return append(b, `,"hosts":`...)
}

func (s *serviceInfo) appendEnd(b []byte) []byte {
	b = strconv.AppendInt(append(b, `,"lastRefTime":`...), s.lastRefTime, 10)
	b = strconv.AppendBool(append(b, `,"checksum":"","allIPs":false,"reachProtectionThreshold":`...), s.hosts.protected)
	return append(b, `,"valid":true}`...)
}

func appendFloat(b []byte, f float64) []byte {
	b = strconv.AppendFloat(b, f, 'f', -1, 64)
	if f == float64(int64(f)) {
		b = append(b, ".0"...) // as Java writes it
	}
	return b
}

const hexDigits = "0123456789abcdef"

// appendString writes a JSON string. What is not UTF-8 becomes U+FFFD.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for n := 0; n < len(s); {
		c := s[n]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[n:])
			if r == utf8.RuneError && size == 1 {
				b = append(append(b, s[from:n]...), `\ufffd`...)
				from = n + 1
			}
			n += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			n++
			continue
		}
		b = append(b, s[from:n]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		n++
		from = n
	}
	return append(append(b, s[from:]...), '"')
}
