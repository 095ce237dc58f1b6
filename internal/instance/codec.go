package instance

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"time"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// The stored form of an instance is a gantryv1.Instance whose fields stand in a fixed order: first the content (what the
// registrant said), then the state (what the server found), which begins with the health. So equal content is equal bytes, and
// the bytes go to subscribers as they are.

// Field numbers of gantryv1.Instance.
const (
	fieldID           = 1
	fieldAddress      = 2
	fieldPort         = 3
	fieldPorts        = 4
	fieldWeight       = 5
	fieldLabels       = 6
	fieldMetadata     = 7
	fieldPersistent   = 8
	fieldStatus       = 9
	fieldChecks       = 10
	fieldTTL          = 11
	fieldRemoveAfter  = 12
	fieldProtocolData = 13
	fieldHealth       = 20
	fieldHealthReason = 21
	fieldProtocol     = 22
	fieldOwner        = 23
	fieldRegisteredAt = 24
	fieldChangedAt    = 25
	fieldProtected    = 26
	fieldProvisional  = 27
	fieldOverride     = 28
	fieldCheckStates  = 30
)

// Field numbers of gantryv1.ServiceEvent.
const (
	eventService   = 1
	eventRevision  = 2
	eventFull      = 3
	eventInstances = 4
	eventRemoved   = 5
	eventStale     = 6
	eventProtected = 7
)

func appendString(b []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), s)
}

func appendVarint(b []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

func appendBool(b []byte, field protowire.Number, v bool) []byte {
	return appendVarint(b, field, protowire.EncodeBool(v))
}

func sizeString(field protowire.Number, s string) int {
	if s == "" {
		return 0
	}
	return protowire.SizeTag(field) + protowire.SizeBytes(len(s))
}

func appendLabels(b []byte, field protowire.Number, labels Labels) []byte {
	for i := range labels {
		b = protowire.AppendTag(b, field, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(sizeString(1, labels[i].Key)+sizeString(2, labels[i].Value)))
		b = appendString(b, 1, labels[i].Key)
		b = appendString(b, 2, labels[i].Value)
	}
	return b
}

// appendTime writes a Timestamp or a Duration, which look alike.
func appendTime(b []byte, field protowire.Number, seconds int64, nanos int32) []byte {
	var inner [24]byte
	m := appendVarint(inner[:0], 1, uint64(seconds))
	m = appendVarint(m, 2, uint64(int64(nanos)))
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), m)
}

func appendDuration(b []byte, field protowire.Number, d time.Duration) []byte {
	if d == 0 {
		return b
	}
	return appendTime(b, field, int64(d/time.Second), int32(d%time.Second))
}

func appendStamp(b []byte, field protowire.Number, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	return appendTime(b, field, t.Unix(), int32(t.Nanosecond()))
}

// appendContent writes what the registrant said.
func appendContent(b []byte, i *Instance) []byte {
	b = appendString(b, fieldID, i.ID)
	b = appendString(b, fieldAddress, i.Address)
	b = appendVarint(b, fieldPort, uint64(i.Port))
	for _, port := range i.Ports {
		b = protowire.AppendTag(b, fieldPorts, protowire.BytesType)
		size := sizeString(1, port.Name)
		if port.Number != 0 {
			size += protowire.SizeTag(2) + protowire.SizeVarint(uint64(port.Number))
		}
		b = protowire.AppendVarint(b, uint64(size))
		b = appendString(b, 1, port.Name)
		b = appendVarint(b, 2, uint64(port.Number))
	}
	b = protowire.AppendTag(b, fieldWeight, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, math.Float64bits(i.Weight))
	b = appendLabels(b, fieldLabels, i.Labels)
	b = appendLabels(b, fieldMetadata, i.Metadata)
	b = appendBool(b, fieldPersistent, i.Persistent)
	b = appendVarint(b, fieldStatus, uint64(i.Status))
	for _, check := range i.Checks {
		encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(check)
		if err != nil {
			continue // only invalid UTF-8 can do that, and validation refused it
		}
		b = protowire.AppendBytes(protowire.AppendTag(b, fieldChecks, protowire.BytesType), encoded)
	}
	b = appendDuration(b, fieldTTL, i.TTL)
	b = appendDuration(b, fieldRemoveAfter, i.RemoveAfter)
	b = appendString(b, fieldProtocolData, i.ProtocolData)
	b = appendString(b, fieldProtocol, i.Protocol)
	return appendString(b, fieldOwner, i.Owner)
}

// appendState writes what the server found. The health is always there: it marks where the content ends.
func appendState(b []byte, i *Instance) []byte {
	b = protowire.AppendVarint(protowire.AppendTag(b, fieldHealth, protowire.VarintType), uint64(i.Health))
	b = appendString(b, fieldHealthReason, i.HealthReason)
	b = appendStamp(b, fieldRegisteredAt, i.RegisteredAt)
	b = appendStamp(b, fieldChangedAt, i.ChangedAt)
	b = appendBool(b, fieldProtected, i.Protected)
	return appendCheckStates(b, i.CheckStates())
}

// encode makes the stored form from the other fields.
func (i *Instance) encode() {
	i.begin(make([]byte, 0, 320))
	i.finish(i.wire)
}

// begin writes the content to the empty slice b, and leaves the state out.
func (i *Instance) begin(b []byte) {
	i.wire = appendContent(b, i)
	i.content = int32(len(i.wire))
	i.stored = i.content
}

// finish puts the state behind the content, in b, which holds that or has the room for it.
func (i *Instance) finish(b []byte) {
	i.wire = appendState(append(b[:0], i.wire[:i.content]...), i)
	i.stored = int32(len(i.wire))
	i.dress()
}

// said is what the registrant said, as it is stored. Do not change it.
func (i *Instance) said() []byte { return i.wire[:i.content] }

// record is the stored form. Do not change it.
func (i *Instance) record() []byte { return i.wire[:i.stored:i.stored] }

// dress makes wire: the stored form with what this node adds.
func (i *Instance) dress() {
	i.wire = i.record()
	if !i.Provisional && i.Override == nil {
		return
	}
	wire := append(make([]byte, 0, len(i.wire)+64), i.wire...)
	wire = appendBool(wire, fieldProvisional, i.Provisional)
	if i.Override != nil {
		override, err := proto.Marshal(i.Override.proto())
		if err == nil { // the author was checked when it was stored
			wire = protowire.AppendBytes(protowire.AppendTag(wire, fieldOverride, protowire.BytesType), override)
		}
	}
	i.wire = wire
}

func (o *Override) proto() *gantryv1.Override {
	message := &gantryv1.Override{Weight: o.Weight, Status: o.Status, Author: o.Author}
	if !o.At.IsZero() {
		message.At = timestamppb.New(o.At)
	}
	return message
}

func decodeOverride(value []byte) (*Override, error) {
	message := new(gantryv1.Override)
	if err := proto.Unmarshal(value, message); err != nil {
		return nil, fmt.Errorf("instance: stored override: %w", err)
	}
	override := &Override{Weight: message.Weight, Status: message.GetStatus(), Author: message.GetAuthor()}
	if message.At != nil {
		override.At = message.At.AsTime()
	}
	return override, nil
}

var errMalformed = errors.New("instance: malformed record")

// view returns a string over bytes that are never changed. It spares a copy of each string of each instance.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// decodeInstance reads a stored record. The instance keeps value, which must never change. Fields that this version does not
// know are kept in the encoded form.
func decodeInstance(value []byte, modified int64) (*Instance, error) {
	i := &Instance{wire: value, stored: int32(len(value)), content: -1, Modified: modified}
	labels, metadata := countFields(value)
	if labels+metadata > 0 {
		both := make(Labels, labels+metadata)
		i.Labels, i.Metadata = both[:0:labels], both[labels:labels]
	}
	for at := 0; at < len(value); {
		number, kind, n := protowire.ConsumeTag(value[at:])
		if n < 0 {
			return nil, errMalformed
		}
		if i.content < 0 && number == fieldHealth {
			i.content = int32(at)
		}
		at += n
		n, err := i.decodeField(number, kind, value[at:])
		if err != nil {
			return nil, err
		}
		at += n
	}
	if i.ID == "" {
		return nil, errMalformed
	}
	if i.content < 0 {
		i.content = i.stored
	}
	return i, nil
}

// countFields sizes the label slices, so that they are allocated once.
func countFields(value []byte) (labels, metadata int) {
	for len(value) > 0 {
		number, _, n := protowire.ConsumeField(value)
		if n < 0 {
			return labels, metadata
		}
		switch number {
		case fieldLabels:
			labels++
		case fieldMetadata:
			metadata++
		}
		value = value[n:]
	}
	return labels, metadata
}

func (i *Instance) decodeField(number protowire.Number, kind protowire.Type, b []byte) (int, error) {
	switch kind {
	case protowire.VarintType:
		v, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return 0, errMalformed
		}
		i.decodeVarint(number, v)
		return n, nil
	case protowire.BytesType:
		v, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return 0, errMalformed
		}
		return n, i.decodeBytes(number, v)
	case protowire.Fixed64Type:
		v, n := protowire.ConsumeFixed64(b)
		if n < 0 {
			return 0, errMalformed
		}
		if number == fieldWeight {
			i.Weight = math.Float64frombits(v)
		}
		return n, nil
	}
	n := protowire.ConsumeFieldValue(number, kind, b)
	if n < 0 {
		return 0, errMalformed
	}
	return n, nil
}

func (i *Instance) decodeVarint(number protowire.Number, v uint64) {
	switch number {
	case fieldPort:
		i.Port = uint16(v)
	case fieldPersistent:
		i.Persistent = protowire.DecodeBool(v)
	case fieldStatus:
		i.Status = gantryv1.Status(int32(v))
	case fieldHealth:
		i.Health = gantryv1.Health(int32(v))
	case fieldProtected:
		i.Protected = protowire.DecodeBool(v)
	}
}

func (i *Instance) decodeBytes(number protowire.Number, b []byte) (err error) {
	switch number {
	case fieldID:
		i.ID = view(b)
	case fieldAddress:
		i.Address = view(b)
	case fieldPorts:
		var port Port
		port.Name, _, port.Number, err = decodePair(b)
		i.Ports = append(i.Ports, port)
	case fieldLabels:
		var label Label
		label.Key, label.Value, _, err = decodePair(b)
		i.Labels = append(i.Labels, label)
	case fieldMetadata:
		var label Label
		label.Key, label.Value, _, err = decodePair(b)
		i.Metadata = append(i.Metadata, label)
	case fieldChecks:
		check := new(gantryv1.Check)
		if err = proto.Unmarshal(b, check); err == nil {
			i.Checks = append(i.Checks, check)
			check.Id = cmp.Or(check.Id, defaultCheckID(len(i.Checks))) // of a version whose checks had none
		}
	case fieldTTL:
		i.TTL, err = decodeDuration(b)
	case fieldRemoveAfter:
		i.RemoveAfter, err = decodeDuration(b)
	case fieldProtocolData:
		i.ProtocolData = view(b)
	case fieldHealthReason:
		i.HealthReason = view(b)
	case fieldProtocol:
		i.Protocol = view(b)
	case fieldOwner:
		i.Owner = view(b)
	case fieldRegisteredAt:
		i.RegisteredAt, err = decodeStamp(b)
	case fieldChangedAt:
		i.ChangedAt, err = decodeStamp(b)
	case fieldCheckStates:
		if i.content < 0 {
			break // the registrant does not say it
		}
		var state CheckState
		if state, err = decodeCheckState(b); err == nil {
			if i.states == nil {
				i.states = new([]CheckState)
			}
			*i.states = append(*i.states, state)
		}
	}
	return err
}

// decodePair reads a map entry: a key, and a string or a number.
func decodePair(b []byte) (key, text string, number uint16, err error) {
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return "", "", 0, errMalformed
		}
		b = b[n:]
		switch kind {
		case protowire.BytesType:
			v, m := protowire.ConsumeBytes(b)
			n = m
			if field == 1 {
				key = view(v)
			} else if field == 2 {
				text = view(v)
			}
		case protowire.VarintType:
			v, m := protowire.ConsumeVarint(b)
			n = m
			if field == 2 {
				number = uint16(v)
			}
		default:
			n = protowire.ConsumeFieldValue(field, kind, b)
		}
		if n < 0 {
			return "", "", 0, errMalformed
		}
		b = b[n:]
	}
	return key, text, number, nil
}

func decodeTime(b []byte) (seconds, nanos int64, err error) {
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 || kind != protowire.VarintType {
			return 0, 0, errMalformed
		}
		v, m := protowire.ConsumeVarint(b[n:])
		if m < 0 {
			return 0, 0, errMalformed
		}
		switch field {
		case 1:
			seconds = int64(v)
		case 2:
			nanos = int64(v)
		}
		b = b[n+m:]
	}
	return seconds, nanos, nil
}

func decodeDuration(b []byte) (time.Duration, error) {
	seconds, nanos, err := decodeTime(b)
	if err != nil || seconds < 0 || seconds > int64(MaxRemoveAfter/time.Second) || nanos < 0 || nanos >= int64(time.Second) {
		return 0, errMalformed
	}
	return time.Duration(seconds)*time.Second + time.Duration(nanos), nil
}

func decodeStamp(b []byte) (time.Time, error) {
	seconds, nanos, err := decodeTime(b)
	if err != nil {
		return time.Time{}, err
	}
	return time.Unix(seconds, nanos).UTC(), nil
}

// appendEvent writes a service event up to its instances. Revision 0 tells the client that it cannot resume
// from here.
func appendEvent(b []byte, service Service, revision int64, full, stale, protected bool) []byte {
	size := sizeString(1, service.Namespace) + sizeString(2, service.Group) + sizeString(3, service.Name)
	b = protowire.AppendVarint(protowire.AppendTag(b, eventService, protowire.BytesType), uint64(size))
	b = appendString(b, 1, service.Namespace)
	b = appendString(b, 2, service.Group)
	b = appendString(b, 3, service.Name)
	b = appendVarint(b, eventRevision, uint64(revision))
	b = appendBool(b, eventFull, full)
	b = appendBool(b, eventStale, stale)
	return appendBool(b, eventProtected, protected)
}

func appendInstance(b []byte, i *Instance) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, eventInstances, protowire.BytesType), i.wire)
}

func sizeInstance(i *Instance) int {
	return protowire.SizeTag(eventInstances) + protowire.SizeBytes(len(i.wire))
}
