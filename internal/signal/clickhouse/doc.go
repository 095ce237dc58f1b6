// Package clickhouse keeps traces in ClickHouse, for fleets whose spans outgrow the disk of one node. It takes the place of the room trace and means the same by
// every question.
//
// Flow of a write: [Store.Write] encodes the spans of a batch as rows (RowBinary) into the group that is being gathered. A group that is full, or has
// waited for [Options.Linger], goes to ClickHouse as one insert, compressed by zstd; its writers are answered when ClickHouse has taken it. An
// insert that fails in a way that may pass is repeated with the same deduplication token, so that it is there once; what a sender sends again on its own is left out on
// reading, as in the room trace. What waits is bounded in bytes: over it Write answers [fault.Exhausted].
//
// Flow of a read: a look-up by id first asks gantry_trace_times for the time of the trace, then reads that time's rows with the bloom filter of trace ids. A
// search looks through slices of time, the newest and smallest first, until it has enough; then it reads what a list shows of the traces that it found.
//
// Words: a span is a row of gantry_spans. An attribute is a key, the text by which a search compares it ([wire.Text]), and its type, in three arrays of the same length:
// order, repeated keys and types come back. Attributes of events and links are JSON, as in blocks of Parquet.
//
// ClickHouse is spoken to by its HTTP interface, with nothing but net/http. Values of a question are parameters of the server; no text from outside is ever a part of
// SQL. ClickHouse's own words about an error are for the log: users get a [fault.Error].
//
// ClickHouse may be away when the server starts, and may come later: until the tables are there, writes and reads answer [fault.Unavailable].
//
// Locks: Store.mu guards the groups that wait, and is held for moments.
//
// It imports signal, signal/wire and fault.
package clickhouse
