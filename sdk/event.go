package gantry

import (
	"context"
	"crypto/rand"
	"errors"
	"math"
	mathrand "math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

const (
	// maxQueuedEvents and maxQueuedBytes bound the events that wait to be sent: half a minute of a busy service while no server is in reach. Beyond them new
	// events are dropped, and counted.
	maxQueuedEvents = 20_000
	maxQueuedBytes  = 16 << 20
	// batchEvents and batchBytes bound one request.
	batchEvents = 500
	batchBytes  = 512 << 10
	// eventDelay is how long an event waits for others.
	eventDelay = 200 * time.Millisecond
	// eventTimeout bounds one request.
	eventTimeout = 10 * time.Second
	// The waits after a failure grow from the first to the last.
	firstEventWait, lastEventWait = 200 * time.Millisecond, 10 * time.Second
	// eventComplaint is between two lines in the log about events that are lost.
	eventComplaint = time.Minute
)

// Field is a named value of an event: [Text], [Int], [Number] or [Bool]. [Refused], [Failed] and [At] are fields too, without a name: they say how what the
// event speaks of ended, and when it happened.
type Field struct {
	key   string
	value *gantryv1.FieldValue
	set   func(*gantryv1.BusinessEvent)
}

// Text is a field. The server refuses texts over 4 KiB.
func Text(key, value string) Field {
	if !utf8.ValidString(value) {
		value = strings.ToValidUTF8(value, "\uFFFD")
	}
	return Field{key: key, value: &gantryv1.FieldValue{Value: &gantryv1.FieldValue_Text{Text: value}}}
}

// Int is a field.
func Int(key string, value int64) Field {
	return Field{key: key, value: &gantryv1.FieldValue{Value: &gantryv1.FieldValue_Integer{Integer: value}}}
}

// Number is a field. What is no finite number is left out.
func Number(key string, value float64) Field {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return Field{}
	}
	return Field{key: key, value: &gantryv1.FieldValue{Value: &gantryv1.FieldValue_Number{Number: value}}}
}

// Bool is a field.
func Bool(key string, value bool) Field {
	return Field{key: key, value: &gantryv1.FieldValue{Value: &gantryv1.FieldValue_Boolean{Boolean: value}}}
}

// Refused says that the business said no, which is no failure.
func Refused() Field {
	return Field{set: func(e *gantryv1.BusinessEvent) { e.Outcome = gantryv1.EventOutcome_EVENT_OUTCOME_REFUSED }}
}

// Failed says that something went wrong.
func Failed() Field {
	return Field{set: func(e *gantryv1.BusinessEvent) { e.Outcome = gantryv1.EventOutcome_EVENT_OUTCOME_FAILED }}
}

// At says when it happened. Default: now.
func At(t time.Time) Field {
	return Field{set: func(e *gantryv1.BusinessEvent) { e.Time = timestamppb.New(t) }}
}

// WithTraceparent says how to find the trace that a context belongs to, so that events are joined to traces: as the header traceparent of W3C Trace Context
// ("00-<trace>-<span>-<flags>"), or "" for none. It is called for each event, by the goroutine of the caller. With OpenTelemetry:
//
//	gantry.WithTraceparent(func(ctx context.Context) string {
//		carrier := propagation.MapCarrier{}
//		propagation.TraceContext{}.Inject(ctx, carrier)
//		return carrier["traceparent"]
//	})
func WithTraceparent(find func(context.Context) string) Option {
	return func(s *settings) { s.traceparent = find }
}

// EventStats count events since the client was made.
type EventStats struct {
	// Sent are durable at the server. Queued wait to be sent.
	Sent, Queued uint64
	// Dropped were not sent: the queue was full, the client was closed, or the server does not take them from this client.
	Dropped uint64
	// Refused were malformed or did not fit their topic; the log says why, now and then.
	Refused uint64
}

// Event says that something happened in the business: a topic such as "loan.granted", and what is worth knowing of it.
//
//	client.Event(ctx, "loan.granted", gantry.Text("order", order), gantry.Int("amount", 3000))
//
// It takes microseconds and never waits: events go out in batches in the background, are sent again while no server answers, and are dropped when too many
// wait ([EventStats]). [Client.Close] sends what is left, for two seconds at most. The context is only asked for its trace, see [WithTraceparent].
//
// Topics and fields are named by a letter and then letters, digits, dots, dashes and underscores. A field has the type of its first value in the topic, for
// all senders; what does not fit is refused by the server, and counted.
func (c *Client) Event(ctx context.Context, topic string, fields ...Field) {
	event := &gantryv1.BusinessEvent{Id: rand.Text(), Topic: topic, Time: timestamppb.Now(),
		Service: c.settings.identity.Service, Instance: c.settings.identity.InstanceID, Fields: make(map[string]*gantryv1.FieldValue, len(fields))}
	if c.settings.traceparent != nil {
		event.TraceId, event.SpanId = splitTraceparent(c.settings.traceparent(ctx))
	}
	for _, field := range fields {
		switch {
		case field.set != nil:
			field.set(event)
		case field.value != nil:
			event.Fields[field.key] = field.value
		}
	}
	c.events.add(event)
}

// EventStats answers what became of events.
func (c *Client) EventStats() EventStats {
	e := &c.events
	e.mu.Lock()
	queued := uint64(len(e.queue))
	e.mu.Unlock()
	return EventStats{Sent: e.sent.Load(), Queued: queued, Dropped: e.dropped.Load(), Refused: e.refused.Load()}
}

// splitTraceparent takes the ids out of a traceparent; what is none has none.
func splitTraceparent(header string) (trace, span string) {
	parts := strings.Split(header, "-")
	if len(parts) < 4 || len(parts[0]) != 2 || len(parts[1]) != 32 || len(parts[2]) != 16 || !hexadecimal(parts[1]) || !hexadecimal(parts[2]) {
		return "", ""
	}
	return parts[1], parts[2]
}

// hexadecimal tells digits that are not all zero.
func hexadecimal(text string) bool {
	zero := true
	for i := range len(text) {
		c := text[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
		zero = zero && c == '0'
	}
	return !zero
}

// events are the events that wait to be sent. Its goroutine runs from the first event on.
type events struct {
	client                 *Client
	sent, dropped, refused atomic.Uint64

	mu      sync.Mutex
	queue   []*gantryv1.BusinessEvent
	bytes   int
	running bool
	closed  bool
	// wake tells the goroutine that there is something to send, or that it shall end.
	wake chan struct{}
	// idle is closed when the goroutine has ended.
	idle chan struct{}

	complained time.Time // the goroutine's own
}

func (e *events) init(c *Client) {
	e.client, e.wake, e.idle = c, make(chan struct{}, 1), make(chan struct{})
}

func (e *events) add(event *gantryv1.BusinessEvent) {
	size := proto.Size(event)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || len(e.queue) >= maxQueuedEvents || e.bytes+size > maxQueuedBytes {
		e.dropped.Add(1)
		return
	}
	e.queue = append(e.queue, event)
	e.bytes += size
	if !e.running {
		e.running = true
		e.client.running.Go(e.run)
	}
	if len(e.queue) == 1 || len(e.queue) == batchEvents {
		e.signal()
	}
}

func (e *events) signal() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// run sends until the client is closed.
func (e *events) run() {
	defer close(e.idle)
	wait := firstEventWait
	for {
		batch, closed := e.next()
		switch {
		case len(batch) > 0:
		case closed:
			return
		default:
			select {
			case <-e.wake:
			case <-e.client.ctx.Done():
			}
			e.gather()
			continue
		}
		err := e.send(batch)
		if err == nil {
			e.done(batch)
			wait = firstEventWait
			continue
		}
		if !mendable(err) {
			e.dropped.Add(uint64(len(batch)))
			e.done(batch)
			e.complain("the server does not take events; they are dropped", err)
			continue
		}
		if e.client.ctx.Err() != nil {
			e.dropped.Add(uint64(e.giveUp()))
			return
		}
		e.complain("events cannot be sent yet", err)
		e.pause(wait + mathrand.N(wait))
		wait = min(2*wait, lastEventWait)
	}
}

// gather waits a moment for more events, so that few requests carry many.
func (e *events) gather() {
	timer := time.NewTimer(eventDelay)
	defer timer.Stop()
	for {
		e.mu.Lock()
		enough := e.closed || len(e.queue) >= batchEvents
		e.mu.Unlock()
		if enough {
			return
		}
		select {
		case <-timer.C:
			return
		case <-e.wake:
		case <-e.client.ctx.Done():
			return
		}
	}
}

// pause waits after a failure. A closing client cuts it short once, for the last attempt.
func (e *events) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return
		case <-e.wake:
			e.mu.Lock()
			closed := e.closed
			e.mu.Unlock()
			if closed {
				return
			}
		case <-e.client.ctx.Done():
			return
		}
	}
}

// next is the batch at the head of the queue, which stays there until it is done.
func (e *events) next() (batch []*gantryv1.BusinessEvent, closed bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	size := 0
	for _, event := range e.queue[:min(len(e.queue), batchEvents)] {
		if size += proto.Size(event); size > batchBytes && len(batch) > 0 {
			break
		}
		batch = append(batch, event)
	}
	return batch, e.closed
}

// done takes a batch off the queue.
func (e *events) done(batch []*gantryv1.BusinessEvent) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, event := range batch {
		e.bytes -= proto.Size(event)
	}
	clear(e.queue[:len(batch)])
	if e.queue = e.queue[len(batch):]; len(e.queue) == 0 {
		e.queue, e.bytes = nil, 0
	}
}

// giveUp empties the queue.
func (e *events) giveUp() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := len(e.queue)
	e.queue, e.bytes, e.closed = nil, 0, true
	return n
}

// send sends a batch over the session's connection.
func (e *events) send(batch []*gantryv1.BusinessEvent) error {
	ctx, cancel := context.WithTimeout(e.client.ctx, eventTimeout)
	defer cancel()
	if err := e.client.waitLink(ctx); err != nil {
		return err
	}
	e.client.mu.Lock()
	l := e.client.link
	e.client.mu.Unlock()
	if l == nil {
		return errBroken
	}
	token, err := e.client.settings.currentToken()
	if err != nil {
		return err
	}
	if token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	}
	answer, err := gantryv1.NewEventServiceClient(l.conn).Emit(ctx, &gantryv1.EmitRequest{Namespace: e.client.settings.namespace, Events: batch})
	if err != nil {
		return err
	}
	refused := uint64(len(answer.GetRefused()))
	e.sent.Add(uint64(len(batch)) - min(refused, uint64(len(batch))))
	e.refused.Add(refused)
	if refused > 0 {
		first := answer.GetRefused()[0]
		e.complain("the server refuses events", errors.New(first.GetField()+": "+first.GetMessage()))
	}
	return nil
}

// mendable tells an error that time may mend. Ids make repetitions harmless.
func mendable(err error) bool {
	s, ok := status.FromError(err)
	if !ok {
		return true
	}
	switch s.Code() {
	case codes.Unavailable, codes.ResourceExhausted, codes.DeadlineExceeded, codes.Canceled, codes.Aborted, codes.Unknown, codes.Internal:
		return true
	default:
		return false
	}
}

func (e *events) complain(what string, reason error) {
	if now := time.Now(); now.Sub(e.complained) >= eventComplaint {
		e.complained = now
		e.client.logger.Warn(what, "reason", reason, "dropped", e.dropped.Load(), "refused", e.refused.Load())
	}
}

// close takes no more events, and waits until the others are sent or ctx ends.
func (e *events) close(ctx context.Context) {
	e.mu.Lock()
	e.closed = true
	running := e.running
	e.mu.Unlock()
	if !running {
		return
	}
	e.signal()
	select {
	case <-e.idle:
	case <-ctx.Done():
	}
}
