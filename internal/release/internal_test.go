package release

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy"
	"github.com/gantry-platform/gantry/internal/state"
	"github.com/gantry-platform/gantry/internal/state/statetest"
)

// These tests are inside the package because what they are about cannot be brought about from outside: a lost answer of the
// state, and bytes in it that this program would not write.

func begun(t testing.TB) (*Releaser, context.Context) {
	t.Helper()
	s := statetest.New(t)
	r, err := New(Options{Store: s, Policy: policy.Standard()})
	if err != nil {
		t.Fatal(err)
	}
	statetest.Start(t, s)
	r.Start()
	t.Cleanup(func() { r.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return r, access.NewContext(ctx, access.System("test"))
}

// composed is a publishing of a document that was decided and not committed.
func composed(t testing.TB, r *Releaser, ctx context.Context, ref Ref, text string) (*edit, state.Change) {
	t.Helper()
	e, err := r.begin(ctx, ref, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.addVersion(ctx, e, &Draft{Ref: ref, Format: "text", Content: []byte(text)}); err != nil {
		t.Fatal(err)
	}
	change, err := r.compose(ctx, e)
	if err != nil {
		t.Fatal(err)
	}
	return e, change
}

func TestALostAnswerIsFoundOut(t *testing.T) {
	r, ctx := begun(t)
	commit := func(change state.Change) int64 {
		t.Helper()
		revision, err := r.store.Commit(ctx, change)
		if err != nil {
			t.Fatal(err)
		}
		return revision
	}
	another := func(ref Ref) {
		t.Helper()
		if _, err := r.Publish(ctx, Draft{Ref: ref, Format: "text", Content: []byte("another"), Release: true}); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		made, overtaken bool
	}{
		"never made":                   {false, false},
		"made":                         {true, false},
		"made, then changed by others": {true, true},
		"others were faster":           {false, true},
	} {
		t.Run(name, func(t *testing.T) {
			ref := Ref{Namespace: "default", Kind: "Config", Name: name}
			e, change := composed(t, r, ctx, ref, "mine")
			var expected int64
			if c.made {
				expected = commit(change)
			}
			if c.overtaken {
				another(ref)
			}
			revision, err := r.settle(ctx, e, change)
			switch {
			case !c.made && c.overtaken:
				if !errors.Is(err, state.ErrConflict) {
					t.Fatalf("got %d %v", revision, err)
				}
			case err != nil || (c.made && revision != expected):
				t.Fatalf("got %d %v, want %d", revision, err, expected)
			}
			_, versions, _, err := r.History(ctx, ref, 0)
			wanted := 1
			if c.made && c.overtaken {
				wanted = 2
			}
			if err := r.store.Await(ctx, revision); err != nil {
				t.Fatal(err)
			}
			if err == nil && len(versions) != wanted {
				t.Errorf("there are %d versions, want %d", len(versions), wanted)
			}
		})
	}
}

func TestANamespaceIsBounded(t *testing.T) {
	r, ctx := begun(t)
	for i := range MaxDocuments {
		ref := Ref{Namespace: "full", Kind: "Config", Name: strconv.Itoa(i)}
		r.index.set(ref, &document{ref: ref, head: &head{Latest: 1, Entries: 1, Deleted: i%2 == 0}})
	}
	if live, deleted := r.Documents("full"); live+deleted != MaxDocuments {
		t.Fatalf("the namespace holds %d and %d", live, deleted)
	}
	draft := Draft{Ref: Ref{Namespace: "full", Kind: "Config", Name: "more"}, Format: "text"}
	_, err := r.Publish(ctx, draft)
	if f, ok := fault.As(err); !ok || f.Reason != "document.too_many" || f.Hint == "" {
		t.Fatalf("one more: %v", err)
	}
	draft.Ref.Namespace = "other"
	if _, err := r.Publish(ctx, draft); err != nil {
		t.Fatalf("in another namespace: %v", err)
	}
}

// A head that cannot be read does not take from services what is in force.
func TestADamagedHeadLeavesWhatIsInForce(t *testing.T) {
	r, ctx := begun(t)
	ref := Ref{Namespace: "default", Kind: "Config", Name: "x"}
	if _, err := r.Publish(ctx, Draft{Ref: ref, Format: "text", Content: []byte("good"), Release: true}); err != nil {
		t.Fatal(err)
	}
	for _, damage := range []string{"", "{", `{"latest":1,"released":7,"entries":1}`} {
		revision, err := r.store.Commit(ctx, state.Change{Put: []state.Put{{Key: ref.headKey(), Value: []byte(damage)}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.store.Await(ctx, revision); err != nil {
			t.Fatal(err)
		}
		frame, err := r.Resolve(ctx, ref, Subject{})
		if err != nil || string(frame.Event().Version.Content) != "good" {
			t.Fatalf("after %q in force is %v, %v", damage, frame, err)
		}
		if _, err := r.Delete(ctx, Step{Ref: ref}); err == nil {
			t.Fatalf("%q was changed as if it could be read", damage)
		}
	}
}

func TestTheCacheIsBoundedAndKeepsWhatIsInForce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		inForce := map[int64]bool{1: true, 2: true}
		c := newCache(20_000, func(key cacheKey) bool { return inForce[key.version] })
		size := rapid.IntRange(0, 5_000)
		for _, version := range []int64{1, 2} {
			c.put(cacheKey{version: version}, version, 4_000)
		}
		for _, version := range rapid.SliceOfN(rapid.Int64Range(3, 30), 1, 60).Draw(t, "versions") {
			c.put(cacheKey{version: version}, version, size.Draw(t, "size"))
			if c.size() > c.limit {
				t.Fatalf("the cache holds %d bytes", c.size())
			}
			if v, ok := c.get(cacheKey{version: version}); !ok || v != version {
				t.Fatalf("version %d is gone at once", version)
			}
		}
		for version := range inForce {
			if !c.has(cacheKey{version: version}) {
				t.Fatalf("version %d was in force and is gone", version)
			}
		}
	})
}

// patched applies a unified diff, strictly.
func patched(before, diff string) (string, error) {
	source := lines([]byte(before))
	var out strings.Builder
	at := 0
	rest := lines([]byte(diff))
	if len(rest) > 0 {
		rest = rest[2:]
	}
	for i := 0; i < len(rest); i++ {
		line := rest[i]
		if text, ok := strings.CutPrefix(line, "@@ -"); ok {
			first, count, _ := strings.Cut(strings.Fields(text)[0], ",")
			from, err := strconv.Atoi(first)
			if err != nil {
				return "", err
			}
			if count != "0" {
				from--
			}
			for ; at < from; at++ {
				out.WriteString(source[at])
			}
			continue
		}
		body := line[1:]
		if i+1 < len(rest) && strings.HasPrefix(rest[i+1], "\\ ") {
			body = strings.TrimSuffix(body, "\n")
		}
		switch line[0] {
		case '\\':
		case '+':
			out.WriteString(body)
		default:
			if at >= len(source) || source[at] != body {
				return "", fmt.Errorf("line %d of the source is not %q", at+1, body)
			}
			at++
			if line[0] == ' ' {
				out.WriteString(body)
			}
		}
	}
	for ; at < len(source); at++ {
		out.WriteString(source[at])
	}
	return out.String(), nil
}

func TestADiffTurnsOneIntoTheOther(t *testing.T) {
	text := rapid.Custom(func(t *rapid.T) string {
		parts := rapid.SliceOfN(rapid.SampledFrom([]string{"a\n", "b\n", "c\n", "\n", "d\r\n", "unique %d\n"}), 0, 40).Draw(t, "lines")
		for i := range parts {
			parts[i] = strings.ReplaceAll(parts[i], "%d", strconv.Itoa(rapid.IntRange(0, 9).Draw(t, "n")))
		}
		return strings.Join(parts, "") + rapid.SampledFrom([]string{"", "end"}).Draw(t, "end")
	})
	rapid.Check(t, func(t *rapid.T) {
		before, after := text.Draw(t, "before"), text.Draw(t, "after")
		diff := unifiedDiff("a", "b", []byte(before), []byte(after))
		if (diff == "") != (before == after) {
			t.Fatalf("the diff of %q and %q is %q", before, after, diff)
		}
		got, err := patched(before, diff)
		if err != nil || got != after {
			t.Fatalf("the diff makes %q of %q, not %q: %v\n%s", got, before, after, err, diff)
		}
	})
}

func TestDiffs(t *testing.T) {
	long := func(change int) string {
		var b strings.Builder
		for i := range 12 {
			if i == change {
				b.WriteString("changed\n")
				continue
			}
			fmt.Fprintf(&b, "line %d\n", i)
		}
		return b.String()
	}
	for name, c := range map[string]struct{ before, after, want string }{
		"equal":         {"a\n", "a\n", ""},
		"from nothing":  {"", "a\nb\n", "--- x\n+++ y\n@@ -0,0 +1,2 @@\n+a\n+b\n"},
		"to nothing":    {"a\n", "", "--- x\n+++ y\n@@ -1 +0,0 @@\n-a\n"},
		"end of file":   {"a\n", "a", "--- x\n+++ y\n@@ -1 +1 @@\n-a\n+a\n\\ No newline at end of file\n"},
		"in the middle": {long(-1), long(6), "--- x\n+++ y\n@@ -4,7 +4,7 @@\n line 3\n line 4\n line 5\n-line 6\n+changed\n line 7\n line 8\n line 9\n"},
		"no text":       {"a\x00", "b", "Binary contents x and y differ\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := unifiedDiff("x", "y", []byte(c.before), []byte(c.after)); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
	// Two stretches with nothing in common and more edits than are searched are replaced as a whole.
	before, after := strings.Repeat("a\nb\n", 500), strings.Repeat("c\nc\nb\n", 500)
	if got, err := patched(before, unifiedDiff("x", "y", []byte(before), []byte(after))); err != nil || got != after {
		t.Errorf("a large difference is wrong: %v", err)
	}
}

func FuzzUnseal(f *testing.F) {
	aead, err := newAEAD(bytes.Repeat([]byte{1}, RootKeySize))
	if err != nil {
		f.Fatal(err)
	}
	ref := Ref{Namespace: "n", Kind: "Config", Name: "x"}
	f.Add(seal(aead, "0000000000000001", ref, 1, []byte("plain")))
	f.Add([]byte{})
	f.Add([]byte{sealedFormat, 255})
	f.Fuzz(func(t *testing.T, sealed []byte) {
		id, box, err := splitSealed(sealed)
		if err != nil {
			return
		}
		if plain, err := unseal(aead, id, ref, 1, box); err == nil && string(plain) != "plain" {
			// Only the key makes what opens, and it has sealed nothing else.
			t.Fatalf("%x opens as %q", sealed, plain)
		}
	})
}

func TestASealOpensOnlyWhereItBelongs(t *testing.T) {
	key := func(b byte) []byte { return bytes.Repeat([]byte{b}, RootKeySize) }
	aead, _ := newAEAD(key(1))
	other, _ := newAEAD(key(2))
	ref := Ref{Namespace: "n", Kind: "Config", Name: "x"}
	sealed := seal(aead, "k", ref, 3, []byte("plain"))
	if bytes.Equal(sealed, seal(aead, "k", ref, 3, []byte("plain"))) {
		t.Error("two seals of the same are equal")
	}
	_, box, err := splitSealed(sealed)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := unseal(aead, "k", ref, 3, box); err != nil || string(plain) != "plain" {
		t.Fatalf("opens as %q, %v", plain, err)
	}
	for name, open := range map[string]func() ([]byte, error){
		"namespace": func() ([]byte, error) { return unseal(aead, "k", Ref{"m", "Config", "x"}, 3, box) },
		"kind":      func() ([]byte, error) { return unseal(aead, "k", Ref{"n", "Schema", "x"}, 3, box) },
		"name":      func() ([]byte, error) { return unseal(aead, "k", Ref{"n", "Config", "y"}, 3, box) },
		"shifted":   func() ([]byte, error) { return unseal(aead, "k", Ref{"nC", "onfig", "x"}, 3, box) },
		"version":   func() ([]byte, error) { return unseal(aead, "k", ref, 4, box) },
		"key id":    func() ([]byte, error) { return unseal(aead, "l", ref, 3, box) },
		"key":       func() ([]byte, error) { return unseal(other, "k", ref, 3, box) },
		"changed":   func() ([]byte, error) { b := slices.Clone(box); b[20] ^= 1; return unseal(aead, "k", ref, 3, b) },
		"cut":       func() ([]byte, error) { return unseal(aead, "k", ref, 3, box[:5]) },
	} {
		if plain, err := open(); err == nil {
			t.Errorf("%s: it opens as %q", name, plain)
		}
	}
}

func FuzzStoredRecords(f *testing.F) {
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	percent := 5.0
	f.Add(encode(head{Latest: 3, Released: 1, Trail: []int64{1, 2}, Entries: 4, Created: now,
		Rollout: &rollout{ID: "x", Version: 2, Cohort: &cohort{Percent: &percent, Addresses: []string{"10.0.0.0/8"}}}}))
	f.Add(encode(versionRecord{Number: 1, Size: 3, Sensitive: true, Key: "1"}))
	f.Add(encode(entryRecord{Change: "x", Action: 2, Version: 3}))
	f.Add(encode(dataKeyRecord{Root: "x", Wrapped: []byte("y")}))
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if h, err := decodeHead(data); err == nil {
			if h.Released > h.Latest || h.Latest < 1 {
				t.Fatalf("a head that contradicts itself is taken: %+v", h)
			}
			subject := Subject{InstanceID: "i"}
			if d, err := newDocument(Ref{}, h, 1); err == nil {
				if version, _ := d.resolve(&subject); version > h.Latest {
					t.Fatalf("it resolves to version %d of %d", version, h.Latest)
				}
			}
			h.proto(Ref{}, 1)
		}
		if v, err := decodeVersion(data); err == nil {
			v.proto()
		}
		if e, err := decodeEntry(data); err == nil {
			e.proto()
		}
		if k, err := decodeDataKey(state.Record{Key: "datakey/0000000000000001", Value: data}); err == nil && k.number != 1 {
			t.Fatalf("the key has number %d", k.number)
		}
	})
}

func FuzzPageToken(f *testing.F) {
	f.Add(pageToken(Ref{"default", "Config", "a/b%"}))
	f.Add("")
	f.Add("!!")
	f.Fuzz(func(t *testing.T, token string) {
		ref, err := parsePageToken(token)
		if err != nil || token == "" {
			return
		}
		if again, err := parsePageToken(pageToken(ref)); err != nil || again != ref {
			t.Fatalf("%v does not come back: %v %v", ref, again, err)
		}
	})
}
