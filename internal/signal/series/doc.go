// Package series keeps metrics: the embedded Prometheus TSDB, its PromQL engine, and what bounds both.
//
// # Flow
//
// Whoever has samples asks [Store] for an appender, as of Prometheus's storage: the scraper, remote write and OTLP, and the rooms
// that work series out of spans and events. The appender refuses what would harm the rest (samples of the future, labels that are too long or no
// UTF-8, series beyond the limits), counts it, and commits the others. Questions are asked through a [View]: of one namespace, whose every
// selector is confined to it, or of all.
//
// # Words
//
// A series of a namespace has the label "namespace". Series without it belong to no namespace: Gantry's own figures. Only a view of all
// namespaces sees them. The other labels that Gantry gives are service, instance, node and job.
//
// # Stored
//
//	wal/, wbl/          write-ahead logs: of samples in order, and of late ones
//	chunks_head/        chunks of the newest hours, mapped into memory
//	<ulid>/             blocks, as Prometheus writes them: promtool and other readers of TSDB blocks read them
//	set-aside/          what could not be read at a start, for people to look at; the oldest goes when there are more than a few
//
// An append is acknowledged when Commit returns: then it is in the operating system's hands, so that it survives the end of the process at any
// moment, and not that of the machine. Prometheus promises the same.
//
// # When the disk is full
//
// Appends are refused while the disk has less room than the minimum, before the disk is really full: the TSDB cannot bear that. Queries go on. Blocks are not
// cut meanwhile; the limit by size makes room when they are again.
//
// # Locks
//
// The cardinality's and the catalogue's mutexes are leaves: nothing is called while they are held. The TSDB calls into the cardinality with locks of its own.
//
// # Imports
//
// fault, and Prometheus's tsdb, promql, storage and scrape. It imports neither the nouns nor the other rooms of signal: what joins them is wired in server.
package series
