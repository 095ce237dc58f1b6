package signal

import "strconv"

// Outcome is how a call ended for the business: a refusal (a customer who may not borrow, a form with a mistake) is no failure of the service.
type Outcome uint8

// The outcomes.
const (
	Success Outcome = iota
	Refused
	Failed
)

func (o Outcome) String() string {
	switch o {
	case Refused:
		return "refused"
	case Failed:
		return "failed"
	default:
		return "success"
	}
}

// ParseOutcome reads what String writes.
func ParseOutcome(text string) (Outcome, bool) {
	switch text {
	case "success":
		return Success, true
	case "refused":
		return Refused, true
	case "failed":
		return Failed, true
	}
	return 0, false
}

// OutcomeAttribute is set by a service that knows better than its status codes: "success", "refused" or "failed".
const OutcomeAttribute = "gantry.outcome"

// OutcomeOf works out a span's outcome. What the service said itself counts first ([OutcomeAttribute]). Then the status of the protocol: HTTP
// below 400 is a success, 4xx a refusal but for 408 and 429 (which say that the service could not), and 5xx a failure; of gRPC's codes those that blame the
// caller or the business are refusals, and UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE and DATA_LOSS failures
// (OpenTelemetry's semantic conventions for rpc servers). Then the span's status. CANCELLED is a refusal: the caller went away.
func OutcomeOf(s *Span) Outcome {
	outcome, known := Success, false
	for i := range s.Attributes {
		a := &s.Attributes[i]
		switch a.Key {
		case OutcomeAttribute:
			if o, ok := ParseOutcome(a.Value.Text); ok {
				return o
			}
		case "http.response.status_code", "http.status_code":
			if code, ok := integer(a.Value); ok {
				outcome, known = httpOutcome(code), true
			}
		case "rpc.grpc.status_code", "rpc.response.status_code":
			if code, ok := integer(a.Value); ok {
				outcome, known = grpcOutcome(code), true
			} else if code, ok := grpcCodes[a.Value.Text]; ok {
				outcome, known = grpcOutcome(code), true
			}
		}
	}
	if s.Status == StatusError && (!known || outcome == Success) {
		return Failed
	}
	return outcome
}

func integer(v Value) (int64, bool) {
	switch v.Type {
	case TypeInt:
		return int64(v.Number), true
	case TypeString: // Zipkin's tags are all strings
		n, err := strconv.ParseInt(v.Text, 10, 32)
		return n, err == nil
	default:
		return 0, false
	}
}

func httpOutcome(code int64) Outcome {
	switch {
	case code == 408 || code == 429 || code >= 500:
		return Failed
	case code >= 400:
		return Refused
	default:
		return Success
	}
}

func grpcOutcome(code int64) Outcome {
	switch code {
	case 0:
		return Success
	case 2, 4, 8, 12, 13, 14, 15:
		return Failed
	default:
		return Refused
	}
}

// grpcCodes are the names that the conventions of 2026 write instead of numbers.
var grpcCodes = map[string]int64{"OK": 0, "CANCELLED": 1, "UNKNOWN": 2, "INVALID_ARGUMENT": 3, "DEADLINE_EXCEEDED": 4, "NOT_FOUND": 5, "ALREADY_EXISTS": 6,
	"PERMISSION_DENIED": 7, "RESOURCE_EXHAUSTED": 8, "FAILED_PRECONDITION": 9, "ABORTED": 10, "OUT_OF_RANGE": 11, "UNIMPLEMENTED": 12, "INTERNAL": 13,
	"UNAVAILABLE": 14, "DATA_LOSS": 15, "UNAUTHENTICATED": 16}
