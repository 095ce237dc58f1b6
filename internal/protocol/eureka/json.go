package eureka

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/gantry-platform/gantry/internal/fault"
)

// text reads a JSON string, or what some clients write in its place: a number, true, false or null.
type text string

// UnmarshalJSON implements json.Unmarshaler.
func (t *text) UnmarshalJSON(b []byte) error {
	switch b[0] {
	case '"':
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		*t = text(s)
	case '{', '[':
		return fmt.Errorf("want a text, not %q", b[:1])
	case 'n':
	default:
		*t = text(b)
	}
	return nil
}

// number reads a JSON number, or one in quotes, as some clients write it.
type number int64

// UnmarshalJSON implements json.Unmarshaler.
func (n *number) UnmarshalJSON(b []byte) error {
	s := strings.Trim(string(b), `"`)
	if s == "" || s == "null" {
		return nil
	}
	value, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return fmt.Errorf("want a whole number, not %q", cut(s))
	}
	*n = number(value)
	return nil
}

// jsonPort is {"$": 8080, "@enabled": "true"}, or the number by itself.
type jsonPort struct {
	number  *number
	enabled *text
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *jsonPort) UnmarshalJSON(b []byte) error {
	if b[0] != '{' {
		return json.Unmarshal(b, &p.number)
	}
	object := struct {
		Number  *number `json:"$"`
		Enabled *text   `json:"@enabled"`
	}{}
	err := json.Unmarshal(b, &object)
	p.number, p.enabled = object.Number, object.Enabled
	return err
}

func (p *jsonPort) fill(to *port) {
	if p.number != nil {
		to.number = int(*p.number)
	}
	if p.enabled != nil {
		to.enabled = strings.EqualFold(string(*p.enabled), "true")
	}
}

// jsonMap is metadata. Java's class is not part of it, and nothing is no entry.
type jsonMap map[string]*text

func (m jsonMap) strings() map[string]string {
	result := make(map[string]string, len(m))
	for key, value := range m {
		if key != "@class" && value != nil {
			result[key] = string(*value)
		}
	}
	return result
}

// jsonInstance is an instance in JSON. The names match without regard to case, which overriddenStatus needs.
type jsonInstance struct {
	InstanceID           text            `json:"instanceId"`
	HostName             text            `json:"hostName"`
	App                  text            `json:"app"`
	IPAddr               text            `json:"ipAddr"`
	SID                  text            `json:"sid"`
	Status               *text           `json:"status"`
	OverriddenStatus     text            `json:"overriddenStatus"`
	Port                 jsonPort        `json:"port"`
	SecurePort           jsonPort        `json:"securePort"`
	CountryID            *number         `json:"countryId"`
	DataCenterInfo       *jsonDataCenter `json:"dataCenterInfo"`
	LeaseInfo            jsonLease       `json:"leaseInfo"`
	Metadata             jsonMap         `json:"metadata"`
	AppGroupName         text            `json:"appGroupName"`
	HomePageURL          text            `json:"homePageUrl"`
	StatusPageURL        text            `json:"statusPageUrl"`
	HealthCheckURL       text            `json:"healthCheckUrl"`
	SecureHealthCheckURL text            `json:"secureHealthCheckUrl"`
	VIPAddress           text            `json:"vipAddress"`
	SecureVIPAddress     text            `json:"secureVipAddress"`
	ASGName              text            `json:"asgName"`
	Coordinating         text            `json:"isCoordinatingDiscoveryServer"`
	LastDirtyTimestamp   number          `json:"lastDirtyTimestamp"`
}

type jsonDataCenter struct {
	Name     text    `json:"name"`
	Metadata jsonMap `json:"metadata"`
}

type jsonLease struct {
	RenewalInterval number `json:"renewalIntervalInSecs"`
	Duration        number `json:"durationInSecs"`
}

func (j *jsonInstance) info() *info {
	i := newInfo()
	i.instanceID, i.hostName, i.app, i.ipAddr, i.sid = string(j.InstanceID), string(j.HostName), string(j.App), string(j.IPAddr), string(j.SID)
	if j.Status != nil {
		i.status, _ = statusNamed(string(*j.Status))
	}
	i.overridden, _ = statusNamed(string(j.OverriddenStatus))
	j.Port.fill(&i.port)
	j.SecurePort.fill(&i.securePort)
	if j.CountryID != nil {
		i.countryID = int(*j.CountryID)
	}
	if j.DataCenterInfo != nil {
		i.dataCenter = dataCenter{name: string(j.DataCenterInfo.Name), metadata: j.DataCenterInfo.Metadata.strings()}
	}
	i.setLease(int64(j.LeaseInfo.RenewalInterval), int64(j.LeaseInfo.Duration))
	i.metadata = j.Metadata.strings()
	i.appGroup, i.asg, i.coordinating = string(j.AppGroupName), string(j.ASGName), strings.EqualFold(string(j.Coordinating), "true")
	i.homePageURL, i.statusPageURL = string(j.HomePageURL), string(j.StatusPageURL)
	i.healthCheckURL, i.secureHealthCheckURL = string(j.HealthCheckURL), string(j.SecureHealthCheckURL)
	i.vip, i.secureVIP, i.lastDirty = string(j.VIPAddress), string(j.SecureVIPAddress), int64(j.LastDirtyTimestamp)
	return i
}

// setLease takes a lease over, as far as it makes sense; Eureka takes its defaults for the rest.
func (i *info) setLease(renewalInterval, duration int64) {
	const most = 1 << 31
	if renewalInterval > 0 && renewalInterval < most {
		i.lease.renewalInterval = int(renewalInterval)
	}
	if duration > 0 && duration < most {
		i.lease.duration = int(duration)
	}
}

func errBody(err error) *fault.Error {
	return invalid("body", "cannot parse request body: %v", err).Hinted("send an instance in JSON or XML as Eureka's clients do")
}

// decodeRegistration reads an instance in JSON or XML: what begins with "<" is XML, whatever the headers say.
func decodeRegistration(body []byte) (*info, error) {
	if trimmed := bytes.TrimLeft(body, " \t\r\n\ufeff"); len(trimmed) > 0 && trimmed[0] == '<' {
		i, err := decodeXML(trimmed)
		if err != nil {
			return nil, errBody(err)
		}
		return i, nil
	}
	var envelope struct {
		Instance *jsonInstance `json:"instance"`
	}
	if err := json.Unmarshal(body, &envelope); err != nil {
		return nil, errBody(err)
	}
	if envelope.Instance == nil {
		return nil, invalid("instance", "is missing").Hinted(`send {"instance": {...}}`)
	}
	return envelope.Instance.info(), nil
}

func appendJSONString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, err := json.Marshal(s)
			if err != nil {
				return append(b, `""`...) // strings have no error
			}
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// appendJSON writes an instance as Eureka's server does; compact is the short form, for clients that only look for addresses.
func (i *info) appendJSON(b []byte, compact bool) []byte {
	b = append(b, '{')
	text := func(name, value string) {
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = append(b, name...)
		b = append(b, `":`...)
		b = appendJSONString(b, value)
	}
	optional := func(name, value string) {
		if value != "" {
			text(name, value)
		}
	}
	text("instanceId", i.instanceID)
	text("hostName", i.hostName)
	text("app", i.app)
	text("ipAddr", i.ipAddr)
	if i.sid != "na" && i.sid != "unknown" && !compact {
		optional("sid", i.sid)
	}
	text("status", i.status.String())
	if !compact {
		text("overriddenStatus", i.overridden.String())
	}
	b = appendJSONPort(b, "port", i.port)
	b = appendJSONPort(b, "securePort", i.securePort)
	if !compact {
		b = append(b, `,"countryId":`...)
		b = strconv.AppendInt(b, int64(i.countryID), 10)
	}
	b = i.dataCenter.appendJSON(b)
	if !compact {
		b = i.lease.appendJSON(b)
		b = append(b, `,"metadata":`...)
		b = appendJSONMap(b, i.metadata)
		optional("appGroupName", i.appGroup)
		optional("homePageUrl", i.homePageURL)
		optional("statusPageUrl", i.statusPageURL)
		optional("healthCheckUrl", i.healthCheckURL)
		optional("secureHealthCheckUrl", i.secureHealthCheckURL)
	}
	optional("vipAddress", i.vip)
	optional("secureVipAddress", i.secureVIP)
	if !compact {
		text("isCoordinatingDiscoveryServer", strconv.FormatBool(i.coordinating))
	}
	text("lastUpdatedTimestamp", strconv.FormatInt(i.lastUpdated, 10))
	if !compact {
		text("lastDirtyTimestamp", strconv.FormatInt(i.lastDirty, 10))
	}
	optional("actionType", i.action)
	optional("asgName", i.asg)
	return append(b, '}')
}

func appendJSONPort(b []byte, name string, p port) []byte {
	b = append(b, `,"`...)
	b = append(b, name...)
	b = append(b, `":{"$":`...)
	b = strconv.AppendInt(b, int64(p.number), 10)
	b = append(b, `,"@enabled":"`...)
	b = strconv.AppendBool(b, p.enabled)
	return append(b, `"}`...)
}

func (d dataCenter) class() string {
	if d.name == amazon {
		return "com.netflix.appinfo.AmazonInfo"
	}
	return "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo"
}

func (d dataCenter) appendJSON(b []byte) []byte {
	b = append(b, `,"dataCenterInfo":{"@class":`...)
	b = appendJSONString(b, d.class())
	b = append(b, `,"name":`...)
	b = appendJSONString(b, d.name)
	if d.name == amazon {
		b = append(b, `,"metadata":`...)
		b = appendJSONMap(b, d.metadata)
	}
	return append(b, '}')
}

func (l lease) appendJSON(b []byte) []byte {
	b = append(b, `,"leaseInfo":`...)
	separator := byte('{')
	for _, n := range l.numbers() {
		b = append(b, separator)
		separator = ','
		b = appendJSONString(b, n.name)
		b = append(b, ':')
		b = strconv.AppendInt(b, n.value, 10)
	}
	return append(b, '}')
}

type namedNumber struct {
	name  string
	value int64
}

func (l lease) numbers() [6]namedNumber {
	return [...]namedNumber{{"renewalIntervalInSecs", int64(l.renewalInterval)}, {"durationInSecs", int64(l.duration)},
		{"registrationTimestamp", l.registered}, {"lastRenewalTimestamp", l.registered}, {"evictionTimestamp", 0}, {"serviceUpTimestamp", l.up}}
}

func appendJSONMap(b []byte, m map[string]string) []byte {
	if len(m) == 0 {
		return append(b, `{"@class":"java.util.Collections$EmptyMap"}`...)
	}
	separator := byte('{')
	for _, key := range sortedKeys(m) {
		b = append(b, separator)
		separator = ','
		b = appendJSONString(b, key)
		b = append(b, ':')
		b = appendJSONString(b, m[key])
	}
	return append(b, '}')
}
