package native

import (
	"errors"

	"connectrpc.com/connect"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gantry-platform/gantry/internal/fault"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// connectCode is the class of an error in Connect's words, which number like gRPC's.
func connectCode(code fault.Code) connect.Code {
	switch code {
	case fault.Invalid:
		return connect.CodeInvalidArgument
	case fault.NotFound:
		return connect.CodeNotFound
	case fault.AlreadyExists:
		return connect.CodeAlreadyExists
	case fault.Conflict:
		return connect.CodeAborted
	case fault.Precondition:
		return connect.CodeFailedPrecondition
	case fault.Unauthenticated:
		return connect.CodeUnauthenticated
	case fault.Forbidden:
		return connect.CodePermissionDenied
	case fault.TooLarge:
		return connect.CodeOutOfRange
	case fault.Exhausted:
		return connect.CodeResourceExhausted
	case fault.Unavailable:
		return connect.CodeUnavailable
	case fault.DeadlineExceeded:
		return connect.CodeDeadlineExceeded
	default:
		return connect.CodeInternal
	}
}

func detailOf(f *fault.Error) *gantryv1.ErrorDetail {
	detail := &gantryv1.ErrorDetail{Reason: f.Reason, Field: f.Field, Line: uint32(max(f.Line, 0)), Column: uint32(max(f.Column, 0)),
		Hint: f.Hint, Message: f.Message}
	for _, other := range f.Others {
		detail.Others = append(detail.Others, detailOf(other))
	}
	return detail
}

// messageOf names the field and the line too: many see the message alone. The parts stand in the detail.
func messageOf(f *fault.Error) string {
	alone := fault.Error{Field: f.Field, Line: f.Line, Column: f.Column, Message: f.Message}
	return alone.Error()
}

// connectError is an error as Connect sends it.
func connectError(err error) error {
	var already *connect.Error
	if errors.As(err, &already) {
		return already
	}
	f := fault.From(err)
	answer := connect.NewError(connectCode(f.Code), errors.New(messageOf(f)))
	if detail, err := connect.NewErrorDetail(detailOf(f)); err == nil {
		answer.AddDetail(detail)
	}
	return answer
}

// grpcError is an error as grpc-go sends it.
func grpcError(err error) error {
	f := fault.From(err)
	s := status.New(codes.Code(connectCode(f.Code)), messageOf(f))
	if detailed, err := s.WithDetails(detailOf(f)); err == nil {
		s = detailed
	}
	return s.Err()
}

// failure is an error inside a session stream, which goes on.
func failure(err error) *gantryv1.Failure {
	f := fault.From(err)
	return &gantryv1.Failure{Code: uint32(connectCode(f.Code)), Message: messageOf(f), Detail: detailOf(f)}
}

// errorMessages are warnings in the API's words.
func errorMessages(all []*fault.Error) []*gantryv1.ErrorMessage {
	var messages []*gantryv1.ErrorMessage
	for _, f := range all {
		messages = append(messages, &gantryv1.ErrorMessage{Message: f.Message, Field: f.Field,
			Line: uint32(max(f.Line, 0)), Column: uint32(max(f.Column, 0))})
	}
	return messages
}
