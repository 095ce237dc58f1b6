package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
	"github.com/gantry-platform/gantry/sdk/api/gantry/v1/gantryv1connect"
)

func textField(text string) *gantryv1.FieldValue {
	return &gantryv1.FieldValue{Value: &gantryv1.FieldValue_Text{Text: text}}
}

// emit has the real server take events, as a service does.
func (o *operator) emit(events ...*gantryv1.BusinessEvent) {
	o.t.Helper()
	made := o.must("token", "create", "--grant", o.env["GANTRY_NAMESPACE"]+"=service", "-o", "json")
	token := decode[struct{ Secret string }](o.t, made).Secret
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := gantryv1connect.NewEventServiceClient(&http.Client{Transport: transport}, o.env["GANTRY_ADDRESS"], connect.WithInterceptors(connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
			r.Header().Set("Authorization", "Bearer "+token)
			return next(ctx, r)
		}
	})))
	answer, err := client.Emit(o.t.Context(), &gantryv1.EmitRequest{Namespace: o.env["GANTRY_NAMESPACE"], Events: events})
	if err != nil || int(answer.Stored) != len(events) {
		o.t.Fatalf("%v, %v", answer, err)
	}
}

func TestEventsAreListed(t *testing.T) {
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	o := newOperator(t)
	o.emit(&gantryv1.BusinessEvent{Id: "old", Topic: "loan.granted", Time: timestamppb.New(time.Now().Add(-3 * time.Hour))},
		&gantryv1.BusinessEvent{Id: "granted", Topic: "loan.granted", Service: "loan", TraceId: trace, Fields: map[string]*gantryv1.FieldValue{"grade": textField("A\x1b[31m"),
			"amount": {Value: &gantryv1.FieldValue_Integer{Integer: 3000}}, "rate": {Value: &gantryv1.FieldValue_Number{Number: 0.5}}, "new": {Value: &gantryv1.FieldValue_Boolean{Boolean: true}}}},
		&gantryv1.BusinessEvent{Id: "refused", Topic: "loan.refused", Service: "risk", Outcome: gantryv1.EventOutcome_EVENT_OUTCOME_REFUSED})
	out := o.must("event", "list", "-o", "wide")
	wantWords(t, out, "TOPIC", "loan.granted", "success", "amount=3000", "rate=0.5", "new=true", trace, "loan.refused", "refused", "risk", "n1")
	if strings.Contains(out, "\x1b") {
		t.Errorf("a field writes to the terminal: %q", out)
	}
	type list struct {
		Events []struct{ ID, Node string }
		Next   string
	}
	for _, c := range []struct {
		args []string
		want []string
	}{
		{nil, []string{"refused", "granted", "old"}},
		{[]string{"--limit", "1"}, []string{"refused"}},
		{[]string{"loan.granted", "--since", "1h"}, []string{"granted"}},
		{[]string{"--until", "2h"}, []string{"old"}},
		{[]string{"loan.*", "--service", "risk"}, []string{"refused"}},
		{[]string{"--outcome", "refused", "--outcome", "failed"}, []string{"refused"}},
		{[]string{"--field", "amount=3000", "--field", "new=true"}, []string{"granted"}},
		{[]string{"--trace", trace}, []string{"granted"}},
		{[]string{"fund.*"}, nil},
	} {
		var ids []string
		all := decode[list](t, o.must(append([]string{"event", "list", "-o", "json"}, c.args...)...))
		for _, e := range all.Events {
			ids = append(ids, e.ID)
		}
		if !slices.Equal(ids, c.want) || all.Next == "" {
			t.Errorf("%q: %+v, not %q", c.args, all, c.want)
		}
	}
	wantWords(t, o.run("event", "list", "fund.*").err, "There are no such events.")
	wantWords(t, o.must("event", "topics"), "loan.granted", "2", "amount=int", "rate=double", "new=bool", "grade=string", "loan.refused", "1")
	o.fails(exitInvalid, []string{"limit", "1000"}, "event", "list", "--limit", "1001")
	o.fails(exitInvalid, []string{"outcome", "refused"}, "event", "list", "--outcome", "lost")
	o.fails(exitInvalid, []string{"since"}, "event", "list", "--since", "yesterday")
	o.fails(exitInvalid, []string{"trace"}, "event", "list", "--trace", "xyz")
	o.fails(exitInvalid, []string{"field"}, "event", "list", "--field", "amount")
}

func TestChangesAreListed(t *testing.T) {
	o := newOperator(t)
	o.must("apply", "-f", file(t, "loan.yaml", "kind: Config\nmetadata: {name: loan.yaml}\nspec:\n  format: yaml\n  content: \"a: 1\"\n"))
	out := o.eventually("release.released", "changes", "--kind", "release", "-o", "wide")
	wantWords(t, out, "release.published", "Config/loan.yaml", "admin", "version=1")
	wantWords(t, o.run("changes", "--kind", "instance").err, "Nothing was changed.")
	if all := decode[[]struct{ Kind string }](t, o.must("changes", "--limit", "1", "-o", "json")); len(all) != 1 || all[0].Kind != "release.released" {
		t.Errorf("%+v", all)
	}
	o.fails(exitInvalid, []string{"limit", "1000"}, "changes", "--limit", "0")
}

// halved answers as a node does of whose cluster another one is silent. It ends whoever follows it when it has told all that it knows.
type halved struct {
	gantryv1connect.UnimplementedEventServiceHandler
	told  func()
	asked []*gantryv1.QueryEventsRequest
}

func (h *halved) Query(_ context.Context, r *gantryv1.QueryEventsRequest) (*gantryv1.QueryEventsResponse, error) {
	h.asked = append(h.asked, r)
	answer := &gantryv1.QueryEventsResponse{MissingNodes: []string{"n2", "n3"}, Partial: []string{"node n1: a damaged segment"}, Truncated: true, Next: "place-" + r.GetAfter(),
		Events: []*gantryv1.BusinessEvent{{Id: "a", Topic: "loan", Time: timestamppb.Now(), Service: "loan", Fields: map[string]*gantryv1.FieldValue{"grade": textField("A")}}}}
	if len(h.asked) == 4 {
		h.told()
	}
	return answer, nil
}

func (h *halved) Topics(context.Context, *gantryv1.TopicsRequest) (*gantryv1.TopicsResponse, error) {
	return &gantryv1.TopicsResponse{Topics: []*gantryv1.EventTopic{{Name: "loan", Events: 7}}, MissingNodes: []string{"n2"}}, nil
}

func TestWhoseEventsAreMissingIsSaid(t *testing.T) {
	fake := &halved{}
	mux := http.NewServeMux()
	mux.Handle(gantryv1connect.NewEventServiceHandler(fake))
	s := httptest.NewServer(mux)
	defer s.Close()
	o := nobody(t)
	o.env["GANTRY_ADDRESS"], o.env["GANTRY_NAMESPACE"] = s.URL, "prod"
	r := o.run("event", "list")
	wantWords(t, r.err, "n2, n3", "a damaged segment", "limit of work")
	wantWords(t, r.out, "loan", "grade=A")
	if all := decode[struct{ MissingNodes, Partial []string }](t, o.must("event", "list", "-o", "json")); !slices.Equal(all.MissingNodes, []string{"n2", "n3"}) || len(all.Partial) != 1 {
		t.Errorf("%+v", all)
	}
	if r := o.run("event", "topics"); !strings.Contains(r.err, "n2") || !strings.Contains(r.out, "7") {
		t.Errorf("%+v", r)
	}
	if all := decode[struct{ MissingNodes []string }](t, o.must("event", "topics", "-o", "json")); !slices.Equal(all.MissingNodes, []string{"n2"}) {
		t.Errorf("%+v", all)
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	fake.asked, fake.told = nil, cancel
	r = o.runIn(ctx, "event", "tail", "loan.*", "--service", "loan")
	if r.code != exitInterrupted || strings.Count(r.out, "grade=A") < 2 || strings.Count(r.err, "n2, n3") != 1 {
		t.Errorf("%+v", r)
	}
	for i, want := range []*string{nil, ref("place-"), ref("place-place-"), ref("place-place-place-")} {
		asked := fake.asked[i]
		if asked.Topic != "loan.*" || asked.Service != "loan" || (asked.After == nil) != (want == nil) || want != nil && asked.GetAfter() != *want {
			t.Errorf("question %d: %v", i, asked)
		}
	}
}

func ref(text string) *string { return &text }
