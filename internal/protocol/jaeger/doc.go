// Package jaeger answers Jaeger's query API, so that Jaeger's UI and Grafana's Jaeger data source show the traces that are kept here: by HTTP
// under /jaeger/api/, in the JSON that Jaeger's UI reads, and by gRPC as jaeger.api_v2.QueryService.
//
// Foreign words:
//
//	operation              the span's name
//	process, process tags  the resource and its attributes
//	logs                   events; the field "event" is the name
//	references             CHILD_OF the parent, FOLLOWS_FROM the links
//	tag span.kind          the kind; in a search it asks for it
//	tag error=true         a status of error; in a search it asks for spans whose outcome is failed, and so does otel.status_code=ERROR
//	dependencies           edges of the topology, without callers that are no service
//	archive                nothing: traces are kept by age and size
//
// A search that names no time is about the last two days, as in Jaeger. It reads whole traces, which is what its answer holds: bounded in number and in
// spans together, and what is left out is said in the warnings of the last trace.
//
// The caller needs the right to view the namespace, which the path (/ns/<namespace>/jaeger/) or the header or metadata gantry-namespace names.
//
// It imports signal, its room red (the words of the topology), access, instance (names of namespaces), fault and edge, and Jaeger's own messages.
package jaeger
