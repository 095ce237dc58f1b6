// Package instance knows who is running: namespaces, services, instances, their health, who keeps them alive, and
// who wants to know of changes.
//
// # Where things are
//
// etcd holds one record a registration, and sees transitions alone: registered, changed, unhealthy, gone. Everything
// else is in the memory of each node:
//
//	mirror.go      feeds the records into rosters, one a service
//	roster.go      the instances of one service, what changed in it lately, and who subscribes
//	snapshot.go    what readers get: immutable, swapped whole, encoded once
//	register.go    registrations and deregistrations on their way into the state
//	session.go     instances that live as long as a stream
//	transfer.go    an old session that ends while a new one registers the same
//	beat.go        instances that live by beats; beats for another node's instances are forwarded in batches
//	owner.go       which node keeps which instance alive
//	life.go        the silence of instances, on a timer wheel (wheel.go), and protection
//	check.go       what the checks of persistent instances found, and reports of instances on themselves
//	probe.go       checks that this node makes
//	named.go       instances by what a foreign language calls them, without their service
//	provisional.go registrations without quorum
//	subscriber.go  pushes that coalesce
//	journal.go     what changed lately anywhere, for those that follow more than single services
//	await.go       waiting for one change of a service
//	operate.go     what operators do: override, drain, configure
//
// # Protection
//
// An ephemeral instance is lost when its beats fall silent for its ttl, or its session broke and nobody came back
// within its ttl. What is deregistered, or is draining or down while it falls silent, is never a loss. Every node sees the losses of
// the whole service, because a loss is first written as "unhealthy".
//
// When the losses of the last 2 x ttl, and the instances still kept as protected, are more than the service's protect threshold (default 0.5) of
// its ephemeral instances, and it had at least 3 of them, the lost are marked unhealthy and protected, and are not
// removed. It is more likely then that the network between them and us is lost. [Snapshot.Available] falls back to
// protected instances when nothing else is available. Protection of an instance ends when it is heard of again, when it is
// deregistered, or, after [ProtectLimit], as soon as no more than the threshold of its service is unhealthy.
//
// # Checks
//
// The health of a persistent instance is what its checks found: unhealthy when one is critical. Each has an id and a state of its own in the
// record. The owner makes the active ones; others wait for reports ([Registry.ReportCheck]) and are critical after a silence. The node that
// takes a report writes it when it says something new, and the mirror tells the owner; a report that says the same again is a beat
// for the owner alone. What is critical for as long as a check allows is removed.
//
// # Time
//
// Silence is measured in ticks of the registry's own running time: it stands still while the node has no
// quorum or is itself stalled, and steps of the wall clock do not touch it. So nobody is expired by our own trouble.
// When a quorum returns, a node starts, or ownership moves, each instance gets its full ttl again.
//
// # Locks
//
// In this order, and none is held over a change of the state: Subscriber.mu, roster.mu, then one of tableShard.mu, wheel.mu, Session.mu,
// notifier.mu, dueQueue.mu, counts.mu, journal.mu, names.mu. forwards.mu is held alone.
//
// The package imports state, access, fault and the generated API; none of the other nouns.
package instance
