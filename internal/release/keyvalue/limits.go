package keyvalue

import (
	"time"

	"github.com/gantry-platform/gantry/internal/release"
)

// Limits. Those of sessions are Consul's.
const (
	// MaxOperations bounds a transaction, as Consul does.
	MaxOperations = 64
	// MinTTL and MaxTTL bound the time that a session lives without renewal.
	MinTTL = 10 * time.Second
	MaxTTL = 24 * time.Hour
	// DefaultLockDelay is what a session has that asks for none, MaxLockDelay the most.
	DefaultLockDelay = 15 * time.Second
	MaxLockDelay     = release.MaxLockDelay
	// MaxSessions bounds the sessions of a namespace: each is looked at once a second. It is checked against this node's mirror.
	MaxSessions = 20_000
	// maxChecks bounds the checks of a session, maxText their names and its own, in bytes.
	maxChecks = 64
	maxText   = 512
)

const (
	// lookEvery is the time between two looks for sessions that are over.
	lookEvery = time.Second
	// renewShare: a renewal is written when the last write is a TTL divided by it ago.
	renewShare = 3
	// noteAfter is how long another node leaves the end of a session to the one that began it.
	noteAfter = 5 * time.Second
	// freeStep bounds the keys that one step of a session's end frees. Each takes up to three operations, which with the note stay under
	// the 128 that an external etcd takes by default.
	freeStep = 32
	// treeStep bounds the keys that one step of a removal of a whole tree takes, when it is no part of a transaction.
	treeStep = 128
	// endings bounds the sessions that a node ends at once.
	endings = 8
	// endTimeout bounds the end of one session.
	endTimeout = 30 * time.Second
)
