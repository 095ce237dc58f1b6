package gantry;

import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.logs.Severity;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.context.Scope;
import io.opentelemetry.sdk.OpenTelemetrySdk;
import io.opentelemetry.sdk.autoconfigure.AutoConfiguredOpenTelemetrySdk;
import java.util.concurrent.TimeUnit;

/**
 * Sends one trace, one metric and one error log by OpenTelemetry's SDK for Java, and prints the trace's id.
 *
 * <p>Argument: the number of the order. The rest is OpenTelemetry's own environment.
 */
public final class Client {
  private static final AttributeKey<String> ORDER = AttributeKey.stringKey("order.no");

  private Client() {}

  public static void main(String[] arguments) {
    String order = arguments[arguments.length - 1];
    OpenTelemetrySdk sdk = AutoConfiguredOpenTelemetrySdk.builder().build().getOpenTelemetrySdk();
    Tracer tracer = sdk.getTracer("conformance");
    Span span = tracer.spanBuilder("POST /loans").setSpanKind(SpanKind.SERVER).setAttribute(ORDER, order)
        .setAttribute("http.response.status_code", 500).startSpan();
    try (Scope scope = span.makeCurrent()) {
      tracer.spanBuilder("SELECT loans").setSpanKind(SpanKind.CLIENT).setAttribute("db.system.name", "postgresql").setAttribute(ORDER, order)
          .startSpan().end();
      span.recordException(new IllegalStateException("no such loan"));
      sdk.getLogsBridge().get("conformance").logRecordBuilder().setSeverity(Severity.ERROR).setSeverityText("ERROR")
          .setBody("the loan cannot be paid").setAttribute(AttributeKey.stringKey("error.type"), "payment_failed").setAttribute(ORDER, order).emit();
    } finally {
      span.end();
    }
    sdk.getMeter("conformance").counterBuilder("conformance.requests").build().add(3, Attributes.of(ORDER, order));
    System.out.println("trace " + span.getSpanContext().getTraceId());
    sdk.shutdown().join(20, TimeUnit.SECONDS);
  }
}
