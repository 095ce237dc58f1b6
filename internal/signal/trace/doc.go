// Package trace keeps spans on one node: a write-ahead log, the recent spans in memory, and blocks of Parquet.
//
// Flow of a write: [Store.Write] frames the batch, compressed, into the log. One goroutine, the committer, writes all frames that have gathered, syncs the
// file once for all of them, adds the batches to the head, and lets their writers go. So what is acknowledged is durable and seen, and the order of a
// log segment is the order of its head.
//
// One head belongs to one log segment. A head that is full or old is sealed together with its segment: the cutter sorts its spans by trace,
// samples if that is asked for, and writes a block; when the block is in its place, the segment goes. After a crash each segment that is left is read
// into a head again. A segment whose block is already there (the crash came between) is found by the number in the block's metadata.
//
// A block is one Parquet file, blocks/<day>/<id>.parquet, of spans that arrived on that day (UTC). Spans of a trace stand together, traces by their start.
// Common fields are columns; of the attributes each block makes the most frequent ones columns "attr.<key>", and packs the rest as JSON. Trace
// ids and the attribute columns with many values have bloom filters. Small blocks of a day are merged (compaction). Whole days go by age, the oldest
// blocks by size.
//
// Locks, in this order: Store.merging (one merge or removal at a time), Store.mu (the list of heads and blocks; held for moments), then head.mu or block.mu. The log's lock is taken alone.
// Files are replaced by renaming; whoever reads a block has it pinned, and the last reader of a removed one deletes its file.
//
// It imports signal, signal/wire and fault.
package trace
