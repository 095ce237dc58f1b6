package nacos

import (
	"net/http"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
)

// Codes of Nacos that its clients compare.
const (
	// codeBeatOK and codeBeatUnknown answer beats: after the latter the client registers again.
	codeBeatOK      = 10200
	codeBeatUnknown = 20404

	resultMissing          = 10000
	resultDenied           = 10001
	resultInvalid          = 20002
	resultNotFound         = 20004
	resultConflict         = 20005
	resultTooLarge         = 5034
	resultInstanceNotFound = 21003
	resultServiceNotFound  = 21008
	resultNamespaceUnknown = 22001
	resultNamespaceExists  = 22002
	resultServerError      = 30000
)

// Reasons that v1 answers in words of their own.
const (
	reasonNoConfig  = "nacos.no_config"
	reasonBareFalse = "document.version_conflict"
)

// errNoConfig answers who asks for a configuration that is not there.
func errNoConfig() *fault.Error {
	return fault.New(fault.NotFound, reasonNoConfig, "config data not exist")
}

// resultWord is v2's message beside a code.
func resultWord(code int) string {
	switch code {
	case resultMissing:
		return "parameter missing"
	case resultDenied:
		return "access denied"
	case resultInvalid:
		return "parameter validate error"
	case resultNotFound:
		return "resource not found"
	case resultConflict:
		return "resource conflict"
	case resultTooLarge:
		return "config content size is over limit"
	case resultInstanceNotFound:
		return "instance not found"
	case resultServiceNotFound:
		return "service not exist"
	case resultNamespaceUnknown:
		return "namespace not exist"
	case resultNamespaceExists:
		return "namespace already exist"
	default:
		return "server error"
	}
}

// statusOfError is the HTTP status of an error, and the error code of gRPC. Nacos knows no 401, and its clients take 403 for both, and 500 for a lost
// compare-and-set.
func statusOfError(err error) int {
	switch fault.CodeOf(err) {
	case fault.Unauthenticated:
		return http.StatusForbidden
	case fault.Conflict:
		return http.StatusInternalServerError
	case fault.AlreadyExists, fault.Precondition:
		return http.StatusBadRequest
	default:
		return edge.Status(err)
	}
}

// resultOfError is the code of an error in v2's results.
func resultOfError(err error) int {
	f := fault.From(err)
	switch f.Reason {
	case "nacos.missing":
		return resultMissing
	case "instance.unknown":
		return resultInstanceNotFound
	case "service.unknown":
		return resultServiceNotFound
	case "namespace.unknown":
		return resultNamespaceUnknown
	case "namespace.exists":
		return resultNamespaceExists
	}
	switch f.Code {
	case fault.Invalid:
		return resultInvalid
	case fault.NotFound:
		return resultNotFound
	case fault.AlreadyExists, fault.Conflict, fault.Precondition:
		return resultConflict
	case fault.Unauthenticated, fault.Forbidden:
		return resultDenied
	case fault.TooLarge:
		return resultTooLarge
	default:
		return resultServerError
	}
}

// messageOfError is what the caller is told.
func messageOfError(err error) string { return fault.From(err).Error() }
