package wire

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gantry-platform/gantry/internal/signal"
)

// Assemble makes an ExportTraceServiceRequest of some spans of raw, in the order of places, by copying their bytes. Places of one group should stand together.
func Assemble(raw []byte, groups []signal.Group, places []signal.Place) []byte {
	var out []byte
	for len(places) > 0 {
		group := groups[places[0].Group]
		count, size := 0, 0
		for count < len(places) && places[count].Group == places[0].Group {
			size += sized(int(places[count].End - places[count].At))
			count++
		}
		scope, resource := raw[group.ScopeAt:group.ScopeEnd], raw[group.ResourceAt:group.ResourceEnd]
		scopeSpans := sized(len(scope)) + size
		out = header(out, 1, sized(len(resource))+sized(scopeSpans))
		out = append(header(out, 1, len(resource)), resource...)
		out = header(out, 2, scopeSpans)
		out = append(header(out, 1, len(scope)), scope...)
		for _, p := range places[:count] {
			out = append(header(out, 2, int(p.End-p.At)), raw[p.At:p.End]...)
		}
		places = places[count:]
	}
	return out
}

// sized is the size of a field with a number below 16 that holds length bytes.
func sized(length int) int { return 1 + protowire.SizeBytes(length) }

func header(to []byte, number protowire.Number, length int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(to, number, protowire.BytesType), uint64(length))
}
