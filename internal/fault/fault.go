// Package fault holds the errors that users see. Every room returns them for what a caller
// can mend; whatever else goes wrong is a plain error and reaches users as [Internal].
//
// It is below everything: it imports nothing of the project.
package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Code is the class of an error. It decides status codes and exit codes at the edge.
type Code int

// The classes. Their numbers are not stored or sent.
const (
	Internal         Code = iota // a defect, or the machine's trouble
	Invalid                      // the request is wrong and stays wrong
	NotFound                     // what it names is not there
	AlreadyExists                // what it would create is there
	Conflict                     // a compare-and-set failed: read again, then decide
	Precondition                 // the state does not allow it
	Unauthenticated              // nobody, or nobody we know
	Forbidden                    // known, and not allowed
	TooLarge                     // over a size or count limit
	Exhausted                    // too much at once: later it may work
	Unavailable                  // no quorum, full disk, shutting down: later it may work
	DeadlineExceeded             // the caller's time was over first
)

// String returns the code's word for logs.
func (c Code) String() string {
	names := [...]string{"internal", "invalid", "not_found", "already_exists", "conflict", "precondition",
		"unauthenticated", "forbidden", "too_large", "exhausted", "unavailable", "deadline_exceeded"}
	if c < 0 || int(c) >= len(names) {
		return fmt.Sprintf("code(%d)", int(c))
	}
	return names[c]
}

// Error says what was wrong, where, and what to do next. Errors are immutable once returned.
type Error struct {
	Code Code
	// Reason is a stable word for programs: "document.version_conflict".
	Reason string
	// Message says what was wrong, with the offending value. No trailing stop.
	Message string
	// Field is the request field or the path inside a document: "spec.limit".
	Field string
	// Line and Column count from 1; 0 is none.
	Line, Column int
	// Hint says what to do next.
	Hint string
	// Others are further errors of the same request.
	Others []*Error
	// Cause is for logs; it is never sent to a caller.
	Cause error
}

// New returns an error of a class. Reason is a stable word such as "instance.unknown".
func New(code Code, reason, format string, args ...any) *Error {
	return &Error{Code: code, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Error implements error: field, position and message, the hint behind them.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Line > 0 {
		fmt.Fprintf(&b, "line %d", e.Line)
		if e.Column > 0 {
			fmt.Fprintf(&b, ":%d", e.Column)
		}
		b.WriteString(": ")
	}
	if e.Field != "" {
		b.WriteString(e.Field)
		b.WriteString(": ")
	}
	b.WriteString(e.Message)
	if e.Hint != "" {
		b.WriteString(" (")
		b.WriteString(e.Hint)
		b.WriteString(")")
	}
	for _, other := range e.Others {
		b.WriteString("; ")
		b.WriteString(other.Error())
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// At returns a copy that names a field.
func (e *Error) At(field string) *Error {
	c := *e
	c.Field = field
	return &c
}

// On returns a copy that names a position.
func (e *Error) On(line, column int) *Error {
	c := *e
	c.Line, c.Column = line, column
	return &c
}

// Hinted returns a copy with a hint.
func (e *Error) Hinted(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}

// Because returns a copy with a cause, for logs.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.Cause = cause
	return &c
}

// Join returns nil for none, the one for one, and otherwise the first with the rest as its Others.
func Join(all ...*Error) error {
	var first *Error
	for _, e := range all {
		switch {
		case e == nil:
		case first == nil:
			c := *e
			c.Others = append([]*Error(nil), e.Others...)
			first = &c
		default:
			first.Others = append(first.Others, e)
		}
	}
	if first == nil {
		return nil
	}
	return first
}

// As finds a fault in an error's chain.
func As(err error) (*Error, bool) {
	var f *Error
	ok := errors.As(err, &f)
	return f, ok
}

// From makes a fault of any error. What is not one is a defect of ours, or the caller's time was over: the caller learns
// that, and the log the cause.
func From(err error) *Error {
	if f, ok := As(err); ok {
		return f
	}
	switch {
	case errors.Is(err, context.Canceled):
		return New(DeadlineExceeded, "request.canceled", "the caller gave up")
	case errors.Is(err, context.DeadlineExceeded):
		return New(DeadlineExceeded, "request.deadline", "the deadline was over before the answer was there").
			Hinted("allow more time, or ask for less at once")
	default:
		return New(Internal, "internal", "something went wrong inside the server").
			Hinted("the server's log has the details").Because(err)
	}
}

// CodeOf returns the class of an error: [Internal] when it is not a fault.
func CodeOf(err error) Code {
	if f, ok := As(err); ok {
		return f.Code
	}
	return Internal
}

// Is reports whether an error is a fault of that class.
func Is(err error, code Code) bool {
	f, ok := As(err)
	return ok && f.Code == code
}
