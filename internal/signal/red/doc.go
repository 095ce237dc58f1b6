// Package red works out, while spans arrive, what services do: rate, errors, refusals and durations of endpoints, instances and edges between
// services; the topology; the ranking of errors; and which instances send at all.
//
// Flow: ingest hands decoded spans to [Room.Observe], on its own goroutines and many at once. Observe counts in memory and returns. Every
// interval the room writes what it counted into series, as cumulative native histograms, which begin at zero with the process. Questions
// about the recent hour are answered from memory; what is older, or was counted before a restart, is read from series up to the moment
// from which memory knows, so that nothing is missing between the two or counted in both.
//
// Cluster. Spans go to the node that keeps their trace, so each node has a part of every service's counts. A question is asked of the other live
// nodes side by side ([Counter]). Each answers counts and buckets of its own ([Part]), from its memory and from the series that it wrote itself: it
// alone knows where the one ends and the other begins. They are merged, and only then become figures, are put in order and cut to a limit. Rates add,
// quantiles are those of the merged histograms at the coarser resolution, errors of one group add up, and what has the same name is the same thing.
// Nodes that do not answer are named in the [Window].
//
// Words. An entry is a span of kind server or consumer: it counts for its service, endpoint and instance. A call is a span of kind client or
// producer. An edge joins the service of a call with the service of the entry whose parent (or, for a consumer without one, whose link) the call is. They
// come in any order, in any batch; whichever comes first waits. A call whose entry never comes leads to what its attributes name: a database, a
// cache, a queue or an external party. An entry without parent was called by "user"; one whose parent never came by "unknown".
// Calls to databases and caches do not wait: nothing there sends spans. An edge has the duration that the caller saw, and the outcome that
// the callee meant: a refusal by the callee is a refusal, whatever the caller's instrumentation made of it; otherwise the worse of the two. It is in
// the lane of the instance that served it, or else of the one that called. A call in no lane is counted in a series without that label, as it was before there were lanes;
// each call is counted once, so that lanes add up to all.
//
// Exactly once: exporters repeat batches when an answer is lost. Identities of recent spans are kept, in two generations, and what was seen is not
// counted again. A span that ended long before it arrived is counted as late and kept out of the figures of now. Clocks of
// services play no part otherwise: rates are by arrival, durations by the service's own clock alone.
//
// Bounds: each set that senders can grow has a limit ([Limits]). What exceeds one is counted under the name "(other)", and [Room.Excesses] says
// which service exceeded what. What nobody observed for an hour is forgotten, which makes room.
//
// Locks, in the order in which they are taken: Room.mu, namespace.mu, service.mu, ranking.mu, series.mu. A shard's lock (recent
// identities, waiting spans) is taken alone. None is held while series are written or other nodes are asked.
//
// Imports: signal, fault, and Prometheus's storage interfaces.
package red
