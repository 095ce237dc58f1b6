package native

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
	"github.com/gantry-platform/gantry/internal/protocol/events"
	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/event"
)

// EventsPath is where business events are sent by plain HTTP: POST /events/v1/{topic}. The body is one event as JSON, or a list of them:
//
//	{"id": "...", "time": "2026-11-02T08:00:00Z", "service": "loan", "instance": "loan-1", "outcome": "refused",
//	 "trace_id": "...", "span_id": "...", "fields": {"amount": 3000, "grade": "A"}}
//
// All of it may be left out. The trace is that of the header traceparent (W3C Trace Context) where the event names none; the namespace that of the
// header gantry-namespace, or of the path /ns/<namespace>/events/v1/. The answer is 200 when the events are durable:
//
//	{"stored": 2, "known": 0, "refused": [{"index": 1, "reason": "event.field_type", "message": "...", "field": "fields.amount", "hint": "..."}]}
//
// A single event that is refused is answered with 400. 429 and 503 may be sent again later.
const EventsPath = "/events/v1/"

type postedEvent struct {
	ID       string          `json:"id"`
	Time     *time.Time      `json:"time"`
	Service  string          `json:"service"`
	Instance string          `json:"instance"`
	Outcome  string          `json:"outcome"`
	TraceID  string          `json:"trace_id"`
	SpanID   string          `json:"span_id"`
	Fields   json.RawMessage `json:"fields"`
}

type postedRefusal struct {
	Index *int `json:"index,omitempty"`
	// Code is only there for an error of the whole request.
	Code    string `json:"code,omitempty"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
	Field   string `json:"field,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

type postedAnswer struct {
	Stored  int             `json:"stored"`
	Known   int             `json:"known"`
	Refused []postedRefusal `json:"refused,omitempty"`
}

func (a *API) postEvents(w http.ResponseWriter, r *http.Request) {
	answer, err := a.takePosted(w, r)
	status := http.StatusOK
	var body any = answer
	if err != nil {
		a.logInternal(EventsPath, err)
		f := fault.From(err)
		status = edge.Status(f)
		switch f.Code {
		case fault.Unauthenticated:
			w.Header().Set("WWW-Authenticate", `Bearer realm="gantry", Basic realm="gantry"`)
		case fault.Exhausted, fault.Unavailable:
			w.Header().Set("Retry-After", "1")
		}
		body = postedRefusal{Code: f.Code.String(), Reason: f.Reason, Message: f.Message, Field: f.Field, Hint: f.Hint}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// An error here is a caller that has gone: there is nobody to tell.
	_ = json.NewEncoder(w).Encode(body)
}

func (a *API) takePosted(w http.ResponseWriter, r *http.Request) (*postedAnswer, error) {
	ctx, err := edge.Identify(r, a.Access, access.Credential{})
	if err != nil {
		return nil, err
	}
	body, err := edge.Body(w, r, maxRequestBytes)
	if err != nil {
		return nil, err
	}
	posted, single, err := decodePosted(body)
	if err != nil {
		return nil, err
	}
	answer := &postedAnswer{}
	traceparent := r.Header.Get("Traceparent")
	var taken []event.Event
	var places []int
	for i := range posted {
		e, f := posted[i].event(r.PathValue("topic"), traceparent)
		if f != nil && single {
			return nil, f
		}
		if f != nil {
			answer.refuse(i, f)
			continue
		}
		taken, places = append(taken, e), append(places, i)
	}
	if len(taken) == 0 && len(answer.Refused) > 0 {
		return answer, access.Require(ctx, mayServe, edge.NamespaceOf(r))
	}
	receipt, err := a.emit(ctx, edge.NamespaceOf(r), taken)
	if err != nil {
		return nil, err
	}
	answer.Stored, answer.Known = receipt.Stored, receipt.Known
	for _, refusal := range receipt.Refused {
		if single {
			return nil, refusal.Err
		}
		answer.refuse(places[refusal.Index], refusal.Err)
	}
	return answer, nil
}

func (a *postedAnswer) refuse(index int, f *fault.Error) {
	a.Refused = append(a.Refused, postedRefusal{Index: &index, Reason: f.Reason, Message: f.Message, Field: f.Field, Hint: f.Hint})
}

// decodePosted reads one event, or a list.
func decodePosted(body []byte) (posted []postedEvent, single bool, err error) {
	body = bytes.TrimLeft(body, " \t\r\n")
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if single = len(body) == 0 || body[0] != '['; single {
		posted = make([]postedEvent, 1)
		if len(body) == 0 {
			return posted, true, nil
		}
		err = decoder.Decode(&posted[0])
	} else {
		err = decoder.Decode(&posted)
	}
	if err == nil {
		if _, more := decoder.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("the body goes on after its first JSON value")
		}
	}
	if err != nil {
		return nil, false, fault.New(fault.Invalid, "event.bad_body", "the body is neither an event nor a list of events as JSON: %v", err).At("body").
			Hinted(`such as {"fields": {"amount": 3000, "grade": "A"}}`)
	}
	if len(posted) > event.MaxBatch {
		return nil, false, fault.New(fault.TooLarge, "event.batch_too_large", "%d events", len(posted)).At("body").Hinted("at most %d at once", event.MaxBatch)
	}
	return posted, single, nil
}

func (p *postedEvent) event(topic, traceparent string) (event.Event, *fault.Error) {
	e := event.Event{ID: p.ID, Topic: topic, Service: p.Service, Instance: p.Instance}
	if p.Time != nil {
		e.Time = *p.Time
	}
	if p.Outcome != "" {
		var ok bool
		if e.Outcome, ok = signal.ParseOutcome(p.Outcome); !ok {
			return e, fault.New(fault.Invalid, "event.bad_outcome", "%.40q is no outcome", p.Outcome).At("outcome").Hinted("success, refused or failed")
		}
	}
	if p.TraceID == "" {
		// What is no traceparent is no reason to lose the event.
		e.TraceID, e.SpanID = parseTraceparent(traceparent)
	} else {
		var f *fault.Error
		if e.TraceID, e.SpanID, f = events.ParseTrace(p.TraceID, p.SpanID); f != nil {
			return e, f
		}
	}
	fields, err := event.DecodeFields(p.Fields)
	if err != nil {
		return e, fault.New(fault.Invalid, "event.bad_type", "%v", err).At("fields").Hinted("a field is a text, a number or a boolean")
	}
	e.Fields = fields
	return e, nil
}

// parseTraceparent reads the header of W3C Trace Context: version-trace-span-flags.
func parseTraceparent(header string) (trace signal.TraceID, span signal.SpanID) {
	parts := strings.Split(header, "-")
	if len(parts) < 4 || len(parts[0]) != 2 || len(parts[1]) != 32 || len(parts[2]) != 16 {
		return trace, span
	}
	trace, ok := signal.ParseTraceID(parts[1])
	if !ok {
		return signal.TraceID{}, span
	}
	span, _ = signal.ParseSpanID(parts[2])
	return trace, span
}
