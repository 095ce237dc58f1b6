package migrate

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy/source"
)

var fuzzTime = time.Unix(1_700_000_000, 0)

func TestAnswersAreBoundedInDepth(t *testing.T) {
	for text, deep := range map[string]bool{
		strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth):     false,
		strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1): true,
		`"` + strings.Repeat("[", 100) + `"`:                              false,
		`"\"` + strings.Repeat("[", 100) + `"`:                            false,
		strings.Repeat(`{"a":`, maxDepth+1) + "1":                         true,
	} {
		var into any
		if err := decodeJSON([]byte(text), &into); deep != (fault.Is(err, fault.Invalid) && strings.Contains(err.Error(), "deep")) {
			t.Errorf("%.20s: %v", text, err)
		}
	}
}

func TestServersThatWriteOneForAList(t *testing.T) {
	for text, want := range map[string]int{
		`{"applications":{"application":{"name":"A","instance":{"instanceId":"i","status":"UP"}}}}`:          1,
		`{"applications":{"application":[{"name":"A","instance":[{"instanceId":"i"},{"instanceId":"j"}]}]}}`: 2,
		`{"applications":{"application":null}}`:                                                              0,
		`{"applications":{}}`:                                                                                0,
	} {
		apps, err := decodeEureka([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, app := range apps.Applications.Apps {
			n += len(app.Instances)
		}
		if n != want {
			t.Errorf("%s: %d instances, want %d", text, n, want)
		}
	}
}

func TestNamesAreThoseOfTheProtocols(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{nacosDocument("DEFAULT_GROUP", "a.yaml"), "a.yaml"}, {nacosDocument("RISK", "a.yaml"), "RISK/a.yaml"},
		{apolloDocument("loan", "default", "application"), "loan/application.properties"}, {apolloDocument("loan", "north", "a.json"), "loan/north/a.json"},
		{apolloDocument("public", "default", "x.properties"), "public/x.properties"}, {groupOfNacos("DEFAULT_GROUP"), "default"}, {nacosGroupOf("default"), "DEFAULT_GROUP"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
	r := eurekaRegistry{namespace: "n"}
	for _, c := range []struct {
		app, vip string
		want     Service
	}{
		{"LOAN", "Loan", Service{"n", "default", "Loan"}}, {"LOAN", "other", Service{"n", "default", "loan"}}, {"RISK@@RULES", "Risk@@rules", Service{"n", "Risk", "rules"}},
	} {
		service, ok := r.serviceOf(c.app, c.vip)
		if !ok || service != c.want {
			t.Errorf("%s, %s is %v", c.app, c.vip, service)
		}
		if app, _ := appOf(service); app != strings.ToUpper(c.app) {
			t.Errorf("%v is the application %s", service, app)
		}
	}
	if _, ok := r.serviceOf("@@X", ""); ok {
		t.Error("a name with an empty group")
	}
}

func TestHashOfEureka(t *testing.T) {
	r := eurekaRegistry{held: map[eurekaID]eurekaInstance{{"A", "1"}: {Status: "UP"}, {"A", "2"}: {Status: "DOWN"}, {"B", "1"}: {Status: "UP"}}}
	if got := r.hash(); got != "DOWN_1_UP_2_" {
		t.Errorf("%s", got)
	}
}

func TestChecksThatChanged(t *testing.T) {
	before := []consulCheck{{Node: "n", CheckID: "1", Status: "passing", ServiceName: "a"}, {Node: "n", CheckID: "2", Status: "passing", ServiceName: "b"},
		{Node: "n", CheckID: "3", Status: "passing", ServiceName: "c"}, {Node: "n", CheckID: "serfHealth", Status: "passing"}}
	after := []consulCheck{{Node: "n", CheckID: "1", Status: "critical", ServiceName: "a"}, {Node: "n", CheckID: "2", Status: "passing", ServiceName: "b"},
		{Node: "m", CheckID: "1", Status: "passing", ServiceName: "d"}, {Node: "n", CheckID: "serfHealth", Status: "critical"}}
	if got := strings.Join(changedChecks(before, after), " "); got != "a c d" {
		t.Errorf("changed %s", got)
	}
}

func TestPropertiesAreReadBack(t *testing.T) {
	text := rapid.StringOfN(rapid.RuneFrom([]rune("aZ0 .:=#!\\\t\n\r\f日é")), 0, 12, -1)
	rapid.Check(t, func(t *rapid.T) {
		settings := rapid.MapOfN(rapid.StringOfN(rapid.RuneFrom([]rune("abc :=#!\\日")), 1, 8, -1), text, 0, 6).Draw(t, "settings")
		var items []apolloItem
		for _, key := range sortedKeys(settings) {
			items = append(items, apolloItem{Key: key, Value: settings[key], Comment: text.Draw(t, "comment")})
		}
		d := apolloContent("default", "loan/application.properties", "application", settings, items)
		pairs, err := source.Pairs(source.Properties, d.Content)
		if f, ok := fault.As(err); ok && f.Reason == "document.key_conflict" {
			t.Skip("a key that holds another")
		}
		if err != nil {
			t.Fatal(err)
		}
		read := map[string]string{}
		for _, pair := range pairs[0] {
			read[pair.Key] = pair.Value.Text
		}
		for key, value := range settings {
			if got, ok := read[key]; !ok || got != value {
				t.Fatalf("%q is %q, want %q, in %q", key, got, value, d.Content)
			}
		}
		if len(read) != len(settings) {
			t.Fatalf("%d settings of %d in %q", len(read), len(settings), d.Content)
		}
	})
}
