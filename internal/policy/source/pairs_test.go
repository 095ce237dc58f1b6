package source_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy/source"
)

func shown(pairs []source.Pair) string {
	var lines []string
	for _, p := range pairs {
		lines = append(lines, fmt.Sprintf("%s=%s(%d)", p.Key, p.Value.Text, p.Value.Kind))
	}
	return strings.Join(lines, " ")
}

func TestPairsAreThoseOfSpring(t *testing.T) {
	for name, c := range map[string]struct {
		format, text string
		want         []string
	}{
		"yaml": {source.YAML, "shared: {a: 1, list: [x, y], empty: [], none: null, flag: true, map: {}}\nnest: [{a: 1}, [2, 3]]\n1: int\nm: {8080: q, x.y: 2, a b: 3}\n",
			[]string{"shared.a=1(2) shared.list[0]=x(3) shared.list[1]=y(3) shared.empty=(3) shared.none=(0) shared.flag=true(1) nest[0].a=1(2) nest[1][0]=2(2) nest[1][1]=3(2) [1]=int(3) m[8080]=q(3) m.x.y=2(2) m.a b=3(2)"}},
		"several":    {source.YAML, "a: 1\n---\na: 2\n", []string{"a=1(2)", "a=2(2)"}},
		"scalar":     {source.YAML, "just text\n", []string{"document=just text(3)"}},
		"list":       {source.YAML, "- a\n- b: 1\n", []string{"document[0]=a(3) document[1].b=1(2)"}},
		"json":       {source.JSON, `{"a":{"b":[true,null]}}`, []string{"a.b[0]=true(1) a.b[1]=(0)"}},
		"toml":       {source.TOML, "[a]\nb = 1\n", []string{"a.b=1(2)"}},
		"properties": {source.Properties, "a=1\na.b=2\na..c: 3\nx[k]=4\na=5\n", []string{"a=5(3) a.b=2(3) a..c=3(3) x[k]=4(3)"}},
		"nothing":    {source.YAML, "# only a comment\n", []string{""}},
	} {
		documents, err := source.Pairs(c.format, []byte(c.text))
		if err != nil || len(documents) != len(c.want) {
			t.Errorf("%s: %d documents, %v", name, len(documents), err)
			continue
		}
		for i := range documents {
			if got := shown(documents[i]); got != c.want[i] {
				t.Errorf("%s: %s\nwant %s", name, got, c.want[i])
			}
		}
	}
	for _, format := range []string{source.Text, source.XML} {
		if _, err := source.Pairs(format, []byte("<a/>")); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", format, err)
		}
	}
}

func TestNestingUndoesFlattening(t *testing.T) {
	const text = `{"a":{"b":[1,[true,null],{"c":"x"}]},"d":"e"}`
	documents, err := source.Pairs(source.JSON, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	nested, err := source.Nest(documents[0])
	if err != nil {
		t.Fatal(err)
	}
	if got, err := json.Marshal(nested.Plain()); err != nil || string(got) != text {
		t.Errorf("%s, %v", got, err)
	}
	documents, err = source.Pairs(source.Properties, []byte("a=1\na.b=2\nl[999999999]=x\n..=y\n"))
	if err != nil {
		t.Fatal(err)
	}
	if nested, err = source.Nest(documents[0]); err != nil {
		t.Fatal(err)
	}
	if got, _ := json.Marshal(nested.Plain()); string(got) != `{"..":"y","a":{"b":"2"},"l":{"[999999999]":"x"}}` {
		t.Errorf("%s", got)
	}
}

func TestFlatteningIsBounded(t *testing.T) {
	wide := `{"` + strings.Repeat("k", 1<<17) + `":[` + strings.Repeat("1,", 1000) + `1]}`
	if _, err := source.Pairs(source.JSON, []byte(wide)); !fault.Is(err, fault.TooLarge) {
		t.Errorf("a long key over a thousand items: %v", err)
	}
}

// What AppendProperty writes is what Pairs reads.
func TestPropertiesComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.OneOf(rapid.SampledFrom([]rune("a =:#!\\\n\r\t\f中é.[]\ufeff")), rapid.Rune()))
		want := rapid.MapOf(text, text).Draw(t, "settings")
		separator := rapid.SampledFrom([]string{"=", ": "}).Draw(t, "separator")
		var file []byte
		keys := slices.Sorted(maps.Keys(want))
		if len(keys) > 0 {
			keys = rapid.Permutation(keys).Draw(t, "order")
		}
		for _, key := range keys {
			file = source.AppendProperty(file, key, separator, want[key])
		}
		documents, err := source.Pairs(source.Properties, file)
		if err != nil {
			t.Fatalf("%v in %q", err, file)
		}
		got := map[string]string{}
		for _, p := range documents[0] {
			got[p.Key] = p.Value.Text
		}
		if !maps.Equal(got, want) {
			t.Fatalf("%q of %q is %q", file, want, got)
		}
	})
}

func FuzzPairs(f *testing.F) {
	f.Add("yaml", "a: [1, {b: c}]\n---\n? x\n: y\n")
	f.Add("yaml", "a: &a [1, 2]\nb: *a\n<<: {c: 1}\n")
	f.Add("json", `{"a":[[{"b":null}]]}`)
	f.Add("properties", "a\\u4e2d = x\\\n  y\n! c\nb:2")
	f.Add("toml", "[[a]]\nb = 1979-05-27\n")
	f.Fuzz(func(t *testing.T, format, text string) {
		documents, err := source.Pairs(format, []byte(text))
		if err != nil {
			if _, ok := fault.As(err); !ok {
				t.Fatalf("an error that is no fault: %v", err)
			}
			return
		}
		for _, pairs := range documents {
			for _, p := range pairs {
				if p.Value.Kind == source.Array || p.Value.Kind == source.Object {
					t.Fatalf("%q is %s", p.Key, p.Value.Kind)
				}
			}
		}
	})
}
