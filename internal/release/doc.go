// Package release answers what services should do: documents, their immutable versions, and the release of
// one version to everyone or to a cohort.
//
// # Flow
//
// A document is (namespace, kind, name). [Releaser.Publish] stores a version after internal/policy found it valid;
// [Releaser.Release] puts it in force, for all or, as a rollout, for a cohort. Promote, Abort, Rollback and Delete change
// what is in force. Each of these is one [state.Change]: the head of the document with a comparison, the
// version, the history entry and the audit record, whole or not at all. Whoever passes an expectation gets a true
// compare-and-set; without one the change is decided again on what is there now.
//
// # Stored
//
//	document/<ns>/<kind>/<name>           head: which versions there are and who gets which (JSON)
//	version/<ns>/<kind>/<name>/<16 hex>   what is known of a version, without its content (JSON)
//	content/<ns>/<kind>/<name>/<16 hex>   the content itself, sealed when the version is sensitive
//	history/<ns>/<kind>/<name>/<16 hex>   what happened, in order (JSON)
//	datakey/<16 hex>                      a data key, wrapped by a root key (JSON)
//
// Heads are mirrored into memory; contents are read when they are wanted and kept in a cache bounded in bytes, in which
// what is in force stays longest. So what is in force is answered without quorum, and a thousand watchers cost one read.
//
// # Keys
//
// Documents of kind KeyValue are what Consul's clients write. Their heads have a section of their own (flags, holder of the lock, how often it
// was acquired, when the key came to be), and they are changed by [Releaser.Transact]: several at once, against everything that was read. A write
// with a lock keeps the latest version alone, in the numbers of versions that went before; it makes no history entry and no audit record. A key
// of which nothing else is kept is removed with its head, and its numbers begin anew when it is made again; its versions name the life that
// they belong to. [Releaser.Changed] wakes who waits for a key or a prefix.
//
// # Rolling back
//
// A document keeps a trail: the versions that were in force before the present one, newest last. Releasing,
// promoting and deleting put the version they replace on the trail. Rolling back takes the newest off it and
// releases that; what was rolled away from is not put back. So repeated rollbacks go further back and never to and
// fro, and a version that was rolled away from comes back only by being released again.
//
// # Secrets
//
// The content of sensitive versions is sealed by AES-256-GCM under a data key, which is wrapped by a root key that never
// enters the state. The plaintext is in memory alone: never in the state, a log, an error, an audit record, nor an answer
// to a caller who may not see it; nor is its checksum, because short secrets can be found from it.
//
// # Rights
//
// Every method that takes a context checks the rights of the identity in it ([access.FromContext]) and names it in history
// and audit; Sweep alone acts for the server itself.
//
// # Imports
//
// state, access, policy, fault and the generated API. Nothing of the other nouns.
package release
