package release_test

import (
	"strings"
	"testing"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/release"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func TestADocumentFromDraftToRelease(t *testing.T) {
	r := open(t, release.Options{})
	ctx := asSystem(t)
	ref := config("loan.yaml")
	p, err := r.Publish(ctx, release.Draft{Ref: ref, Content: []byte("limit: 1\n"), Message: "first"})
	if err != nil {
		t.Fatal(err)
	}
	if p.Version != 1 || p.Unchanged || p.Document.ReleasedVersion != 0 || p.Document.Format != "yaml" || p.Document.Revision == 0 {
		t.Fatalf("published %+v", p.Document)
	}
	if got := content(t, r, ref, release.Subject{}); got != "" {
		t.Fatalf("a published version is in force: %q", got)
	}
	if d, err := r.Release(ctx, release.Step{Ref: ref}, 0, nil); err != nil || d.ReleasedVersion != 1 {
		t.Fatalf("release: %v %v", d, err)
	}
	if got := content(t, r, ref, release.Subject{}); got != "limit: 1\n" {
		t.Fatalf("in force is %q", got)
	}

	again, err := r.Publish(ctx, release.Draft{Ref: ref, Content: []byte("limit: 1\n"), Release: true})
	if err != nil || !again.Unchanged || again.Version != 1 {
		t.Fatalf("the same again: %+v %v", again, err)
	}
	_, versions, entries, err := r.History(ctx, ref, 0)
	if err != nil || len(versions) != 1 || len(entries) != 2 {
		t.Fatalf("history: %v %v %v", versions, entries, err)
	}
	if entries[0].Action != gantryv1.Action_ACTION_RELEASED || entries[1].Action != gantryv1.Action_ACTION_PUBLISHED ||
		entries[1].Message != "first" || entries[1].Author != "system" {
		t.Fatalf("entries: %v", entries)
	}
	if len(versions[0].Content) != 0 || versions[0].Size != 9 || versions[0].Checksum == "" {
		t.Fatalf("versions: %v", versions)
	}
}

func TestRefusals(t *testing.T) {
	r := open(t, release.Options{})
	ctx := asSystem(t)
	ref := config("refused.yaml")
	released(t, r, config("there"), "1")
	step := release.Step{Ref: config("there")}

	for name, c := range map[string]struct {
		do     func() error
		code   fault.Code
		reason string
	}{
		"unknown document":     {func() error { _, err := r.Promote(ctx, release.Step{Ref: ref}); return err }, fault.NotFound, "document.not_found"},
		"get unknown":          {func() error { _, _, err := r.Get(ctx, ref, 0); return err }, fault.NotFound, "document.not_found"},
		"unknown version":      {func() error { _, err := r.Release(ctx, step, 7, nil); return err }, fault.NotFound, "document.version_unknown"},
		"negative version":     {func() error { _, err := r.Release(ctx, step, -1, nil); return err }, fault.NotFound, "document.version_unknown"},
		"get unknown version":  {func() error { _, _, err := r.Get(ctx, step.Ref, 9); return err }, fault.NotFound, "document.version_unknown"},
		"empty cohort":         {func() error { _, err := r.Release(ctx, step, 1, &gantryv1.Cohort{}); return err }, fault.Invalid, "cohort.empty"},
		"staged to all anyway": {func() error { _, err := r.Release(ctx, step, 1, percent(5)); return err }, fault.Precondition, "document.already_released"},
		"nothing to promote":   {func() error { _, err := r.Promote(ctx, step); return err }, fault.Precondition, "document.no_rollout"},
		"nothing to abort":     {func() error { _, err := r.Abort(ctx, step); return err }, fault.Precondition, "document.no_rollout"},
		"nothing before":       {func() error { _, err := r.Rollback(ctx, step, 0); return err }, fault.Precondition, "document.nothing_before"},
		"no name":              {func() error { _, _, err := r.Get(ctx, release.Ref{Kind: "Config"}, 0); return err }, fault.Invalid, "document.ref_incomplete"},
		"unknown kind": {func() error {
			_, err := r.Publish(ctx, release.Draft{Ref: release.Ref{Kind: "Confg", Name: "x"}})
			return err
		}, fault.Invalid, "document.unknown_kind"},
		"too large": {func() error {
			_, err := r.Publish(ctx, release.Draft{Ref: config("big"), Content: make([]byte, 1<<20+1)})
			return err
		}, fault.TooLarge, "document.too_large"},
		"message too long": {func() error {
			_, err := r.Publish(ctx, release.Draft{Ref: config("x"), Message: strings.Repeat("x", release.MaxMessage+1)})
			return err
		}, fault.TooLarge, "document.message_too_large"},
		"sensitive without a root key": {func() error {
			_, err := r.Publish(ctx, release.Draft{Ref: config("x"), Sensitive: true})
			return err
		}, fault.Precondition, "secret.no_root_key"},
		"a page token of nobody": {func() error {
			_, _, err := r.List(ctx, release.ListQuery{PageToken: "?"})
			return err
		}, fault.Invalid, "page_token.invalid"},
		"nobody": {func() error {
			_, _, err := r.Get(t.Context(), ref, 0)
			return err
		}, fault.Unauthenticated, "access.unauthenticated"},
	} {
		t.Run(name, func(t *testing.T) { want(t, c.do(), c.code, c.reason) })
	}
	if _, _, err := r.Get(ctx, config("big"), 0); !fault.Is(err, fault.NotFound) {
		t.Errorf("something of a refused document is stored: %v", err)
	}
}

func TestCompareAndSet(t *testing.T) {
	r := open(t, release.Options{})
	ctx := asSystem(t)
	ref := config("cas")
	draft := release.Draft{Ref: ref, Format: "text", Content: []byte("a"), ExpectedVersion: pointer[int64](0)}
	first := publish(t, r, draft)
	draft.Content = []byte("b")
	_, err := r.Publish(ctx, draft)
	f := want(t, err, fault.Conflict, "document.version_conflict")
	if !strings.Contains(f.Message, "system") || f.Field != "expected_version" {
		t.Errorf("the conflict does not say whom it met: %v", f)
	}
	draft.ExpectedVersion = pointer[int64](1)
	second := publish(t, r, draft)

	stale := release.Step{Ref: ref, ExpectedRevision: &first.Document.Revision}
	_, err = r.Release(ctx, stale, 0, nil)
	want(t, err, fault.Conflict, "document.version_conflict")
	fresh := release.Step{Ref: ref, ExpectedRevision: &second.Document.Revision}
	deleted, err := r.Release(ctx, fresh, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Delete(ctx, release.Step{Ref: ref, ExpectedRevision: &deleted.Revision}); err != nil {
		t.Fatal(err)
	}
	// What is deleted does not exist for who asks that it must not.
	draft.ExpectedVersion = pointer[int64](0)
	if p := publish(t, r, draft); p.Version != 3 || p.Unchanged {
		t.Fatalf("published over a deleted document: %+v", p)
	}
	_, err = r.Release(ctx, release.Step{Ref: config("absent"), ExpectedRevision: pointer[int64](5)}, 0, nil)
	want(t, err, fault.Conflict, "document.version_conflict")
}

func TestARolloutFromStageToStage(t *testing.T) {
	r := open(t, release.Options{})
	ctx := asSystem(t)
	ref := config("staged")
	released(t, r, ref, "old")
	publish(t, r, release.Draft{Ref: ref, Content: []byte("new")})
	step := release.Step{Ref: ref}
	canary, other := instance("a", map[string]string{"lane": "canary"}), instance("b", nil)

	d, err := r.Release(ctx, step, 0, &gantryv1.Cohort{Labels: map[string]string{"lane": "canary"}})
	if err != nil {
		t.Fatal(err)
	}
	id := d.Rollout.Id
	if content(t, r, ref, canary) != "new" || content(t, r, ref, other) != "old" {
		t.Fatal("the cohort does not decide")
	}

	publish(t, r, release.Draft{Ref: ref, Content: []byte("newer")})
	_, err = r.Release(ctx, step, 3, nil)
	want(t, err, fault.Precondition, "document.rollout_under_way")
	_, err = r.Release(ctx, step, 3, percent(10))
	want(t, err, fault.Precondition, "document.rollout_under_way")
	_, err = r.Publish(ctx, release.Draft{Ref: ref, Format: "text", Content: []byte("newest"), Release: true})
	want(t, err, fault.Precondition, "document.rollout_under_way")

	d, err = r.Release(ctx, step, 2, percent(100))
	if err != nil || d.Rollout.Id != id {
		t.Fatalf("the next stage lost its rollout: %v %v", d, err)
	}
	if content(t, r, ref, other) != "new" {
		t.Fatal("the wider stage does not reach everyone")
	}
	if d, err = r.Abort(ctx, step); err != nil || d.Rollout != nil || content(t, r, ref, canary) != "old" {
		t.Fatalf("abort: %v %v", d, err)
	}
	if d, err = r.Release(ctx, step, 2, percent(1)); err != nil || d.Rollout.Id == id {
		t.Fatalf("another rollout has the same id: %v %v", d, err)
	}
	if d, err = r.Release(ctx, step, 2, nil); err != nil || d.Rollout != nil || d.ReleasedVersion != 2 {
		t.Fatalf("releasing the rollout's version to all: %v %v", d, err)
	}
	_, _, entries, err := r.History(ctx, ref, 1)
	if err != nil || entries[0].Action != gantryv1.Action_ACTION_PROMOTED || entries[0].PreviousVersion != 1 {
		t.Fatalf("it is not a promotion: %v %v", entries, err)
	}
}

func TestRollbackGoesFurtherBack(t *testing.T) {
	r := open(t, release.Options{})
	ctx := asSystem(t)
	ref := config("trail")
	for _, text := range []string{"1", "2", "3", "4"} {
		released(t, r, ref, text)
	}
	step := release.Step{Ref: ref}
	for _, expected := range []int64{3, 2} {
		if d, err := r.Rollback(ctx, step, 0); err != nil || d.ReleasedVersion != expected {
			t.Fatalf("rolled back to %v, want %d (%v)", d, expected, err)
		}
	}
	// A release after rollbacks remembers what it replaces, not what was rolled away from.
	released(t, r, ref, "5")
	if d, err := r.Rollback(ctx, step, 0); err != nil || d.ReleasedVersion != 2 {
		t.Fatalf("rolled back to %v, want 2 (%v)", d, err)
	}
	_, err := r.Rollback(ctx, step, 4)
	want(t, err, fault.Precondition, "document.not_earlier")
	if _, err := r.Delete(ctx, step); err != nil {
		t.Fatal(err)
	}
	if content(t, r, ref, release.Subject{}) != "" {
		t.Fatal("a deleted document is in force")
	}
	if d, err := r.Rollback(ctx, step, 0); err != nil || d.ReleasedVersion != 2 || d.Deleted {
		t.Fatalf("a deleted document came back as %v (%v)", d, err)
	}
	if d, err := r.Rollback(ctx, step, 0); err != nil || d.ReleasedVersion != 1 {
		t.Fatalf("rolled back to %v, want 1 (%v)", d, err)
	}
	_, err = r.Rollback(ctx, step, 0)
	want(t, err, fault.Precondition, "document.nothing_before")
}

func TestListAndExport(t *testing.T) {
	r := open(t, release.Options{})
	ctx := asSystem(t)
	for i := range 25 {
		released(t, r, config(name(i)), "x")
	}
	publish(t, r, release.Draft{Ref: config("draft"), Content: []byte("x")})
	released(t, r, release.Ref{Namespace: "other", Kind: "Config", Name: "z"}, "x")
	if _, err := r.Delete(ctx, release.Step{Ref: config(name(3))}); err != nil {
		t.Fatal(err)
	}

	var names []string
	token := ""
	for {
		page, next, err := r.List(ctx, release.ListQuery{PageSize: 10, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range page {
			names = append(names, d.Ref.Namespace+" "+d.Ref.Name)
		}
		if token = next; token == "" {
			break
		}
	}
	if len(names) != 26 || names[0] != "default draft" || names[25] != "other z" {
		t.Fatalf("listed %d: %v", len(names), names)
	}
	found, _, err := r.List(ctx, release.ListQuery{Namespace: "default", Search: "LOAN/000", IncludeDeleted: true})
	if err != nil || len(found) != 10 {
		t.Fatalf("found %d, %v", len(found), err)
	}
	total, documents, err := r.Export(ctx, "default", "", false)
	if err != nil || total != 24 {
		t.Fatalf("to export: %d %v", total, err)
	}
	for d, err := range documents {
		if err != nil || string(d.Version.Content) != "x" {
			t.Fatalf("exported %v %v", d, err)
		}
		total--
	}
	if total != 0 {
		t.Fatalf("%d were left out", total)
	}
	if live, deleted := r.Documents("default"); live != 25 || deleted != 1 {
		t.Fatalf("the namespace holds %d and %d", live, deleted)
	}
}

func TestSchemasAreHeldAgainstConfigurations(t *testing.T) {
	r := open(t, release.Options{})
	ctx := asSystem(t)
	schema := release.Ref{Kind: "Schema", Name: "pool"}
	spec := "appliesTo: [\"pool*.yaml\"]\nschema:\n  type: object\n  properties:\n    max: {type: integer, maximum: 10}\n"
	if _, err := r.Publish(ctx, release.Draft{Ref: schema, Content: []byte(spec), Release: true}); err != nil {
		t.Fatal(err)
	}
	_, err := r.Publish(ctx, release.Draft{Ref: config("pool-a.yaml"), Content: []byte("max: 9\nmin: 1\n")})
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Publish(ctx, release.Draft{Ref: config("pool-b.yaml"), Content: []byte("min: 1\nmax: 11\n")})
	f, ok := fault.As(err)
	if !ok || f.Code != fault.Invalid || f.Line != 2 {
		t.Fatalf("the violation of the schema: %v", err)
	}
	if _, err := r.Validate(ctx, release.Draft{Ref: config("pool-b.yaml"), Content: []byte("max: 11\n")}); !fault.Is(err, fault.Invalid) {
		t.Fatalf("validate says %v", err)
	}
	if _, _, err := r.Get(ctx, config("pool-b.yaml"), 0); !fault.Is(err, fault.NotFound) {
		t.Fatalf("an invalid document is stored: %v", err)
	}
}

func TestValidateSaysWhatPublishWould(t *testing.T) {
	r := open(t, release.Options{})
	ctx := asSystem(t)
	released(t, r, config("v.yaml"), "a: 1")
	for name, c := range map[string]struct {
		draft release.Draft
		code  fault.Code // 0: it is fine
	}{
		"fine":               {release.Draft{Ref: config("new.yaml"), Content: []byte("a: 1")}, 0},
		"fine and expected":  {release.Draft{Ref: config("v.yaml"), Format: "yaml", Content: []byte("a: 2"), ExpectedVersion: pointer[int64](1)}, 0},
		"broken":             {release.Draft{Ref: config("new.yaml"), Content: []byte("a: [")}, fault.Invalid},
		"stale":              {release.Draft{Ref: config("v.yaml"), Content: []byte("a: 2"), ExpectedVersion: pointer[int64](0)}, fault.Conflict},
		"no root key":        {release.Draft{Ref: config("new.yaml"), Content: []byte("a: 1"), Sensitive: true}, fault.Precondition},
		"too long a message": {release.Draft{Ref: config("new.yaml"), Message: strings.Repeat("m", release.MaxMessage+1)}, fault.TooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.Validate(ctx, c.draft)
			if (err == nil) != (c.code == 0) || (err != nil && fault.CodeOf(err) != c.code) {
				t.Fatalf("validate: %v", err)
			}
			if _, published := r.Publish(ctx, c.draft); (published == nil) != (err == nil) || fault.CodeOf(published) != fault.CodeOf(err) {
				t.Fatalf("validate said %v, publish %v", err, published)
			}
		})
	}
}

func TestDiffAgainstAContent(t *testing.T) {
	r := open(t, release.Options{})
	ctx := asSystem(t)
	released(t, r, config("d"), "a\nb\n")
	publish(t, r, release.Draft{Ref: config("d"), Content: []byte("a\nc\n")})
	for name, c := range map[string]struct {
		ref      release.Ref
		from, to int64
		content  []byte
		want     string
	}{
		"released and latest":  {config("d"), 0, 0, nil, "--- Config/d@1\n+++ Config/d@2\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n"},
		"two versions":         {config("d"), 2, 1, nil, "--- Config/d@2\n+++ Config/d@1\n@@ -1,2 +1,2 @@\n a\n-c\n+b\n"},
		"a file":               {config("d"), 0, 0, []byte("a\nb\nd\n"), "--- Config/d@1\n+++ Config/d\n@@ -1,2 +1,3 @@\n a\n b\n+d\n"},
		"the same file":        {config("d"), 0, 0, []byte("a\nb\n"), ""},
		"a file that is new":   {config("new"), 0, 0, []byte("a\n"), "--- Config/new\n+++ Config/new\n@@ -0,0 +1 @@\n+a\n"},
		"a file that is empty": {config("d"), 0, 0, []byte{}, "--- Config/d@1\n+++ Config/d\n@@ -1,2 +0,0 @@\n-a\n-b\n"},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := r.Diff(ctx, c.ref, c.from, c.to, c.content)
			if err != nil || d.Unified != c.want {
				t.Errorf("got %v, %v", d, err)
			}
		})
	}
	_, err := r.Diff(ctx, config("new"), 0, 0, nil)
	want(t, err, fault.NotFound, "document.not_found")
	_, err = r.Diff(ctx, config("new"), 3, 0, []byte("x"))
	want(t, err, fault.NotFound, "document.not_found")
	_, err = r.Diff(ctx, config("d"), 1, 7, nil)
	want(t, err, fault.NotFound, "document.version_unknown")
}

func percent(p float64) *gantryv1.Cohort { return &gantryv1.Cohort{Percent: &p} }
