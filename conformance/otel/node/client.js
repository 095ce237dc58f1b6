// Sends one trace, one metric and one error log by OpenTelemetry's SDK for Node, and prints the trace's id.
//
// Arguments: grpc, http/protobuf or http/json, and the number of the order. The rest is OpenTelemetry's own environment.
'use strict';
const [protocol, order] = process.argv.slice(2);
const kind = { grpc: 'grpc', 'http/protobuf': 'proto', 'http/json': 'http' }[protocol];
const { OTLPTraceExporter } = require(`@opentelemetry/exporter-trace-otlp-${kind}`);
const { OTLPMetricExporter } = require(`@opentelemetry/exporter-metrics-otlp-${kind}`);
const { OTLPLogExporter } = require(`@opentelemetry/exporter-logs-otlp-${kind}`);
const { NodeSDK } = require('@opentelemetry/sdk-node');
const { PeriodicExportingMetricReader } = require('@opentelemetry/sdk-metrics');
const { BatchLogRecordProcessor } = require('@opentelemetry/sdk-logs');
const { trace, metrics, logs, SpanKind, context } = require('@opentelemetry/api');

const sdk = new NodeSDK({
  traceExporter: new OTLPTraceExporter(),
  metricReaders: [new PeriodicExportingMetricReader({ exporter: new OTLPMetricExporter() })],
  logRecordProcessors: [new BatchLogRecordProcessor({ exporter: new OTLPLogExporter() })],
});
sdk.start();

const tracer = trace.getTracer('conformance');
const span = tracer.startSpan('POST /loans', { kind: SpanKind.SERVER, attributes: { 'order.no': order, 'http.response.status_code': 500 } });
const within = trace.setSpan(context.active(), span);
tracer.startSpan('SELECT loans', { kind: SpanKind.CLIENT, attributes: { 'db.system.name': 'postgresql', 'order.no': order } }, within).end();
span.recordException(new RangeError('no such loan'));
logs.getLogger('conformance').emit({ severityNumber: 17, severityText: 'ERROR', body: 'the loan cannot be paid', context: within,
  attributes: { 'error.type': 'payment_failed', 'order.no': order } });
span.end();
metrics.getMeter('conformance').createCounter('conformance.requests').add(3, { 'order.no': order });
sdk.shutdown().then(() => console.log('trace', span.spanContext().traceId), (e) => { console.error(e); process.exit(1); });
