package policy

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy/source"
)

// Limits on names, in bytes.
const (
	MaxNamespace = 63
	MaxName      = 512
)

// ValidateName checks a namespace, when field is "namespace" or ends in ".namespace", or else the
// name of a document of a kind that is no [Namer]. Errors are faults of class Invalid that carry the field.
//
// A namespace has 1 to 63 of letters, digits, '-' and '_', and neither starts nor ends with
// '-': DNS labels, and the tenants of Nacos (UUIDs and chosen ids). A document's name has 1 to 512
// bytes of UTF-8 without control characters; '/' may divide it, yet no part is empty, "." or "..",
// and it does not start or end with a space.
func ValidateName(field, value string) error {
	reason, wrong, hint := "document.invalid_name", "", ""
	if field == "namespace" || strings.HasSuffix(field, ".namespace") {
		reason, wrong = "namespace.invalid_name", wrongNamespace(value)
		hint = "use 1 to 63 letters, digits, '-' and '_', such as production"
	} else {
		wrong = wrongName(value)
		hint = "use up to 512 bytes of printable text, parts divided by '/', such as loan/application.yaml"
	}
	if wrong == "" {
		return nil
	}
	return fault.New(fault.Invalid, reason, "%s is no valid name: %s", source.Quote(value), wrong).At(field).Hinted("%s", hint)
}

func wrongNamespace(value string) string {
	switch {
	case value == "":
		return "it is empty"
	case len(value) > MaxNamespace:
		return "it is longer than 63 bytes"
	case value[0] == '-' || value[len(value)-1] == '-':
		return "it starts or ends with '-'"
	}
	for _, r := range value {
		if !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_') {
			return "it holds " + quoteRune(r)
		}
	}
	return ""
}

func wrongName(value string) string {
	switch {
	case value == "":
		return "it is empty"
	case len(value) > MaxName:
		return "it is longer than 512 bytes"
	case !utf8.ValidString(value):
		return "it is not valid UTF-8"
	case strings.TrimSpace(value) != value:
		return "it starts or ends with a space"
	}
	for _, r := range value {
		// Format characters reorder or hide what people read.
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' {
			return "it holds the control character " + quoteRune(r)
		}
	}
	for part := range strings.SplitSeq(value, "/") {
		switch part {
		case "":
			return "it starts or ends with '/', or has two in a row"
		case ".", "..":
			return "it has the part " + source.Quote(part)
		}
	}
	return ""
}

// Namer is a kind with a rule of its own for the names of its documents, in place of the one of [ValidateName].
type Namer interface {
	// ValidateName refuses a name by a fault of class Invalid that carries the field.
	ValidateName(field, name string) error
}

// ownNames are the kinds of the product that have a rule of their own: manifests are read without a [Registry].
func ownNames() map[string]Namer { return map[string]Namer{KeyValue: keyValueKind{}} }

// validateNameOf checks a document's name by the rule of its kind.
func validateNameOf(kind, field, name string) error {
	if namer, ok := ownNames()[kind]; ok {
		return namer.ValidateName(field, name)
	}
	return ValidateName(field, name)
}

func quoteRune(r rune) string { return source.Quote(string(r)) }
