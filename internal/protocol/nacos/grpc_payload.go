package nacos

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/emptypb"
)

// Field numbers of the one message that Nacos's clients exchange with a server: Payload{metadata, body}, where metadata is
// Metadata{type, headers, clientIp} and body is a google.protobuf.Any whose value is JSON and whose type URL says nothing.
const (
	payloadMetadata = 2
	payloadBody     = 3
	metadataType    = 3
	metadataHeaders = 7
	metadataIP      = 8
	anyValue        = 2
)

// Bounds of what surrounds the JSON. The JSON itself is bounded by the size of a gRPC message.
const (
	maxKindBytes    = 128
	maxHeaders      = 64
	maxHeaderBytes  = 8 << 10
	maxClientIPText = 64
)

// payload is one message of a client.
type payload struct {
	// kind is the simple name of the Java class that the JSON stands for.
	kind     string
	headers  []header
	clientIP string
	body     []byte
}

type header struct{ name, value string }

// header returns a header's value, or "". Names are without regard to case, as Nacos has them.
func (p *payload) header(name string) string {
	for i := range p.headers {
		if strings.EqualFold(p.headers[i].name, name) {
			return p.headers[i].value
		}
	}
	return ""
}

// raw is a message whose bytes we read and write ourselves: protobuf keeps the fields of an Empty, all of which it does not know,
// as they came. So this small protocol needs no generated code, and what is pushed to thousands is encoded once.
func raw(encoded []byte) *emptypb.Empty {
	message := new(emptypb.Empty)
	message.ProtoReflect().SetUnknown(encoded)
	return message
}

// decodePayload reads a message. The body is a part of b.
func decodePayload(b []byte) (*payload, error) {
	p := new(payload)
	err := eachBytes(b, func(field protowire.Number, value []byte) error {
		switch field {
		case payloadMetadata:
			return p.decodeMetadata(value)
		case payloadBody:
			return eachBytes(value, func(field protowire.Number, value []byte) error {
				if field == anyValue {
					p.body = value
				}
				return nil
			})
		}
		return nil
	})
	return p, err
}

func (p *payload) decodeMetadata(b []byte) error {
	return eachBytes(b, func(field protowire.Number, value []byte) (err error) {
		switch field {
		case metadataType:
			p.kind, err = text("metadata.type", value, maxKindBytes)
		case metadataIP:
			p.clientIP, err = text("metadata.clientIp", value, maxClientIPText)
		case metadataHeaders:
			if len(p.headers) >= maxHeaders {
				return fmt.Errorf("metadata.headers: more than %d", maxHeaders)
			}
			var h header
			err = eachBytes(value, func(field protowire.Number, value []byte) (err error) {
				switch field {
				case 1:
					h.name, err = text("metadata.headers", value, maxHeaderBytes)
				case 2:
					h.value, err = text("metadata.headers", value, maxHeaderBytes)
				}
				return err
			})
			p.headers = append(p.headers, h)
		}
		return err
	})
}

func text(field string, value []byte, limit int) (string, error) {
	if len(value) > limit || !utf8.Valid(value) {
		return "", fmt.Errorf("%s: not UTF-8 of at most %d bytes", field, limit)
	}
	return string(value), nil
}

// eachBytes visits the fields that hold bytes, and skips others.
func eachBytes(b []byte, visit func(field protowire.Number, value []byte) error) error {
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(field, kind, b); n < 0 {
				return protowire.ParseError(n)
			}
			b = b[n:]
			continue
		}
		value, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		if err := visit(field, value); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// encodePayload makes a message of the server.
func encodePayload(kind string, body []byte) []byte {
	metadata := protowire.SizeTag(metadataType) + protowire.SizeBytes(len(kind))
	any := protowire.SizeTag(anyValue) + protowire.SizeBytes(len(body))
	b := make([]byte, 0, protowire.SizeTag(payloadMetadata)+protowire.SizeBytes(metadata)+protowire.SizeTag(payloadBody)+protowire.SizeBytes(any))
	b = protowire.AppendTag(b, payloadMetadata, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(metadata))
	b = protowire.AppendString(protowire.AppendTag(b, metadataType, protowire.BytesType), kind)
	b = protowire.AppendTag(b, payloadBody, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(any))
	return protowire.AppendBytes(protowire.AppendTag(b, anyValue, protowire.BytesType), body)
}

// encodeJSON makes a message of a value that encodes always.
func encodeJSON(kind string, value any) []byte {
	body, err := json.Marshal(value)
	if err != nil {
		panic(fmt.Sprintf("nacos: %s cannot be encoded: %v", kind, err)) // plain structs of ours: a defect
	}
	return encodePayload(kind, body)
}
