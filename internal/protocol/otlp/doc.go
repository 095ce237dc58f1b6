// Package otlp receives OpenTelemetry's protocol (OTLP 1.x, https://opentelemetry.io/docs/specs/otlp/): traces, metrics and logs, by gRPC and by HTTP with
// protobuf or JSON.
//
// Traces stay the bytes that they came as: package ingest decodes them, and the log keeps them. Metrics and logs are decoded here by OpenTelemetry's own pdata
// and handed on. JSON traces are turned into protobuf first.
//
// The namespace is the metadata or header "gantry-namespace" (exporters set it by OTEL_EXPORTER_OTLP_HEADERS), or, by HTTP, the path /ns/<namespace>/; "default"
// otherwise. Senders need the right Serve there; credentials are the Authorization header.
//
// Errors are the protocol's: by gRPC RESOURCE_EXHAUSTED and UNAVAILABLE with RetryInfo, by HTTP 429 and 503 with Retry-After mean that the same request may
// be sent again; what is wrong for good is INVALID_ARGUMENT or 400. What was taken in part is said in partial_success.
//
// It imports signal/ingest, access, instance for the check of a namespace's name, edge and fault.
package otlp
