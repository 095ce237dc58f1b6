// Package telemetry says what the services of the sample fleet do, to whoever takes OpenTelemetry's protocol: traces and metrics by
// OTLP over gRPC. It is what a service of any team would write; nothing in it is Gantry's own but a few attributes and one header.
//
// It is off unless an endpoint is named, and then costs a few nanoseconds a call. When it is on, it never makes the business wait: spans that cannot
// be sent are dropped once a bounded queue is full, an endpoint that is away is tried again in the background and spoken of once a
// minute, and a stop waits for it two seconds at most.
//
// What flows through: adapters ([Telemetry.Transport], [Telemetry.Handler], [Telemetry.ServerOption], [Telemetry.DialOption]) make a span of each
// call and carry the trace on by W3C Trace Context. The services add what people search for ([Describe]), say when the business said no
// ([Refuse]), and leave the error and the stack where something failed ([Fail]). The number of an order travels as W3C Baggage and is an
// attribute of every span behind the portal ([WithOrder]).
//
// It imports OpenTelemetry and nothing of the fleet.
package telemetry
