// Package migrate moves fleets to Gantry from Nacos, Eureka, Consul and Apollo: it copies configuration, and it mirrors instances
// both ways while callers and providers move over one by one.
//
// It is a client of both sides: of the foreign system by its public HTTP API, of Gantry by the native one. It keeps nothing on
// disk and nothing in either side beyond what it copies.
//
// # Configuration
//
// A [ConfigSource] walks the documents of a foreign system page by page, already under the names that Gantry's own protocol for
// that system gives them, so that a client which moves over finds the same. A [Copier] publishes them and makes a [Report]: what was
// taken, what not, and why. Copying again takes what changed meanwhile. It knows its own versions by their message, so a
// document that somebody has edited in Gantry since is not overwritten unless that is asked for.
//
// # Instances
//
// A [Registry] is one side of a [Mirror]: it shows a [View] of what is registered there, and it registers, keeps alive and takes back
// copies. The mirror reads both views, plans what is to be copied in each direction (plan.go, pure), and does it.
//
//	follow.go   keeps the last view of a side, and says when the side is away
//	plan.go     decides which copies there should be
//	keeper.go   the copies in one side: registering, beating, taking back
//	mirror.go   the two directions, and how it stops
//
// There are no loops: each copy is marked by the metadata of [MarkFrom] and [MarkBy], and what is marked is never copied. Nor is an
// instance copied whose address and port the other side has itself: a provider that has moved over wins, wherever it
// registers. A copy lives by the mirror's beats, so it vanishes when the mirror dies; on a clean stop copies are taken back at once.
// Before a copy is taken back the side is asked for it again: where a provider has taken its place meanwhile, it is left alone.
//
// Instances that are not healthy, not up, or of weight 0 are not copied: callers on the other side would only see them as down as well.
//
// When a side is away, its instances are kept in the other side as last known for a bounded time, and then taken back. So are those of a side
// that loses most of its instances at once: registries in memory are empty after a restart, until their clients register again.
//
// # Hostile answers
//
// What foreign systems answer is outside bytes: bounded in size and depth (decode.go), names and addresses checked before they are
// used, and no secret of theirs in a log, an error or a report. Contents are never shown.
//
// # Imports
//
// policy, fault and the generated API. Nothing of the server's rooms.
package migrate
