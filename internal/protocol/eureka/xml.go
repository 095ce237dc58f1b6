package eureka

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"
)

// Bounds of a registration in XML, beside those of the body. An instance is 4 deep.
const (
	maxXMLDepth = 8
	maxXMLNodes = 1024
)

// node is an element of a small document.
type node struct {
	name     string
	enabled  string // its attribute
	text     string // without the space around it
	raw      []byte
	children []*node
}

// parseXML reads a document without document type, and so without entities of its own.
func parseXML(body []byte) (*node, error) {
	decoder := xml.NewDecoder(bytes.NewReader(body))
	root := &node{}
	open := []*node{root}
	for nodes := 0; ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		top := open[len(open)-1]
		switch token := token.(type) {
		case xml.StartElement:
			if nodes++; nodes > maxXMLNodes || len(open) > maxXMLDepth {
				return nil, fmt.Errorf("more than %d elements, or more than %d deep", maxXMLNodes, maxXMLDepth)
			}
			child := &node{name: token.Name.Local}
			for _, attribute := range token.Attr {
				if attribute.Name.Local == "enabled" {
					child.enabled = attribute.Value
				}
			}
			top.children = append(top.children, child)
			open = append(open, child)
		case xml.EndElement:
			top.text = strings.TrimSpace(string(top.raw))
			open = open[:len(open)-1]
		case xml.CharData:
			top.raw = append(top.raw, token...)
		case xml.Directive:
			return nil, errors.New("a document type is not accepted")
		}
	}
	if len(root.children) != 1 {
		return nil, errors.New("want one root element")
	}
	return root.children[0], nil
}

func decodeXML(body []byte) (*info, error) {
	root, err := parseXML(body)
	if err != nil {
		return nil, err
	}
	if !strings.EqualFold(root.name, "instance") && root.name != "com.netflix.appinfo.InstanceInfo" {
		return nil, fmt.Errorf("the root element is %q, not instance", cut(root.name))
	}
	i := newInfo()
	texts := map[string]*string{"instanceId": &i.instanceID, "hostName": &i.hostName, "app": &i.app, "ipAddr": &i.ipAddr, "sid": &i.sid,
		"appGroupName": &i.appGroup, "homePageUrl": &i.homePageURL, "statusPageUrl": &i.statusPageURL, "healthCheckUrl": &i.healthCheckURL,
		"secureHealthCheckUrl": &i.secureHealthCheckURL, "vipAddress": &i.vip, "secureVipAddress": &i.secureVIP, "asgName": &i.asg}
	for _, child := range root.children {
		if to := texts[child.name]; to != nil {
			*to = child.text
		} else if err := i.setXML(child); err != nil {
			return nil, fmt.Errorf("%s: %w", child.name, err)
		}
	}
	return i, nil
}

// setXML takes over what is not plain text. What Eureka does not know is left out.
func (i *info) setXML(n *node) error {
	var err error
	switch n.name {
	case "status":
		i.status, _ = statusNamed(n.text)
	case "overriddenstatus", "overriddenStatus":
		i.overridden, _ = statusNamed(n.text)
	case "port":
		i.port.number, err = n.integer()
		i.port.enabled = n.enabled != "false"
	case "securePort":
		i.securePort.number, err = n.integer()
		i.securePort.enabled = n.enabled == "true"
	case "countryId":
		i.countryID, err = n.integer()
	case "isCoordinatingDiscoveryServer":
		i.coordinating = n.text == "true"
	case "lastDirtyTimestamp":
		if n.text != "" {
			i.lastDirty, err = strconv.ParseInt(n.text, 10, 64)
		}
	case "dataCenterInfo":
		i.dataCenter = dataCenter{name: n.child("name").text, metadata: n.child("metadata").entries()}
	case "leaseInfo":
		var renewal, duration int
		renewal, err = n.child("renewalIntervalInSecs").integer()
		if err == nil {
			duration, err = n.child("durationInSecs").integer()
		}
		i.setLease(int64(renewal), int64(duration))
	case "metadata":
		i.metadata = n.entries()
	}
	return err
}

// child returns a child, or an empty node.
func (n *node) child(name string) *node {
	for _, child := range n.children {
		if child.name == name {
			return child
		}
	}
	return &node{}
}

func (n *node) integer() (int, error) {
	if n.text == "" {
		return 0, nil
	}
	value, err := strconv.ParseInt(n.text, 10, 32)
	return int(value), err
}

func (n *node) entries() map[string]string {
	entries := make(map[string]string, len(n.children))
	for _, child := range n.children {
		entries[decodeName(child.name)] = child.text
	}
	return entries
}

// Keys of metadata are names of elements in XML. Eureka writes them as XStream does
// (https://x-stream.github.io/javadoc/com/thoughtworks/xstream/io/xml/XmlFriendlyNameCoder.html): "_" is "__", "$" is "_-", and what no name can hold is "_." and
// four hexadecimal digits of its UTF-16 code.
func appendName(b []byte, key string) []byte {
	for n, r := range key {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		switch {
		case r == '_':
			b = append(b, "__"...)
		case r == '$':
			b = append(b, "_-"...)
		case letter, n > 0 && (r >= '0' && r <= '9' || r == '.' || r == '-'):
			b = append(b, byte(r))
		default:
			for _, unit := range utf16.Encode([]rune{r}) {
				b = fmt.Appendf(b, "_.%04x", unit)
			}
		}
	}
	return b
}

func decodeName(name string) string {
	if !strings.Contains(name, "_") {
		return name
	}
	var units []uint16
	for at := 0; at < len(name); {
		rest := name[at:]
		switch {
		case strings.HasPrefix(rest, "__"):
			units, at = append(units, '_'), at+2
			continue
		case strings.HasPrefix(rest, "_-"):
			units, at = append(units, '$'), at+2
			continue
		case strings.HasPrefix(rest, "_.") && len(rest) >= 6:
			if unit, err := strconv.ParseUint(rest[2:6], 16, 16); err == nil {
				units, at = append(units, uint16(unit)), at+6
				continue
			}
		}
		for _, r := range rest {
			units = utf16.AppendRune(units, r)
			at += len(string(r))
			break
		}
	}
	return string(utf16.Decode(units))
}

func appendXMLText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '<' || c == '>' || c == '&' || c == '"' || c == '\'' {
			var escaped bytes.Buffer
			_ = xml.EscapeText(&escaped, []byte(s)) // a buffer takes everything
			return append(b, escaped.Bytes()...)
		}
	}
	return append(b, s...)
}

func appendElement(b []byte, name, value string) []byte {
	b = append(b, '<')
	b = append(b, name...)
	b = append(b, '>')
	b = appendXMLText(b, value)
	b = append(b, "</"...)
	b = append(b, name...)
	return append(b, '>')
}

// appendXML writes an instance as Eureka's server does.
func (i *info) appendXML(b []byte, compact bool) []byte {
	text := func(name, value string) { b = appendElement(b, name, value) }
	optional := func(name, value string) {
		if value != "" {
			text(name, value)
		}
	}
	b = append(b, "<instance>"...)
	text("instanceId", i.instanceID)
	text("hostName", i.hostName)
	text("app", i.app)
	text("ipAddr", i.ipAddr)
	if i.sid != "na" && i.sid != "unknown" && !compact {
		optional("sid", i.sid)
	}
	text("status", i.status.String())
	if !compact {
		text("overriddenstatus", i.overridden.String())
	}
	b = appendXMLPort(b, "port", i.port)
	b = appendXMLPort(b, "securePort", i.securePort)
	if !compact {
		text("countryId", strconv.Itoa(i.countryID))
	}
	b = i.dataCenter.appendXML(b)
	if !compact {
		b = append(b, "<leaseInfo>"...)
		for _, n := range i.lease.numbers() {
			text(n.name, strconv.FormatInt(n.value, 10))
		}
		b = append(b, "</leaseInfo>"...)
		b = appendXMLMap(b, i.metadata)
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
	return append(b, "</instance>"...)
}

func appendXMLPort(b []byte, name string, p port) []byte {
	return fmt.Appendf(b, `<%s enabled="%t">%d</%s>`, name, p.enabled, p.number, name)
}

func (d dataCenter) appendXML(b []byte) []byte {
	b = append(b, `<dataCenterInfo class="`...)
	b = append(b, d.class()...)
	b = append(b, `">`...)
	b = appendElement(b, "name", d.name)
	if d.name == amazon {
		b = appendXMLMap(b, d.metadata)
	}
	return append(b, "</dataCenterInfo>"...)
}

func appendXMLMap(b []byte, m map[string]string) []byte {
	if len(m) == 0 {
		return append(b, `<metadata class="java.util.Collections$EmptyMap"/>`...)
	}
	b = append(b, "<metadata>"...)
	for _, key := range sortedKeys(m) {
		if key != "" { // no element can stand for it
			b = appendElement(b, string(appendName(nil, key)), m[key])
		}
	}
	return append(b, "</metadata>"...)
}
