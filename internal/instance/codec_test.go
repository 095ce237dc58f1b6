package instance_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"pgregory.net/rapid"

	"github.com/gantry-platform/gantry/internal/instance"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func drawInstance(t *rapid.T) *gantryv1.Instance {
	word := rapid.StringMatching(`[a-z][a-z0-9.-]{0,12}[a-z]`)
	m := &gantryv1.Instance{
		Id:         rapid.SampledFrom([]string{"", "one", "一号", "a/b%c"}).Draw(t, "id"),
		Address:    rapid.SampledFrom([]string{"10.0.0.1", "fe80::1", "loan-1.internal"}).Draw(t, "address"),
		Port:       uint32(rapid.IntRange(0, 65535).Draw(t, "port")),
		Labels:     rapid.MapOfN(word, rapid.String(), 0, 6).Draw(t, "labels"),
		Metadata:   rapid.MapOfN(rapid.String(), rapid.String(), 0, 6).Draw(t, "metadata"),
		Ports:      rapid.MapOfN(word, rapid.Uint32Range(1, 65535), 0, 3).Draw(t, "ports"),
		Persistent: rapid.Bool().Draw(t, "persistent"),
		Status:     gantryv1.Status(rapid.IntRange(0, 4).Draw(t, "status")),
	}
	if rapid.Bool().Draw(t, "weighted") {
		m.Weight = proto.Float64(rapid.Float64Range(0, instance.MaxWeight).Draw(t, "weight"))
	}
	if rapid.Bool().Draw(t, "timed") {
		m.Ttl = durationpb.New(time.Duration(rapid.Int64Range(int64(time.Second), int64(time.Hour)).Draw(t, "ttl")))
	}
	if m.Persistent && m.Port > 0 && rapid.Bool().Draw(t, "checked") {
		m.Checks = []*gantryv1.Check{{Probe: &gantryv1.Check_Http{Http: &gantryv1.HTTPProbe{Path: "/live"}}}}
	}
	return m
}

// TestStoredFormIsTheNativeMessage: what the hand-written encoder makes, protobuf reads as the same instance, and the
// hand-written decoder reads it back.
func TestStoredFormIsTheNativeMessage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawInstance(t)
		i, err := instance.Encode(m)
		if err != nil {
			t.Skip(err)
		}
		want := proto.CloneOf(m)
		want.Id, want.Status, want.Weight = i.ID, i.Status, &i.Weight
		if !want.Persistent {
			want.Ttl, want.RemoveAfter = durationpb.New(i.TTL), durationpb.New(i.RemoveAfter)
		} else {
			want.Ttl = nil
		}
		want.Checks = i.Checks
		if diff := cmp.Diff(want, i.Proto(), protocmp.Transform()); diff != "" {
			t.Fatalf("protobuf reads something else: %s", diff)
		}
		back, err := instance.Decode(i.Stored())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(i.Proto(), back.Proto(), protocmp.Transform()); diff != "" {
			t.Fatalf("decoded: %s", diff)
		}
		for _, labels := range [][2]instance.Labels{{i.Labels, back.Labels}, {i.Metadata, back.Metadata}} {
			if len(labels[0]) != len(labels[1]) || len(labels[0]) > 0 && !cmp.Equal(labels[0], labels[1]) {
				t.Fatalf("labels %v and %v", labels[0], labels[1])
			}
		}
		if back.TTL != i.TTL || back.RemoveAfter != i.RemoveAfter || back.Weight != i.Weight || back.Port != i.Port ||
			!cmp.Equal(back.Ports, i.Ports) || back.Persistent != i.Persistent || back.Status != i.Status {
			t.Fatalf("decoded %+v, want %+v", back, i)
		}
		again, err := instance.Encode(m)
		if err != nil || !bytes.Equal(again.Content(), back.Content()) {
			t.Fatal("the same registration has another content")
		}
		if sick := back.WithState(gantryv1.Health_HEALTH_UNHEALTHY, "no beat"); !bytes.Equal(sick.Content(), back.Content()) || bytes.Equal(sick.Stored(), back.Stored()) {
			t.Fatal("another health is another content")
		}
	})
}

// TestUnknownFieldsSurvive: a newer version's content is kept by an older one that writes the state.
func TestUnknownFieldsSurvive(t *testing.T) {
	i, err := instance.Encode(&gantryv1.Instance{Address: "10.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	newer := append([]byte{0xfa, 0x07, 3, 'n', 'e', 'w'}, i.Stored()...) // field 127
	back, err := instance.Decode(newer)
	if err != nil {
		t.Fatal(err)
	}
	written := back.WithState(gantryv1.Health_HEALTH_UNHEALTHY, "no beat").Stored()
	if !bytes.Contains(written, []byte("new")) {
		t.Fatal("it is lost")
	}
}

func FuzzDecode(f *testing.F) {
	for _, m := range []*gantryv1.Instance{
		{Address: "10.0.0.1"},
		{Id: "a", Address: "fe80::1", Labels: map[string]string{"zone": "a"}, Metadata: map[string]string{"": "x"}, Ports: map[string]uint32{"grpc": 1}},
		{Address: "a", Port: 1, Persistent: true, Checks: []*gantryv1.Check{{Probe: &gantryv1.Check_Tcp{Tcp: &gantryv1.TCPProbe{}}}}},
	} {
		i, err := instance.Encode(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(i.Stored())
		f.Add(i.WithState(gantryv1.Health_HEALTH_UNHEALTHY, "no beat").Stored())
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		i, err := instance.Decode(value)
		if err != nil {
			return
		}
		if i.ID == "" {
			t.Fatal("an instance without id")
		}
		changed := i.WithState(gantryv1.Health_HEALTH_UNHEALTHY, "no beat")
		back, err := instance.Decode(changed.Stored())
		if err != nil {
			t.Fatalf("what was decoded and written cannot be decoded: %v", err)
		}
		if back.ID != i.ID || back.Health != gantryv1.Health_HEALTH_UNHEALTHY || len(back.Labels) != len(i.Labels) {
			t.Fatalf("%+v, want %+v", back, i)
		}
	})
}

// FuzzRegistration: whatever a client sends is either refused or survives its own stored form.
func FuzzRegistration(f *testing.F) {
	seed, err := proto.Marshal(&gantryv1.Instance{Address: "10.0.0.1", Labels: map[string]string{"a": "b"},
		Checks: []*gantryv1.Check{{Probe: &gantryv1.Check_Http{Http: &gantryv1.HTTPProbe{Path: "/"}}}}, Persistent: true, Port: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, b []byte) {
		m := new(gantryv1.Instance)
		if proto.Unmarshal(b, m) != nil {
			return
		}
		i, err := instance.Encode(m)
		if err != nil {
			return
		}
		back, err := instance.Decode(i.Stored())
		if err != nil {
			t.Fatalf("accepted %v, but: %v", m, err)
		}
		if !proto.Equal(i.Proto(), back.Proto()) || back.ID != i.ID {
			t.Fatalf("%v became %v", i.Proto(), back.Proto())
		}
	})
}
