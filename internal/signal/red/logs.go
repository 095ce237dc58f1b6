package red

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/gantry-platform/gantry/internal/signal"
)

// ObserveLogs ranks errors that services log: records of severity ERROR and above. Others only show that the instance is alive.
func (r *Room) ObserveLogs(namespace string, logs plog.Logs) {
	if logs.ResourceLogs().Len() == 0 {
		return
	}
	n := r.namespace(namespace, true)
	if n == nil {
		return
	}
	o := observation{room: r, namespace: n, arrived: r.clock().UnixMilli()}
	for _, ofResource := range logs.ResourceLogs().All() {
		resource := resourceOf(ofResource.Resource().Attributes())
		o.service = n.service(resource.Service, o.arrived)
		o.service.instance(resource, o.arrived)
		for _, ofScope := range ofResource.ScopeLogs().All() {
			for _, record := range ofScope.LogRecords().All() {
				if record.SeverityNumber() >= plog.SeverityNumberError {
					o.log(record)
				}
			}
		}
	}
}

// ObserveMetrics notes that the instances that sent metrics are alive: some send no spans for a long time.
func (r *Room) ObserveMetrics(namespace string, metrics pmetric.Metrics) {
	if metrics.ResourceMetrics().Len() == 0 {
		return
	}
	n := r.namespace(namespace, true)
	if n == nil {
		return
	}
	now := r.clock().UnixMilli()
	for _, ofResource := range metrics.ResourceMetrics().All() {
		resource := resourceOf(ofResource.Resource().Attributes())
		n.service(resource.Service, now).instance(resource, now)
	}
}

// resourceOf takes from the attributes what names an instance; see signal.Resource.
func resourceOf(attributes pcommon.Map) *signal.Resource {
	text := func(keys ...string) string {
		for _, key := range keys {
			if v, ok := attributes.Get(key); ok && v.AsString() != "" {
				return v.AsString()
			}
		}
		return ""
	}
	r := &signal.Resource{Service: text("service.name"), Instance: text("service.instance.id", "host.name"), Version: text("service.version"), Lane: text("gantry.lane"),
		Release: text("gantry.release"), Zone: text("cloud.availability_zone")}
	if r.Service == "" {
		r.Service = "unknown_service"
	}
	return r
}

// log ranks one record. Without an exception what was logged decides: its message with the numbers taken out.
func (o *observation) log(record plog.LogRecord) {
	e := occurrence{service: o.service.name.text, trace: signal.TraceID(record.TraceID()), message: record.Body().AsString(), code: "log"}
	stack := ""
	for key, v := range record.Attributes().All() {
		switch key {
		case "exception.type":
			e.kind = v.AsString()
		case "exception.message":
			e.message = v.AsString()
		case "exception.stacktrace":
			stack = v.AsString()
		case "error.type":
			e.code = v.AsString()
		}
	}
	if e.code == "log" && e.kind != "" {
		e.code = e.kind
	}
	if e.kind == "" && stack == "" {
		body := clean(record.Body().AsString(), maxMessageBytes)
		e.fingerprint, _ = o.namespace.fingerprint("log", "at "+string(appendStable(nil, body)))
	} else {
		e.fingerprint, e.frame = o.namespace.fingerprint(e.kind, stack)
	}
	if o.firstOf(e.trace, &e) {
		o.namespace.ranking.count(&e, o.arrived)
	}
}
