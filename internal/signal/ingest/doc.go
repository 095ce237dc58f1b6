// Package ingest admits traces: it decides what may come in, checks it, makes it durable, and has it counted.
//
// Order of a request: room is taken for its bytes; it is decoded once; spans that cannot be right are left out and named in the answer; when memory
// is short, the request is held back a while, and then normal spans are left out before failed and slow ones; the rest is written, which is when it
// is durable; then all good spans are handed to the observers, which work out rates from them. So what a sender has to send again has not been counted,
// and what was left out for want of room has.
//
// Whoever sends too fast is told so: an error of code [fault.Exhausted] or [fault.Unavailable] means that nothing was taken, and that the same request may be
// sent again after [RetryAfter]. Protocols say that in their own words.
//
// It imports signal, signal/wire and fault.
package ingest
