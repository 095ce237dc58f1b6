package process

import (
	"strings"
	"testing"
)

func TestSpansOfAllServicesAreAddedUp(t *testing.T) {
	figures, err := parseStored(strings.NewReader(`# TYPE jaeger_collector_spans_saved_by_svc_total counter
jaeger_collector_spans_saved_by_svc_total{debug="false",result="err",svc="loan"} 3
jaeger_collector_spans_saved_by_svc_total{debug="false",result="ok",svc="a}b"} 1.5e+06
jaeger_collector_spans_saved_by_svc_total{debug="false",result="ok",svc="loan"} 20
jaeger_collector_traces_saved_by_svc_total{debug="false",result="ok",svc="loan"} 7
`))
	if err != nil || figures["ok"] != 1_500_020 || figures["err"] != 3 {
		t.Errorf("%v, %v", figures, err)
	}
	if _, err := parseStored(strings.NewReader(`jaeger_collector_spans_saved_by_svc_total{svc="loan"} 20`)); err == nil {
		t.Error("a metric without a result was read")
	}
}
