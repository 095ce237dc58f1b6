package wire

import "google.golang.org/protobuf/encoding/protowire"

// The fields of spans mostly have tags, lengths and numbers of one byte. These functions take that short way inline, and leave the rest to protowire.

// nextTag reads a tag; n is negative when there is none.
func nextTag(b []byte) (number protowire.Number, kind protowire.Type, n int) {
	if len(b) > 0 && b[0] < 0x80 && b[0] >= 8 {
		return protowire.Number(b[0] >> 3), protowire.Type(b[0] & 7), 1
	}
	return protowire.ConsumeTag(b)
}

// nextBytes reads a length and as many bytes.
func nextBytes(b []byte) (value []byte, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		if end := 1 + int(b[0]); end <= len(b) {
			return b[1:end:end], end
		}
	}
	return protowire.ConsumeBytes(b)
}

// nextVarint reads a number.
func nextVarint(b []byte) (value uint64, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	return protowire.ConsumeVarint(b)
}
