package native

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// encodedEvent wraps bytes that are a ServiceEvent already, so that answering costs a copy and not an
// encoding: protobuf keeps what it does not know as it came and writes it back.
func encodedEvent(encoded []byte) *gantryv1.ServiceEvent {
	event := &gantryv1.ServiceEvent{}
	event.ProtoReflect().SetUnknown(encoded)
	return event
}

// encodedDocument is the same for a DocumentEvent.
func encodedDocument(encoded []byte) *gantryv1.DocumentEvent {
	event := &gantryv1.DocumentEvent{}
	event.ProtoReflect().SetUnknown(encoded)
	return event
}

// jsonCodec is Connect's JSON, except that it decodes what [encodedEvent] wrapped first: JSON leaves unknown fields out. Requests
// with fields that do not exist are refused, naming the field: a misspelt field must not be taken for an unset one.
type jsonCodec struct{ name string }

func (c jsonCodec) Name() string { return c.name }

func (c jsonCodec) Marshal(message any) ([]byte, error) {
	m, ok := message.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is not a protobuf message", message)
	}
	if unknown := m.ProtoReflect().GetUnknown(); len(unknown) > 0 {
		plain := m.ProtoReflect().New().Interface()
		if err := proto.Unmarshal(unknown, plain); err != nil {
			return nil, err
		}
		m = plain
	}
	return protojson.Marshal(m)
}

func (c jsonCodec) Unmarshal(data []byte, message any) error {
	m, ok := message.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is not a protobuf message", message)
	}
	if len(data) == 0 {
		return fmt.Errorf("the body is empty; send a JSON object, {} if nothing is to be said")
	}
	if err := protojson.Unmarshal(data, m); err != nil {
		return fmt.Errorf("the body is not a %s in JSON: %w; api/gantry/v1 lists its fields", m.ProtoReflect().Descriptor().Name(), err)
	}
	return nil
}

// IsBinary implements the interface by which Connect knows how to put a message into a query.
func (c jsonCodec) IsBinary() bool { return false }

// MarshalStable implements Connect's codec for GET requests.
func (c jsonCodec) MarshalStable(message any) ([]byte, error) { return c.Marshal(message) }
