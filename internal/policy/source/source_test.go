package source_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy/source"
)

var formats = []string{source.YAML, source.JSON, source.TOML, source.Properties, source.XML}

// places lists every value as path@line:column=value.
func places(n *source.Node) []string {
	var list []string
	var walk func(n *source.Node, path string)
	walk = func(n *source.Node, path string) {
		list = append(list, fmt.Sprintf("%s@%d:%d=%s", path, n.Line, n.Column, n.Text))
		for i, item := range n.Items {
			walk(item, fmt.Sprintf("%s[%d]", path, i))
		}
		for _, f := range n.Fields {
			walk(f.Value, path+"."+f.Key)
		}
	}
	walk(n, "")
	return list
}

func TestPlaces(t *testing.T) {
	for _, test := range []struct {
		name, format, text string
		want               []string
	}{
		{"yaml", source.YAML, "# limits\npool:\n  max: 5\n  names: [甲, \"b\"]\nflag: yes\non: true\nhex: 0x1F\nnone:\n", []string{
			"@2:1=", ".pool@3:3=", ".pool.max@3:8=5", ".pool.names@4:10=", ".pool.names[0]@4:11=甲", ".pool.names[1]@4:14=b",
			".flag@5:7=yes", ".on@6:5=true", ".hex@7:6=31", ".none@8:6="}},
		{"yaml alias and merge", source.YAML, "base: &b\n  a: 1\n  c: 2\nuse:\n  <<: *b\n  c: 3\nagain: *b\n", []string{
			"@1:1=", ".base@1:7=", ".base.a@2:6=1", ".base.c@3:6=2", ".use@5:3=", ".use.c@6:6=3", ".use.a@2:6=1",
			".again@1:7=", ".again.a@2:6=1", ".again.c@3:6=2"}},
		{"yaml comment alone", source.YAML, "# nothing\n", []string{"@1:1="}},
		{"yaml with mark", source.YAML, "\ufeffa: 1\n", []string{"@1:1=", ".a@1:4=1"}},
		{"json", source.JSON, "{\n  \"a\": [1, {\"甲\": null}],\n  \"b\" : true }", []string{
			"@1:1=", ".a@2:8=", ".a[0]@2:9=1", ".a[1]@2:12=", ".a[1].甲@2:18=", ".b@3:9=true"}},
		{"toml", source.TOML, "a = 1_000 # [\nb = true\nc = [[], # [\n [1, [2]], {d = [3]}, \"[\", [4]]\n[pool]\nmax = 0x10\nnames = ['x',\n  'y']\nin.ner = { k = +1.5 }\n[[list]]\nd = 2024-01-02\n[[list]]\ninf = inf\n", []string{
			"@1:1=", ".a@1:5=1000", ".b@2:5=true", ".c@3:5=", ".c[0]@3:6=", ".c[1]@4:2=", ".c[1][0]@4:3=1", ".c[1][1]@4:6=", ".c[1][1][0]@4:7=2",
			".c[2]@4:12=", ".c[2].d@4:17=", ".c[2].d[0]@4:18=3", ".c[3]@4:23=[", ".c[4]@4:28=", ".c[4][0]@4:29=4",
			".pool@5:2=", ".pool.max@6:7=16", ".pool.names@7:9=", ".pool.names[0]@7:10=x", ".pool.names[1]@8:3=y",
			".pool.in@9:1=", ".pool.in.ner@9:10=", ".pool.in.ner.k@9:16=1.5",
			".list@10:3=", ".list[0]@10:3=", ".list[0].d@11:5=2024-01-02", ".list[1]@12:3=", ".list[1].inf@13:7=inf"}},
		{"properties", source.Properties, "# c\n! c\npool.max = 5\nempty\n  sp\\ ace:a\\\n    b\nuni=\\u4e2d\\ud83d\\ude00\nhosts[0].name x\nhosts[1].name=y = z\r\nodd..key=1\nlone[1]=q\n", []string{
			"@1:1=", ".pool@3:1=", ".pool.max@3:12=5", ".empty@4:6=", ".sp ace@5:11=ab", ".uni@7:5=中😀",
			".hosts@8:1=", ".hosts[0]@8:1=", ".hosts[0].name@8:15=x", ".hosts[1]@9:1=", ".hosts[1].name@9:15=y = z", ".odd..key@10:10=1",
			".lone@11:1=", ".lone.[1]@11:9=q"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			parsed, err := source.Parse(test.format, []byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			if len(parsed.Documents) != 1 {
				t.Fatalf("got %d documents, want 1", len(parsed.Documents))
			}
			if diff := cmp.Diff(test.want, places(parsed.Documents[0])); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSeveralDocuments(t *testing.T) {
	parsed, err := source.Parse(source.YAML, []byte("a: 1\n---\n---\nb: 2\n"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range parsed.Documents {
		got = append(got, strings.Join(places(d), " "))
	}
	if diff := cmp.Diff([]string{"@1:1= .a@1:4=1", "@3:1=", "@4:1= .b@4:4=2"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestRefused(t *testing.T) {
	deep := strings.Repeat("[", 200) + strings.Repeat("]", 200)
	for _, test := range []struct {
		name, format, text, reason string
		line, column               int
	}{
		{"yaml no colon", source.YAML, "a: 1\nbroken\nc: 2\n", "document.syntax", 2, 1},
		{"yaml no colon in line 1", source.YAML, "- a\nbroken\n", "document.syntax", 2, 1},
		{"yaml first line", source.YAML, "a: b: c\n", "document.syntax", 1, 1},
		{"yaml odd breaks", source.YAML, "a: 1\u2028b: 1\u0085a: 2\n", "document.duplicate_key", 1, 11},
		{"yaml indentation", source.YAML, "a: 1\n  b: 2\n", "document.syntax", 2, 3},
		{"yaml dedent", source.YAML, "x:\n  a: 1\n b: 2\nc: 3\n", "document.syntax", 3, 2},
		{"yaml tab", source.YAML, "a:\n\tb: 1\n", "document.syntax", 2, 2},
		{"yaml open list", source.YAML, "a: [1, 2\nb: 3\n", "document.syntax", 2, 1},
		{"yaml open quote", source.YAML, "a: 1\nb: \"x\nc: 3\n", "document.syntax", 2, 1},
		{"yaml unknown anchor", source.YAML, "a: 1\nb: *no\n", "document.syntax", 2, 1},
		{"yaml duplicate", source.YAML, "a: 1\nb: 2\na: 3\n", "document.duplicate_key", 3, 1},
		{"yaml key", source.YAML, "? [a]\n: 1\n", "document.syntax", 1, 3},
		{"yaml self", source.YAML, "a: &x\n  - *x\n", "document.syntax", 2, 5},
		{"yaml merge", source.YAML, "a: 1\n<<: 5\n", "document.syntax", 2, 5},
		{"yaml deep", source.YAML, deep, "document.too_deep", 1, 101},
		{"json", source.JSON, "{\"a\": 1,\n \"b\" 2}", "document.syntax", 2, 6},
		{"json end", source.JSON, "{\"a\": 1", "document.syntax", 1, 8},
		{"json empty", source.JSON, "", "document.syntax", 1, 1},
		{"json two", source.JSON, "{} {}", "document.syntax", 1, 4},
		{"json duplicate", source.JSON, "{\"a\": 1,\n  \"a\": 2}", "document.duplicate_key", 2, 3},
		{"json deep", source.JSON, deep, "document.too_deep", 1, 101},
		{"json number", source.JSON, "[1e999999999]", "document.number_range", 1, 2},
		{"json mark", source.JSON, "\ufeff{}", "document.syntax", 1, 1},
		{"toml", source.TOML, "a = 1\nb = \n", "document.syntax", 2, 5},
		{"toml redefined", source.TOML, "[a]\nb = 1\n[a]\n", "document.syntax", 3, 2},
		{"toml duplicate", source.TOML, "a = 1\n a = 2\n", "document.duplicate_key", 2, 2},
		{"toml deep", source.TOML, "a = " + deep, "document.too_deep", 1, 104},
		{"toml long key", source.TOML, "\"甲\" = 1\na" + strings.Repeat(".a", 200) + " = 1", "document.too_deep", 2, 401},
		{"properties escape", source.Properties, "a=1\nb=x\\u12g4\n", "document.syntax", 2, 4},
		{"xml end", source.XML, "<a>\n <b></c>\n</a>", "document.syntax", 2, 9},
		{"xml two roots", source.XML, "<a/>\n<b/>", "document.syntax", 2, 1},
		{"xml no root", source.XML, "<!-- x -->", "document.syntax", 1, 1},
		{"xml attribute", source.XML, "<a>\n<b x='1' x='2'/></a>", "document.syntax", 2, 1},
		{"xml text outside", source.XML, "<a/>b", "document.syntax", 1, 5},
		{"xml encoding", source.XML, `<?xml version="1.0" encoding="GBK"?><a/>`, "document.syntax", 1, 37},
		{"xml deep", source.XML, strings.Repeat("<a>", 101), "document.too_deep", 1, 301},
		{"not UTF-8", source.Properties, "a=1\nb=\xff", "document.not_utf8", 2, 3},
		{"format", "ini", "a=1", "document.unknown_format", 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := source.Parse(test.format, []byte(test.text))
			f, ok := fault.As(err)
			if !ok {
				t.Fatalf("got %v, want a fault", err)
			}
			if f.Code != fault.Invalid || f.Reason != test.reason || f.Line != test.line || f.Column != test.column {
				t.Errorf("got %s %s at %d:%d, want %s at %d:%d: %v", f.Code, f.Reason, f.Line, f.Column, test.reason, test.line, test.column, f)
			}
		})
	}
}

// A few lines that stand for billions of values are refused before they cost anything.
func TestBombs(t *testing.T) {
	var laughs strings.Builder
	laughs.WriteString("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n")
	for i := 1; i < 20; i++ {
		fmt.Fprintf(&laughs, "a%d: &a%d [%s*a%d]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d,", i-1), 9), i-1)
	}
	var merges strings.Builder
	merges.WriteString("a: &a\n")
	for i := range 5000 {
		fmt.Fprintf(&merges, "  k%d: 1\n", i)
	}
	merges.WriteString("b:\n")
	for range 5000 {
		merges.WriteString("  - <<: *a\n")
	}
	for name, test := range map[string]struct{ format, text, reason string }{
		"laughs":     {source.YAML, laughs.String(), "document.too_many_values"},
		"merges":     {source.YAML, merges.String(), "document.too_many_values"},
		"documents":  {source.YAML, strings.Repeat("---\n1\n", 170_000) + strings.Repeat("--- 1\n", 50_000), "document.too_many_values"},
		"list":       {source.JSON, "[" + strings.Repeat("1,", 250_000) + "1]", "document.too_many_values"},
		"yaml depth": {source.YAML, strings.Repeat("[", 500_000), "document.syntax"},
		"json depth": {source.JSON, strings.Repeat("[", 500_000), "document.syntax"},
		"toml depth": {source.TOML, "a=" + strings.Repeat("[", 500_000), "document.syntax"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := source.Parse(test.format, []byte(test.text))
			if f, ok := fault.As(err); !ok || f.Reason != test.reason {
				t.Errorf("got %v, want %s", err, test.reason)
			}
		})
	}
}

// A text as large as documents may be, all in one line, is read in one pass: what goes back to the
// start of the line for each value would not end.
func TestLongLines(t *testing.T) {
	const n = 90_000
	for name, test := range map[string]struct{ format, text string }{
		"yaml":        {source.YAML, "[" + strings.Repeat("[1], ", n) + "]"},
		"yaml breaks": {source.YAML, "a: 1\u2028b: [" + strings.Repeat("[1], ", n) + "]"},
		"json":        {source.JSON, "[" + strings.Repeat("[1], ", n) + "1]"},
		"toml":        {source.TOML, "a = [" + strings.Repeat("[1], ", n) + "]"},
		"toml tables": {source.TOML, "a = [" + strings.Repeat("{b=1},", n*2/3) + "]"},
		"xml":         {source.XML, "<a>" + strings.Repeat("<b>c</b>", n) + "</a>"},
		"keys":        {source.JSON, "{" + manyKeys(n) + "\"\":1}"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := source.Parse(test.format, []byte(test.text)); err != nil {
				t.Error(err)
			}
		})
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"%d":1,`, i)
	}
	return b.String()
}

func TestPropertiesWarnings(t *testing.T) {
	parsed, err := source.Parse(source.Properties, []byte("a=1\nb=2\na=3\nb.c=4\nd.e=5\nd=6\n"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range parsed.Warnings {
		got = append(got, fmt.Sprintf("%s %s %d", w.Reason, w.Field, w.Line))
	}
	want := []string{"document.duplicate_key a 3", "document.key_conflict b.c 4", "document.key_conflict d 6"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	plain, _ := json.Marshal(parsed.Documents[0].Plain())
	if got, want := string(plain), `{"a":"3","b":{"c":"4"},"d":{"e":"5"}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// inside reports whether a place is a character of the text, or its end.
func inside(text []byte, line, column int) bool {
	lines := bytes.Split(bytes.TrimPrefix(text, []byte("\ufeff")), []byte("\n"))
	return line >= 1 && line <= len(lines) && column >= 1 && column <= utf8.RuneCount(lines[line-1])+1
}

// placesInside checks every place that a parse reports.
func placesInside(t interface{ Errorf(string, ...any) }, format string, text []byte) {
	parsed, err := source.Parse(format, text)
	if err != nil {
		f, ok := fault.As(err)
		if !ok || !inside(text, f.Line, f.Column) {
			t.Errorf("the error %v is not in the text %q", err, text)
		}
		return
	}
	for _, w := range parsed.Warnings {
		if !inside(text, w.Line, w.Column) {
			t.Errorf("the warning %v is not in the text %q", w, text)
		}
	}
	var walk func(n *source.Node)
	walk = func(n *source.Node) {
		if !inside(text, n.Line, n.Column) {
			t.Errorf("a value at %d:%d is not in the text %q", n.Line, n.Column, text)
		}
		for _, item := range n.Items {
			walk(item)
		}
		for _, f := range n.Fields {
			if !inside(text, f.Line, f.Column) {
				t.Errorf("the key %q at %d:%d is not in the text %q", f.Key, f.Line, f.Column, text)
			}
			walk(f.Value)
		}
	}
	for _, d := range parsed.Documents {
		walk(d)
		if _, err := json.Marshal(d.Plain()); err != nil {
			t.Errorf("%q has no plain form: %v", text, err)
		}
	}
}

// Whatever is reported lies inside the text, for text that is nearly right.
func TestPlacesAreInside(t *testing.T) {
	pieces := rapid.SampledFrom([]string{"a", "b.c", "甲", ":", ": ", "=", " = ", "\n", "\n  ", "\r\n", "- ", "[", "]", "{", "}", ",", "\"", "'", "#",
		"1", "1.5", "true", "null", "&x ", "*x", "<<", "|\n", "---\n", "\\", "\\u00e9", "\t", "<a>", "</a>", "<b/>", "[[", "]]", "\"\"\"", "0x1f", "1e9", "\u2028", "\u0085"})
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(pieces, 0, 30).Draw(t, "pieces"), "")
		placesInside(t, rapid.SampledFrom(formats).Draw(t, "format"), []byte(text))
	})
}

// A JSON text is read as encoding/json reads it, and as YAML and JSON alike.
func TestSameAsJSON(t *testing.T) {
	var value func(depth int) *rapid.Generator[any]
	value = func(depth int) *rapid.Generator[any] {
		scalars := []*rapid.Generator[any]{
			rapid.Map(rapid.StringMatching(`[ -~甲é\n]{0,12}`), func(s string) any { return s }),
			rapid.Map(rapid.Int64(), func(i int64) any { return i }),
			rapid.Map(rapid.Bool(), func(b bool) any { return b }),
			rapid.Just[any](nil),
		}
		if depth > 0 {
			scalars = append(scalars,
				rapid.Map(rapid.SliceOfN(value(depth-1), 0, 4), func(l []any) any { return l }),
				rapid.Map(rapid.MapOfN(rapid.StringMatching(`[a-z.]{1,5}`), value(depth-1), 0, 4), func(m map[string]any) any { return m }))
		}
		return rapid.OneOf(scalars...)
	}
	rapid.Check(t, func(t *rapid.T) {
		text, err := json.MarshalIndent(map[string]any{"root": value(3).Draw(t, "value")}, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		var want any
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		if err := decoder.Decode(&want); err != nil {
			t.Fatal(err)
		}
		for _, format := range []string{source.JSON, source.YAML} {
			parsed, err := source.Parse(format, text)
			if err != nil {
				t.Fatalf("%s: %v in %s", format, err, text)
			}
			if diff := cmp.Diff(want, parsed.Documents[0].Plain()); diff != "" {
				t.Errorf("%s: %s", format, diff)
			}
		}
	})
}

func fuzz(f *testing.F, format string, seeds ...string) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) { placesInside(t, format, text) })
}

func FuzzYAML(f *testing.F) {
	fuzz(f, source.YAML, "a: &x [1, {b: c}]\nd: *x\n", "a: |\n  x\n---\n? b\n: <<\n", "\ta", "%YAML 1.1\n--- !!set {a}\n")
}
func FuzzJSON(f *testing.F) { fuzz(f, source.JSON, `{"a": [1e5, null, "\ud800"]}`, `[`, "") }
func FuzzTOML(f *testing.F) {
	fuzz(f, source.TOML, "a.b = [1, {c = 2}]\n[[d]]\n[d.e]\nf = 1979-05-27", "a = \"\"\"\nx\"\"\"", "[a]\n[a]")
}
func FuzzProperties(f *testing.F) {
	fuzz(f, source.Properties, "a.b=1\\\n 2\nc[0]: \\u0041", "a=1\na.b=2", "\\", "a[0]=1\na[2]=2")
}
func FuzzXML(f *testing.F) {
	fuzz(f, source.XML, "<?xml version=\"1.0\"?><a b='c'>&lt;<![CDATA[x]]></a>", "<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>")
}
