package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
)

// schemaVersion is that of the tables this server knows.
const schemaVersion = 1

// versionTable remembers which versions the tables have been brought to, so that a later server knows what to alter.
const versionTable = `CREATE TABLE IF NOT EXISTS gantry_schema (version UInt32, made DateTime DEFAULT now()) ENGINE = MergeTree ORDER BY version`

// spansTable holds a span a row. It is partitioned by the day of arrival, not of the span's own clock: a service with a wrong clock must not make partitions. Its
// order makes a service and an endpoint cheap to read, and puts what is alike side by side, which compresses. %d is the retention in seconds.
const spansTable = `CREATE TABLE IF NOT EXISTS gantry_spans (
	namespace LowCardinality(String),
	service LowCardinality(String),
	name LowCardinality(String),
	start DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
	duration Int64 CODEC(T64, ZSTD(1)) COMMENT 'nanoseconds',
	trace_id FixedString(16) CODEC(ZSTD(1)),
	span_id FixedString(8) CODEC(ZSTD(1)),
	parent_id FixedString(8) CODEC(ZSTD(1)) COMMENT 'zeros: the root',
	kind Enum8('unspecified' = 0, 'internal' = 1, 'server' = 2, 'client' = 3, 'producer' = 4, 'consumer' = 5),
	status Enum8('unset' = 0, 'ok' = 1, 'error' = 2),
	outcome Enum8('success' = 0, 'refused' = 1, 'failed' = 2),
	flags UInt32 CODEC(T64, ZSTD(1)),
	arrived DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
	status_message String CODEC(ZSTD(1)),
	trace_state String CODEC(ZSTD(1)),
	scope LowCardinality(String),
	instance LowCardinality(String),
	version LowCardinality(String),
	lane LowCardinality(String),
	release LowCardinality(String),
	zone LowCardinality(String),
	attribute_keys Array(LowCardinality(String)) CODEC(ZSTD(1)),
	attribute_values Array(String) CODEC(ZSTD(1)),
	attribute_types Array(` + valueTypes + `) CODEC(ZSTD(1)),
	resource_keys Array(LowCardinality(String)) CODEC(ZSTD(1)),
	resource_values Array(LowCardinality(String)) CODEC(ZSTD(1)),
	resource_types Array(` + valueTypes + `) CODEC(ZSTD(1)),
	event_names Array(LowCardinality(String)) CODEC(ZSTD(1)),
	event_times Array(DateTime64(9, 'UTC')) CODEC(ZSTD(1)),
	event_attributes Array(String) CODEC(ZSTD(1)) COMMENT 'JSON',
	link_trace_ids Array(FixedString(16)) CODEC(ZSTD(1)),
	link_span_ids Array(FixedString(8)) CODEC(ZSTD(1)),
	link_states Array(String) CODEC(ZSTD(1)),
	link_attributes Array(String) CODEC(ZSTD(1)) COMMENT 'JSON',
	trace String ALIAS lower(hex(trace_id)),
	attributes Map(String, String) ALIAS mapFromArrays(attribute_keys, attribute_values),
	resource Map(String, String) ALIAS mapFromArrays(resource_keys, resource_values),
	INDEX by_start start TYPE minmax GRANULARITY 1,
	INDEX by_duration duration TYPE minmax GRANULARITY 1,
	INDEX by_trace_id trace_id TYPE bloom_filter(0.001) GRANULARITY 1,
	INDEX by_attribute_key attribute_keys TYPE bloom_filter(0.01) GRANULARITY 1,
	INDEX by_attribute_value attribute_values TYPE bloom_filter(0.01) GRANULARITY 1,
	INDEX by_resource_key resource_keys TYPE bloom_filter(0.01) GRANULARITY 1,
	INDEX by_resource_value resource_values TYPE bloom_filter(0.01) GRANULARITY 1
) ENGINE = MergeTree
PARTITION BY toDate(arrived)
ORDER BY (namespace, service, name, start)
TTL arrived + toIntervalSecond(%d)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000`

const valueTypes = `Enum8('empty' = 0, 'string' = 1, 'bool' = 2, 'int' = 3, 'double' = 4, 'bytes' = 5, 'json' = 6)`

// timesTable says when each trace was, so that a look-up by id reads a moment and not the whole retention.
const timesTable = `CREATE TABLE IF NOT EXISTS gantry_trace_times (
	namespace LowCardinality(String),
	trace_id FixedString(16),
	arrived_day Date,
	earliest SimpleAggregateFunction(min, DateTime64(9, 'UTC')) CODEC(Delta(8), ZSTD(1)),
	latest SimpleAggregateFunction(max, DateTime64(9, 'UTC')) CODEC(Delta(8), ZSTD(1))
) ENGINE = AggregatingMergeTree
PARTITION BY arrived_day
ORDER BY (trace_id, namespace, arrived_day)
TTL toDateTime(arrived_day) + toIntervalSecond(%d)
SETTINGS ttl_only_drop_parts = 1`

const timesView = `CREATE MATERIALIZED VIEW IF NOT EXISTS gantry_trace_times_view TO gantry_trace_times AS
SELECT namespace, trace_id, toDate(arrived) AS arrived_day, min(start) AS earliest, max(start) AS latest
FROM gantry_spans GROUP BY namespace, trace_id, arrived_day`

// namesTable has the names of services and endpoints, which people choose from.
const namesTable = `CREATE TABLE IF NOT EXISTS gantry_names (
	namespace LowCardinality(String),
	service LowCardinality(String),
	kind Enum8('unspecified' = 0, 'internal' = 1, 'server' = 2, 'client' = 3, 'producer' = 4, 'consumer' = 5),
	name String,
	arrived_day Date,
	earliest SimpleAggregateFunction(min, DateTime64(9, 'UTC')),
	latest SimpleAggregateFunction(max, DateTime64(9, 'UTC'))
) ENGINE = AggregatingMergeTree
PARTITION BY arrived_day
ORDER BY (namespace, service, kind, name, arrived_day)
TTL toDateTime(arrived_day) + toIntervalSecond(%d)
SETTINGS ttl_only_drop_parts = 1`

const namesView = `CREATE MATERIALIZED VIEW IF NOT EXISTS gantry_names_view TO gantry_names AS
SELECT namespace, service, kind, toString(name) AS name, toDate(arrived) AS arrived_day, min(start) AS earliest, max(start) AS latest
FROM gantry_spans GROUP BY namespace, service, kind, name, arrived_day`

// keeper is a table with a retention. Tables by day keep a day longer, so that nothing of a span goes before the span.
type keeper struct {
	name, made, column string
	longer             time.Duration
}

var keepers = [...]keeper{
	{name: "gantry_spans", made: spansTable, column: "arrived"},
	{name: "gantry_trace_times", made: timesTable, column: "toDateTime(arrived_day)", longer: 24 * time.Hour},
	{name: "gantry_names", made: namesTable, column: "toDateTime(arrived_day)", longer: 24 * time.Hour},
}

func (k keeper) seconds(retention time.Duration) int64 {
	return int64((retention + k.longer) / time.Second)
}

// prepare makes the tables, or brings them up to date. Every step may be done twice, and by several nodes at once.
func (s *Store) prepare(ctx context.Context) error {
	if err := s.client.execute(ctx, versionTable); err != nil {
		return err
	}
	answer, err := s.client.query(ctx, newStatement("SELECT toString(max(version)) FROM gantry_schema FORMAT TabSeparated"), nil)
	if err != nil {
		return err
	}
	version, err := strconv.Atoi(strings.TrimSpace(string(answer)))
	if err != nil {
		return fmt.Errorf("clickhouse: the version of the tables: %w", err)
	}
	if version > schemaVersion {
		return fault.New(fault.Precondition, "traces.clickhouse_newer", "the tables in ClickHouse are of version %d, and this server knows %d", version, schemaVersion).
			Hinted("upgrade this node, or give it another database")
	}
	// A table that somebody dropped is made again, whatever the version says. There is no older version to alter yet.
	for _, k := range keepers {
		if err := s.client.execute(ctx, fmt.Sprintf(k.made, k.seconds(s.options.Retention))); err != nil {
			return err
		}
	}
	for _, view := range []string{timesView, namesView} {
		if err := s.client.execute(ctx, view); err != nil {
			return err
		}
	}
	if version < schemaVersion {
		if err := s.client.execute(ctx, fmt.Sprintf("INSERT INTO gantry_schema (version) VALUES (%d)", schemaVersion)); err != nil {
			return err
		}
	}
	return s.retain(ctx)
}

// retain alters the retention of tables that were made with another one.
func (s *Store) retain(ctx context.Context) error {
	for _, k := range keepers {
		answer, err := s.client.query(ctx, newStatement("SELECT create_table_query FROM system.tables WHERE database = currentDatabase() AND name = ").text(k.name).add(" FORMAT TabSeparatedRaw"), nil)
		if err != nil {
			return err
		}
		ttl := fmt.Sprintf("toIntervalSecond(%d)", k.seconds(s.options.Retention))
		if strings.Contains(string(answer), ttl) {
			continue
		}
		s.log.Info("the retention of a table in ClickHouse is changed", "table", k.name, "retention", s.options.Retention)
		if err := s.client.execute(ctx, "ALTER TABLE "+k.name+" MODIFY TTL "+k.column+" + "+ttl); err != nil {
			return err
		}
	}
	return nil
}

const (
	prepareTime   = time.Minute
	prepareFirst  = 200 * time.Millisecond
	prepareLonger = 15 * time.Second
)

// prepareLoop tries until the tables are there. ClickHouse may come up after this server.
func (s *Store) prepareLoop() {
	pause := prepareFirst
	for {
		ctx, cancel := context.WithTimeout(s.running, prepareTime)
		err := s.prepare(ctx)
		cancel()
		if err == nil {
			close(s.prepared)
			return
		}
		if s.running.Err() != nil {
			return
		}
		s.said.once(s.log, "prepare", "the tables of traces in ClickHouse cannot be made yet; traces are refused until then", err)
		problem := faultOf(err)
		s.problem.Store(&problem)
		select {
		case <-time.After(pause):
			pause = min(2*pause, prepareLonger)
		case <-s.running.Done():
			return
		}
	}
}

// ready waits a while for the tables.
func (s *Store) ready(ctx context.Context) error {
	select {
	case <-s.prepared:
		return nil
	default:
	}
	timer := time.NewTimer(s.options.Wait)
	defer timer.Stop()
	select {
	case <-s.prepared:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.running.Done():
		return errClosed
	case <-timer.C:
		if problem := s.problem.Load(); problem != nil {
			return *problem
		}
		return faultOf(errNotPrepared)
	}
}

var errNotPrepared = errors.New("clickhouse: the tables are not there yet")
