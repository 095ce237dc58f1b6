package event

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/signal"
)

const (
	// DefaultLimit and MaxLimit are of the events answered to one question.
	DefaultLimit = 100
	MaxLimit     = 1000
	// maxScanned bounds the segments that one question reads: some 250 MB of events, a second or two.
	maxScanned = 32
)

// Query asks for events that meet all conditions; empty fields ask for nothing.
type Query struct {
	// Namespace is required.
	Namespace string
	// Topic is exact, or the beginning of topics when it ends in "*".
	Topic   string
	Service string
	// Since and Until bound the time of the event; Until is not included. Zero values do not bound.
	Since, Until time.Time
	Outcomes     []signal.Outcome
	TraceID      signal.TraceID
	// Fields must all be there, with this text: numbers in decimal, booleans as true and false.
	Fields []signal.Match
	// Limit is the most events answered. Default [DefaultLimit], at most [MaxLimit].
	Limit int
	// After asks for events behind this sequence number, oldest first, to follow the log. Otherwise the newest come first.
	After *uint64
	// ArrivedSince leaves out what came before; the zero value nothing. It is for who follows a log whose place it does not know.
	ArrivedSince time.Time
}

// Result is the answer.
type Result struct {
	Events []Stored
	// Next is After of the next question: the newest event that was looked at, or that there is.
	Next uint64
	// Partial names what could not be read.
	Partial []string
	// Truncated: the search ended at its limit of work, and more events may exist: older ones, or those behind Next when following.
	Truncated bool
}

// Reader answers about the business events that one node took. It may be called concurrently.
type Reader interface {
	// Query finds events.
	Query(ctx context.Context, q Query) (Result, error)
	// Topics are those of a namespace, by name.
	Topics(ctx context.Context, namespace string) ([]Topic, error)
}

var _ Reader = (*Room)(nil)

// Check refuses a question that cannot be answered, and fills its defaults. Errors: Invalid "event.no_namespace", "event.bad_limit", "event.bad_range",
// "event.too_many_conditions".
func (q *Query) Check() error {
	switch {
	case q.Namespace == "":
		return fault.New(fault.Invalid, "event.no_namespace", "a question names a namespace").At("namespace")
	case q.Limit < 0 || q.Limit > MaxLimit:
		return fault.New(fault.Invalid, "event.bad_limit", "a limit of %d", q.Limit).At("limit").Hinted("1 to %d", MaxLimit)
	case !q.Since.IsZero() && !q.Until.IsZero() && !q.Since.Before(q.Until):
		return fault.New(fault.Invalid, "event.bad_range", "since is not before until").At("since")
	case len(q.Fields) > MaxFields:
		return fault.New(fault.Invalid, "event.too_many_conditions", "%d conditions on fields", len(q.Fields)).At("fields").Hinted("at most %d", MaxFields)
	}
	if q.Limit == 0 {
		q.Limit = DefaultLimit
	}
	return nil
}

// may tells whether a segment can hold what is asked for.
func (q *Query) may(m *meta) bool {
	if !q.Since.IsZero() && m.Newest.Before(q.Since) || !q.Until.IsZero() && !m.Oldest.Before(q.Until) || m.Arrived.Before(q.ArrivedSince) {
		return false
	}
	if !q.TraceID.IsZero() && !m.Traces.has(q.TraceID) {
		return false
	}
	return slices.ContainsFunc(m.Topics, func(topic string) bool {
		namespace, name, _ := strings.Cut(topic, "/")
		return namespace == q.Namespace && q.topic(name)
	})
}

func (q *Query) topic(name string) bool {
	if beginning, ok := strings.CutSuffix(q.Topic, "*"); ok {
		return strings.HasPrefix(name, beginning)
	}
	return q.Topic == "" || q.Topic == name
}

// needles are what must stand in the line of an event that matches, so that most lines need not be decoded.
func (q *Query) needles() [][]byte {
	all := [][]byte{[]byte(`"namespace":` + strconv.Quote(q.Namespace))}
	if q.Topic != "" && !strings.HasSuffix(q.Topic, "*") && checkName("topic", q.Topic, true) == nil {
		all = append(all, []byte(`"topic":"`+q.Topic+`"`))
	}
	if !q.TraceID.IsZero() {
		all = append(all, []byte(q.TraceID.String()))
	}
	return all
}

func (q *Query) matches(s *Stored) bool {
	switch {
	case s.Namespace != q.Namespace, !q.topic(s.Topic), q.Service != "" && s.Service != q.Service,
		!q.Since.IsZero() && s.Time.Before(q.Since), !q.Until.IsZero() && !s.Time.Before(q.Until), s.Arrived.Before(q.ArrivedSince),
		!q.TraceID.IsZero() && s.TraceID != q.TraceID, len(q.Outcomes) > 0 && !slices.Contains(q.Outcomes, s.Outcome):
		return false
	}
	for _, match := range q.Fields {
		if v, found := s.Field(match.Key); !found || !same(v, match.Text) {
			return false
		}
	}
	return true
}

// find searches a log.
func (j *journal) find(ctx context.Context, q Query) (Result, error) {
	if err := q.Check(); err != nil {
		return Result{}, err
	}
	views := j.view()
	var result Result
	if len(views) > 0 {
		result.Next = views[len(views)-1].end
	}
	follow := q.After != nil
	if follow {
		result.Next = max(result.Next, *q.After)
	} else {
		slices.Reverse(views)
	}
	needles := q.needles()
	scanned := 0
	for _, v := range views {
		if follow && v.end <= *q.After || v.known && !q.may(&v.meta) {
			continue
		}
		if scanned++; scanned > j.maxScanned {
			result.Truncated = true
			if follow {
				// What was not looked at comes with the next question.
				result.Next = v.segment.number - 1
			}
			break
		}
		found, err := v.search(ctx, &q, needles, q.Limit-len(result.Events))
		if ctx.Err() != nil {
			return Result{}, ctx.Err()
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			j.logger.Error("a segment of the log cannot be read", "file", v.segment.path(""), "reason", err)
			result.Partial = append(result.Partial, "a damaged segment of the log, from "+v.meta.Oldest.Format(time.RFC3339)+" to "+v.meta.Newest.Format(time.RFC3339))
		}
		if !follow {
			slices.Reverse(found)
		}
		if result.Events = append(result.Events, found...); len(result.Events) >= q.Limit {
			if follow {
				result.Next = result.Events[len(result.Events)-1].Sequence
			}
			break
		}
	}
	return result, nil
}

// search answers what matches in a segment, oldest first: the oldest when following, else the newest.
func (v *view) search(ctx context.Context, q *Query, needles [][]byte, most int) (found []Stored, err error) {
	n := 0
	err = v.segment.each(v.raw, func(line []byte) bool {
		if n++; n%1024 == 0 && ctx.Err() != nil {
			return false
		}
		for _, needle := range needles {
			if !bytes.Contains(line, needle) {
				return true
			}
		}
		s, err := Decode(line)
		if err != nil || s.Sequence > v.end || q.After != nil && s.Sequence <= *q.After || !q.matches(&s) {
			return true
		}
		found = append(found, s)
		if q.After != nil {
			return len(found) < most
		}
		if len(found) > 2*most {
			found = slices.Delete(found, 0, len(found)-most)
		}
		return true
	})
	if extra := len(found) - most; extra > 0 {
		found = found[extra:]
	}
	return found, err
}
