package eureka

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"

	"github.com/gantry-platform/gantry/internal/instance"
)

// What Eureka alone knows of an instance is kept in bytes, because every node holds them in memory: a version, the numbers, and
// then texts, each with a tag and its length. Texts that repeat what the instance says anyway are abbreviated.
const dataVersion = 1

// Flags of an instance.
const (
	flagPort = 1 << iota // enabled
	flagSecurePort
	flagUnknown // it says of itself that its status is UNKNOWN
	flagCoordinating
)

// Tags of texts. Their numbers are stored.
const (
	tagHostName = iota + 1
	tagSID
	tagAppGroup
	tagHomePage
	tagStatusPage
	tagHealthCheck
	tagSecureHealthCheck
	tagVIP
	tagSecureVIP
	tagASG
	tagDataCenter
	tagDataCenterKey
	tagDataCenterValue
)

// Abbreviations: first bytes that no text of a registration begins with.
const (
	abbreviatedBase = '\x01' // http://<hostName>:<port>, before the rest
	abbreviatedSame = '\x02' // the address as host name, the service as vipAddress
)

func encodeData(i *info, service instance.Service) []byte {
	b := append(make([]byte, 0, 128), dataVersion)
	b = binary.AppendVarint(b, i.lastDirty)
	var flags byte
	for _, f := range [...]struct {
		set  bool
		flag byte
	}{{i.port.enabled, flagPort}, {i.securePort.enabled, flagSecurePort}, {i.status == statusUnknown, flagUnknown}, {i.coordinating, flagCoordinating}} {
		if f.set {
			flags |= f.flag
		}
	}
	b = append(b, flags)
	for _, number := range [...]int{i.port.number, i.securePort.number, i.countryID, i.lease.renewalInterval, i.lease.duration} {
		b = binary.AppendVarint(b, int64(number))
	}
	text := func(tag byte, value string) {
		if value != "" {
			b = append(b, tag)
			b = binary.AppendUvarint(b, uint64(len(value)))
			b = append(b, value...)
		}
	}
	same := func(value, as string) string {
		if value == as {
			return string(abbreviatedSame)
		}
		return value
	}
	prefix := base(i.hostName, i.port.number)
	shortened := func(url string) string {
		if rest, ok := strings.CutPrefix(url, prefix); ok {
			return string(abbreviatedBase) + rest
		}
		return url
	}
	text(tagHostName, same(i.hostName, i.ipAddr))
	text(tagSID, i.sid)
	text(tagAppGroup, i.appGroup)
	text(tagHomePage, shortened(i.homePageURL))
	text(tagStatusPage, shortened(i.statusPageURL))
	text(tagHealthCheck, shortened(i.healthCheckURL))
	text(tagSecureHealthCheck, i.secureHealthCheckURL)
	text(tagVIP, same(i.vip, service.Name))
	text(tagSecureVIP, same(i.secureVIP, service.Name))
	text(tagASG, i.asg)
	if i.dataCenter.name != myOwn {
		text(tagDataCenter, i.dataCenter.name)
	}
	for _, key := range sortedKeys(i.dataCenter.metadata) {
		b = append(b, tagDataCenterKey)
		b = binary.AppendUvarint(b, uint64(len(key)))
		b = append(b, key...)
		b = append(b, tagDataCenterValue)
		b = binary.AppendUvarint(b, uint64(len(i.dataCenter.metadata[key])))
		b = append(b, i.dataCenter.metadata[key]...)
	}
	return b
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

var errData = errors.New("eureka: protocol data that cannot be read")

// lastDirtyOf is the registrant's time of its last change; false when no Eureka client registered the instance.
func lastDirtyOf(i *instance.Instance) (int64, bool) {
	if i.Protocol != protocol {
		return 0, false
	}
	r := &reader{rest: i.ProtocolData}
	r.begin()
	dirty := r.number()
	return dirty, r.err == nil
}

// decodeData fills in what encodeData kept. host and vip are what the abbreviations stand for. Unknown tags, as a newer node may
// write them, are left out.
func decodeData(i *info, data, address, vip string) error {
	r := &reader{rest: data}
	r.begin()
	i.lastDirty = r.number()
	flags := r.byte()
	i.port.enabled, i.securePort.enabled = flags&flagPort != 0, flags&flagSecurePort != 0
	i.coordinating = flags&flagCoordinating != 0
	if flags&flagUnknown != 0 && i.status == statusDown {
		i.status = statusUnknown
	}
	i.port.number, i.securePort.number, i.countryID = int(r.number()), int(r.number()), int(r.number())
	i.lease.renewalInterval, i.lease.duration = int(r.number()), int(r.number())
	i.dataCenter.name, i.vip = myOwn, ""
	key := ""
	for r.err == nil && r.rest != "" {
		tag, text := r.byte(), r.text()
		if r.err != nil {
			break
		}
		switch tag {
		case tagDataCenterKey:
			key = text
		case tagDataCenterValue:
			if i.dataCenter.metadata == nil {
				i.dataCenter.metadata = make(map[string]string)
			}
			i.dataCenter.metadata[key] = text
		default:
			i.fill(tag, text, address, vip)
		}
	}
	return r.err
}

func (i *info) fill(tag byte, text, address, vip string) {
	expanded := func(same string) string {
		switch {
		case text == string(abbreviatedSame):
			return same
		case text != "" && text[0] == abbreviatedBase:
			return base(i.hostName, i.port.number) + text[1:]
		default:
			return text
		}
	}
	switch tag {
	case tagHostName:
		i.hostName = expanded(address)
	case tagSID:
		i.sid = text
	case tagAppGroup:
		i.appGroup = text
	case tagHomePage:
		i.homePageURL = expanded("")
	case tagStatusPage:
		i.statusPageURL = expanded("")
	case tagHealthCheck:
		i.healthCheckURL = expanded("")
	case tagSecureHealthCheck:
		i.secureHealthCheckURL = text
	case tagVIP:
		i.vip = expanded(vip)
	case tagSecureVIP:
		i.secureVIP = expanded(vip)
	case tagASG:
		i.asg = text
	case tagDataCenter:
		i.dataCenter.name = text
	}
}

// reader reads data; after an error it reads zeros.
type reader struct {
	rest string
	err  error
}

func (r *reader) begin() {
	if r.byte() != dataVersion {
		r.fail()
	}
}

func (r *reader) fail() { r.rest, r.err = "", errData }

func (r *reader) byte() byte {
	if r.rest == "" {
		r.fail()
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *reader) unsigned() uint64 {
	var value uint64
	for shift := 0; shift < 64; shift += 7 {
		b := r.byte()
		value |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return value
		}
	}
	r.fail()
	return 0
}

func (r *reader) number() int64 {
	value := r.unsigned()
	return int64(value>>1) ^ -int64(value&1)
}

func (r *reader) text() string {
	n := r.unsigned()
	if n > uint64(len(r.rest)) {
		r.fail()
		return ""
	}
	text := r.rest[:n]
	r.rest = r.rest[n:]
	return text
}
