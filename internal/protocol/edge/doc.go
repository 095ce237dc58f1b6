// Package edge is what the foreign languages have in common where they meet Gantry: in which namespace a request is, who
// makes it, how much it may bring, how long it may wait, and how the metadata of other registries and our labels stand for
// each other. It keeps nothing beyond a request.
//
// # Namespaces
//
// Nacos has tenants, which are our namespaces. The other languages know none: their requests belong to the default namespace,
// unless their path begins with /ns/<namespace>, which [Namespaces] takes off before the protocol sees the path. So a client joins
// namespace "staging" by the address http://host:8848/ns/staging. Senders of telemetry may name theirs by a header instead: [NamespaceOf].
//
// # Labels and metadata
//
// Other registries have one map of metadata. Of a foreign registration all of it becomes metadata, and the well-known
// keys (version, zone, lane) become labels too, so that cohorts and lanes reach foreign instances. To foreign readers the labels
// that metadata does not have are shown as metadata. [Labels] and [Metadata] are these two.
//
// It imports access, instance and fault.
package edge
