// Package wire reads OTLP's trace protobuf (opentelemetry/proto/collector/trace/v1, of OTLP 1.x) into spans, and puts parts of requests
// together again.
//
// It is our own because it is the hottest path of ingest: strings point into the request instead of being copied, memory is used again
// from request to request, and the place of each span in the bytes is kept, so that the store holds the bytes alone and decodes a span when
// it is asked for. What it reads is held against the official generated code by tests and by fuzzing.
//
// It imports signal alone.
package wire
