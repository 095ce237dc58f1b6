package release

import "time"

// Limits. What is beyond them is refused with an error that names the limit.
const (
	// MaxMessage bounds the message of a change, in bytes: a few paragraphs.
	MaxMessage = 1 << 10
	// MaxDocuments bounds the documents of a namespace, deleted ones included. It is checked against this node's mirror, so that
	// changes made at the same moment can pass it by a few.
	MaxDocuments = 20_000
	// MaxKeys bounds the keys (documents of kind KeyValue) of a namespace in the same way; they do not count as documents. Heads are some
	// 500 bytes in the memory of each node.
	MaxKeys = 100_000
	// MaxKeyValue bounds the value of a key as Consul does by default.
	MaxKeyValue = 512 << 10
	// MaxLockDelay is the longest time that a key cannot be acquired for after its holder's session was invalidated.
	MaxLockDelay = 60 * time.Second
	// MaxListedBytes bounds the contents of one list of keys.
	MaxListedBytes = 64 << 20
	// MaxWatched bounds the documents of one watcher: as many as Nacos's Java client listens to by one connection.
	MaxWatched = 3_000
	// MaxWatchers bounds the watchers of a node: ten times the sessions that a node is built for.
	MaxWatchers = 50_000
	// MaxReports bounds the applied reports of one session, MaxNodeReports those of a node (some 60 MB).
	MaxReports     = 1_000
	MaxNodeReports = 200_000
	// MaxCohortLabels and MaxCohortAddresses bound a cohort, which is stored with the head and with the history.
	MaxCohortLabels    = 32
	MaxCohortAddresses = 256
	maxLabelKey        = 128
	maxLabelValue      = 512
	// maxName bounds the parts of a reference that only reads.
	maxName = 512
	// maxReportError bounds what an instance says about why it could not apply a version.
	maxReportError = 1 << 10
	// MaxPage bounds the answers of lists; defaultPage is what a caller gets who does not say.
	MaxPage     = 1_000
	defaultPage = 100
)

// Retention, see [retention].
const (
	keepVersions   = 100
	keepEntries    = 1_000
	keepFor        = 90 * 24 * time.Hour
	ceilingVersion = 2_000
	ceilingEntries = 10_000
	// keepKeyEntries bounds the history of a key whatever its age, as keepVersions does its versions: programs write keys more often than
	// people publish.
	keepKeyEntries  = 100
	keepDeletedKeys = 7 * 24 * time.Hour

	trimVersions = 8
	trimEntries  = 16
)

const (
	// defaultCacheBytes bounds the contents kept in memory.
	defaultCacheBytes = 128 << 20
	// contendFor bounds how long a change is decided again after somebody else was faster. Within a node changes of one
	// document queue up, so that only other nodes are met here; a time and no count, because a node far from the
	// leader loses most rounds and still must come through.
	contendFor = 10 * time.Second
	// attempts bounds the same where hardly anybody else is met: data keys.
	attempts = 16
	// resolveTimeout bounds finding out what became of a change whose answer was lost: longer than an election.
	resolveTimeout = 8 * time.Second
	// sweepEvery is the time between two looks for what is to be purged or was left undone.
	sweepEvery = time.Hour
)
