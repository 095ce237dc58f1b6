//go:build linux

package robustness

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// emit has the node take events of a topic, and answers their ids.
func (n *node) emit(t *testing.T, topic, name string, count int) (ids []string) {
	t.Helper()
	request := &gantryv1.EmitRequest{}
	for i := range count {
		ids = append(ids, fmt.Sprintf("%s-%s-%d", n.name, name, i))
		request.Events = append(request.Events, &gantryv1.BusinessEvent{Id: ids[i], Topic: topic, Service: "loan", Fields: map[string]*gantryv1.FieldValue{"amount": {Value: &gantryv1.FieldValue_Integer{Integer: int64(i)}}}})
	}
	if answer, err := n.api.events.Emit(t.Context(), request); err != nil || int(answer.Stored) != count {
		t.Fatalf("%v, %v", answer, err)
	}
	return ids
}

func idsOf(events []*gantryv1.BusinessEvent) []string {
	var ids []string
	for _, e := range events {
		ids = append(ids, e.Id)
	}
	return ids
}

// TestAMemberThatIsGoneIsNamed kills a node and waits until its lease has ended: answers about traces, figures, events and metrics name it, until it is removed from the cluster.
func TestAMemberThatIsGoneIsNamed(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	gone, asked := c.nodes[2], c.nodes[0]
	gone.emit(t, "loan.granted", "gone", 1)
	missing := func(ctx context.Context) (map[string][]string, error) {
		found, err := asked.api.events.Query(ctx, &gantryv1.QueryEventsRequest{})
		if err != nil {
			return nil, err
		}
		topics, err := asked.api.events.Topics(ctx, &gantryv1.TopicsRequest{})
		if err != nil {
			return nil, err
		}
		traces, err := asked.api.traces.SearchTraces(ctx, &gantryv1.SearchTracesRequest{})
		if err != nil {
			return nil, err
		}
		graph, err := asked.api.topology.Topology(ctx, &gantryv1.TopologyRequest{})
		if err != nil {
			return nil, err
		}
		warnings, err := asked.api.metricWarnings(ctx)
		return map[string][]string{"events": found.MissingNodes, "topics": topics.MissingNodes, "traces": traces.Partial, "figures": graph.Answered.MissingNodes, "metrics": warnings}, err
	}
	expect := func(want map[string][]string) {
		t.Helper()
		eventually(t, 20*time.Second, func(ctx context.Context) error {
			got, err := missing(ctx)
			for what, names := range got {
				if !slices.Equal(names, want[what]) {
					err = errors.Join(err, fmt.Errorf("%s: %v", what, names))
				}
			}
			return err
		})
	}
	expect(nil)
	gone.kill()
	c.awaitNodes(c.without(gone)...)
	expect(map[string][]string{"events": {gone.name}, "topics": {gone.name}, "traces": {"node " + gone.name}, "figures": {gone.name},
		"metrics": {"the series of node " + gone.name + " are missing: it is not there"}})
	eventually(t, 20*time.Second, func(ctx context.Context) error {
		_, err := asked.api.cluster.RemoveMember(ctx, &gantryv1.RemoveMemberRequest{Member: gone.name})
		return err
	})
	expect(nil)
}

// TestEventsOfACluster has each node take events: each answers for all of them, in the order in which they came, names a node that is silent, and gives those
// who follow what that one took when it answers again.
func TestEventsOfACluster(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	var all []string
	for round := range 3 {
		for _, n := range c.nodes {
			all = append(all, n.emit(t, "loan.granted", fmt.Sprint("round", round), 2)...)
		}
	}
	newest := slices.Clone(all)
	slices.Reverse(newest)
	following := map[*node]string{}
	for _, n := range c.nodes {
		for _, limit := range []uint32{0, 5} {
			answer, err := n.api.events.Query(t.Context(), &gantryv1.QueryEventsRequest{Topic: "loan.*", Limit: limit})
			want := newest
			if limit > 0 {
				want = newest[:limit]
			}
			if err != nil || !slices.Equal(idsOf(answer.Events), want) || len(answer.MissingNodes)+len(answer.Partial) > 0 {
				t.Fatalf("%s: %v, %v; not %v", n.name, answer, err, want)
			}
			following[n] = answer.Next
		}
		topics, err := n.api.events.Topics(t.Context(), &gantryv1.TopicsRequest{})
		if err != nil || len(topics.Topics) != 1 || int(topics.Topics[0].Events) != len(all) || topics.Topics[0].Fields["amount"] != "int" || len(topics.MissingNodes) > 0 {
			t.Errorf("%s: %v, %v", n.name, topics, err)
		}
		// From the beginning, page by page.
		var read []string
		after := ""
		for range 5 {
			answer, err := n.api.events.Query(t.Context(), &gantryv1.QueryEventsRequest{Limit: 4, After: &after})
			if err != nil {
				t.Fatal(err)
			}
			read, after = append(read, idsOf(answer.Events)...), answer.Next
		}
		if !slices.Equal(read, all) {
			t.Errorf("%s is followed to %v, not %v", n.name, read, all)
		}
	}
	silent, asked := c.nodes[1], c.nodes[0]
	unseen := silent.emit(t, "loan.granted", "unseen", 1)
	silent.pause()
	seen := c.nodes[2].emit(t, "loan.granted", "seen", 1)
	after := following[asked]
	answer, err := asked.api.events.Query(t.Context(), &gantryv1.QueryEventsRequest{After: &after})
	if err != nil || !slices.Equal(idsOf(answer.Events), seen) || !slices.Equal(answer.MissingNodes, []string{silent.name}) {
		t.Errorf("without %s: %v, %v", silent.name, answer, err)
	}
	silent.resume()
	eventually(t, 20*time.Second, func(ctx context.Context) error {
		again, err := asked.api.events.Query(ctx, &gantryv1.QueryEventsRequest{After: &answer.Next})
		if err == nil && (!slices.Equal(idsOf(again.Events), unseen) || len(again.MissingNodes) > 0) {
			err = fmt.Errorf("%v", again)
		}
		return err
	})
}
