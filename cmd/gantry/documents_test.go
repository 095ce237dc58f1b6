package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func config(name, content string) string {
	return fmt.Sprintf("kind: Config\nmetadata: {name: %s}\nspec:\n  format: yaml\n  content: |\n    %s\n", name, strings.ReplaceAll(content, "\n", "\n    "))
}

func secretConfig(name, content string) string {
	return strings.Replace(config(name, content), "format: yaml", "format: yaml\n  sensitive: true", 1)
}

const limitSchema = `kind: Schema
metadata: {name: limits}
spec:
  appliesTo: ["*.yaml"]
  schema:
    type: object
    properties: {limit: {type: %s}}
`

type documentShape struct {
	LatestVersion   string `json:"latestVersion"`
	ReleasedVersion string `json:"releasedVersion"`
	Revision        string `json:"revision"`
	Rollout         *struct {
		Version string `json:"version"`
	} `json:"rollout"`
}

type getShape struct {
	Document documentShape
	Version  struct {
		Version  string `json:"version"`
		Content  string `json:"content"`
		Withheld bool   `json:"withheld"`
	}
}

func (o *operator) get(name string) getShape {
	o.t.Helper()
	return decode[getShape](o.t, o.must("get", "Config", name, "-o", "json"))
}

func TestApplyCreatesUpdatesAndLeavesAlone(t *testing.T) {
	o := newOperator(t)
	path := file(t, "loan.yaml", config("loan.yaml", "limit: 5"))
	wantWords(t, o.must("apply", "-f", path, "--dry-run"), "Config/loan.yaml would be created")
	o.fails(exitNotFound, []string{`no Config "loan.yaml"`}, "get", "Config", "loan.yaml")
	wantWords(t, o.must("apply", "-f", path), "Config/loan.yaml created (version 1)")
	wantWords(t, o.must("apply", "-f", path), "Config/loan.yaml unchanged (version 1)")

	next := file(t, "loan.yaml", config("loan.yaml", "limit: 6"))
	rehearsed := o.must("apply", "-f", next, "--dry-run")
	wantWords(t, rehearsed, "would be updated", "-limit: 5", "+limit: 6")
	if got := o.get("loan.yaml"); got.Document.LatestVersion != "1" {
		t.Fatalf("a dry run published version %s", got.Document.LatestVersion)
	}
	wantWords(t, o.must("apply", "-f", next), "Config/loan.yaml updated (version 2)")
	got := o.get("loan.yaml")
	content, err := base64.StdEncoding.DecodeString(got.Version.Content)
	if err != nil || string(content) != "limit: 6\n" || got.Document.ReleasedVersion != "2" {
		t.Fatalf("in force is %q of version %s (%v)", content, got.Document.ReleasedVersion, err)
	}
}

func TestApplyRefusesAllWhenOneIsInvalid(t *testing.T) {
	o := newOperator(t)
	path := file(t, "both.yaml", config("good.yaml", "limit: 5")+"---\n"+config("bad.yaml", "limit: 5\nlimit: [6"))
	r := o.fails(exitInvalid, []string{path + ":1", "nothing was applied"}, "apply", "-f", path)
	if r.out != "" {
		t.Fatalf("something was said to be done: %s", r.out)
	}
	if out := o.must("get", "-o", "json"); decode[[]any](t, out) == nil || len(decode[[]any](t, out)) != 0 {
		t.Fatalf("something was stored: %s", out)
	}
}

func TestApplyTakesManifestsFromStandardInputAndGet(t *testing.T) {
	o := newOperator(t)
	o.typing(config("loan.yaml", "limit: 5")).must("apply", "-f", "-")
	manifest := o.must("get", "config/loan.yaml")
	wantWords(t, manifest, "kind: Config", "limit: 5")
	wantWords(t, o.typing(manifest).must("apply", "-f", "-"), "unchanged")
	wantWords(t, o.typing(strings.Replace(manifest, "5", "7", 1)).must("apply", "-f", "-"), "updated (version 2)")
	if out := o.must("get", "Config", "loan.yaml", "--version", "1", "-o", "content"); out != "limit: 5\n" {
		t.Fatalf("content of version 1: %q", out)
	}
}

func TestApplyDraftReleasesNothing(t *testing.T) {
	o := newOperator(t)
	path := file(t, "loan.yaml", config("loan.yaml", "limit: 5"))
	wantWords(t, o.must("apply", "-f", path, "--draft"), "created (version 1, not released)")
	if got := o.get("loan.yaml"); got.Document.ReleasedVersion != "0" {
		t.Fatalf("version %s is released", got.Document.ReleasedVersion)
	}
	wantWords(t, o.must("apply", "-f", path, "--draft"), "unchanged")
	wantWords(t, o.must("apply", "-f", path), "released (version 1)")
	o.fails(exitInvalid, []string{"--draft"}, "apply", "-f", path, "--draft", "--percent", "10")
}

func TestApplyExpectsAVersion(t *testing.T) {
	o := newOperator(t)
	first := file(t, "loan.yaml", config("loan.yaml", "limit: 5"))
	second := file(t, "loan.yaml", config("loan.yaml", "limit: 6"))
	o.must("apply", "-f", first, "--expect", "0")
	o.fails(exitConflict, []string{"Config/loan.yaml"}, "apply", "-f", second, "--expect", "0")
	o.must("apply", "-f", second, "--expect", "1")
	o.fails(exitInvalid, []string{"--expect is for one document"}, "apply", "-f", second, "-f", file(t, "other.yaml", config("other.yaml", "a: 1")), "--expect", "1")
}

func TestApplyStagesAndMovesOn(t *testing.T) {
	o := newOperator(t)
	o.must("apply", "-f", file(t, "loan.yaml", config("loan.yaml", "limit: 5")))
	next := file(t, "loan.yaml", config("loan.yaml", "limit: 6"))
	wantWords(t, o.must("apply", "-f", next, "--percent", "10", "-m", "canary"), "updated (version 2 for 10%)")
	wantWords(t, o.must("apply", "-f", next, "--label", "zone=north"), "staged (version 2 for label zone=north)")
	wantWords(t, o.must("get"), "2 for label zone=north")
	wantWords(t, o.must("promote", "Config", "loan.yaml"), "version 2 for all")
	wantWords(t, o.must("apply", "-f", next, "--percent", "10"), "unchanged")
	wantWords(t, o.must("history", "Config", "loan.yaml"), "promoted", "staged", "10%", "canary", "published")
}

func TestApplyPutsSchemasBeforeWhatTheyBind(t *testing.T) {
	o := newOperator(t)
	numbers := file(t, "numbers.yaml", config("loan.yaml", "limit: 5")+"---\n"+fmt.Sprintf(limitSchema, "integer"))
	out := o.must("apply", "-f", numbers)
	if strings.Index(out, "Schema/limits created") > strings.Index(out, "Config/loan.yaml created") {
		t.Fatalf("the Schema comes last:\n%s", out)
	}
	// The Schema in force refuses this Config, and the one beside it wants it so.
	texts := file(t, "texts.yaml", config("loan.yaml", "limit: five")+"---\n"+fmt.Sprintf(limitSchema, "string"))
	wantWords(t, o.must("apply", "-f", texts), "Config/loan.yaml updated")
	// And a Config that the Schema beside it refuses is refused before anything is published.
	mixed := file(t, "mixed.yaml", config("loan.yaml", "limit: six")+"---\n"+fmt.Sprintf(limitSchema, "boolean"))
	o.fails(exitInvalid, []string{"mixed.yaml:6", "limit: want boolean", "nothing was applied"}, "apply", "-f", mixed)
	if got := o.get("loan.yaml"); got.Document.LatestVersion != "2" {
		t.Fatalf("version %s was published", got.Document.LatestVersion)
	}
}

func TestApplyRefusesAnotherNamespaceAndDuplicates(t *testing.T) {
	o := newOperator(t)
	elsewhere := file(t, "a.yaml", "kind: Config\nmetadata: {name: a.yaml, namespace: elsewhere}\nspec: {format: yaml, content: 'a: 1'}\n")
	o.fails(exitInvalid, []string{"elsewhere", "--namespace"}, "apply", "-f", elsewhere, "-n", "here")
	one := file(t, "one.yaml", config("loan.yaml", "a: 1"))
	o.fails(exitInvalid, []string{"stands here again"}, "apply", "-f", one, "-f", one)
	o.fails(exitInvalid, []string{"no such file"}, "apply", "-f", filepath.Join(t.TempDir(), "none.yaml"))
	o.fails(exitInvalid, []string{"-f"}, "apply")
	o.fails(exitInvalid, []string{"no manifest"}, "apply", "-f", t.TempDir())
	o.fails(exitInvalid, []string{"broken.yaml:2"}, "apply", "-f", file(t, "broken.yaml", "kind: Config\nmetadat: {name: a}\n"))
}

func TestApplyGoesOnOnlyWhenTold(t *testing.T) {
	o := newOperator(t)
	o.must("apply", "-f", file(t, "b.yaml", config("b.yaml", "a: 1")))
	o.must("apply", "-f", file(t, "b.yaml", config("b.yaml", "a: 2")), "--percent", "10")
	// b.yaml cannot be released to all while it is staged.
	all := file(t, "all.yaml", config("a.yaml", "a: 3")+"---\n"+config("b.yaml", "a: 3")+"---\n"+config("c.yaml", "a: 3"))
	r := o.fails(exitConflict, []string{"Config/b.yaml", "1 created, 1 failed"}, "apply", "-f", all)
	wantWords(t, r.out, "Config/a.yaml created")
	wantNoWords(t, r.out, "c.yaml")
	r = o.fails(exitConflict, []string{"1 created, 1 unchanged, 1 failed"}, "apply", "-f", all, "--keep-going")
	wantWords(t, r.out, "Config/a.yaml unchanged", "Config/c.yaml created")

	r = o.run("apply", "-f", all, "--keep-going", "-o", "json")
	answers := decode[[]applied](t, r.out)
	if r.code != exitConflict || len(answers) != 3 || answers[1].Effect != effectFailed || answers[1].Error.Code != "precondition" || answers[1].Error.Hint == "" {
		t.Fatalf("exit code %d, answers %+v", r.code, answers)
	}
}

func TestDiffTellsWhatDiffers(t *testing.T) {
	o := newOperator(t)
	five := file(t, "loan.yaml", config("loan.yaml", "limit: 5\nrate: 1"))
	r := o.fails(exitDifferent, nil, "diff", "-f", five)
	wantWords(t, r.out, "does not exist", "--- /dev/null", "@@ -0,0 +1,2 @@", "+limit: 5\n+rate: 1\n")
	o.must("apply", "-f", five)
	if r := o.run("diff", "-f", five); r.code != exitDone || r.out != "" {
		t.Fatalf("nothing differs, and yet %d: %s", r.code, r.out)
	}
	six := file(t, "loan.yaml", config("loan.yaml", "limit: 6\nrate: 1"))
	wantWords(t, o.fails(exitDifferent, nil, "diff", "-f", six).out, "-limit: 5", "+limit: 6", " rate: 1")
	o.must("apply", "-f", six, "--draft")
	wantWords(t, o.fails(exitDifferent, nil, "diff", "-f", six).out, "+limit: 6")
	o.must("diff", "-f", six, "--latest")
	wantWords(t, o.fails(exitDifferent, nil, "diff", "Config", "loan.yaml").out, "-limit: 5", "+limit: 6")
	wantWords(t, o.fails(exitDifferent, nil, "diff", "Config", "loan.yaml", "--from", "2", "--to", "1").out, "+limit: 5")

	empty := file(t, "loan.yaml", "kind: Config\nmetadata: {name: loan.yaml}\nspec: {format: text, content: ''}\n")
	r = o.fails(exitDifferent, nil, "diff", "-f", empty, "-o", "json")
	d := decode[[]differed](t, r.out)[0]
	if !d.Differs || !strings.Contains(d.Unified, "-limit: 5\n-rate: 1\n") || len(d.Changes) != 1 || d.Changes[0] != "format yaml -> text" {
		t.Fatalf("%+v", d)
	}
	o.fails(exitNotFound, []string{"nobody"}, "diff", "Config", "nobody")
	o.fails(exitInvalid, []string{"both given"}, "diff", "-f", six, "Config", "loan.yaml")
}

func TestStagedReleaseFromPreviewToRollback(t *testing.T) {
	o := newOperator(t)
	o.must("apply", "-f", file(t, "loan.yaml", config("loan.yaml", "limit: 5")))
	o.must("apply", "-f", file(t, "loan.yaml", config("loan.yaml", "limit: 6")), "--draft")
	for i, zone := range []string{"north", "north", "south"} {
		register(t, o, "loan", fmt.Sprintf("10.0.0.%d", i+1), zone)
	}
	r := o.run("preview", "Config", "loan.yaml", "--label", "zone=north")
	wantWords(t, r.out, "10.0.0.1:8080", "10.0.0.2:8080")
	wantNoWords(t, r.out, "10.0.0.3:8080")
	wantWords(t, r.err, "2 of 3 instances are chosen")

	r = o.fails(exitInvalid, []string{"10.0.0.3:8080", "1 of 3 instances", "--yes"}, "release", "Config", "loan.yaml", "--to", "10.0.0.3", "--preview")
	if o.get("loan.yaml").Document.Rollout != nil {
		t.Fatal("it was released although nobody said yes")
	}
	wantWords(t, o.must("release", "Config", "loan.yaml", "--to", "10.0.0.3/32", "--preview", "--yes"),
		"version 2 for at 10.0.0.3/32, version 1 for the rest")
	wantWords(t, o.must("abort", "Config", "loan.yaml"), "version 1 for all")
	o.fails(exitConflict, nil, "abort", "Config", "loan.yaml")

	stale := o.get("loan.yaml").Document.Revision
	wantWords(t, o.must("release", "Config", "loan.yaml", "--expect-revision", stale), "version 2 for all")
	o.fails(exitConflict, nil, "rollback", "Config", "loan.yaml", "--yes", "--expect-revision", stale)
	o.fails(exitInvalid, []string{"--yes"}, "rollback", "Config", "loan.yaml")
	wantWords(t, o.must("rollback", "Config", "loan.yaml", "--yes", "-m", "incident 17"), "version 1 for all")
	wantWords(t, o.must("history", "Config", "loan.yaml"), "rolled back", "incident 17")

	wantWords(t, o.must("delete", "Config", "loan.yaml", "-y"), "is deleted")
	wantNoWords(t, o.must("get"), "loan.yaml")
	wantWords(t, o.must("get", "--deleted"), "loan.yaml", "deleted")
	wantWords(t, o.must("rollback", "Config", "loan.yaml", "--version", "2", "-y"), "version 2 for all")
	for _, percent := range []string{"0", "101", "ten", "NaN"} {
		o.fails(exitInvalid, []string{"percent"}, "release", "Config", "loan.yaml", "--percent", percent)
	}
}

func TestSensitiveContentIsWithheld(t *testing.T) {
	o := newOperator(t)
	o.must("apply", "-f", file(t, "db.yaml", secretConfig("db.yaml", "password: hunter2hunter2")))
	viewer := o.with("GANTRY_TOKEN", strings.TrimSpace(o.must("token", "create", "--grant", o.env["GANTRY_NAMESPACE"]+"=viewer")))
	r := viewer.fails(exitForbidden, []string{"withheld"}, "get", "Config", "db.yaml")
	wantNoWords(t, r.out+r.err, "hunter2")
	wantWords(t, viewer.must("get", "Config", "db.yaml", "-o", "wide"), "Sensitive  true", "Checksum   -")
	wantWords(t, o.must("get", "Config", "db.yaml"), "hunter2")

	next := file(t, "db.yaml", secretConfig("db.yaml", "password: correcthorse"))
	wantNoWords(t, o.must("apply", "-f", next, "--dry-run"), "hunter2", "correcthorse")

	folder := filepath.Join(t.TempDir(), "tree")
	r = o.run("export", folder)
	wantWords(t, r.err, "1 sensitive document is left out", "--sensitive")
	if found, _ := filepath.Glob(filepath.Join(folder, "*", "*", "*")); len(found) != 0 {
		t.Fatalf("written: %v", found)
	}
	wantWords(t, o.must("export", folder, "--sensitive"), "1 written")
	found, _ := filepath.Glob(filepath.Join(folder, "*", "*", "*"))
	if len(found) != 1 {
		t.Fatalf("written: %v", found)
	}
	if info, err := os.Stat(found[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	wantWords(t, o.must("keys", "rotate", "-y"), "sealed again")
	o.must("import", folder)
}

func TestExportAndImportAreIdempotent(t *testing.T) {
	o := newOperator(t)
	for i := range 25 {
		o.typing(config(fmt.Sprintf("app/%d.yaml", i), fmt.Sprintf("number: %d", i))).must("apply", "-f", "-")
	}
	o.must("apply", "-f", file(t, "x", config("app/1.yaml", "number: one")))
	o.must("rollback", "Config", "app/1.yaml", "-y") // what is in force is not the latest
	folder := filepath.Join(t.TempDir(), "tree")
	wantWords(t, o.must("export", folder), "25 written, 0 unchanged, 0 removed")
	wantWords(t, o.must("export", folder), "0 written, 25 unchanged, 0 removed")
	r := o.run("import", folder)
	if r.code != 0 || r.out != "" {
		t.Fatalf("an import of what is in force did something: %s%s", r.out, r.err)
	}
	wantWords(t, r.err, "25 unchanged")

	// The folder is a mirror: what is gone leaves it, and other people's files stay.
	o.must("delete", "Config", "app/0.yaml", "-y")
	note := filepath.Join(folder, "README")
	if err := os.WriteFile(note, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	wantWords(t, o.must("export", folder), "0 written, 24 unchanged, 1 removed")
	wantWords(t, o.must("export", folder, "--kind", "schema"), "0 written, 0 unchanged, 0 removed")
	wantWords(t, o.must("export", folder), "24 unchanged, 0 removed")
	if text, err := os.ReadFile(note); err != nil || string(text) != "mine" {
		t.Fatalf("README: %q %v", text, err)
	}

	// An empty server is filled again.
	target := o.env["GANTRY_NAMESPACE"] + "-b"
	o.must("namespace", "create", target)
	moved := filepath.Join(t.TempDir(), "moved")
	if err := os.CopyFS(moved, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	replaceInTree(t, moved, "namespace: "+o.env["GANTRY_NAMESPACE"], "namespace: "+target)
	r = o.run("import", moved)
	wantWords(t, r.err, "24 created")
	wantWords(t, o.with("GANTRY_NAMESPACE", target).must("get", "Config", "app/7.yaml", "-o", "content"), "number: 7")
}

func replaceInTree(t *testing.T, folder, old, new string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*", "*", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(strings.Replace(string(text), old, new, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestExportRefusesAFolderOfSomethingElse(t *testing.T) {
	o := newOperator(t)
	o.must("apply", "-f", file(t, "loan.yaml", config("loan.yaml", "limit: 5")))
	folder := t.TempDir()
	precious := filepath.Join(folder, "precious")
	if err := os.WriteFile(precious, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	o.fails(exitConflict, []string{"not empty", "--force"}, "export", folder)
	wantWords(t, o.must("export", folder, "--force"), "1 written")
	if text, err := os.ReadFile(precious); err != nil || string(text) != "mine" {
		t.Fatalf("%q %v", text, err)
	}
	o.fails(exitInvalid, []string{"not a folder"}, "import", precious)
}

func TestValidateAnswersPrograms(t *testing.T) {
	o := newOperator(t)
	o.must("apply", "-f", file(t, "schema.yaml", fmt.Sprintf(limitSchema, "integer")))
	path := file(t, "mixed.yaml", config("good.yaml", "limit: 5")+"---\n"+config("bad.yaml", "rate: 1\nlimit: five"))
	r := o.run("validate", "-f", path, "-o", "json")
	answers := decode[[]validated](t, r.out)
	if r.code != exitInvalid || len(answers) != 2 || !answers[0].Valid || answers[1].Valid {
		t.Fatalf("exit code %d: %+v", r.code, answers)
	}
	if e := answers[1].Error; e.Line != 14 || e.Column == 0 || e.Field != "limit" || e.Reason != "document.schema_violation" || e.Hint == "" {
		t.Fatalf("%+v", e)
	}
	wantWords(t, o.must("validate", "-f", file(t, "good.yaml", config("good.yaml", "limit: 5"))), "1 document: valid")
	if len(decode[[]any](t, o.must("get", "Config", "-o", "json"))) != 0 {
		t.Fatal("validate stored something")
	}
}

func TestWhatEveryDocumentWouldMeetIsSaidOnce(t *testing.T) {
	o := newOperator(t)
	many := ""
	for i := range 30 {
		many += config(fmt.Sprintf("%d.yaml", i), "a: 1") + "---\n"
	}
	path := file(t, "many.yaml", many)
	viewer := o.with("GANTRY_TOKEN", strings.TrimSpace(o.must("token", "create", "--grant", o.env["GANTRY_NAMESPACE"]+"=viewer")))
	for _, test := range []struct {
		who  *operator
		code int
	}{{viewer, exitForbidden}, {o.with("GANTRY_ADDRESS", "http://127.0.0.1:1"), exitUnavailable}} {
		for _, command := range []string{"apply", "validate", "diff"} {
			if test.who == viewer && command == "diff" {
				continue // a viewer may compare
			}
			r := test.who.fails(test.code, nil, command, "-f", path)
			if n := strings.Count(r.err, "error:"); n != 1 {
				t.Fatalf("%s: %d errors:\n%s", command, n, r.err)
			}
		}
	}
}

func TestDryRunExpectsAVersion(t *testing.T) {
	o := newOperator(t)
	path := file(t, "loan.yaml", config("loan.yaml", "limit: 5"))
	o.must("apply", "-f", path, "--dry-run", "--expect", "0")
	o.must("apply", "-f", path)
	o.fails(exitConflict, []string{"nothing was applied"}, "apply", "-f", path, "--dry-run", "--expect", "0")
}
