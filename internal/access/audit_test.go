package access_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/state"
	"github.com/gantry-platform/gantry/internal/state/statetest"
)

// written is the record that an entry becomes.
func written(t interface{ Fatal(...any) }, ctx context.Context, entry access.Entry) *gantryv1.AuditRecord {
	put, err := access.Record(ctx, entry)
	if err != nil {
		t.Fatal(err)
	}
	record := &gantryv1.AuditRecord{}
	if err := proto.Unmarshal(put.Value, record); err != nil {
		t.Fatal(err)
	}
	return record
}

func TestRecordSaysWhoWhatAndFromWhere(t *testing.T) {
	m, _ := node(t)
	createUser(t, m, "ann", grant("prod", releaser))
	record := written(t, asUser(t, m, "ann"), access.Entry{
		Action: "document.release", Namespace: "prod", Target: "Config/loan.yaml", Message: "raise the limit",
		Before: grant("prod", viewer), After: map[string]any{"limit": 5, "text": "<a&b>"},
	})
	if record.GetActor() != "user:ann" || record.GetSource() != "192.0.2.7:4711" || record.GetAction() != "document.release" ||
		record.GetNamespace() != "prod" || record.GetTarget() != "Config/loan.yaml" || record.GetMessage() != "raise the limit" ||
		record.GetBefore() != `{"namespace":"prod","role":"ROLE_VIEWER"}` || record.GetAfter() != `{"limit":5,"text":"<a&b>"}` {
		t.Errorf("%v", record)
	}
	if age := time.Since(record.GetAt().AsTime()); age < 0 || age > time.Minute {
		t.Errorf("at %v", record.GetAt().AsTime())
	}
	if anonymous := written(t, t.Context(), access.Entry{}); anonymous.GetActor() != "anonymous" || anonymous.GetNamespace() != "*" || anonymous.GetBefore() != "" {
		t.Errorf("%v", anonymous)
	}
	// protojson leaves characters alone that encoding/json escapes, and cutting must count on that.
	long := written(t, t.Context(), access.Entry{After: grant(strings.Repeat("\u2028", 4000), viewer)}).GetAfter()
	if len(long) > 4096 || len(long) < 3000 || !json.Valid([]byte(long)) {
		t.Errorf("%d bytes: %s", len(long), long)
	}
	if _, err := access.Record(t.Context(), access.Entry{After: func() {}}); err == nil {
		t.Error("a function has no form in JSON")
	}
}

// Whatever is recorded, the record is bounded, is text, and its snapshots are JSON that begins as the value does.
func TestRecordIsBounded(t *testing.T) {
	hostile := rapid.OneOf(rapid.String(), rapid.StringN(0, 3000, -1), rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 9000), func(b []byte) string { return string(b) }),
		rapid.Map(rapid.IntRange(1000, 5000), func(n int) string { return strings.Repeat("\"\\\u2028é\x00", n) }))
	rapid.Check(t, func(t *rapid.T) {
		value := hostile.Draw(t, "value")
		ctx := access.NewContext(context.Background(), &access.Identity{Actor: hostile.Draw(t, "actor"), Source: hostile.Draw(t, "source")})
		record := written(t, ctx, access.Entry{
			Action: hostile.Draw(t, "action"), Namespace: hostile.Draw(t, "namespace"), Target: hostile.Draw(t, "target"),
			Message: hostile.Draw(t, "message"), Before: value, After: map[string]string{"k": value},
		})
		if n := proto.Size(record); n > 12<<10 {
			t.Fatalf("%d bytes", n)
		}
		for _, snapshot := range []string{record.GetBefore(), record.GetAfter()} {
			if len(snapshot) > 4096 || !utf8.ValidString(snapshot) || !json.Valid([]byte(snapshot)) {
				t.Fatalf("%d bytes: %q", len(snapshot), snapshot)
			}
		}
		whole, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		var short struct {
			Cut    bool
			Bytes  int
			Begins string
		}
		if json.Unmarshal([]byte(record.GetBefore()), &short) != nil || !short.Cut {
			var back string
			if err := json.Unmarshal([]byte(record.GetBefore()), &back); err != nil || utf8.ValidString(value) && back != value {
				t.Fatalf("%q came back as %q", value, back)
			}
			return
		}
		if short.Bytes <= 4096 || len(short.Begins) < 600 {
			t.Fatalf("cut for nothing, or to nothing: %d of %d bytes, of %d", len(short.Begins), short.Bytes, len(whole))
		}
	})
}

// audit commits entries as somebody, in order.
func audit(t testing.TB, store *state.Store, ctx context.Context, entries ...access.Entry) {
	t.Helper()
	for chunk := range slices.Chunk(entries, 90) {
		var change state.Change
		for _, entry := range chunk {
			put, err := access.Record(ctx, entry)
			if err != nil {
				t.Fatal(err)
			}
			change.Put = append(change.Put, put)
		}
		if _, err := store.Commit(t.Context(), change); err != nil {
			t.Fatal(err)
		}
	}
}

// all reads all pages.
func all(t testing.TB, m *access.Manager, ctx context.Context, request *gantryv1.ListAuditRequest) (records []*gantryv1.AuditRecord, pages int) {
	t.Helper()
	request = proto.Clone(request).(*gantryv1.ListAuditRequest)
	for {
		page, next, err := m.ListAudit(ctx, request)
		if err != nil {
			t.Fatal(err)
		}
		records, pages = append(records, page...), pages+1
		if next == "" {
			return records, pages
		}
		request.PageToken = next
	}
}

func targets(records []*gantryv1.AuditRecord) string {
	var list []string
	for _, record := range records {
		list = append(list, record.GetTarget())
	}
	return strings.Join(list, " ")
}

func TestListAudit(t *testing.T) {
	store := statetest.New(t)
	m := start(t, store, access.Options{})
	ann := access.NewContext(t.Context(), &access.Identity{Actor: "user:ann"})
	audit(t, store, ann,
		access.Entry{Action: "document.publish", Namespace: "prod", Target: "1"},
		access.Entry{Action: "document.release", Namespace: "prod", Target: "2"},
		access.Entry{Action: "document.release", Namespace: "test", Target: "3"},
		access.Entry{Action: "namespace.create", Target: "4"})
	cut := time.Now()
	// The ids count in milliseconds: go on in the next one.
	for !time.Now().After(cut.Truncate(time.Millisecond).Add(time.Millisecond)) {
	}
	cut = time.Now()
	audit(t, store, system(t), access.Entry{Action: "instance.override", Namespace: "prod", Target: "5"})

	for _, c := range []struct {
		request *gantryv1.ListAuditRequest
		want    string
	}{
		{&gantryv1.ListAuditRequest{}, "5 4 3 2 1"},
		{&gantryv1.ListAuditRequest{Namespace: "prod"}, "5 2 1"},
		{&gantryv1.ListAuditRequest{Namespace: "*"}, "4"},
		{&gantryv1.ListAuditRequest{Actor: "user:ann"}, "4 3 2 1"},
		{&gantryv1.ListAuditRequest{Action: "document."}, "3 2 1"},
		{&gantryv1.ListAuditRequest{Action: "document.release", Namespace: "prod"}, "2"},
		{&gantryv1.ListAuditRequest{Target: "3"}, "3"},
		{&gantryv1.ListAuditRequest{Target: "6"}, ""},
		{&gantryv1.ListAuditRequest{Since: timestamppb.New(cut)}, "5"},
		{&gantryv1.ListAuditRequest{Until: timestamppb.New(cut)}, "4 3 2 1"},
		{&gantryv1.ListAuditRequest{Since: timestamppb.New(cut.Add(-time.Hour)), Until: timestamppb.New(cut.Add(time.Hour))}, "5 4 3 2 1"},
		{&gantryv1.ListAuditRequest{Since: timestamppb.New(cut.Add(time.Hour))}, ""},
		{&gantryv1.ListAuditRequest{Since: timestamppb.New(time.Time{}), Until: timestamppb.New(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))}, "5 4 3 2 1"},
	} {
		for _, size := range []uint32{0, 1, 2, 5, 1000} {
			c.request.PageSize = size
			got, _ := all(t, m, system(t), c.request)
			if targets(got) != c.want {
				t.Errorf("%v: %q, want %q", c.request, targets(got), c.want)
			}
		}
	}
}

func TestWhoReadsTheAuditLog(t *testing.T) {
	store := statetest.New(t)
	m := start(t, store, access.Options{})
	ofProd, ofAll, root, machine := as(t, m, grant("prod", viewer)), as(t, m, grant("*", releaser)), as(t, m, grant("*", admin)), as(t, m, grant("prod", service))
	audit(t, store, system(t),
		access.Entry{Action: "x", Namespace: "prod", Target: "1"},
		access.Entry{Action: "x", Namespace: "test", Target: "2"},
		access.Entry{Action: "x", Target: "3"})
	for ctx, want := range map[context.Context]string{ofProd: "1", ofAll: "2 1", root: "3 2 1"} {
		if got, _ := all(t, m, ctx, &gantryv1.ListAuditRequest{Action: "x"}); targets(got) != want {
			t.Errorf("%v reads %q, want %q", access.FromContext(ctx).Grants(), targets(got), want)
		}
	}
	for _, c := range []struct {
		ctx       context.Context
		namespace string
	}{{ofProd, "test"}, {ofProd, "*"}, {ofAll, "*"}, {machine, ""}, {machine, "prod"}} {
		_, _, err := m.ListAudit(c.ctx, &gantryv1.ListAuditRequest{Namespace: c.namespace})
		wantFault(t, err, fault.Forbidden, "access.forbidden")
	}
	_, _, err := m.ListAudit(t.Context(), nil)
	wantFault(t, err, fault.Unauthenticated, "access.unauthenticated")
}

func TestBadAuditRequests(t *testing.T) {
	m, _ := node(t)
	now := time.Now()
	for reason, requests := range map[string][]*gantryv1.ListAuditRequest{
		"access.bad_page_size": {{PageSize: 1001}, {PageSize: 1<<32 - 1}},
		"access.bad_page_token": {{PageToken: "x"}, {PageToken: "../user/root"}, {PageToken: strings.Repeat("F", 32)},
			{PageToken: strings.Repeat("f", 31)}, {PageToken: strings.Repeat("f", 34)}, {PageToken: "\x00"}},
		"access.bad_period": {{Since: &timestamppb.Timestamp{Nanos: -1}}, {Until: &timestamppb.Timestamp{Seconds: 1 << 62}},
			{Since: timestamppb.New(now), Until: timestamppb.New(now)}},
	} {
		for _, request := range requests {
			_, _, err := m.ListAudit(system(t), request)
			wantFault(t, err, fault.Invalid, reason)
		}
	}
	if _, _, err := m.ListAudit(system(t), &gantryv1.ListAuditRequest{PageToken: strings.Repeat("f", 32)}); err != nil {
		t.Errorf("a token behind the end: %v", err)
	}
}

func TestAFilterThatFewPassReadsInSteps(t *testing.T) {
	store := statetest.New(t)
	m := start(t, store, access.Options{})
	entries := []access.Entry{{Action: "needle", Namespace: "prod", Target: "found"}}
	for range 5500 {
		entries = append(entries, access.Entry{Action: "hay", Namespace: "prod"})
	}
	audit(t, store, system(t), entries...)
	got, pages := all(t, m, system(t), &gantryv1.ListAuditRequest{Action: "needle"})
	if targets(got) != "found" || pages != 2 {
		t.Errorf("%q in %d pages", targets(got), pages)
	}
}

func TestAuditRetention(t *testing.T) {
	first, c := statetest.New(t), newClock()
	a := start(t, first, access.Options{Now: c.now, AuditRecords: 200})
	second := statetest.Second(t, first)
	b := start(t, second, access.Options{Now: c.now, AuditRecords: 200})
	for len(first.Nodes()) < 2 {
		changed := first.NodesChanged()
		if len(first.Nodes()) < 2 {
			<-changed
		}
	}
	catchUp(t, first, second)
	var entries []access.Entry
	for i := range 250 {
		entries = append(entries, access.Entry{Action: "x", Namespace: "prod", Target: fmt.Sprint(i)})
	}
	audit(t, first, system(t), entries...)

	one, other := a, b
	if first.Nodes()[0].ID != first.Self().ID {
		one, other = b, a
	}
	count := func() int {
		records, _ := all(t, a, system(t), &gantryv1.ListAuditRequest{PageSize: 1000})
		return len(records)
	}
	upkeep(t, other)
	if n := count(); n != 250 {
		t.Errorf("the wrong node left %d", n)
	}
	upkeep(t, one)
	records, _ := all(t, a, system(t), &gantryv1.ListAuditRequest{PageSize: 1000})
	if len(records) != 200 || records[0].GetTarget() != "249" || records[199].GetTarget() != "50" {
		t.Errorf("%d records, %s to %s", len(records), records[0].GetTarget(), records[len(records)-1].GetTarget())
	}
	c.step(89 * 24 * time.Hour)
	upkeep(t, one)
	if n := count(); n != 200 {
		t.Errorf("%d records after 89 days", n)
	}
	c.step(2 * 24 * time.Hour)
	upkeep(t, one)
	if n := count(); n != 0 {
		t.Errorf("%d records after 91 days", n)
	}
}

func TestUpkeepRemovesABoundedNumberAtATime(t *testing.T) {
	store, c := statetest.New(t), newClock()
	m := start(t, store, access.Options{Now: c.now})
	audit(t, store, system(t), make([]access.Entry, 3000)...)
	c.step(91 * 24 * time.Hour)
	left := []int{3000}
	for left[len(left)-1] > 0 {
		upkeep(t, m)
		records, _ := all(t, m, system(t), &gantryv1.ListAuditRequest{PageSize: 1000})
		left = append(left, len(records))
		if len(left) > 10 {
			t.Fatalf("%v", left)
		}
	}
	if len(left) != 3 {
		t.Errorf("%v records were left after each step", left)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	m, _ := node(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- m.Run(ctx) }()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// What the room itself does is in the log.
func TestChangesOfAccessAreAudited(t *testing.T) {
	m, _ := node(t)
	createUser(t, m, "root", grant("*", admin))
	root := asUser(t, m, "root")
	disabled, secretWord := true, "battery staple"
	made, secret, err := m.CreateToken(root, "for the loans", grants(grant("prod", service)), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		m.RevokeToken(root, made.GetId()),
		func() error { _, err := m.CreateUser(root, "ann", password, nil); return err }(),
		func() error {
			_, err := m.UpdateUser(root, "ann", access.UserUpdate{Disabled: &disabled, Password: &secretWord})
			return err
		}(),
		m.DeleteUser(root, "ann"),
		m.ChangePassword(root, password, secretWord),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	records, _ := all(t, m, system(t), &gantryv1.ListAuditRequest{Actor: "user:root"})
	var got []string
	for _, record := range records {
		got = append(got, record.GetAction()+"@"+record.GetNamespace())
		for _, snapshot := range []string{record.GetBefore(), record.GetAfter(), record.GetMessage()} {
			if strings.Contains(snapshot, secretWord) || strings.Contains(snapshot, secret) || strings.Contains(snapshot, "argon2") {
				t.Errorf("%s tells a secret", record.GetAction())
			}
		}
	}
	want := "user.change_password@* user.delete@* user.update@* user.create@* token.revoke@prod token.create@prod"
	if strings.Join(got, " ") != want {
		t.Errorf("%v", got)
	}
}
