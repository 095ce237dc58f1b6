package policy_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy"
)

func TestParseManifests(t *testing.T) {
	text := `# two of them
kind: Config
metadata:
  namespace: prod
  name: loan/limits.yaml
spec:
  sensitive: true
  content: |
    # limits
    max: 5
---
kind: Schema
metadata: {name: loan}
spec: # what loan may say
  # where it applies
  appliesTo: ["loan/*"]

  schema:   # 2020-12
    type: object
    description: |
      text

---
{"kind": "Config", "metadata": {"name": "raw"}, "spec": {"format": "text", "contentBase64": "/wA="}}
`
	got, err := policy.ParseManifests("loan.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := []policy.Document{
		{Namespace: "prod", Kind: "Config", Name: "loan/limits.yaml", Format: "yaml", Sensitive: true, Content: []byte("# limits\nmax: 5\n")},
		{Kind: "Schema", Name: "loan", Format: "yaml", Content: []byte("# where it applies\nappliesTo: [\"loan/*\"]\n\nschema:   # 2020-12\n  type: object\n  description: |\n    text\n")},
		{Kind: "Config", Name: "raw", Format: "text", Content: []byte{0xff, 0}},
	}
	var documents []policy.Document
	var lines []int
	for _, m := range got {
		if m.File != "loan.yaml" {
			t.Errorf("the file is %q", m.File)
		}
		documents, lines = append(documents, m.Document), append(lines, m.Line)
	}
	if diff := cmp.Diff(want, documents); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]int{2, 12, 24}, lines); diff != "" {
		t.Error(diff)
	}
}

// What cannot be cut out of the file as it stands is written anew, with the same meaning.
func TestParseManifestsRewrites(t *testing.T) {
	const want = "appliesTo:\n    - s\nschema:\n    enum:\n        - \"1\"\n        - 1\n        - 1.5\n        - null\n        - true\n        - \"true\"\n"
	const object = `{"kind": "Schema", "metadata": {"name": "s"}, "spec": {"appliesTo": ["s"], "schema": {"enum": ["1", 1, 1.5, null, true, "true"]}}}`
	for _, test := range []struct{ name, file, text string }{
		{"json", "s.json", object},
		{"json in yaml", "s.yaml", object},
		{"json list", "s.json", "[" + object + "]"},
		{"flow", "s.yaml", "kind: Schema\nmetadata: {name: s}\nspec: {appliesTo: [s], schema: {enum: ['1', 1, 1.5, null, true, 'true']}}\n"},
		{"outer anchor", "s.yaml", "kind: Schema\nmetadata: {name: &n s}\nspec:\n  appliesTo: [*n]\n  schema:\n    enum: ['1', 1, 1.5, null, true, 'true']\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := policy.ParseManifests(test.file, []byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != 1 || got[0].Format != "yaml" || got[0].Name != "s" {
				t.Fatalf("got %+v", got)
			}
			if diff := cmp.Diff(want, string(got[0].Content)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseManifestsRefuses(t *testing.T) {
	head := "kind: Config\nmetadata:\n  name: a\n"
	for _, test := range []struct{ name, text, want string }{
		{"syntax", "kind: Config\nmetadata\nspec: 1\n", "2:1 document.syntax"},
		{"unknown field", head + "spec:\n  contnt: x\n  content: y\n", "5:3 document.unknown_field spec.contnt"},
		{"unknown top", head + "sepc: {}\nspec: {content: x}\n", "4:1 document.unknown_field sepc"},
		{"wrong type", head + "spec: {content: 5}\n", "4:17 document.wrong_type spec.content"},
		{"no kind", "metadata: {name: a}\nspec: {}\n", "1:1 document.missing_field kind"},
		{"no name", "kind: Config\nmetadata: {}\nspec: {content: x}\n", "2:11 document.missing_field metadata.name"},
		{"no spec", head, "1:1 document.missing_field spec"},
		{"no content", head + "spec: {format: yaml}\n", "4:7 document.missing_field spec.content"},
		{"two contents", head + "spec: {content: a, contentBase64: YQ==}\n", "4:17 document.missing_field spec.content"},
		{"base64", head + "spec: {contentBase64: '!'}\n", "4:23 document.invalid_value spec.contentBase64"},
		{"name", "kind: Config\nmetadata:\n  name: /a\nspec: {content: x}\n", "3:9 document.invalid_name metadata.name"},
		{"namespace", "kind: Config\nmetadata:\n  name: a\n  namespace: a b\nspec: {content: x}\n", "4:14 namespace.invalid_name metadata.namespace"},
		{"numeric name", "kind: Config\nmetadata:\n  name: 12\nspec: {content: x}\n", "3:9 document.wrong_type metadata.name"},
		{"sensitive", "kind: Config\nmetadata: {name: a, sensitive: true}\nspec: {content: x}\n", "2:21 document.unknown_field metadata.sensitive"},
		{"both", "kind: Schema\nmetadata: {name: a}\nspec: {}\nsource: {content: ''}\n", "3:7 document.missing_field spec"},
		{"scalar", "hello\n", "1:1 document.wrong_type "},
		{"list", "- kind: Config\n", "1:1 document.wrong_type "},
		{"second", head + "spec: {content: x}\n---\nkind: 5\n", "6:7 document.wrong_type kind"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := policy.ParseManifests("a.yaml", []byte(test.text))
			f, ok := fault.As(err)
			if !ok {
				t.Fatalf("got %v, want a fault", err)
			}
			got := describe(err)[0]
			place, _, _ := strings.Cut(test.want, " ")
			if !strings.HasPrefix(got, test.want) || !strings.HasPrefix(f.Message, "a.yaml:"+place+": ") {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
	_, err := policy.ParseManifests("a.yaml", []byte(head+"spec:\n  contnt: x\n"))
	if err == nil || !strings.Contains(err.Error(), `did you mean "content"?`) {
		t.Errorf("got %v, want a suggestion", err)
	}
	_, err = policy.ParseManifests("big.yaml", make([]byte, policy.MaxManifestFile+1))
	if !fault.Is(err, fault.TooLarge) {
		t.Errorf("got %v, want too_large", err)
	}
}

// Positions in a content become positions in the file that it stands in.
func TestLocate(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"literal", "kind: Config\nmetadata: {name: a.yaml}\nspec:\n  content: |\n\n    a: 1\n    b: {c: 2, c: 3}\n", "7:15"},
		{"literal, first line blank", "kind: Config\nmetadata: {name: a.yaml}\nspec:\n  content: |2-\n\n      a: 1\n      a: 1", "7:7"},
		{"quoted", "kind: Config\nmetadata: {name: a.yaml}\nspec:\n  content: \"a: 1\\na: 2\"\n", "4:12"},
		{"spec", "kind: Schema\nmetadata: {name: a}\nspec:\n\n    # c\n    appliesTo: [a]\n    schema:\n      type: strin\n", "8:13"},
		{"flow", "kind: Schema\nmetadata: {name: a}\nspec: {appliesTo: [a],\n  schema: {type: strin}}\n", "3:7"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := policy.ParseManifests("dir/f.yaml", []byte("---\n"+test.text))
			if err != nil {
				t.Fatal(err)
			}
			got[0].Namespace = "prod"
			_, err = policy.Standard().Validate(got[0].Document, library{})
			f, ok := fault.As(got[0].Locate(err))
			if !ok {
				t.Fatalf("got %v, want a fault", err)
			}
			var line, column int
			fmt.Sscanf(test.want, "%d:%d", &line, &column)
			if f.Line != line+1 || f.Column != column || !strings.HasPrefix(f.Message, fmt.Sprintf("dir/f.yaml:%d:%d: ", line+1, column)) {
				t.Errorf("got %v, want %d:%d", f, line+1, column)
			}
		})
	}
}

// anyContent draws texts that are hard to write down, and bytes that are no text.
func anyContent() *rapid.Generator[[]byte] {
	pieces := rapid.SampledFrom([]string{"a", "key: value", "  ", "\t", "\n", "\n\n", "\r\n", "\r", "---", "...", "# c", "- ", "甲", "😀", "\u0085", "\u2028",
		"\ufeff", "\x00", "\x7f", "\u0090", "\\", "\"", "'", "|", ": ", "{", "}", "appliesTo: [a]\nschema: {}\n", "a:\n  b: |\n    c\n\n", "&x ", "*x", "%", "\ufffe"})
	return rapid.OneOf(
		rapid.Map(rapid.SliceOfN(pieces, 0, 12), func(p []string) []byte { return []byte(strings.Join(p, "")) }),
		rapid.SliceOfN(rapid.Byte(), 0, 40),
	)
}

// What is formatted is read back byte for byte, alone and among others, and formats the same again.
func TestManifestRoundTrip(t *testing.T) {
	documents := rapid.Custom(func(t *rapid.T) policy.Document {
		return policy.Document{
			Namespace: rapid.SampledFrom([]string{"", "prod", "true", "0123", "7f3c2c1e-2f0a-4d8a-9a51-7a4e9c1d0b2f", "1e5", "_"}).Draw(t, "namespace"),
			Kind:      rapid.SampledFrom([]string{"Config", "Schema", "Route"}).Draw(t, "kind"),
			Name: rapid.OneOf(rapid.SampledFrom([]string{"a", "null", "1.5", "0x1F", "~", "a: b", "贷款/#1", `"q"`, "a\\b", "2024-01-01", "- x", "&a", "*", "|"}),
				rapid.String().Filter(func(s string) bool { return policy.ValidateName("name", s) == nil })).Draw(t, "name"),
			Format:    rapid.SampledFrom([]string{"yaml", "json", "text", "properties"}).Draw(t, "format"),
			Content:   anyContent().Draw(t, "content"),
			Sensitive: rapid.Bool().Draw(t, "sensitive"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(documents, 1, 3).Draw(t, "documents")
		var file []byte
		for _, doc := range want {
			text, err := policy.FormatManifest(doc)
			if err != nil {
				t.Fatal(err)
			}
			file = append(append(file, "---\n"...), text...)
		}
		got, err := policy.ParseManifests("f.yaml", file)
		if err != nil {
			t.Fatalf("%v in\n%s", err, file)
		}
		if len(got) != len(want) {
			t.Fatalf("got %d manifests, want %d, of\n%s", len(got), len(want), file)
		}
		for i, m := range got {
			if len(m.Content) == 0 && len(want[i].Content) == 0 {
				m.Content = want[i].Content
			}
			if diff := cmp.Diff(want[i], m.Document); diff != "" {
				t.Fatalf("%s\nof\n%s", diff, file)
			}
			again, err := policy.FormatManifest(m.Document)
			if err != nil || !bytes.Contains(file, again) {
				t.Fatalf("formatted again it is %s, %v", again, err)
			}
		}
	})
}

func TestFormatManifest(t *testing.T) {
	for _, test := range []struct {
		doc  policy.Document
		want string
	}{
		{config("loan/limits.yaml", "yaml", "# c\npool:\n  max: 5\n\n  min: 1\n"),
			"kind: Config\nmetadata:\n  namespace: prod\n  name: loan/limits.yaml\nspec:\n  format: yaml\n  content: |\n    # c\n    pool:\n      max: 5\n\n      min: 1\n"},
		{schema("loan", "# c\nappliesTo: [a]\n\nschema:\n  type: object\n"),
			"kind: Schema\nmetadata:\n  namespace: prod\n  name: loan\nspec:\n  # c\n  appliesTo: [a]\n\n  schema:\n    type: object\n"},
		{schema("1", "appliesTo: [a]"),
			"kind: Schema\nmetadata:\n  namespace: prod\n  name: \"1\"\nsource:\n  format: yaml\n  content: |-\n    appliesTo: [a]\n"},
	} {
		got, err := policy.FormatManifest(test.doc)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, string(got)); diff != "" {
			t.Error(diff)
		}
	}
	if _, err := policy.FormatManifest(config("../x", "yaml", "")); !fault.Is(err, fault.Invalid) {
		t.Errorf("an invalid name was formatted: %v", err)
	}
}

func TestTree(t *testing.T) {
	documents := []policy.Document{
		config("a", "text", "1"), config("a/b", "text", "2"), config("a%2Fb", "text", "3"), config("a.yaml", "text", "4"), config(".hidden", "text", "5"),
		config(strings.Repeat("甲/", 127)+"x", "text", "6"), config(strings.Repeat("甲/", 127)+"y", "text", "7"), config("CON: a|b", "text", "8"),
		schema("a", "appliesTo: [a]\nschema: {}\n"),
	}
	tree := fstest.MapFS{"README.md": {Data: []byte("no manifest")}, ".git/x.yaml": {Data: []byte("}")}, "prod/.x.yaml": {Data: []byte("}")}}
	want := map[string]policy.Document{}
	for _, doc := range documents {
		text, err := policy.FormatManifest(doc)
		if err != nil {
			t.Fatal(err)
		}
		path := policy.TreePath(doc)
		if _, ok := tree[path]; ok {
			t.Errorf("%s is the path of two documents", path)
		}
		for part := range strings.SplitSeq(path, "/") {
			if len(part) > 255 {
				t.Errorf("the path %s has a part of %d bytes", path, len(part))
			}
		}
		tree[path] = &fstest.MapFile{Data: text}
		want[doc.Kind+doc.Name] = doc
	}
	if got, want := policy.TreePath(documents[1]), "prod/Config/a%2Fb.yaml"; got != want {
		t.Errorf("the path is %s, want %s", got, want)
	}
	manifests, err := policy.ParseTree(tree)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]policy.Document{}
	for _, m := range manifests {
		got[m.Kind+m.Name] = m.Document
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	tree["prod/z.yaml"] = tree["prod/Config/a.yaml"]
	tree["prod/y.yaml"] = &fstest.MapFile{Data: []byte("kind: [")}
	_, err = policy.ParseTree(tree)
	f, ok := fault.As(err)
	if !ok || len(f.Others) != 1 || !strings.HasPrefix(f.Message, "prod/y.yaml:1:") || f.Others[0].Reason != "manifest.duplicate" ||
		!strings.Contains(f.Others[0].Message, "prod/Config/a.yaml:1") {
		t.Errorf("got %v", err)
	}
}

func FuzzManifests(f *testing.F) {
	for _, seed := range []string{
		"kind: Config\nmetadata: {name: a}\nspec: {content: x}\n---\nkind: Schema\nmetadata:\n  name: b\nspec:\n  appliesTo: [a]\n  schema: |\n    x\n",
		`{"kind": "Route", "metadata": {"name": "r"}, "spec": {"a": [1, "\ud83d"]}}`,
		"kind: R\nmetadata: {name: &a x}\nspec:\n  - *a\n", "kind: R\nmetadata: {name: x}\nspec:\n  a: |+\n\n---\n...\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		manifests, err := policy.ParseManifests("f", data)
		if err != nil {
			if got, ok := fault.As(err); !ok || got.Code != fault.Invalid {
				t.Errorf("got %v, want a fault of class invalid", err)
			}
			return
		}
		for _, m := range manifests {
			text, err := policy.FormatManifest(m.Document)
			if err != nil {
				t.Fatalf("%v for %+v", err, m)
			}
			again, err := policy.ParseManifests("f", text)
			if err != nil || len(again) != 1 || !bytes.Equal(again[0].Content, m.Content) || again[0].Name != m.Name || again[0].Format != m.Format {
				t.Errorf("%q came back as %+v, %v from\n%s", m.Content, again, err, text)
			}
		}
	})
}
