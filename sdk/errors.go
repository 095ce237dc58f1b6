package gantry

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// invalidArgument is the class of what is refused here, before any server is asked.
const invalidArgument = codes.InvalidArgument

var (
	// ErrClosed is returned for what is asked of a closed client, subscription, document or binding.
	ErrClosed = errors.New("gantry: closed")
	// ErrNoInstance is returned where a call needs an instance and its service has none that takes traffic.
	ErrNoInstance = errors.New("gantry: no instance takes traffic")
)

// Error is an error that the server answered. It is found in an error's chain by errors.As.
type Error struct {
	// Code is the class of the error.
	Code codes.Code
	// Reason is a stable word for programs, such as "instance.invalid"; empty when the server gave none.
	Reason string
	// Message says what was wrong.
	Message string
	// Field is the request's field at fault, if one is.
	Field string
	// Hint says what to do next, if the server knows.
	Hint string
}

// Error implements error.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("gantry: ")
	if e.Field != "" {
		b.WriteString(e.Field)
		b.WriteString(": ")
	}
	b.WriteString(e.Message)
	if e.Reason != "" {
		fmt.Fprintf(&b, " [%s]", e.Reason)
	}
	if e.Hint != "" {
		fmt.Fprintf(&b, " (%s)", e.Hint)
	}
	return b.String()
}

// permanent reports whether the same request would be refused again until a person changes something.
func (e *Error) permanent() bool {
	switch e.Code {
	case codes.InvalidArgument, codes.Unauthenticated, codes.PermissionDenied, codes.NotFound,
		codes.AlreadyExists, codes.FailedPrecondition, codes.OutOfRange, codes.Unimplemented:
		return true
	}
	return false
}

// isPermanent reports whether an error is a server's refusal that will not pass by itself.
func isPermanent(err error) bool {
	var refused *Error
	return errors.As(err, &refused) && refused.permanent()
}

// fromFailure turns a reply's failure into an error; nil for none.
func fromFailure(failure *gantryv1.Failure) error {
	if failure == nil {
		return nil
	}
	return newError(codes.Code(failure.GetCode()), failure.GetMessage(), failure.GetDetail())
}

// fromStatus turns a stream's end into an error.
func fromStatus(err error) error {
	state, ok := status.FromError(err)
	if !ok {
		return err
	}
	var detail *gantryv1.ErrorDetail
	for _, item := range state.Details() {
		if found, ok := item.(*gantryv1.ErrorDetail); ok {
			detail = found
		}
	}
	return newError(state.Code(), state.Message(), detail)
}

func newError(code codes.Code, message string, detail *gantryv1.ErrorDetail) *Error {
	if message == "" {
		message = code.String()
	}
	if detail.GetMessage() != "" {
		// The message on the wire begins with the field, for those who see nothing else.
		message = detail.GetMessage()
	}
	return &Error{Code: code, Message: message, Reason: detail.GetReason(), Field: detail.GetField(), Hint: detail.GetHint()}
}
