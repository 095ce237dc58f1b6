// Package state keeps the only durable truth, in etcd: embedded in the process, alone or as one of
// three or five members, or a cluster that the user already runs. Everything above sees the same
// [Store] for all three.
//
// # Flow
//
// A write is a [Change]. Concurrent changes share etcd transactions (see [Store.Commit]), so that the cost
// of consensus and of the disk is paid once for many. A read of what is hot comes from memory: one watch
// a node feeds every [Mirrored] part in revision order. Reads of what is cold go to etcd ([Store.Get],
// [Store.List]).
//
// # Keys
//
// Every key is a path of escaped parts under one prefix (by default "/gantry/"):
//
//	meta/format                               version of the stored format, id of the cluster
//	node/<id>                                 a live node, bound to its lease
//	namespace/<name>
//	service/<ns>/<group>/<service>            an operator's settings of a service
//	instance/<ns>/<group>/<service>/<id>      a registration
//	override/<ns>/<group>/<service>/<id>      what an operator set over it
//	document/<ns>/<kind>/<name>               the head of a document
//	version/<ns>/<kind>/<name>/<16 hex>       what is known of an immutable version of it
//	content/<ns>/<kind>/<name>/<16 hex>       its content
//	history/<ns>/<kind>/<name>/<16 hex>       what happened to it
//	datakey/<id>                              a sealed key that seals documents
//	session/<ns>/<id>                         a session that holds locks
//	ending/<ns>/<id>                          what is to be done with the keys of one that has ended
//	alert/<ns>/<kind>/<name>                  the alerts of a document
//	notified/<ns>/<16 hex>                    what a receiver was told of a group of alerts last
//	transition/<ns>/<16 hex of time><id>      the history of alerts
//	user/<name>, token/<id>, audit/<id>, meta/administrator
//
// # Imports
//
// The floor of the house: it imports fault, etcd, and nothing else of the project.
package state
