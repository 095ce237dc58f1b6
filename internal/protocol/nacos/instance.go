package nacos

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// Keys of metadata by which an instance says how it lives, in milliseconds, and Nacos's defaults.
const (
	beatIntervalKey  = "preserved.heart.beat.interval"
	beatTimeoutKey   = "preserved.heart.beat.timeout"
	deleteTimeoutKey = "preserved.ip.delete.timeout"

	defaultBeatInterval  = 5 * time.Second
	defaultBeatTimeout   = 15 * time.Second
	defaultDeleteTimeout = 30 * time.Second
)

// metadata is a JSON object of text. Like Nacos it takes numbers and booleans for their text.
type metadata map[string]string

// UnmarshalJSON implements json.Unmarshaler.
func (m *metadata) UnmarshalJSON(data []byte) error {
	if plain, ok := parsePlain(data); ok {
		*m = plain
		return nil
	}
	var text map[string]string
	if json.Unmarshal(data, &text) == nil {
		*m = text
		return nil
	}
	var mixed map[string]json.RawMessage
	if err := json.Unmarshal(data, &mixed); err != nil {
		return err
	}
	*m = make(metadata, len(mixed))
	for key, value := range mixed {
		var text string
		switch c := value[0]; {
		case c == '{' || c == '[':
			return fmt.Errorf("the value of %s is neither text nor a number", quoted(key))
		case c != '"':
			text = string(value)
		default:
			if err := json.Unmarshal(value, &text); err != nil {
				return err
			}
		}
		(*m)[key] = text
	}
	return nil
}

// parsePlain reads an object of text without escapes, which metadata nearly always is; ok is false for whatever else there is.
func parsePlain(data []byte) (plain map[string]string, ok bool) {
	skip := func() {
		for len(data) > 0 && (data[0] == ' ' || data[0] == '\t' || data[0] == '\n' || data[0] == '\r') {
			data = data[1:]
		}
	}
	take := func(c byte) bool {
		if skip(); len(data) == 0 || data[0] != c {
			return false
		}
		data = data[1:]
		return true
	}
	text := func() (string, bool) {
		if !take('"') {
			return "", false
		}
		for n, c := range data {
			switch {
			case c == '"':
				found := string(data[:n])
				data = data[n+1:]
				return found, true
			case c == '\\' || c < ' ' || c >= utf8.RuneSelf:
				return "", false
			}
		}
		return "", false
	}
	if !take('{') {
		return nil, false
	}
	plain = make(map[string]string, 4)
	end := func() bool {
		closed := take('}')
		skip()
		return closed && len(data) == 0
	}
	if end() {
		return plain, true
	}
	for {
		key, good := text()
		if !good || !take(':') {
			return nil, false
		}
		value, good := text()
		if !good {
			return nil, false
		}
		plain[key] = value
		if take(',') {
			continue
		}
		return plain, end()
	}
}

// Instance is an instance in Nacos's words, as its clients send it. What is not said has Nacos's defaults: see [newInstance].
type Instance struct {
	InstanceID  string   `json:"instanceId"`
	IP          string   `json:"ip"`
	Port        int      `json:"port"`
	Weight      float64  `json:"weight"`
	Healthy     bool     `json:"healthy"`
	Enabled     bool     `json:"enabled"`
	Ephemeral   bool     `json:"ephemeral"`
	ClusterName string   `json:"clusterName"`
	ServiceName string   `json:"serviceName"`
	Metadata    metadata `json:"metadata"`
}

// newInstance has Nacos's defaults.
func newInstance() Instance {
	return Instance{Weight: 1, Healthy: true, Enabled: true, Ephemeral: true}
}

// UnmarshalJSON implements json.Unmarshaler.
func (i *Instance) UnmarshalJSON(data []byte) error {
	type plain Instance
	filled := plain(newInstance())
	if err := json.Unmarshal(data, &filled); err != nil {
		return err
	}
	*i = Instance(filled)
	return nil
}

// normal fills the cluster, and takes the brackets off an IPv6 address.
func (i *Instance) normal() {
	if i.ClusterName == "" {
		i.ClusterName = defaultCluster
	}
	i.IP = strings.TrimSuffix(strings.TrimPrefix(i.IP, "["), "]")
}

// id is what the instance registers under.
func (i *Instance) id(service instance.Service) string {
	if i.InstanceID != "" {
		return i.InstanceID
	}
	return string(appendInstanceID(nil, i.IP, i.Port, i.ClusterName, service))
}

// registration is what an instance says of itself, in the registry's words. checks are for a persistent one; see [API.checksOf].
func (i *Instance) registration(service instance.Service, checks []*gantryv1.Check) (instance.Registration, error) {
	i.normal()
	if err := i.check(); err != nil {
		return instance.Registration{}, err
	}
	message := &gantryv1.Instance{Id: i.id(service), Address: i.IP, Port: uint32(i.Port), Weight: &i.Weight, Labels: edge.Labels(i.Metadata),
		Metadata: i.Metadata, Persistent: !i.Ephemeral, Status: statusOf(i.Enabled)}
	if i.ClusterName != defaultCluster {
		if message.Labels == nil {
			message.Labels = make(map[string]string, 1)
		}
		message.Labels[clusterLabel] = i.ClusterName
	}
	if i.Ephemeral {
		_, ttl, removal := lifeOf(i.Metadata)
		message.Ttl, message.RemoveAfter = durationpb.New(ttl), durationpb.New(removal)
	} else {
		message.Checks = checks
	}
	return instance.Registration{Service: service, Instance: message, Protocol: protocol}, nil
}

func statusOf(enabled bool) gantryv1.Status {
	if enabled {
		return gantryv1.Status_STATUS_UP
	}
	return gantryv1.Status_STATUS_DOWN
}

// check refuses what Nacos refuses and the registry would not.
func (i *Instance) check() error {
	if i.IP == "" {
		return missing("ip")
	}
	if i.Port < 0 || i.Port > math.MaxUint16 {
		return invalid("port", "there is no port %d", i.Port).Hinted("use 0 to 65535")
	}
	if !isClusterName(i.ClusterName) {
		return invalid("clusterName", "Instance 'clusterName' should be characters with only 0-9a-zA-Z-. (current: %s)", quoted(i.ClusterName))
	}
	if interval, _, _ := lifeOf(i.Metadata); i.Ephemeral {
		timeout, removal := millis(i.Metadata, beatTimeoutKey, defaultBeatTimeout), millis(i.Metadata, deleteTimeoutKey, defaultDeleteTimeout)
		if timeout < interval || removal < interval {
			return invalid("metadata", "Instance 'heart beat interval' must less than 'heart beat timeout' and 'ip delete timeout'.")
		}
	}
	return nil
}

// maxClusterName bounds a cluster's name, which stands in the instance's id.
const maxClusterName = 128

func isClusterName(name string) bool {
	for n := range len(name) {
		c := name[n]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return name != "" && len(name) <= maxClusterName
}

// lifeOf reads how an instance says that it lives: how often it beats, after which silence it is unhealthy, and after which it goes.
// The latter two are within what the registry takes.
func lifeOf(metadata map[string]string) (interval, ttl, removal time.Duration) {
	interval = millis(metadata, beatIntervalKey, defaultBeatInterval)
	ttl = min(max(millis(metadata, beatTimeoutKey, defaultBeatTimeout), instance.MinTTL), instance.MaxTTL)
	removal = min(max(millis(metadata, deleteTimeoutKey, defaultDeleteTimeout), ttl), instance.MaxRemoveAfter)
	return interval, ttl, removal
}

// millis reads a time of the metadata. What is no positive number is the default, as in Nacos.
func millis(metadata map[string]string, key string, byDefault time.Duration) time.Duration {
	text, found := metadata[key]
	if !found {
		return byDefault
	}
	value, err := strconv.ParseInt(text, 10, 64)
	if err != nil || value <= 0 {
		return byDefault
	}
	return time.Duration(min(value, int64(24*time.Hour/time.Millisecond))) * time.Millisecond
}

// checkInterval is how often a persistent instance's port is tried, about as often as Nacos does.
const checkInterval = 5 * time.Second

// checkerNone is the health checker that checks nothing.
const checkerNone = "NONE"

// checkerKey names the metadata of a service's settings that keeps the health checker of a cluster.
func checkerKey(cluster string) string { return "nacos.checker." + cluster }

// checksOf are the checks of a persistent instance of a service's cluster: of its TCP port, unless the cluster's checker is NONE or HTTP. snapshot may be nil.
func checksOf(snapshot *instance.Snapshot, cluster string) []*gantryv1.Check {
	check := &gantryv1.Check{Interval: durationpb.New(checkInterval), Probe: &gantryv1.Check_Tcp{Tcp: &gantryv1.TCPProbe{}}}
	if snapshot != nil {
		if kept := snapshot.Settings.GetMetadata()[checkerKey(cluster)]; kept != "" {
			var c checker
			if json.Unmarshal([]byte(kept), &c) == nil {
				return c.checks(check)
			}
		}
	}
	return []*gantryv1.Check{check}
}

// checker is the health checker of a cluster.
type checker struct {
	Type string `json:"type"`
	// Path is for HTTP.
	Path string `json:"path,omitempty"`
	// CheckPort is 0 for the instance's own.
	CheckPort uint32 `json:"checkPort,omitempty"`
}

func (c checker) checks(tcp *gantryv1.Check) []*gantryv1.Check {
	switch strings.ToUpper(c.Type) {
	case checkerNone:
		return nil
	case "HTTP":
		tcp.Probe = &gantryv1.Check_Http{Http: &gantryv1.HTTPProbe{Path: c.Path, Port: c.CheckPort}}
	default:
		tcp.Probe = &gantryv1.Check_Tcp{Tcp: &gantryv1.TCPProbe{Port: c.CheckPort}}
	}
	return []*gantryv1.Check{tcp}
}

// clusterOf is the cluster that an instance of any protocol is in.
func clusterOf(i *instance.Instance) string {
	if cluster := i.Labels.Get(clusterLabel); cluster != "" {
		return cluster
	}
	return defaultCluster
}

// find returns the instance that Nacos means by address, port and cluster, or nil: the one of Nacos's own id, or the one whose client chose its id.
func find(snapshot *instance.Snapshot, ip string, port int, cluster string) *instance.Instance {
	if snapshot == nil {
		return nil
	}
	var room [256]byte
	if i := snapshot.Instance(string(appendInstanceID(room[:0], ip, port, cluster, snapshot.Service))); i != nil {
		return i
	}
	for _, i := range snapshot.Instances {
		if int(i.Port) == port && i.Address == ip && clusterOf(i) == cluster {
			return i
		}
	}
	return nil
}
