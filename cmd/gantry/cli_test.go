package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// pretendToken serves nothing and tells which authorization came.
func pretendToken(t *testing.T, given chan<- string) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given <- r.Header.Get("Authorization")
		http.NotFound(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func nobody(t *testing.T) *operator {
	return &operator{t: t, env: map[string]string{"HOME": t.TempDir()}}
}

func TestUsageErrors(t *testing.T) {
	o := nobody(t)
	for line, words := range map[string][]string{
		"servces":                          {"servces", "did you mean services"},
		"token":                            {"create, list, revoke"},
		"token mint":                       {"gantry token has no command", "mint"},
		"token mint --grant x":             {"gantry token has no command", "mint"},
		"services --nope":                  {"--nope", "gantry services --help"},
		"services -o xml":                  {"xml"},
		"services -o manifest":             {"cannot answer as manifest"},
		"services a b":                     {`"b" is one argument too many`},
		"release":                          {"too few arguments", "KIND NAME"},
		"release Config":                   {"does not name a document"},
		"instances -l zone":                {"label", "key=value"},
		"instances -l a=1 -l a=2":          {"given twice"},
		"get -o content":                   {"say which document"},
		"audit --since yesterday":          {"since", "90m"},
		"audit --limit -1":                 {"limit"},
		"completion tcsh":                  {"tcsh", "powershell"},
		"--address ftp://x services":       {"neither http nor https"},
		"--address http://u:p@x get":       {"gantry login"},
		"--address http://x,y get":         {"one host"},
		"user update ann":                  {"nothing to update"},
		"diff":                             {"-f FILE"},
		"services --ca /does/not/exist":    {"no such file"},
		"user update a --enable --disable": {"both given"},
	} {
		t.Run(line, func(t *testing.T) {
			o := &operator{t: t, env: o.env}
			r := o.fails(exitInvalid, words, strings.Fields(line)...)
			if r.out != "" {
				t.Fatalf("an error stands on standard output: %s", r.out)
			}
		})
	}
}

func TestEveryCommandHasHelp(t *testing.T) {
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			if !documented(sub) {
				continue
			}
			if sub.Short == "" || strings.HasSuffix(sub.Short, ".") || sub.Example == "" {
				t.Errorf("%s: want a short sentence without a stop, and examples", sub.CommandPath())
			}
			for line := range strings.SplitSeq(sub.Example, "\n") {
				if !strings.HasPrefix(line, "  ") {
					t.Errorf("%s: an example is not indented: %q", sub.CommandPath(), line)
				}
			}
			visit(sub)
		}
	}
	visit(newRoot(newCLI(nil, nil, nil, os.Getenv)))
	o := nobody(t)
	wantWords(t, o.must("help", "exit-codes"), "differences", "130")
	wantWords(t, o.must("apply", "--help"), "Examples:", "--keep-going")
	wantWords(t, o.must(), "Usage:")
}

func TestReferenceIsUpToDate(t *testing.T) {
	want := nobody(t).must("help-markdown")
	got, err := os.ReadFile(filepath.Join("..", "..", "docs", "commands.md"))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Fatal("docs/commands.md is stale: run go run ./cmd/gantry help-markdown > docs/commands.md")
	}
}

func TestVersionAndCompletionScripts(t *testing.T) {
	o := nobody(t)
	wantWords(t, o.must("version"), "gantry ")
	if b := decode[build](t, o.must("version", "-o", "json")); b.Version == "" || b.Go == "" {
		t.Fatalf("%+v", b)
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		wantWords(t, o.must("completion", shell), "gantry", "__complete")
	}
}

func TestErrorsOfServersAreExplained(t *testing.T) {
	detailed := func(code connect.Code, d *gantryv1.ErrorDetail) error {
		err := connect.NewError(code, errors.New("what was wrong\x1b[31m"))
		if d != nil {
			detail, detailErr := connect.NewErrorDetail(d)
			if detailErr != nil {
				t.Fatal(detailErr)
			}
			err.AddDetail(detail)
		}
		return err
	}
	for _, test := range []struct {
		name string
		err  error
		code int
		json string
	}{
		{"invalid", detailed(connect.CodeInvalidArgument, &gantryv1.ErrorDetail{Reason: "x.y", Field: "spec.limit", Line: 3, Column: 4, Hint: "do that",
			Others: []*gantryv1.ErrorDetail{{Message: "another", Field: "spec.rate"}}}), exitInvalid,
			`"code": "invalid"`},
		{"missing", detailed(connect.CodeNotFound, nil), exitNotFound, `"code": "not_found"`},
		{"exists", detailed(connect.CodeAlreadyExists, nil), exitConflict, `"code": "already_exists"`},
		{"conflict", detailed(connect.CodeAborted, nil), exitConflict, `"code": "conflict"`},
		{"precondition", detailed(connect.CodeFailedPrecondition, nil), exitConflict, `"code": "precondition"`},
		{"nobody", detailed(connect.CodeUnauthenticated, nil), exitForbidden, `"code": "unauthenticated"`},
		{"forbidden", detailed(connect.CodePermissionDenied, nil), exitForbidden, `"code": "forbidden"`},
		{"large", detailed(connect.CodeResourceExhausted, &gantryv1.ErrorDetail{Reason: "document.too_large"}), exitInvalid, `"code": "too_large"`},
		{"busy", detailed(connect.CodeResourceExhausted, &gantryv1.ErrorDetail{Reason: "access.busy"}), exitUnavailable, `"code": "exhausted"`},
		{"unavailable", detailed(connect.CodeUnavailable, nil), exitUnavailable, `"code": "unavailable"`},
		{"late", detailed(connect.CodeDeadlineExceeded, nil), exitUnavailable, `"code": "deadline_exceeded"`},
		{"internal", detailed(connect.CodeInternal, nil), exitFailed, `"code": "internal"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &scripted{lists: func(context.Context, *gantryv1.ListServicesRequest) (*gantryv1.ListServicesResponse, error) {
				return nil, test.err
			}}
			o := s.serve(t)
			r := o.fails(test.code, []string{"error: "}, "services")
			wantNoWords(t, r.err, "\x1b")
			if test.name == "invalid" {
				wantWords(t, r.err, "line 3:4: spec.limit: what was wrong", "  do that", "error: spec.rate: another")
			}
			wantWords(t, o.fails(test.code, nil, "services", "-o", "json").err, test.json)
			var object map[string]map[string]any
			if err := yaml.Unmarshal([]byte(o.fails(test.code, nil, "services", "-o", "yaml").err), &object); err != nil || object["error"]["code"] == "" {
				t.Fatalf("%v %v", object, err)
			}
		})
	}
}

func TestWhatIsNoGantryServerIsExplained(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	o := nobody(t)
	o.fails(exitFailed, []string{"no answer that a gantry server would give", "8848"}, "services", "--address", plain.URL)
	o.fails(exitUnavailable, []string{"does not speak TLS", "http://"}, "services", "--address", strings.Replace(plain.URL, "http", "https", 1))
	o.fails(exitUnavailable, []string{"signed by nobody", "--ca"}, "services", "--address", secure.URL)
	o.fails(exitUnavailable, []string{"cannot reach"}, "services", "--address", "127.0.0.1:1")
	o.fails(exitInvalid, []string{"no certificate"}, "services", "--ca", file(t, "ca.pem", "not a certificate"))
}

func TestTimeoutAndInterrupt(t *testing.T) {
	hang := func(ctx context.Context, _ *gantryv1.ListServicesRequest) (*gantryv1.ListServicesResponse, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	o := (&scripted{lists: hang}).serve(t)
	o.fails(exitUnavailable, []string{"in time", "--timeout"}, "services", "--timeout", "20ms")

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	interrupted := &scripted{lists: func(requested context.Context, request *gantryv1.ListServicesRequest) (*gantryv1.ListServicesResponse, error) {
		cancel()
		return hang(requested, request)
	}}
	if r := interrupted.serve(t).runIn(ctx, "services"); r.code != exitInterrupted || r.out+r.err != "" {
		t.Fatalf("exit code %d: %s%s", r.code, r.out, r.err)
	}
	// Completion is silent and does not wait for long.
	if r := o.run("__complete", "services", ""); strings.Contains(r.out, "error") || !strings.HasPrefix(r.out, ":") {
		t.Fatalf("%q", r.out)
	}
}

func TestCompletionAsksTheServer(t *testing.T) {
	o := newOperator(t)
	register(t, o, "loan", "10.0.0.1", "north")
	o.must("apply", "-f", file(t, "loan.yaml", config("loan.yaml", "limit: 5")))
	for line, want := range map[string]string{
		"instances lo":                          "loan\n",
		"instance drain loan 10":                "10.0.0.1:8080\n",
		"get Con":                               "Config\n",
		"get Config l":                          "loan.yaml\n",
		"get Config/l":                          "Config/loan.yaml\n",
		"watch documents Config/":               "Config/loan.yaml\n",
		"rollback Config loan.yaml --version 1": "1\n",
		"services -n " + o.env["GANTRY_NAMESPACE"][:4]: o.env["GANTRY_NAMESPACE"] + "\n",
		"get nobody x": ":4",
	} {
		wantWords(t, o.must(append([]string{"__complete"}, strings.Fields(line)...)...), want)
	}
}

func TestPagesAreFollowed(t *testing.T) {
	s := &scripted{lists: func(_ context.Context, request *gantryv1.ListServicesRequest) (*gantryv1.ListServicesResponse, error) {
		page := 0
		if request.GetPageToken() != "" {
			fmt.Sscan(request.GetPageToken(), &page)
		}
		answer := &gantryv1.ListServicesResponse{Services: []*gantryv1.Service{{Ref: &gantryv1.ServiceRef{Service: fmt.Sprint("s", page)}}}}
		if page < 2 {
			answer.NextPageToken = fmt.Sprint(page + 1)
		}
		return answer, nil
	}}
	wantWords(t, s.serve(t).must("services"), "s0", "s1", "s2")
}

func TestExportThatIsCutOffChangesNothing(t *testing.T) {
	document := func(namespace, name, content string) *gantryv1.ExportResponse {
		return &gantryv1.ExportResponse{Total: 2, Document: &gantryv1.Document{Ref: &gantryv1.DocumentRef{Namespace: namespace, Kind: "Config", Name: name}},
			Version: &gantryv1.Version{Version: 1, Format: "yaml", Content: []byte(content)}}
	}
	s := &scripted{export: []*gantryv1.ExportResponse{document("default", "a.yaml", "a: 1\n"), document("default", "b.yaml", "b: 1\n")}}
	o := s.serve(t)
	folder := filepath.Join(t.TempDir(), "tree")
	o.must("export", folder)
	before := snapshot(t, folder)
	s.export, s.cutOff = []*gantryv1.ExportResponse{document("default", "a.yaml", "a: 2\n")}, connect.NewError(connect.CodeUnavailable, errors.New("gone"))
	o.fails(exitUnavailable, []string{"gone"}, "export", folder)
	if after := snapshot(t, folder); after != before {
		t.Fatalf("before:\n%s\nafter:\n%s", before, after)
	}
	// A server's names lead nowhere else.
	s.cutOff = nil
	for _, message := range []*gantryv1.ExportResponse{document("../../outside", "a.yaml", "x: 1\n"), document("", "a.yaml", "x: 1\n")} {
		s.export = []*gantryv1.ExportResponse{message}
		o.fails(exitInvalid, []string{"namespace"}, "export", folder)
	}
	s.export = []*gantryv1.ExportResponse{document("default", "../../../outside", "x: 1\n")}
	s.export[0].Document.Ref.Kind = ".."
	o.run("export", folder)
	if found, _ := filepath.Glob(filepath.Join(filepath.Dir(folder), "*")); len(found) != 1 {
		t.Fatalf("something was written outside: %v", found)
	}
}

// snapshot is all of a folder as text.
func snapshot(t *testing.T, folder string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			fmt.Fprintln(&b, path)
			return err
		}
		text, err := os.ReadFile(path)
		fmt.Fprintf(&b, "%s\n%s\n", path, text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTablesFitTheirTerminal(t *testing.T) {
	var out strings.Builder
	c := newCLI(nil, &out, &out, func(string) string { return "" })
	c.width, c.colour = 40, true
	table := newTable("", col("NAME"), number("COUNT"), col("MESSAGE"))
	table.add(cell{"贷款服务", c.painter().green}, 12, strings.Repeat("long ", 20))
	table.add("evil\x1b]0;title\x07", 3, "two\nlines")
	if err := c.printTable(table); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	wantWords(t, text, "\x1b[32m贷款服务\x1b[0m", "…", `\u001b]0`, `\n`)
	bare := regexp.MustCompile("\x1b\\[[0-9]*m").ReplaceAllString(text, "")
	wantNoWords(t, bare, "\x1b", "\x07")
	for line := range strings.Lines(bare) {
		if w := columnsOf(strings.TrimSuffix(line, "\n")); w > 40 {
			t.Fatalf("%d columns: %q", w, line)
		}
	}
	// Elsewhere than on a terminal nothing is cut.
	out.Reset()
	c.width, c.colour = 0, false
	if err := c.printTable(table); err != nil {
		t.Fatal(err)
	}
	wantNoWords(t, out.String(), "…", "\x1b")
}

func TestYAMLKeepsWhatJSONSays(t *testing.T) {
	in := `{"text":"yes","lines":"a\nb\n","number":"12","big":12345678901234567890,"float":1.5,"none":null,"list":[],"map":{},"items":[{"a":true}],"odd":"\u0001: #"}`
	out, err := yamlOf([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := yaml.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	if got["text"] != "yes" || got["lines"] != "a\nb\n" || got["number"] != "12" || got["big"] != uint64(12345678901234567890) || got["float"] != 1.5 ||
		got["none"] != nil || got["odd"] != "\x01: #" || len(got["list"].([]any)) != 0 {
		t.Fatalf("%#v from\n%s", got, out)
	}
	if strings.Index(string(out), "text:") > strings.Index(string(out), "odd:") {
		t.Fatalf("the order changed:\n%s", out)
	}
}

func TestAges(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	c := &cli{now: func() time.Time { return now }}
	for ago, want := range map[time.Duration]string{-time.Hour: "0s", 90 * time.Second: "90s", 90 * time.Minute: "90m", 30 * time.Hour: "30h", 80 * time.Hour: "3d"} {
		moment, err := c.parseMoment("since", now.Add(-ago).Format(time.RFC3339))
		if err != nil || c.age(moment) != want {
			t.Errorf("%v ago is %s, want %s (%v)", ago, c.age(moment), want, err)
		}
	}
	for text, ago := range map[string]time.Duration{"90m": 90 * time.Minute, "7d": 7 * 24 * time.Hour, "0s": 0} {
		moment, err := c.parseMoment("since", text)
		if err != nil || !moment.AsTime().Equal(now.Add(-ago)) {
			t.Errorf("%s is %v (%v)", text, moment.AsTime(), err)
		}
	}
	for _, text := range []string{"-90m", "d", "-1d", "1.5d", "99999d", "7days", "soon"} {
		if moment, err := c.parseMoment("since", text); err == nil {
			t.Errorf("%s is %v", text, moment.AsTime())
		}
	}
}

func FuzzParseWords(f *testing.F) {
	for _, seed := range []string{"zone=north", "=", "a=b=c", "*=admin", "10%", "1e400", "贷=款"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, word string) {
		if parsed, err := parsePairs("label", []string{word}); err == nil {
			if len(parsed) != 1 || pairs(parsed) != word {
				t.Fatalf("%q became %v", word, parsed)
			}
		}
		if grants, err := parseGrants([]string{word}); err == nil {
			if g := grants[0]; g.GetNamespace() == "" || g.GetRole() == gantryv1.Role_ROLE_UNSPECIFIED || !strings.EqualFold(grantsText(grants), word) {
				t.Fatalf("%q became %v", word, g)
			}
		}
		if share, err := parsePercent(word); err == nil && !(share > 0 && share <= 100) {
			t.Fatalf("%q became %v", word, share)
		}
		if text := printable(word); strings.ContainsAny(text, "\x1b\n\r\x07\u0085\u202e") {
			t.Fatalf("%q became %q", word, text)
		}
		if cutText := cut(printable(word), 8); columnsOf(cutText) > 8 {
			t.Fatalf("%q takes %d columns", cutText, columnsOf(cutText))
		}
	})
}
