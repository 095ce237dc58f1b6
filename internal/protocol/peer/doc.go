// Package peer lets the nodes of one cluster talk: beats for instances that another node owns, questions that only
// all nodes together can answer, the traces, series and events that each keeps of its own, and the joining of members.
//
// It is served on a port of its own, by mutual TLS with the certificates of access/trust: whoever can open a connection is a
// node, and nobody else gets that far. It imports instance, release, the rooms of signal, state and fault.
package peer
