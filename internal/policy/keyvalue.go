package policy

import (
	"unicode"
	"unicode/utf8"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy/source"
)

// KeyValue is the kind of keys as Consul's clients write them: any bytes, which nobody checks.
const KeyValue = "KeyValue"

// keyValueKind is KeyValue. A key is a path only by habit: it may end in "/", hold "//" or ".", and start with a space.
type keyValueKind struct{}

var (
	_ Kind  = keyValueKind{}
	_ Namer = keyValueKind{}
)

func (keyValueKind) Name() string { return KeyValue }

// Formats implements Kind. The bytes are not even UTF-8, so that no format of theirs can be checked.
func (keyValueKind) Formats() []string { return []string{source.Text} }

func (keyValueKind) Validate(Document, Library) ([]*fault.Error, error) { return nil, nil }

// ValidateName implements Namer: 1 to 512 bytes of UTF-8 without control characters.
func (keyValueKind) ValidateName(field, name string) error {
	wrong := wrongKey(name)
	if wrong == "" {
		return nil
	}
	return fault.New(fault.Invalid, "document.invalid_name", "%s is no valid key: %s", source.Quote(name), wrong).
		At(field).Hinted("use 1 to %d bytes of printable text", MaxName)
}

func wrongKey(name string) string {
	switch {
	case name == "":
		return "it is empty"
	case len(name) > MaxName:
		return "it is longer than 512 bytes"
	case !utf8.ValidString(name):
		return "it is not valid UTF-8"
	}
	for _, r := range name {
		if unicode.IsControl(r) {
			return "it holds the control character " + quoteRune(r)
		}
	}
	return ""
}
