package state

import (
	"fmt"
	"net/url"
	"strings"
)

// Key joins parts into a key. Each part is escaped, so that it may hold "/" itself.
func Key(parts ...string) string {
	var b strings.Builder
	size := 1 // for the "/" of Prefix too
	for _, part := range parts {
		size += len(part) + 1
	}
	b.Grow(size)
	for i, part := range parts {
		if i > 0 {
			b.WriteByte('/')
		}
		writeEscaped(&b, part)
	}
	return b.String()
}

// Prefix is [Key] with a closing "/": what all keys below those parts begin with. Without parts it is
// empty, which is the prefix of everything.
func Prefix(parts ...string) string {
	if len(parts) == 0 {
		return ""
	}
	return Key(parts...) + "/"
}

// Split undoes [Key].
func Split(key string) ([]string, error) {
	parts := strings.Split(key, "/")
	for i, part := range parts {
		if !strings.Contains(part, "%") {
			continue
		}
		plain, err := url.PathUnescape(part)
		if err != nil {
			return nil, fmt.Errorf("state: key %q: %w", key, err)
		}
		parts[i] = plain
	}
	return parts, nil
}

// writeEscaped escapes what would break a path ("/", "%") and control characters; the rest stays
// readable for whoever looks with etcdctl.
func writeEscaped(b *strings.Builder, part string) {
	const hex = "0123456789ABCDEF"
	for i := range len(part) {
		c := part[i]
		if c == '/' || c == '%' || c < 0x20 || c == 0x7f {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
			continue
		}
		b.WriteByte(c)
	}
}

// end is the smallest key behind all that begin with prefix, as etcd wants range ends.
func end(prefix string) string {
	b := []byte(prefix)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] < 0xff {
			b[i]++
			return string(b[:i+1])
		}
	}
	return "\x00"
}
