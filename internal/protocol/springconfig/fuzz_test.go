package springconfig

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func TestExpressionsOverProfiles(t *testing.T) {
	for expression, want := range map[string]string{
		"prod": "true", " prod ": "true", "test": "false", "!test": "true", "!!prod": "true", "prod & eu": "true", "prod&!eu": "false", "test | eu": "true",
		"(prod & test) | eu": "true", "!(prod | test)": "false", "((prod))": "true", "two words": "false",
		"": "bad", "prod &": "bad", "prod | eu & test": "bad", "(prod": "bad", "prod)": "bad", "!": "bad", "prod (eu)": "bad",
	} {
		got, err := matches(expression, []string{"prod", "eu"})
		if err != nil && want != "bad" || err == nil && map[bool]string{true: "true", false: "false"}[got] != want {
			t.Errorf("%q: %v %v, want %s", expression, got, err, want)
		}
	}
}

func FuzzProfiles(f *testing.F) {
	f.Add("(a & !b) | c")
	f.Add("!!!!((((a")
	f.Fuzz(func(t *testing.T, expression string) {
		yes, err := matches(expression, []string{"a", "b"})
		if err != nil {
			return
		}
		// An expression and its opposite do not agree.
		if no, err := matches("!("+expression+")", []string{"a", "b"}); err == nil && no == yes {
			t.Fatalf("%q and its opposite are both %v", expression, yes)
		}
	})
}

func FuzzPlaceholders(f *testing.F) {
	f.Add("${a}${b:${c}}\\${d}")
	f.Add("${${a}:}")
	f.Add("${a${a${a")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := propertySources("default", "x.yml", &gantryv1.Version{Format: "yaml", Content: []byte("a: ${b}${b}\nb: \"${a:x} ${c}\"\nc: ${c}\n")}, nil)
		if err != nil {
			t.Fatal(err)
		}
		p := newPlaceholders(combined(all))
		if _, err := p.resolve(text); err != nil && !fault.Is(err, fault.TooLarge) {
			t.Fatal(err)
		}
		if p.made > maxResolved+len(text)+(1<<20) {
			t.Fatalf("it made %d bytes of %q", p.made, text)
		}
	})
}

// Whatever a path is, the documents that it leads to have names that documents may have, or none is read.
func FuzzPaths(f *testing.F) {
	f.Add("/spring-config/loan/prod/main")
	f.Add("/spring-config/a(_)b,c/x,y/..%2f")
	f.Add("/spring-config/v1/loan-prod.yml")
	f.Fuzz(func(t *testing.T, path string) {
		request, err := http.NewRequest(http.MethodGet, "http://x"+path, nil)
		if err != nil || !strings.HasPrefix(request.URL.Path, Prefix) {
			return
		}
		parts, err := segments(request)
		if err != nil || len(parts) < 2 {
			return
		}
		for _, part := range parts {
			if part == "" || part == "." || part == ".." || strings.Contains(part, "/") {
				t.Fatalf("%q let %q through", path, part)
			}
		}
		label := ""
		if len(parts) > 2 {
			label = parts[2]
		}
		q, err := parse(parts[0], parts[1], label)
		if err != nil {
			return
		}
		h := &Handler{}
		for _, name := range q.documents() {
			if policy.ValidateName("name", name) == nil {
				continue
			}
			if _, err := h.read(request.Context(), name, subject(httptest.NewRequest(http.MethodGet, "/", nil))); err == nil {
				t.Fatalf("%q was read", name)
			}
		}
	})
}

func FuzzDocuments(f *testing.F) {
	f.Add("yaml", "a: [1, {b: null}]\n---\nspring.config.activate.on-profile: [x, 'y & z']\n")
	f.Add("properties", "a=1\n#---\nspring.config.activate.on-profile=x\na[0]=2\n")
	f.Add("json", `{"a":{"b":[1e400]}}`)
	f.Fuzz(func(t *testing.T, format, text string) {
		v := &gantryv1.Version{Version: 1, Format: format, Content: []byte(text), CreatedAt: timestamppb.Now()}
		sources, err := propertySources("default", "x."+format, v, []string{"x"})
		if err != nil {
			if _, ok := fault.As(err); !ok {
				t.Fatalf("an error that is no fault: %v", err)
			}
			return
		}
		for i := range sources {
			sources[i].Source.origins = i%2 == 0
		}
		body, err := json.Marshal(&environment{PropertySources: sources})
		if err != nil {
			t.Fatalf("%v of %q", err, text)
		}
		var back struct {
			PropertySources []struct{ Source map[string]any }
		}
		decoder := json.NewDecoder(bytes.NewReader(body))
		decoder.UseNumber()
		if err := decoder.Decode(&back); err != nil || len(back.PropertySources) != len(sources) {
			t.Fatalf("%v in %s", err, body)
		}
	})
}
