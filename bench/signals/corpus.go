package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"
)

// batchSpans is how many spans a request brings: what OpenTelemetry's exporters send at most by default.
const batchSpans = 512

// corpus is a recording of the sample fleet, which is replayed again and again with other ids, times and values.
type corpus struct {
	requests []*collector.ExportTraceServiceRequest
	spans    int
	// first is the earliest start, in nanoseconds since 1970.
	first uint64
	// varied are attributes with many values in the recording: they get others in each pass.
	varied map[string]bool
}

// load reads what the recorder of the fleet wrote, and makes requests of 512 spans of one instance each.
func load(path string) (*corpus, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	in := bufio.NewReaderSize(file, 1<<20)
	of := map[string]*otlp.ResourceSpans{}
	var order []string
	for {
		var request collector.ExportTraceServiceRequest
		err := protodelim.UnmarshalOptions{MaxSize: 64 << 20}.UnmarshalFrom(in, &request)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for _, rs := range request.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				key := rs.Resource.String() + ss.Scope.String()
				if of[key] == nil {
					of[key] = &otlp.ResourceSpans{Resource: rs.Resource, ScopeSpans: []*otlp.ScopeSpans{{Scope: ss.Scope}}}
					order = append(order, key)
				}
				of[key].ScopeSpans[0].Spans = append(of[key].ScopeSpans[0].Spans, ss.Spans...)
			}
		}
	}
	c := &corpus{varied: map[string]bool{}}
	for _, key := range order {
		c.add(of[key])
	}
	if c.spans == 0 {
		return nil, fmt.Errorf("%s holds no spans", path)
	}
	// As they would come: by the time of their first span.
	slices.SortStableFunc(c.requests, func(a, b *collector.ExportTraceServiceRequest) int {
		return int(int64(firstOf(a)) - int64(firstOf(b)))
	})
	c.first = firstOf(c.requests[0])
	c.findVaried()
	return c, nil
}

// passes is how often the corpus is replayed to have at least so many spans.
func (c *corpus) passes(spans int) int { return (spans + c.spans - 1) / c.spans }

func firstOf(r *collector.ExportTraceServiceRequest) uint64 {
	return r.ResourceSpans[0].ScopeSpans[0].Spans[0].StartTimeUnixNano
}

func (c *corpus) add(rs *otlp.ResourceSpans) {
	spans := rs.ScopeSpans[0].Spans
	c.spans += len(spans)
	for chunk := range slices.Chunk(spans, batchSpans) {
		c.requests = append(c.requests, &collector.ExportTraceServiceRequest{ResourceSpans: []*otlp.ResourceSpans{{
			Resource: proto.CloneOf[*resource.Resource](rs.Resource), ScopeSpans: []*otlp.ScopeSpans{{Scope: rs.ScopeSpans[0].Scope, Spans: chunk}}}}})
	}
}

// manyValues is how many values make an attribute one that never repeats in a real fleet, such as an order's number.
const manyValues = 100

func (c *corpus) findVaried() {
	values := map[string]map[string]struct{}{}
	c.each(func(s *otlp.Span) {
		for _, a := range s.Attributes {
			if values[a.Key] == nil {
				values[a.Key] = map[string]struct{}{}
			}
			values[a.Key][a.Value.String()] = struct{}{}
		}
	})
	for key, seen := range values {
		c.varied[key] = len(seen) >= manyValues
	}
}

func (c *corpus) each(f func(*otlp.Span)) {
	for _, r := range c.requests {
		for _, s := range r.ResourceSpans[0].ScopeSpans[0].Spans {
			f(s)
		}
	}
}

// copy is a corpus of its own, to be varied by one worker.
func (c *corpus) copy() *corpus {
	out := &corpus{spans: c.spans, first: c.first, varied: c.varied}
	for _, r := range c.requests {
		out.requests = append(out.requests, proto.CloneOf(r))
	}
	return out
}

// attribute is one value of a span.
func attribute(s *otlp.Span, key string) *common.AnyValue {
	for _, a := range s.Attributes {
		if a.Key == key {
			return a.Value
		}
	}
	return nil
}
