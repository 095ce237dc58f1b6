"""Sends one trace, one metric and one error log by OpenTelemetry's SDK for Python, and prints the trace's id.

Arguments: grpc or http/protobuf, and the number of the order. The rest is OpenTelemetry's own environment.
"""
import logging
import sys

protocol, order = sys.argv[1], sys.argv[2]
if protocol == "grpc":
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
else:
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind

tracers = TracerProvider()
tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
meters = MeterProvider(metric_readers=[PeriodicExportingMetricReader(OTLPMetricExporter())])
logs = LoggerProvider()
logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))

tracer = tracers.get_tracer("conformance")
with tracer.start_as_current_span("POST /loans", kind=SpanKind.SERVER, attributes={"order.no": order, "http.response.status_code": 500}) as span:
    with tracer.start_as_current_span("SELECT loans", kind=SpanKind.CLIENT, attributes={"db.system.name": "postgresql", "order.no": order}):
        pass
    try:
        raise ValueError("no such loan")
    except ValueError as e:
        span.record_exception(e)
    logs.get_logger("conformance").emit(severity_number=SeverityNumber.ERROR, severity_text="ERROR", body="the loan cannot be paid",
                                        attributes={"error.type": "payment_failed", "order.no": order})
meters.get_meter("conformance").create_counter("conformance.requests").add(3, {"order.no": order})
print("trace", format(span.get_span_context().trace_id, "032x"))
tracers.shutdown()
meters.shutdown()
logs.shutdown()
