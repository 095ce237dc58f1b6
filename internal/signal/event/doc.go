// Package event keeps what the business says that happened (an application, a loan, a payment), and the feed of changes: every
// release, registration, drain and change of status on the same time line, so that a graph shows what changed when.
//
// Flow of a business event: [Room.Emit] checks it against the limits and against the fields that its topic has, appends it to a log on disk, and
// answers when it is durable; callers that come together share one fsync. Then it is counted into
// gantry_business_events_total, can be queried, and is there for whoever forwards it (package kafka below this one), who reads the log by sequence numbers
// and never makes Emit wait.
//
// Topics are typed by use: the first event with a field says the field's type, and what does not fit later is refused. An integer fits where
// a double was seen, and the first double widens a field of integers; nothing else changes. The fields of a topic are bounded, and so are topics.
//
// Changes come from the nouns, which this package must not know: server translates them and calls [Room.Record]. Every node of a cluster sees every
// change and keeps its own time line; a change has an id made of what it is, so that it is stored once a node and is the same on all of them. What a node
// missed it asks of the others: server does that too.
// Business events stay on the node that took them; the room answers for those, and package fanout for those of a whole cluster.
//
// # On disk
//
// Two logs, events/ and changes/, each a folder of segments. The newest is NNN.log: frames of length (4 bytes, little endian), CRC-32C (4) and an
// event as JSON. A full or old one is sealed: its events as JSON lines in zstd, NNN.jsonl.zst, which DuckDB and others read as they are. NNN
// is the sequence number of the first event; the others follow without gaps. NNN.meta.json says what a sealed segment holds (times, topics, a bloom filter of
// trace ids); it is a hint, made again when it is gone. topics.json holds the types of fields. A torn end of the newest segment is cut at the start, and
// said. What cannot be read in a sealed one is skipped, and said in the answer.
//
// While the disk has less room than the minimum, events and changes are refused and nothing is written: what is left is the state's, without which the node
// ends. Queries go on, segments are compressed on (which makes room), and writing goes on by itself.
//
// # Locks
//
// Room.mu (topics, counters) and log.mu (segments) are held alone, except that topics.json is written under the first. No lock is held while a caller waits for the disk
// but log.mu's writer, which is one goroutine.
//
// Imports: signal, fault; Prometheus's storage interface, handed in, for the counts.
package event
