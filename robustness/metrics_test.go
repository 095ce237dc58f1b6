//go:build linux

package robustness

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// metric is the value of a query's only sample at a node, and the warnings beside it.
func (n *node) metric(ctx context.Context, query string) (value string, warnings []string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.http+"/prometheus/api/v1/query?query="+url.QueryEscape(query), nil)
	if err != nil {
		return "", nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", nil, err
	}
	defer response.Body.Close()
	var answer struct {
		Error    string
		Warnings []string
		Data     struct{ Result []struct{ Value [2]any } }
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return "", nil, err
	}
	if len(answer.Data.Result) != 1 {
		return "", answer.Warnings, fmt.Errorf("%s of %s: %d samples %s", query, n.name, len(answer.Data.Result), answer.Error)
	}
	return fmt.Sprint(answer.Data.Result[0].Value[1]), answer.Warnings, nil
}

func (n *node) awaitMetric(t *testing.T, query, want string, warning string) {
	t.Helper()
	eventually(t, 30*time.Second, func(ctx context.Context) error {
		value, warnings, err := n.metric(ctx, query)
		if err != nil {
			return err
		}
		if value != want || !strings.Contains(strings.Join(warnings, " "), warning) {
			return fmt.Errorf("%s of %s is %s with warnings %q, want %s and %q", query, n.name, value, warnings, want, warning)
		}
		return nil
	})
}

// TestMetrics asks each node about the figures that every node keeps of itself, before and after one is killed.
func TestMetrics(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	const nodes = `count(gantry_state_nodes)`
	for _, n := range c.nodes {
		n.awaitMetric(t, nodes, "3", "")
	}
	victim, asked := c.nodes[2], c.nodes[0]
	victim.kill()
	// Meanwhile the other two answer for themselves; until they know that it is gone, with a warning.
	asked.awaitMetric(t, nodes, "2", "")
	victim.start()
	victim.awaitReady()
	c.awaitNodes(c.nodes...)
	// What was kept before the kill is there, beside what came after.
	for _, n := range c.nodes {
		n.awaitMetric(t, `count_over_time(gantry_state_nodes{node="`+victim.name+`"}[10m]) >= bool 2`, "1", "")
	}
}
