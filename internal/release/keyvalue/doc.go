// Package keyvalue keeps sessions and locks over the keys of internal/release, by Consul's rules.
//
// # Flow
//
// Keys are documents of kind KeyValue; [Keys.Apply] makes up to [MaxOperations] operations on them in one transaction of the Releaser, each with
// its own condition: a revision, a holder, absence. A lock is a key's holder: a session that must be there in the very transaction that
// acquires.
//
// A session lives until it is destroyed, until nobody has renewed it for its TTL, or until a check that it leans on fails. It ends in two
// steps: one change takes its record away and leaves a note of what is to be done, so that from then on nothing is acquired for it; then its
// keys are released or removed in bounded steps, the last of which takes the note away. A node that stops in between leaves the note to
// the others.
//
// # Time
//
// A renewal may come to any node. It is written to the state, yet no more often than each third of the TTL. The session's owner, which
// rendezvous hashing picks among the live nodes, sees that in its mirror and counts from there on its own monotonic clock: five thirds of the TTL
// after the last write it ends the session, so that it lives for one TTL after every renewal at least and for two at most. Clocks of different
// nodes are never compared for that. Without quorum nothing ends; when the quorum is back, and when a session gets another owner, it has a
// full TTL.
//
// The delay of a lock counts from a time that the node which freed the key has written into its head, so that it survives restarts. A clock
// that is away from another by more than the delay knows no delay.
//
// # Stored
//
//	session/<ns>/<id>  a session (JSON)
//	ending/<ns>/<id>   what is to be done with the keys of one that has ended (JSON)
//
// # Rights
//
// Reading wants View or Serve in the namespace, everything else Serve, or Publish and Release.
//
// # Imports
//
// release, state, access and fault. What it must know of health checks is handed in as [Checks].
package keyvalue
