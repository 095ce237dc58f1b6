package red

import (
	"strings"
	"unicode/utf8"
)

const (
	// maxEndpointBytes and maxNameBytes bound a label's value. Longer names are cut.
	maxEndpointBytes = 200
	maxNameBytes     = 128
	// other is where the excess over a limit is counted.
	other = "(other)"
)

// placeholder stands for what looks like an id in a path.
const placeholder = "{id}"

// appendEndpoint writes what an entry is called: method and route of HTTP, service and method of RPC, otherwise the span's name, in which ids are
// replaced where it has a path.
func appendEndpoint(to []byte, c *call, name string) []byte {
	start := len(to)
	switch {
	case c.route != "":
		if c.method != "" {
			to = append(append(to, c.method...), ' ')
		}
		to = append(to, c.route...)
	case c.rpcMethod != "":
		// The conventions of 2026 write the service into the method.
		if c.rpcService != "" && strings.IndexByte(c.rpcMethod, '/') < 0 {
			to = append(append(to, c.rpcService...), '/')
		}
		to = append(to, c.rpcMethod...)
	default:
		to = appendCollapsed(to, name)
	}
	if len(to) == start {
		to = append(to, "(unnamed)"...)
	}
	if len(to)-start > maxEndpointBytes || !utf8.Valid(to[start:]) {
		to = append(to[:start], clean(string(to[start:]), maxEndpointBytes)...)
	}
	return to
}

// clean makes a label's value of a text: valid UTF-8, bounded. A text that is one already is answered as it is.
func clean(text string, most int) string {
	if len(text) <= most && utf8.ValidString(text) {
		return text
	}
	if len(text) > most {
		text = text[:most]
		// Half a rune at the cut is left out rather than shown as broken.
		for i := 0; i < utf8.UTFMax-1 && len(text) > 0; i++ {
			if r, size := utf8.DecodeLastRuneInString(text); r != utf8.RuneError || size != 1 {
				break
			}
			text = text[:len(text)-1]
		}
	}
	const replacement = "?"
	return strings.ToValidUTF8(text, replacement)
}

// appendCollapsed writes a span's name with the ids of its path replaced, and without a query. A name without a slash is written as it is.
func appendCollapsed(to []byte, name string) []byte {
	slash := strings.IndexByte(name, '/')
	if slash < 0 {
		return append(to, name...)
	}
	// What stands before the path is a method or a scheme and host.
	if i := strings.Index(name, "://"); i >= 0 {
		if j := strings.IndexByte(name[i+3:], '/'); j >= 0 {
			slash = i + 3 + j
		} else {
			return append(to, name...)
		}
	}
	to = append(to, name[:slash]...)
	path := name[slash:]
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		path = path[:i]
	}
	for len(path) > 0 {
		to = append(to, '/')
		path = path[1:]
		segment := path
		if i := strings.IndexByte(path, '/'); i >= 0 {
			segment = path[:i]
		}
		path = path[len(segment):]
		if isIdentifier(segment) {
			to = append(to, placeholder...)
		} else {
			to = append(to, segment...)
		}
	}
	return to
}

// isIdentifier tells a segment of a path that names one of many: a number, a UUID or another run of hexadecimal digits, an address of mail, or a
// long mixture of letters and digits.
func isIdentifier(segment string) bool {
	digits, hexadecimal, letters, others := 0, 0, 0, 0
	for i := 0; i < len(segment); i++ {
		switch c := segment[i]; {
		case c >= '0' && c <= '9':
			digits++
		case c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F':
			hexadecimal++
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			letters++
		case c == '-' || c == '_':
		case c == '@':
			return true
		default:
			others++
		}
	}
	switch {
	case digits == 0 || others > 0:
		return false
	case hexadecimal+letters == 0:
		return true // nothing but digits, perhaps with dashes
	case letters == 0:
		return digits+hexadecimal >= 8
	default:
		const long, share = 12, 4
		return len(segment) >= long && digits >= len(segment)/share
	}
}
