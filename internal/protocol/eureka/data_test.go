package eureka

import (
	"maps"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/gantry-platform/gantry/internal/instance"
)

func TestNamesOfElements(t *testing.T) {
	for key, name := range map[string]string{"zone": "zone", "my_key": "my__key", "a$b": "a_-b", "1st": "_.0031st", "a b": "a_.0020b", "prometheus.io/port": "prometheus.io_.002fport",
		"区": "_.533a", "😀": "_.d83d_.de00", "a:b": "a_.003ab"} {
		if got := string(appendName(nil, key)); got != name {
			t.Errorf("%q is %q, want %q", key, got, name)
		}
		if got := decodeName(name); got != key {
			t.Errorf("%q read as %q, want %q", name, got, key)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.String().Draw(t, "key")
		if got := decodeName(string(appendName(nil, key))); got != key {
			t.Errorf("%q comes back as %q", key, got)
		}
	})
	if got := decodeName("my_key_.zz"); got != "my_key_.zz" {
		t.Errorf("what others wrote plainly is read as %q", got)
	}
}

func TestDataComesBack(t *testing.T) {
	text := rapid.OneOf(rapid.StringMatching(`[ -~]{0,20}`), rapid.SampledFrom([]string{"", "10.0.0.7", "loan", "http://h:80/a", "http://h:80"}))
	rapid.Check(t, func(t *rapid.T) {
		i := newInfo()
		i.hostName, i.ipAddr = rapid.SampledFrom([]string{"h", "10.0.0.7"}).Draw(t, "host"), "10.0.0.7"
		for _, field := range []*string{&i.sid, &i.appGroup, &i.homePageURL, &i.statusPageURL, &i.healthCheckURL, &i.secureHealthCheckURL, &i.vip, &i.secureVIP, &i.asg} {
			*field = text.Draw(t, "text")
		}
		i.port = port{number: rapid.SampledFrom([]int{0, 80, 65535}).Draw(t, "port"), enabled: rapid.Bool().Draw(t, "enabled")}
		i.coordinating, i.lastDirty = rapid.Bool().Draw(t, "coordinating"), rapid.Int64().Draw(t, "dirty")
		i.status = rapid.SampledFrom([]status{statusDown, statusUnknown}).Draw(t, "status")
		i.dataCenter = dataCenter{name: rapid.SampledFrom([]string{myOwn, netflix, amazon}).Draw(t, "centre")}
		if i.dataCenter.name == amazon {
			i.dataCenter.metadata = map[string]string{"instance-id": text.Draw(t, "id"), "\x00": ""}
		}
		got := newInfo()
		got.ipAddr, got.status = i.ipAddr, statusDown
		if err := decodeData(got, string(encodeData(i, instance.Service{Name: "loan"})), i.ipAddr, "loan"); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, i) || !maps.Equal(got.dataCenter.metadata, i.dataCenter.metadata) {
			t.Fatalf("%+v comes back as %+v", i, got)
		}
	})
}

func FuzzData(f *testing.F) {
	f.Add(string(encodeData(newInfo(), instance.Service{Name: "loan"})))
	f.Add("\x01\x00\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")
	f.Fuzz(func(_ *testing.T, data string) {
		_ = decodeData(newInfo(), data, "10.0.0.7", "loan")
		_, _ = lastDirtyOf(&instance.Instance{Protocol: protocol, ProtocolData: data})
	})
}
