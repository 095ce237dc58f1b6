package instance_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// told describes changes as "+id", "-id" and "~id".
func told(changes []instance.Change) (told []string) {
	for _, c := range changes {
		switch {
		case c.Before == nil:
			told = append(told, "+"+c.After.Address)
		case c.After == nil:
			told = append(told, "-"+c.Before.Address)
		default:
			told = append(told, "~"+c.After.Address)
		}
	}
	return told
}

func TestTheJournalTellsWhatHappened(t *testing.T) {
	n := single(t, nil)
	from := n.ChangesFromNow()
	before := n.Revision("default")
	moved := n.Changed()
	id := n.register(loan, "10.0.0.1").ID
	<-moved
	n.register(loan, "10.0.0.1", func(m *gantryv1.Instance) { m.Weight = proto.Float64(2) })
	n.register(instance.Service{Namespace: "default", Name: "risk"}, "10.0.0.2")
	if _, err := n.SetOverride(t.Context(), instance.OverrideChange{Service: loan, ID: id, Status: gantryv1.Status_STATUS_DOWN}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Deregister(t.Context(), loan, id); err != nil {
		t.Fatal(err)
	}
	changes, next, complete := n.ChangesSince(from)
	if want := []string{"+10.0.0.1", "~10.0.0.1", "+10.0.0.2", "~10.0.0.1", "-10.0.0.1"}; !complete || !slices.Equal(told(changes), want) {
		t.Fatalf("told %v, complete %v; want %v", told(changes), complete, want)
	}
	if changes[4].Before.Override == nil || changes[4].Service != loan.Normal() {
		t.Errorf("the last change %+v", changes[4])
	}
	if rest, _, complete := n.ChangesSince(next); len(rest) > 0 || !complete {
		t.Errorf("after all of it: %v, %v", told(rest), complete)
	}
	if recent, complete := n.RecentChanges(time.Minute); complete || len(recent) != 5 {
		t.Errorf("recent changes %v, complete %v", told(recent), complete)
	}
	if n.Revision("default") <= before || n.Revision("elsewhere") < 1 {
		t.Errorf("revisions %d (before %d) and %d", n.Revision("default"), before, n.Revision("elsewhere"))
	}
	n.advance(5 * time.Minute)
	if recent, complete := n.RecentChanges(time.Minute); len(recent) > 0 || !complete {
		t.Errorf("after five minutes: %v, complete %v", told(recent), complete)
	}
}

func TestWhoFallsBehindTheJournalIsTold(t *testing.T) {
	n := single(t, nil)
	from := n.ChangesFromNow()
	session := n.OpenSession(instance.SessionOptions{})
	defer session.Close(context.Background(), true)
	for round := range 10 {
		registrations := make([]instance.Registration, 1000)
		for k := range registrations {
			registrations[k] = registration(loan, fmt.Sprintf("10.%d.%d.%d", round, k/250, k%250+1))
		}
		if _, err := session.Register(t.Context(), registrations); err != nil {
			t.Fatal(err)
		}
	}
	if changes, next, complete := n.ChangesSince(from); complete || len(changes) > 0 || next != from+10_000 {
		t.Errorf("%d changes, next %d, complete %v", len(changes), next, complete)
	}
	if changes, _, complete := n.ChangesSince(from + 9_999); !complete || len(changes) != 1 {
		t.Errorf("the last change: %d, complete %v", len(changes), complete)
	}
	if _, complete := n.RecentChanges(time.Minute); complete {
		t.Error("a window that the journal does not reach back to passes for complete")
	}
}

func TestEditKeepsWhatKeepsItAlive(t *testing.T) {
	n := single(t, nil)
	session := n.OpenSession(instance.SessionOptions{Protocol: "nacos"})
	if _, err := session.Register(t.Context(), []instance.Registration{registration(loan, "10.0.0.1")}); err != nil {
		t.Fatal(err)
	}
	revision, err := n.Edit(t.Context(), loan, "10.0.0.1:8080", func(m *gantryv1.Instance) error {
		m.Metadata = map[string]string{"k": "v"}
		m.ProtocolData = []byte{0, 1, 0xff}
		m.Id, m.Persistent, m.Owner = "other", true, "other"
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	i := n.get(loan, "10.0.0.1:8080")
	if i == nil || i.Metadata.Get("k") != "v" || i.ProtocolData != "\x00\x01\xff" || i.Persistent || i.Owner != n.store.Self().ID || i.Modified != revision || i.Protocol != "nacos" {
		t.Fatalf("edited %+v", i)
	}
	again, err := n.Edit(t.Context(), loan, i.ID, func(*gantryv1.Instance) error { return nil })
	if err != nil || again != revision {
		t.Errorf("an edit of nothing: revision %d, %v; want %d", again, err, revision)
	}
	_, err = n.Edit(t.Context(), loan, i.ID, func(m *gantryv1.Instance) error { m.Port = 1 << 20; return nil })
	wantFault(t, err, fault.Invalid, "instance.invalid")
	_, err = n.Edit(t.Context(), loan, i.ID, func(m *gantryv1.Instance) error {
		m.ProtocolData = make([]byte, instance.MaxProtocolData+1)
		return nil
	})
	wantFault(t, err, fault.Invalid, "instance.invalid")
	refusal := errors.New("no")
	if _, err = n.Edit(t.Context(), loan, i.ID, func(*gantryv1.Instance) error { return refusal }); !errors.Is(err, refusal) {
		t.Errorf("the edit's own error became %v", err)
	}
	_, err = n.Edit(t.Context(), loan, "nobody", func(*gantryv1.Instance) error { return nil })
	wantFault(t, err, fault.NotFound, "instance.unknown")
	if err := session.Close(t.Context(), true); err != nil || n.get(loan, i.ID) != nil {
		t.Errorf("the session does not hold it any more: %v", err)
	}
}

func TestHealthIsSetWhereNobodyFindsIt(t *testing.T) {
	n := single(t, nil)
	id := n.register(loan, "10.0.0.1", func(m *gantryv1.Instance) { m.Persistent = true }).ID
	if _, err := n.SetHealth(t.Context(), loan, id, false, "by hand"); err != nil {
		t.Fatal(err)
	}
	n.wantHealth(loan, id, "unhealthy")
	if i := n.get(loan, id); i.HealthReason != "by hand" {
		t.Errorf("reason %q", i.HealthReason)
	}
	if _, err := n.SetHealth(t.Context(), loan, id, true, ""); err != nil {
		t.Fatal(err)
	}
	n.wantHealth(loan, id, "healthy")
	beating := n.register(loan, "10.0.0.2").ID
	_, err := n.SetHealth(t.Context(), loan, beating, false, "")
	wantFault(t, err, fault.Precondition, "instance.health_is_found")
}

func TestSnapshotsForLanguagesThatSendWholeServices(t *testing.T) {
	n := single(t, nil)
	s := n.Subscribe(instance.Follower{})
	defer s.Close()
	if err := s.Add(loan, 0); err != nil {
		t.Fatal(err)
	}
	first, err := s.NextSnapshots(t.Context())
	if err != nil || len(first) != 1 || len(first[0].Instances) != 0 || first[0].Service != loan.Normal() {
		t.Fatalf("the first: %v, %v", first, err)
	}
	id := n.register(loan, "10.0.0.1").ID
	second, err := s.NextSnapshots(t.Context())
	if err != nil || len(second) != 1 || second[0].Instance(id) == nil {
		t.Fatalf("after a registration: %v, %v", second, err)
	}
	type key struct{}
	made := 0
	for range 2 {
		form := second[0].Form(key{}, func() any { made++; return len(second[0].Instances) })
		if form != 1 {
			t.Errorf("form %v", form)
		}
	}
	if made != 1 {
		t.Errorf("made %d times", made)
	}
}

func TestAwaitChange(t *testing.T) {
	n := single(t, nil)
	id := n.register(loan, "10.0.0.1").ID
	revision := n.Lookup(loan).Revision
	type answer struct {
		snapshot *instance.Snapshot
		revision int64
		err      error
	}
	waiting := make(chan answer, 1)
	go func() {
		var a answer
		a.snapshot, a.revision, a.err = n.AwaitChange(t.Context(), loan, revision)
		waiting <- a
	}()
	removed, err := n.Deregister(t.Context(), loan, id)
	if err != nil {
		t.Fatal(err)
	}
	if a := <-waiting; a.err != nil || a.snapshot != nil || a.revision != removed {
		t.Errorf("%+v, want nothing at revision %d", a, removed)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := n.AwaitChange(ctx, loan, n.Revision("default")); !errors.Is(err, context.Canceled) {
		t.Errorf("after the context: %v", err)
	}
}
