package clickhouse

import (
	"context"

	"github.com/gantry-platform/gantry/internal/signal"
)

// Plans are how ClickHouse would answer the questions of a search: for its matches, and for the summary of one trace.
func (s *Store) Plans(ctx context.Context, q signal.TraceQuery, id signal.TraceID, at int64) (matches, summary string, err error) {
	var plans [2]string
	for i, asked := range []*statement{matching(&q, nanoseconds(q.Since), nanoseconds(q.Until), q.Limit), brief(q.Namespace, []candidate{{id: id, latest: at}})} {
		explained := newStatement("EXPLAIN indexes = 1 " + asked.sql.String())
		explained.params = asked.params
		answer, err := s.client.query(ctx, explained, nil)
		if err != nil {
			return "", "", err
		}
		plans[i] = string(answer)
	}
	return plans[0], plans[1], nil
}
