package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"

	"connectrpc.com/connect"

	"github.com/gantry-platform/gantry/internal/fault"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// report prints an error and returns the exit code for it.
func (c *cli) report(err error) int {
	var status exitStatus
	if errors.As(err, &status) {
		return int(status)
	}
	c.clearProgress()
	f := c.explain(err)
	if c.flags.output.machine() {
		data, marshalErr := json.Marshal(map[string]any{"error": errorObject(f)})
		if marshalErr == nil {
			marshalErr = c.writeMachine(c.errOut, data)
		}
		if marshalErr == nil {
			return exitCodeOf(f.Code)
		}
	}
	c.printFault("error", c.errPainter().red, f)
	return exitCodeOf(f.Code)
}

// printFault writes an error for people, each of several on a line of its own with its hint below.
func (c *cli) printFault(label string, paint func(string) string, f *fault.Error) {
	c.clearProgress()
	fmt.Fprintf(c.errOut, "%s %s\n", paint(label+":"), describe(f))
	if f.Hint != "" {
		fmt.Fprintf(c.errOut, "  %s\n", printable(f.Hint))
	}
	for _, other := range f.Others {
		c.printFault(label, paint, other)
	}
}

// describe is an error in a line. Where the message already starts with a file's position the line is not
// said again.
func describe(f *fault.Error) string {
	var b strings.Builder
	message := f.Message
	if f.Line > 0 {
		if place, rest, ok := cutPlace(message, f.Line); ok {
			b.WriteString(place)
			message = rest
		} else {
			fmt.Fprintf(&b, "line %d", f.Line)
			if f.Column > 0 {
				fmt.Fprintf(&b, ":%d", f.Column)
			}
			b.WriteString(": ")
		}
	}
	if f.Field != "" {
		b.WriteString(f.Field)
		b.WriteString(": ")
	}
	b.WriteString(message)
	return printable(b.String())
}

// cutPlace cuts "file:line:column: " off a message, so that the field can stand behind it.
func cutPlace(message string, line int) (place, rest string, ok bool) {
	at := strings.Index(message, fmt.Sprintf(":%d:", line))
	if at < 0 {
		return "", message, false
	}
	end := strings.Index(message[at:], ": ")
	if end < 0 {
		return "", message, false
	}
	end += at + len(": ")
	return message[:end], message[end:], true
}

// object is an error as programs read it.
type object struct {
	Code    string   `json:"code"`
	Reason  string   `json:"reason,omitempty"`
	Message string   `json:"message"`
	Field   string   `json:"field,omitempty"`
	Line    int      `json:"line,omitempty"`
	Column  int      `json:"column,omitempty"`
	Hint    string   `json:"hint,omitempty"`
	Others  []object `json:"others,omitempty"`
}

func errorObject(f *fault.Error) object {
	o := object{Code: f.Code.String(), Reason: f.Reason, Message: f.Message, Field: f.Field, Line: f.Line, Column: f.Column, Hint: f.Hint}
	for _, other := range f.Others {
		o.Others = append(o.Others, errorObject(other))
	}
	return o
}

func (c *cli) warn(format string, args ...any) {
	c.clearProgress()
	fmt.Fprintf(c.errOut, "%s %s\n", c.errPainter().yellow("warning:"), printable(fmt.Sprintf(format, args...)))
}

// explain turns any error into one that a user can read.
func (c *cli) explain(err error) *fault.Error {
	if f, ok := fault.As(err); ok {
		return f
	}
	var answered *connect.Error
	switch {
	case errors.As(err, &answered):
		return c.explainAnswer(answered)
	case errors.Is(err, context.DeadlineExceeded):
		return fault.New(fault.DeadlineExceeded, "cli.timeout", "the time was over").Hinted("give more with --timeout")
	case errors.As(err, new(*fs.PathError)):
		return fileFault(err)
	default:
		return fault.New(fault.Internal, "cli.failed", "%v", err)
	}
}

// explainAnswer explains what a server answered, or why none could.
func (c *cli) explainAnswer(err *connect.Error) *fault.Error {
	for _, detail := range err.Details() {
		value, decodeErr := detail.Value()
		if decodeErr != nil {
			continue
		}
		if d, ok := value.(*gantryv1.ErrorDetail); ok {
			return fromDetail(codeOf(err.Code(), d.GetReason()), err.Message(), d)
		}
	}
	// A server that takes the request's own bound for over says it in other words than this end would.
	if connect.IsWireError(err) && err.Code() != connect.CodeDeadlineExceeded {
		return fault.New(codeOf(err.Code(), ""), "", "%s", first(err.Message(), err.Code().String()))
	}
	return c.explainTransport(err)
}

// fromDetail makes the error again that the server had.
func fromDetail(code fault.Code, message string, d *gantryv1.ErrorDetail) *fault.Error {
	// The message on the wire begins with the field, for those who see nothing else.
	f := fault.New(code, d.GetReason(), "%s", first(d.GetMessage(), message))
	f.Field, f.Line, f.Column, f.Hint = d.GetField(), int(d.GetLine()), int(d.GetColumn()), d.GetHint()
	for _, other := range d.GetOthers() {
		f.Others = append(f.Others, fromDetail(code, other.GetMessage(), other))
	}
	return f
}

// explainTransport explains why there was no answer from a gantry server.
func (c *cli) explainTransport(err *connect.Error) *fault.Error {
	address := defaultAddress
	if c.remote != nil {
		address = c.remote.address
	}
	var dns *net.DNSError
	switch {
	case errors.Is(err, context.DeadlineExceeded) || err.Code() == connect.CodeDeadlineExceeded:
		return fault.New(fault.DeadlineExceeded, "cli.timeout", "%s did not answer in time", address).Hinted("give it more with --timeout")
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return fault.New(fault.Unavailable, "cli.untrusted", "the certificate of %s is signed by nobody this machine trusts", address).
			Hinted("name the authority's certificate with --ca")
	case errors.As(err, new(x509.HostnameError)), errors.As(err, new(x509.CertificateInvalidError)):
		return fault.New(fault.Unavailable, "cli.untrusted", "the certificate of %s is not valid: %s", address, err.Message()).
			Hinted("call it by a name in its certificate, or have the certificate renewed")
	case errors.As(err, new(tls.RecordHeaderError)), strings.Contains(err.Message(), "server gave HTTP response to HTTPS client"):
		return fault.New(fault.Unavailable, "cli.no_tls", "%s does not speak TLS", address).Hinted("write http:// in the address")
	case errors.As(err, &dns):
		return fault.New(fault.Unavailable, "cli.unreachable", "cannot find the host of %s: %s", address, dns.Err).
			Hinted("name a server with --address or GANTRY_ADDRESS")
	case errors.As(err, new(*net.OpError)):
		return fault.New(fault.Unavailable, "cli.unreachable", "cannot reach %s: %s", address, err.Message()).
			Hinted("start a server (gantry server --dev), or name one with --address or GANTRY_ADDRESS")
	case strings.Contains(err.Message(), "malformed HTTP"):
		return fault.New(fault.Unavailable, "cli.not_http", "what listens at %s does not speak HTTP", address).
			Hinted("name the HTTP port, 8848 if nobody changed it; 9848 is the gRPC port of services")
	case strings.Contains(err.Message(), "503 Service Unavailable"):
		return fault.New(fault.Unavailable, "cli.not_ready", "%s is starting or stopping", address).Hinted("try again in a moment; %s/readyz says why", address)
	case err.Code() == connect.CodeResourceExhausted:
		return fault.New(fault.Internal, "cli.answer_too_large", "%s: %s", address, err.Message()).Hinted("ask for less, such as one service")
	default:
		return fault.New(codeOf(err.Code(), ""), "cli.not_gantry", "no answer that a gantry server would give came from %s: %s", address, err.Message()).
			Hinted("see that the address is the HTTP port of a gantry server, 8848 if nobody changed it")
	}
}

// codeOf is the class of an error on the wire. The server sends more classes than Connect has codes; the reason
// tells them apart.
func codeOf(code connect.Code, reason string) fault.Code {
	switch code {
	case connect.CodeInvalidArgument, connect.CodeOutOfRange:
		return fault.Invalid
	case connect.CodeNotFound:
		return fault.NotFound
	case connect.CodeAlreadyExists:
		return fault.AlreadyExists
	case connect.CodeAborted:
		return fault.Conflict
	case connect.CodeFailedPrecondition:
		return fault.Precondition
	case connect.CodeUnauthenticated:
		return fault.Unauthenticated
	case connect.CodePermissionDenied:
		return fault.Forbidden
	case connect.CodeResourceExhausted:
		if strings.Contains(reason, "too_large") || strings.Contains(reason, "too_many") {
			return fault.TooLarge
		}
		return fault.Exhausted
	case connect.CodeUnavailable:
		return fault.Unavailable
	case connect.CodeDeadlineExceeded:
		return fault.DeadlineExceeded
	default:
		return fault.Internal
	}
}

// fileFault explains trouble with a file that the user named.
func fileFault(err error) *fault.Error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fault.New(fault.Invalid, "cli.no_such_file", "%v", err).Because(err).Hinted("see that the path is right")
	case errors.Is(err, fs.ErrPermission):
		return fault.New(fault.Invalid, "cli.file_not_allowed", "%v", err).Because(err).Hinted("see whom the file belongs to")
	default:
		return fault.New(fault.Internal, "cli.file", "%v", err).Because(err)
	}
}
