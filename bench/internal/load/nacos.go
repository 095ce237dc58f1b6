package load

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/protobuf/encoding/protowire"
)

// Nacos is a connection of Nacos's gRPC protocol: payloads that name a type and hold JSON. Calls may be made concurrently.
type Nacos struct {
	conn   *grpc.ClientConn
	stream grpc.ClientStream
	ended  chan struct{}
	token  string
}

// payload is a message in its encoded form.
type payload []byte

// payloads passes encoded payloads through.
type payloads struct{}

var _ encoding.Codec = payloads{}

func (payloads) Name() string { return "proto" }

func (payloads) Marshal(v any) ([]byte, error) { return *v.(*payload), nil }

func (payloads) Unmarshal(data []byte, v any) error {
	*v.(*payload) = append((*v.(*payload))[:0], data...)
	return nil
}

// Field numbers of nacos_grpc_service.proto.
const (
	payloadMetadata = 2
	payloadBody     = 3
	metadataType    = 3
	metadataHeaders = 7
	anyValue        = 2
)

func appendPayload(b []byte, kind, token string, json []byte) []byte {
	var metadata []byte
	metadata = protowire.AppendString(protowire.AppendTag(metadata, metadataType, protowire.BytesType), kind)
	if token != "" {
		var entry []byte
		entry = protowire.AppendString(protowire.AppendTag(entry, 1, protowire.BytesType), "accessToken")
		entry = protowire.AppendString(protowire.AppendTag(entry, 2, protowire.BytesType), token)
		metadata = protowire.AppendBytes(protowire.AppendTag(metadata, metadataHeaders, protowire.BytesType), entry)
	}
	b = protowire.AppendBytes(protowire.AppendTag(b, payloadMetadata, protowire.BytesType), metadata)
	body := protowire.AppendBytes(protowire.AppendTag(nil, anyValue, protowire.BytesType), json)
	return protowire.AppendBytes(protowire.AppendTag(b, payloadBody, protowire.BytesType), body)
}

// field returns the last value of a field of bytes.
func field(b []byte, wanted protowire.Number) []byte {
	var found []byte
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil
		}
		b = b[n:]
		if number == wanted && kind == protowire.BytesType {
			value, m := protowire.ConsumeBytes(b)
			if m < 0 {
				return nil
			}
			found, b = value, b[m:]
			continue
		}
		if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
			return nil
		}
		b = b[n:]
	}
	return found
}

// OpenNacos opens a connection and introduces itself, as the SDKs do. handle gets what the server sends by itself.
func OpenNacos(ctx context.Context, address, token string, handle func(kind string, json []byte)) (*Nacos, error) {
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithReadBufferSize(4<<10), grpc.WithWriteBufferSize(4<<10), grpc.WithDefaultCallOptions(grpc.ForceCodec(payloads{})))
	if err != nil {
		return nil, err
	}
	n := &Nacos{conn: conn, token: token, ended: make(chan struct{})}
	if _, _, err := n.Call(ctx, "ServerCheckRequest", []byte(`{}`)); err != nil {
		conn.Close()
		return nil, fmt.Errorf("server check: %w", err)
	}
	n.stream, err = conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/BiRequestStream/requestBiStream")
	if err != nil {
		conn.Close()
		return nil, err
	}
	setup := payload(appendPayload(nil, "ConnectionSetupRequest", token,
		[]byte(`{"clientVersion":"Nacos-Go-Client:v2.3.2","tenant":"","labels":{"source":"sdk","module":"naming"},"clientAbilities":{}}`)))
	if err := n.stream.SendMsg(&setup); err != nil {
		conn.Close()
		return nil, err
	}
	go n.receive(handle)
	return n, nil
}

func (n *Nacos) receive(handle func(kind string, json []byte)) {
	defer close(n.ended)
	var message payload
	for n.stream.RecvMsg(&message) == nil {
		if handle != nil {
			handle(string(field(field(message, payloadMetadata), metadataType)), field(field(message, payloadBody), anyValue))
		}
	}
}

// Call sends a request and returns the type and the JSON of the answer.
func (n *Nacos) Call(ctx context.Context, kind string, json []byte) (answered string, answer []byte, err error) {
	request, response := payload(appendPayload(nil, kind, n.token, json)), payload(nil)
	if err := n.conn.Invoke(ctx, "/Request/request", &request, &response); err != nil {
		return "", nil, err
	}
	answered = string(field(field(response, payloadMetadata), metadataType))
	answer = field(field(response, payloadBody), anyValue)
	if answered == "ErrorResponse" {
		return answered, answer, fmt.Errorf("%s was answered with %.300s", kind, answer)
	}
	if len(answer) == 0 {
		return answered, nil, errors.New(kind + " was answered with nothing")
	}
	return answered, answer, nil
}

// Close ends the connection.
func (n *Nacos) Close() {
	n.conn.Close()
	<-n.ended
}
