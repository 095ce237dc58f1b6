// Package kafka forwards business events to Kafka, at least once.
//
// It reads the durable log of the room of events behind a cursor, produces batch by batch with an idempotent producer (acks of all replicas), and
// writes the cursor down when a whole batch is there or is a dead letter. So nothing that Emit acknowledged is lost to Kafka by a crash on either
// side, and what was under way when the process died is sent again: consumers tell repetitions by the header "id". A Kafka that is slow or away
// costs nothing but the log's space; the lag is a metric. In a cluster each node forwards what it took.
//
// The topic is the prefix, the namespace and the event's topic, joined by dots ("gantry.prod.loan.granted"); the key is the trace, or the id where there is
// none, so that the events of one trace stay in order; the value is the event as JSON; headers are id, namespace, topic, service and
// traceparent.
//
// What the broker refuses for good (a record too large, a topic that it does not let us write or that nobody makes within a minute) goes to the dead-letter file,
// one JSON object a line with the reason and the event, and is counted. Everything else is tried again, with growing pauses, for ever.
//
// Imports: signal/event; franz-go.
package kafka
