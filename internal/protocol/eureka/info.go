package eureka

import (
	"cmp"
	"math"
	"net"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// Eureka's defaults for what a registration leaves out.
const (
	defaultPort            = 7001
	defaultSecurePort      = 7002
	defaultRenewalInterval = 30
	defaultDuration        = 90
	defaultCountry         = 1
)

// maxTextBytes bounds each text of a registration but metadata, which has limits of its own.
const maxTextBytes = 2048

// info is an instance in Eureka's words.
type info struct {
	instanceID, hostName, app, ipAddr, sid string
	status, overridden                     status
	port, securePort                       port
	countryID                              int
	dataCenter                             dataCenter
	lease                                  lease
	metadata                               map[string]string
	appGroup                               string
	homePageURL, statusPageURL             string
	healthCheckURL, secureHealthCheckURL   string
	vip, secureVIP, asg                    string
	coordinating                           bool
	// Times are in milliseconds since 1970.
	lastUpdated, lastDirty int64
	action                 string
}

type port struct {
	number  int
	enabled bool
}

// dataCenter has metadata at Amazon only, as Eureka does.
type dataCenter struct {
	name     string
	metadata map[string]string
}

type lease struct {
	renewalInterval, duration int   // seconds
	registered, up            int64 // milliseconds since 1970
}

// newInfo is an empty registration with Eureka's defaults.
func newInfo() *info {
	return &info{status: statusUp, overridden: statusUnknown, countryID: defaultCountry,
		port: port{number: defaultPort, enabled: true}, securePort: port{number: defaultSecurePort},
		lease: lease{renewalInterval: defaultRenewalInterval, duration: defaultDuration}}
}

// status is Eureka's. They stand in the order of their names, which is their order in the hash of applications.
type status uint8

const (
	statusDown status = iota
	statusOutOfService
	statusStarting
	statusUnknown
	statusUp
	statuses // how many there are
)

func (s status) String() string {
	return [statuses]string{"DOWN", "OUT_OF_SERVICE", "STARTING", "UNKNOWN", "UP"}[s]
}

// statusNamed reads a status as Eureka does: case does not matter, and what it does not know is UNKNOWN.
func statusNamed(name string) (s status, known bool) {
	for s := range statuses {
		if strings.EqualFold(s.String(), name) {
			return s, true
		}
	}
	return statusUnknown, false
}

// gantry is the status in our words.
func (s status) gantry() gantryv1.Status {
	switch s {
	case statusUp:
		return gantryv1.Status_STATUS_UP
	case statusStarting:
		return gantryv1.Status_STATUS_STARTING
	case statusOutOfService:
		return gantryv1.Status_STATUS_DRAINING
	default:
		return gantryv1.Status_STATUS_DOWN
	}
}

// statusOf is our status in Eureka's words.
func statusOf(s gantryv1.Status) status {
	switch s {
	case gantryv1.Status_STATUS_UP:
		return statusUp
	case gantryv1.Status_STATUS_STARTING:
		return statusStarting
	case gantryv1.Status_STATUS_DRAINING:
		return statusOutOfService
	case gantryv1.Status_STATUS_DOWN:
		return statusDown
	default:
		return statusUnknown
	}
}

// Names of data centres; Java's clients know no others.
const (
	amazon  = "Amazon"
	netflix = "Netflix"
	myOwn   = "MyOwn"
)

func dataCenterNamed(name string) (string, bool) {
	for _, known := range [...]string{myOwn, amazon, netflix} {
		if strings.EqualFold(known, name) {
			return known, true
		}
	}
	return "", false
}

// id is what the instance is known by.
func (i *info) id() string {
	return cmp.Or(i.instanceID, i.dataCenter.metadata["instance-id"], i.hostName)
}

func invalid(field, format string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, "eureka.invalid", format, args...).At(field)
}

// check refuses what Eureka refuses, in its words, and what would not fit. application is the one that the path names.
func (i *info) check(application string) error {
	for _, required := range [...]struct{ field, value, message string }{
		{"instanceId", i.id(), "Missing instanceId"},
		{"hostName", i.hostName, "Missing hostname"},
		{"ipAddr", i.ipAddr, "Missing ip address"},
		{"app", i.app, "Missing appName"},
		{"dataCenterInfo.name", i.dataCenter.name, "Missing dataCenterInfo Name"},
	} {
		if required.value == "" {
			return invalid(required.field, "%s", required.message).Hinted("send it with the registration")
		}
	}
	if !strings.EqualFold(i.app, application) {
		return invalid("app", "Mismatched appName, expecting %q but was %q", cut(application), cut(i.app)).
			Hinted("send the same name in the path and in the body")
	}
	name, known := dataCenterNamed(i.dataCenter.name)
	if !known {
		return invalid("dataCenterInfo.name", "there is no data centre %q", cut(i.dataCenter.name)).Hinted("use MyOwn, Amazon or Netflix")
	}
	i.dataCenter.name = name
	if name != amazon {
		i.dataCenter.metadata = nil
	}
	return i.checkTexts()
}

func (i *info) checkTexts() error {
	for _, text := range [...]struct{ field, value string }{
		{"instanceId", i.id()}, {"hostName", i.hostName}, {"app", i.app}, {"ipAddr", i.ipAddr}, {"sid", i.sid}, {"appGroupName", i.appGroup},
		{"homePageUrl", i.homePageURL}, {"statusPageUrl", i.statusPageURL}, {"healthCheckUrl", i.healthCheckURL},
		{"secureHealthCheckUrl", i.secureHealthCheckURL}, {"vipAddress", i.vip}, {"secureVipAddress", i.secureVIP}, {"asgName", i.asg},
	} {
		if err := checkText(text.field, text.value); err != nil {
			return err
		}
	}
	for _, p := range [...]struct {
		field string
		port
	}{{"port", i.port}, {"securePort", i.securePort}} {
		if p.number < 0 || p.number > math.MaxUint16 {
			return invalid(p.field, "there is no port %d", p.number).Hinted("use 0 to 65535")
		}
	}
	for key, value := range i.dataCenter.metadata {
		if len(key) > maxTextBytes || len(value) > maxTextBytes || !utf8.ValidString(key) || !utf8.ValidString(value) {
			return invalid("dataCenterInfo.metadata", "an entry is too long or not UTF-8").Hinted("use at most %d bytes", maxTextBytes)
		}
	}
	return nil
}

func checkText(field, text string) error {
	switch {
	case len(text) > maxTextBytes:
		return invalid(field, "a text of %d bytes", len(text)).Hinted("use at most %d bytes", maxTextBytes)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl):
		return invalid(field, "a text that is not UTF-8 or holds control characters").Hinted("send printable text")
	}
	return nil
}

// cut keeps errors readable.
func cut(text string) string {
	const most = 64
	if len(text) > most {
		return text[:most]
	}
	return text
}

// registration is what the registry is told. The info was checked.
func (i *info) registration(service instance.Service) instance.Registration {
	main := i.port
	if !main.enabled && i.securePort.enabled {
		main = i.securePort
	}
	var ports map[string]uint32
	if i.securePort.enabled && i.securePort.number > 0 {
		ports = map[string]uint32{securePortName: uint32(i.securePort.number)}
	}
	ttl := min(max(time.Duration(i.lease.duration)*time.Second, instance.MinTTL), instance.MaxTTL)
	return instance.Registration{Service: service, Protocol: protocol, Instance: &gantryv1.Instance{
		Id: i.id(), Address: i.ipAddr, Port: uint32(main.number), Ports: ports, Labels: edge.Labels(i.metadata), Metadata: i.metadata,
		Status: i.status.gantry(), Ttl: durationpb.New(ttl), RemoveAfter: durationpb.New(ttl), ProtocolData: encodeData(i, service)}}
}

// protocol is the language's name in the registry; securePortName is the named port that a secure port becomes.
const (
	protocol       = "eureka"
	securePortName = "secure"
)

// base begins the addresses of pages that an instance serves itself.
func base(host string, port int) string {
	return "http://" + net.JoinHostPort(host, strconv.Itoa(port))
}
