// Package alert says when something is wrong, to whom it matters: rules over series, grouping, silences, notification, history.
//
// # Flow
//
// The documents in force of kinds Alert and Objective become rules. Each rule is evaluated by one node, which rendezvous hashing picks among the live
// ones. An evaluation asks the metrics store at a moment of a fixed grid, so that the next owner goes on in step, and moves each series of the answer
// through pending, firing and resolved, as Prometheus does. A transition is written to the state with its entry of the history, whole or not at all.
// Every node mirrors what is written, so that every node can answer, and the next owner goes on where the last one stopped: a hold of five minutes
// that began on one node ends on another.
//
// One node a namespace, picked in the same way, tells: it routes what fires into groups, leaves out what silences and inhibitions keep back, and hands due
// groups to a bounded queue, whose workers deliver with retries (package notify). Who was told of what is written down before and after, so that another
// node neither repeats nor forgets it; when a node dies between delivery and note, the notification is repeated: twice is better than never.
//
// Without quorum transitions stay in memory and are written later; notifications of what this node evaluates itself go out all the same.
//
// # Words
//
// The rules of grouping, repetition, silences and inhibition are Alertmanager's, with two differences: routes are a list in order instead of a tree, and all of it belongs to a
// namespace. "Silenced" and "inhibited" are about notifications: an alert that is kept back fires nevertheless, and is shown.
//
// # Stored
//
//	alert/<ns>/<kind>/<name>         the alerts of a document, and whether it can be evaluated (JSON); written on transitions
//	notified/<ns>/<16 hex>           what a receiver was told of a group last (JSON)
//	transition/<ns>/<16 hex><hex>    what happened, by time (JSON); at most 10,000 a namespace and 90 days
//
// # Locks
//
// Engine.mu, then none. A runner's state belongs to its goroutine; what it shows is replaced whole. The dispatchers' mu is held over no call.
//
// # Imports
//
// policy, state, fault, access, signal, notify and Prometheus's promql and storage. Documents and series are handed in as interfaces: release is a noun, and
// joined in server. Series must answer for the whole cluster: where each node keeps its own, what is handed in asks all.
package alert
