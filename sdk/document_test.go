package gantry_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	gantry "github.com/gantry-platform/gantry/sdk"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
	"github.com/gantry-platform/gantry/sdk/internal/testserver"
)

type limits struct {
	MaxAmount int               `gantry:"max-amount"`
	Timeout   time.Duration     `gantry:"timeout"`
	Rates     map[string]string `gantry:"rates,optional"`
}

func (l limits) Validate() error {
	if l.MaxAmount < 0 {
		return fmt.Errorf("max-amount is %d; it must not be negative", l.MaxAmount)
	}
	return nil
}

var defaults = limits{MaxAmount: 5000, Timeout: time.Second}

func TestBindingFollows(t *testing.T) {
	inBubble(t, oneNode, func(w *world, nodes []*testserver.Node) {
		w.Release("Config", "limits", "yaml", "max-amount: 6000\ntimeout: 2s\n")
		client := w.connect()
		binding, err := gantry.Bind(client, "limits", defaults)
		w.must(err)
		if got := binding.Get(); got.MaxAmount != 6000 || got.Timeout != 2*time.Second {
			w.Fatalf("got %+v", got)
		}
		var heard []string
		reported := func() int64 { return w.Applied("Config", "limits", "loan-1").GetVersion() }
		binding.OnChange(func(old, new limits) {
			if now := binding.Get().MaxAmount; now != new.MaxAmount {
				w.Errorf("told of %d while %d is in force", new.MaxAmount, now)
			}
			synctest.Wait()
			heard = append(heard, fmt.Sprintf("%d>%d reported %d", old.MaxAmount, new.MaxAmount, reported()))
		})
		w.eventually("reported", func() bool { return reported() == 1 })
		w.Release("Config", "limits", "json", `{"max-amount": 7000, "timeout": "3s"}`)
		w.eventually("reported", func() bool { return reported() == 2 })
		w.Release("Config", "limits", "toml", "max-amount = 8000\ntimeout = '4s'\n")
		w.eventually("reported", func() bool { return reported() == 3 })
		if want := "6000>7000 reported 1, 7000>8000 reported 2"; strings.Join(heard, ", ") != want {
			w.Errorf("heard %q, want %q: reports come after the functions", heard, want)
		}
		// Another text of the same value: applied, but no change.
		w.Release("Config", "limits", "properties", "max-amount: 8000\ntimeout=4s")
		w.eventually("reported", func() bool { return reported() == 4 })
		if len(heard) != 2 {
			w.Errorf("heard %q of a version that changes nothing", heard)
		}
		// After the node has forgotten, a new session tells it again.
		w.ForgetApplied()
		nodes[0].Stop()
		nodes[0].Start()
		w.eventually("reported again", func() bool { return reported() == 4 })
		w.Delete("Config", "limits")
		w.eventually("withdrawn", func() bool { return w.Applied("Config", "limits", "loan-1").GetVersion() == 0 })
		if binding.Get().MaxAmount != defaults.MaxAmount {
			w.Errorf("after deletion %+v, want the defaults", binding.Get())
		}
	})
}

func TestBindingKeepsTheOldWhenTheNewIsInvalid(t *testing.T) {
	inBubble(t, oneNode, func(w *world, _ []*testserver.Node) {
		w.Release("Config", "limits", "yaml", "max-amount: 6000\ntimeout: 2s\n")
		client := w.connect()
		binding, err := gantry.Bind(client, "limits", defaults)
		w.must(err)
		for _, bad := range []struct{ format, content, want string }{
			{"yaml", "max-amount: [", "yaml"},
			{"yaml", "max-amount: many\n", "max-amount"},
			{"yaml", "timeout: 2\n", "1.5s"},
			{"yaml", "max-amount: -1\n", "negative"},
			{"xml", "<a/>", "xml"},
		} {
			version := w.Release("Config", "limits", bad.format, bad.content)
			report := func() *gantryv1.AppliedReport { return w.Applied("Config", "limits", "loan-1") }
			w.eventually("reported", func() bool { return report().GetVersion() == version })
			if !strings.Contains(report().GetError(), bad.want) {
				w.Errorf("%q: reported %q, want it to name %q", bad.content, report().GetError(), bad.want)
			}
			if binding.Get().MaxAmount != 6000 {
				w.Errorf("%q: %+v is in force", bad.content, binding.Get())
			}
			if state := binding.State(); state.Version != 1 || state.Refused != version || state.Err == nil {
				w.Errorf("%q: state %+v", bad.content, state)
			}
		}
		w.Release("Config", "limits", "yaml", "max-amount: 9000\ntimeout: 2s\n")
		w.eventually("reported", func() bool { return w.Applied("Config", "limits", "loan-1").GetError() == "" })
		if binding.Get().MaxAmount != 9000 || binding.State().Err != nil {
			w.Errorf("%+v, state %+v", binding.Get(), binding.State())
		}
	})
}

func TestBindingWarnsOnceForEachKey(t *testing.T) {
	inBubble(t, oneNode, func(w *world, _ []*testserver.Node) {
		w.Release("Config", "limits", "yaml", "max-amount: 1\nmax-amout: 2\n")
		client := w.connect()
		_, err := gantry.Bind(client, "limits", defaults)
		w.must(err)
		version := w.Release("Config", "limits", "yaml", "max-amount: 2\nmax-amout: 2\n")
		w.eventually("reported", func() bool { return w.Applied("Config", "limits", "loan-1").GetVersion() == version })
		for _, want := range []string{"key=timeout", "key=max-amout"} {
			if got := w.journal.count(want); got != 1 {
				w.Errorf("%s is warned about %d times, want once:\n%s", want, got, w.journal)
			}
		}
		if w.journal.count("key=rates") != 0 {
			w.Error("an optional key is warned about")
		}
	})
}

func TestBindingErrors(t *testing.T) {
	inBubble(t, oneNode, func(w *world, nodes []*testserver.Node) {
		client := w.connect()
		if _, err := gantry.Bind(client, "limits", limits{MaxAmount: -1}); err == nil {
			w.Error("defaults that are not valid were accepted")
		}
		if _, err := gantry.Bind(client, "limits", struct{ F func() }{}); err == nil || !strings.Contains(err.Error(), "F") {
			w.Errorf("a function field gave %v", err)
		}
		if _, err := gantry.Bind(client, "limits", 7); err == nil {
			w.Error("a number was accepted as a struct")
		}
		var refused *gantry.Error
		if _, err := gantry.Bind(client, "forbidden", defaults); !errors.As(err, &refused) || refused.Code != codes.PermissionDenied {
			w.Errorf("got %v, want the refusal", err)
		}
		nodes[0].Stop()
		start := time.Now()
		binding, err := gantry.Bind(client, "late", defaults)
		w.must(err)
		if took := time.Since(start); took > 3*time.Second || binding.Get().MaxAmount != 5000 {
			w.Errorf("without a server: %+v after %s, want the defaults soon", binding.Get(), took)
		}
		w.Release("Config", "late", "yaml", "max-amount: 1\ntimeout: 1s")
		nodes[0].Start()
		w.eventually("in force", func() bool { return binding.Get().MaxAmount == 1 })
		binding.Close()
	})
}

func TestSensitiveContentIsNeverShown(t *testing.T) {
	inBubble(t, oneNode, func(w *world, _ []*testserver.Node) {
		const secret = "hunter2"
		client := w.connect()
		type passwords struct {
			Database struct{ Password string }
			Limit    int
		}
		w.ReleaseVersion("Config", "secret", &gantryv1.Version{Format: "yaml", Sensitive: true, Content: []byte("database: {password: ok}\nlimit: 1")})
		binding, err := gantry.Bind(client, "secret", passwords{})
		w.must(err)
		for _, content := range []string{"database: " + secret, "limit: " + secret, "a: b\n " + secret + ": [" + secret} {
			version := w.ReleaseVersion("Config", "secret", &gantryv1.Version{Format: "yaml", Sensitive: true, Content: []byte(content)})
			w.eventually("reported", func() bool { return w.Applied("Config", "secret", "loan-1").GetVersion() == version })
			report := w.Applied("Config", "secret", "loan-1").GetError()
			if report == "" || strings.Contains(report, secret) || strings.Contains(w.journal.String(), secret) {
				w.Errorf("%q: reported %q, or logged", content, report)
			}
		}
		if binding.Get().Database.Password != "ok" {
			w.Error("the value in force was lost")
		}
	})
}

func TestDamagedAndWithheldContentIsRefused(t *testing.T) {
	inBubble(t, oneNode, func(w *world, _ []*testserver.Node) {
		w.ReleaseVersion("Config", "damaged", &gantryv1.Version{Format: "yaml", Content: []byte("a: 1"), Checksum: strings.Repeat("0", 64)})
		w.ReleaseVersion("Config", "withheld", &gantryv1.Version{Format: "yaml", Withheld: true})
		client := w.connect()
		for name, want := range map[string]string{"damaged": "checksum", "withheld": "withheld"} {
			doc, err := client.Document(gantry.KindConfig, name)
			w.must(err)
			if _, err := doc.Get(w.Context()); err == nil || !strings.Contains(err.Error(), want) {
				w.Errorf("%s: got %v", name, err)
			}
		}
	})
}

func TestDocumentWatch(t *testing.T) {
	inBubble(t, oneNode, func(w *world, nodes []*testserver.Node) {
		w.Release("Config", "motd", "text", "one")
		client := w.connect()
		doc, err := client.Document(gantry.KindConfig, "motd")
		w.must(err)
		var seen []string
		ended := make(chan error, 1)
		go func() {
			ended <- doc.Watch(w.Context(), func(content *gantry.Content) error {
				seen = append(seen, string(content.Data))
				if content.Version == 2 {
					return errors.New("not that one")
				}
				return nil
			})
		}()
		report := func() *gantryv1.AppliedReport { return w.Applied("Config", "motd", "loan-1") }
		w.eventually("applied", func() bool { return report().GetVersion() == 1 && report().GetError() == "" })
		w.Release("Config", "motd", "text", "two")
		w.eventually("refused", func() bool { return report().GetVersion() == 2 && report().GetError() == "not that one" })
		nodes[0].Stop()
		nodes[0].Start()
		w.must(waitOpen(w, client))
		w.Release("Config", "motd", "text", "three")
		w.eventually("applied", func() bool { return report().GetVersion() == 3 && report().GetError() == "" })
		doc.Close()
		if err := <-ended; !errors.Is(err, gantry.ErrClosed) {
			w.Errorf("watching ended with %v", err)
		}
		if got := strings.Join(seen, " "); got != "one two three" {
			w.Errorf("saw %q: each version is told once, also over a new session", got)
		}
		if _, err := doc.Get(w.Context()); !errors.Is(err, gantry.ErrClosed) {
			w.Errorf("after Close, Get gave %v", err)
		}
	})
}

// A service that starts while no server can be reached has what it knew.
func TestSnapshot(t *testing.T) {
	inBubble(t, oneNode, func(w *world, nodes []*testserver.Node) {
		w.Put(testserver.Ref("fund"), fund("1"))
		w.Put(testserver.Ref("risk"), fund("2"))
		w.Release("Config", "limits", "yaml", "max-amount: 6000\ntimeout: 2s\n")
		first := w.connect()
		_, err := first.Discover(w.Context(), "fund")
		w.must(err)
		_, err = first.Discover(w.Context(), "risk")
		w.must(err)
		_, err = gantry.Bind(first, "limits", defaults)
		w.must(err)
		w.must(first.Close())
		nodes[0].Stop()
		time.Sleep(time.Hour)

		second := w.connect()
		start := time.Now()
		binding, err := gantry.Bind(second, "limits", defaults)
		w.must(err)
		found, err := second.Discover(w.Context(), "fund")
		w.must(err)
		if took := time.Since(start); took > 5*time.Second {
			w.Errorf("starting took %s, want about two waits of 2s", took)
		}
		if binding.Get().MaxAmount != 6000 || binding.State().SavedAt.IsZero() || ids(found) != "1" {
			w.Errorf("started with %+v, state %+v and %q", binding.Get(), binding.State(), ids(found))
		}
		if !strings.Contains(w.journal.String(), "age=1h0m") {
			w.Errorf("the snapshot's age is not told:\n%s", w.journal)
		}
		// The server comes back with a newer truth.
		w.Put(testserver.Ref("fund"), fund("3"))
		w.Release("Config", "limits", "yaml", "max-amount: 6000\ntimeout: 5s\n")
		nodes[0].Start()
		w.eventually("followed", func() bool { return binding.Get().Timeout == 5*time.Second && binding.State().SavedAt.IsZero() })
		synctest.Wait()
		if found, err = second.Discover(w.Context(), "fund"); err != nil || ids(found) != "1 3" {
			w.Errorf("found %q (%v)", ids(found), err)
		}
		w.must(second.Close())
		nodes[0].Stop()

		// What the second run did not ask for is still there for the third.
		third := w.connect(gantry.WithSnapshotWait(0))
		if found, err = third.Discover(w.Context(), "risk"); err != nil || ids(found) != "2" {
			w.Errorf("found %q (%v)", ids(found), err)
		}
		// Another service cannot use it, nor one with another token.
		for name, option := range map[string]gantry.Option{
			"service": gantry.WithIdentity(gantry.Identity{Service: "portal"}),
			"token":   gantry.WithToken("another-token-long-enough"),
		} {
			other := w.connect(option)
			ctx, cancel := context.WithTimeout(w.Context(), 10*time.Second)
			if found, err := other.Discover(ctx, "risk"); err == nil {
				w.Errorf("with another %s found %q", name, ids(found))
			}
			cancel()
		}
		if w.journal.count("the local snapshot is ignored") != 1 {
			w.Errorf("want one warning about a snapshot that cannot be opened:\n%s", w.journal)
		}
	})
}
