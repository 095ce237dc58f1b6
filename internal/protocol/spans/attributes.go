package spans

import (
	"github.com/gantry-platform/gantry/internal/signal"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// AttributeQueryOf reads a question about attributes.
func AttributeQueryOf(namespace string, r *gantryv1.ListTraceAttributesRequest) signal.AttributeQuery {
	return signal.AttributeQuery{Namespace: namespace, Service: r.Service, Key: r.Key, Prefix: r.Prefix, Within: RangeOf(r.Since, r.Until), Limit: int(r.Limit)}
}

// FromAttributes is an answer in the API's words.
func FromAttributes(r signal.AttributeResult) *gantryv1.ListTraceAttributesResponse {
	answer := &gantryv1.ListTraceAttributesResponse{Spans: uint64(r.Spans), Partial: r.Partial, Truncated: r.Truncated}
	for _, a := range r.Attributes {
		answer.Attributes = append(answer.Attributes, &gantryv1.TraceAttribute{Text: a.Text, Spans: uint64(a.Spans)})
	}
	return answer
}

// ToAttributes is the other way of [FromAttributes].
func ToAttributes(answer *gantryv1.ListTraceAttributesResponse) signal.AttributeResult {
	r := signal.AttributeResult{Spans: int(answer.Spans), Partial: answer.Partial, Truncated: answer.Truncated}
	for _, a := range answer.Attributes {
		r.Attributes = append(r.Attributes, signal.AttributeCount{Text: a.Text, Spans: int(a.Spans)})
	}
	return r
}
