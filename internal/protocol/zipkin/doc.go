// Package zipkin receives spans from Zipkin's clients: POST /api/v2/spans with a list in JSON, version 2.
//
// A list becomes an OTLP request, by the table that OpenTelemetry's specification has for the other direction, and goes the way of all traces:
// the answer 202 is given when it is durable. Foreign words:
//
//	localEndpoint.serviceName   resource service.name; its address and port the instance, unless a tag service.instance.id says better
//	remoteEndpoint              peer.service, network.peer.address, network.peer.port
//	kind                        the same; none is internal
//	tags                        attributes, as strings; service.version, gantry.lane and others that describe the instance go to the resource
//	tag error                   status error with the tag's value as its message, unless it is "false"
//	tags otel.*                 status and scope, as OpenTelemetry's exporters write them
//	annotations                 events; `"name": {...}` as OpenTelemetry's exporters write them has attributes
//	64-bit trace ids            stand in the last eight bytes
//	shared                      a server's span that has the id of its client's: it gets an id of its own, always the same one, and the client's
//	                            span is its parent. Its children stay children of the client's span, whose id they name.
//
// A request with a span that is none is refused as a whole, with 400 and a line of text, as Zipkin does. Too much at once is 429, with the time to
// wait. The sender needs the right to serve in the namespace.
//
// It imports access, instance (names of namespaces), fault and edge.
package zipkin
