// Package signal says what services do while they run: spans, metrics, business events and changes, and what is worked out from them.
//
// This package holds the words that the rooms below it share: [Span], [Resource], [Batch], [Outcome], and the questions that a
// trace store answers. It does nothing by itself. The rooms:
//
//	ingest   admits batches, bounded in bytes: what arrives is checked, counted, made durable, and only then acknowledged
//	wire     OTLP's protobuf to spans and back, without copying
//	trace    the write-ahead log, the recent spans in memory, blocks of Parquet, and search over them
//	clickhouse  the same in ClickHouse, for fleets that outgrow the disk of a node
//	red      rate, errors, refusals and durations per service, endpoint, edge and instance; topology; ranking of errors
//	series   metrics: the embedded Prometheus TSDB, PromQL, scraping
//	event    business events and the feed of changes
//	fanout   traces and events of all nodes of a cluster
//	alert    rules over series, grouping, silences, notification, history
//
// Flow: a protocol (otlp, zipkin) hands a [Batch] to ingest. Ingest gives the decoded spans to red, which only counts in memory, and
// the batch to the trace store, which answers when it is on disk. Red writes its counters into series every few seconds. Queries read the
// trace store and series.
//
// Telemetry never breaks or slows the business path: all queues are bounded, what is dropped is counted by reason and shown, and a client
// that sends too fast is told so by its own protocol.
//
// Imports: the rooms of signal may import this package, access, policy, fault and state, and each other downwards in the order
// alert, event -> series; fanout -> event; ingest -> red, trace, clickhouse -> wire. They never import the nouns instance, release or task: what joins them is wired in server.
package signal
