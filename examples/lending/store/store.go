// Package store stands for what a lender's services keep things in: a database and a cache. They are in memory, forget the oldest when
// they are full, and take about as long as real ones in the same building. Their calls are client spans with the attributes of OpenTelemetry's
// conventions for databases, as an instrumented driver makes them.
//
// It imports telemetry and the standard library.
package store

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/gantry-platform/gantry/examples/lending/telemetry"
)

// capacity bounds what one table or cache holds. At the demo's 20 applications a second that is a quarter of an hour.
const capacity = 20_000

// What an answer takes at least, and what chance adds to it at most.
const (
	databaseLatency, databaseJitter = 500 * time.Microsecond, 1500 * time.Microsecond
	cacheLatency, cacheJitter       = 100 * time.Microsecond, 300 * time.Microsecond
)

// Table is a table of a database. It may be used concurrently.
type Table[V any] struct {
	name   string
	insert string
	query  string
	rows   rows[V]
}

// NewTable makes a table whose key is a column. Columns are all others, for the text of the statements.
func NewTable[V any](name, key, columns, values string) *Table[V] {
	return &Table[V]{name: name, insert: "INSERT INTO " + name + " (" + key + ", " + columns + ") VALUES (" + values + ")",
		query: "SELECT " + columns + " FROM " + name + " WHERE " + key + " = $1"}
}

// Insert puts a row in, unless one with its key is there. It fails when ctx ends first.
func (t *Table[V]) Insert(ctx context.Context, key string, row V) (inserted bool, err error) {
	err = t.statement(ctx, "INSERT", t.insert, func() int {
		inserted = t.rows.add(key, row, time.Time{})
		return 1
	})
	return inserted, err
}

// Select finds a row. It fails when ctx ends first.
func (t *Table[V]) Select(ctx context.Context, key string) (row V, found bool, err error) {
	err = t.statement(ctx, "SELECT", t.query, func() int {
		if row, found = t.rows.get(key, time.Time{}); found {
			return 1
		}
		return 0
	})
	return row, found, err
}

func (t *Table[V]) statement(ctx context.Context, operation, text string, do func() (rows int)) error {
	ctx, span := telemetry.Start(ctx, operation+" "+t.name, trace.SpanKindClient,
		attribute.String("db.system.name", "postgresql"), attribute.String("db.namespace", "lending"), attribute.String("db.collection.name", t.name),
		attribute.String("db.operation.name", operation), attribute.String("db.query.text", text),
		attribute.String("server.address", "lending-db"), attribute.Int("server.port", 5432))
	defer span.End()
	if err := pause(ctx, databaseLatency, databaseJitter); err != nil {
		span.SetAttributes(attribute.String("error.type", "timeout"))
		span.SetStatus(codes.Error, err.Error())
		return err
	}
	span.SetAttributes(attribute.Int("db.response.returned_rows", do()))
	return nil
}

// Cache keeps values for a time. It may be used concurrently.
type Cache[V any] struct {
	prefix string
	life   time.Duration
	rows   rows[V]
}

// NewCache makes a cache whose keys begin with a prefix.
func NewCache[V any](prefix string, life time.Duration) *Cache[V] {
	return &Cache[V]{prefix: prefix, life: life}
}

// Get finds a value. A cache that does not answer before ctx ends has not found it.
func (c *Cache[V]) Get(ctx context.Context, key string) (value V, found bool) {
	ctx, span := c.start(ctx, "GET")
	defer span.End()
	if pause(ctx, cacheLatency, cacheJitter) == nil {
		value, found = c.rows.get(key, time.Now())
	}
	span.SetAttributes(attribute.Bool("cache.hit", found))
	return value, found
}

// Set puts a value in.
func (c *Cache[V]) Set(ctx context.Context, key string, value V) {
	ctx, span := c.start(ctx, "SET")
	defer span.End()
	if pause(ctx, cacheLatency, cacheJitter) == nil {
		c.rows.add(key, value, time.Now().Add(c.life))
	}
}

func (c *Cache[V]) start(ctx context.Context, operation string) (context.Context, trace.Span) {
	return telemetry.Start(ctx, operation, trace.SpanKindClient,
		attribute.String("db.system.name", "redis"), attribute.String("db.operation.name", operation), attribute.String("db.query.text", operation+" "+c.prefix+"?"),
		attribute.String("server.address", "lending-cache"), attribute.Int("server.port", 6379))
}

// rows are the newest of what was added, by key.
type rows[V any] struct {
	mu    sync.Mutex
	known map[string]row[V]
	// order is a ring of keys, the next to be replaced at place.
	order []string
	place int
}

type row[V any] struct {
	value V
	until time.Time // zero: for ever
}

// add adds what is not there, or is there with an end.
func (r *rows[V]) add(key string, value V, until time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old, known := r.known[key]; known {
		if old.until.IsZero() {
			return false
		}
		r.known[key] = row[V]{value, until}
		return true
	}
	if r.known == nil {
		r.known = map[string]row[V]{}
	}
	if len(r.order) < capacity {
		r.order = append(r.order, key)
	} else {
		delete(r.known, r.order[r.place])
		r.order[r.place] = key
		r.place = (r.place + 1) % capacity
	}
	r.known[key] = row[V]{value, until}
	return true
}

func (r *rows[V]) get(key string, now time.Time) (value V, found bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if row, known := r.known[key]; known && (row.until.IsZero() || now.Before(row.until)) {
		return row.value, true
	}
	return value, false
}

func pause(ctx context.Context, least, jitter time.Duration) error {
	timer := time.NewTimer(least + rand.N(jitter))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
