package policy

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gantry-platform/gantry/internal/policy/source"
)

// FormatManifest writes a document as a YAML manifest that [ParseManifests] reads back byte for
// byte, as long as kind and name are valid and the format is given. The same document always
// gives the same text. Text stands in literal blocks where YAML can show it so, the specs of kinds
// other than Config stand as such where they are YAML. Several are joined by lines of "---".
func FormatManifest(doc Document) ([]byte, error) {
	if err := ValidateName("kind", doc.Kind); err != nil {
		return nil, err
	}
	if err := validateNameOf(doc.Kind, "name", doc.Name); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "kind: %s\nmetadata:\n", scalar(doc.Kind))
	if doc.Namespace != "" {
		if err := ValidateName("namespace", doc.Namespace); err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "  namespace: %s\n", scalar(doc.Namespace))
	}
	fmt.Fprintf(&b, "  name: %s\n", scalar(doc.Name))
	if doc.Kind == kindConfig {
		b.WriteString("spec:\n")
		writeText(&b, doc, doc.Sensitive)
		return b.Bytes(), nil
	}
	if doc.Sensitive {
		b.WriteString("  sensitive: true\n")
	}
	if text, ok := withSpec(b.Bytes(), doc); ok {
		return text, nil
	}
	b.WriteString("source:\n")
	writeText(&b, doc, false)
	return b.Bytes(), nil
}

// withSpec indents a YAML content under the key spec, unless it would be read back otherwise.
func withSpec(head []byte, doc Document) ([]byte, bool) {
	if doc.Format != source.YAML || !literalText(doc.Content) {
		return nil, false
	}
	text := append(slices.Clone(head), "spec:\n"...)
	text = appendIndented(text, doc.Content, "  ")
	read, err := ParseManifests("", text)
	if err != nil || len(read) != 1 || !sameDocument(read[0].Document, doc) {
		return nil, false
	}
	return text, true
}

func sameDocument(a, b Document) bool {
	return a.Namespace == b.Namespace && a.Kind == b.Kind && a.Name == b.Name && a.Format == b.Format &&
		a.Sensitive == b.Sensitive && bytes.Equal(a.Content, b.Content)
}

// appendIndented indents every line that is not empty, so that no line gains trailing spaces.
func appendIndented(text, content []byte, indent string) []byte {
	for line := range bytes.Lines(content) {
		if string(line) != "\n" {
			text = append(text, indent...)
		}
		text = append(text, line...)
	}
	return text
}

func writeText(b *bytes.Buffer, doc Document, sensitive bool) {
	if doc.Format != "" {
		fmt.Fprintf(b, "  format: %s\n", scalar(doc.Format))
	}
	if sensitive {
		b.WriteString("  sensitive: true\n")
	}
	switch {
	case !utf8.Valid(doc.Content):
		fmt.Fprintf(b, "  contentBase64: %s\n", base64.StdEncoding.EncodeToString(doc.Content))
	case literalText(doc.Content) && strings.Trim(string(doc.Content), " \n") != "":
		b.WriteString("  content: |")
		// A first line that starts with white space would be taken for the indentation.
		if strings.IndexByte(" \t\n", doc.Content[0]) >= 0 {
			b.WriteByte('2')
		}
		switch {
		case !bytes.HasSuffix(doc.Content, []byte("\n")):
			b.WriteByte('-')
		case bytes.HasSuffix(doc.Content, []byte("\n\n")):
			b.WriteByte('+')
		}
		b.WriteByte('\n')
		b.Write(appendIndented(nil, doc.Content, "    "))
		if !bytes.HasSuffix(doc.Content, []byte("\n")) {
			b.WriteByte('\n')
		}
	default:
		fmt.Fprintf(b, "  content: %s\n", quoted(string(doc.Content)))
	}
}

// literalText reports whether a literal block shows a text as it is: all of it printable, and no
// line break but '\n' (YAML 1.1, which the parser follows, has five).
func literalText(content []byte) bool {
	for i := 0; i < len(content); {
		r, size := utf8.DecodeRune(content[i:])
		if r == utf8.RuneError && size == 1 || r != '\n' && r != '\t' && !printable(r) {
			return false
		}
		i += size
	}
	return true
}

func printable(r rune) bool {
	return ' ' <= r && r <= '~' || 0xa0 <= r && r <= 0xd7ff && r != 0x2028 && r != 0x2029 ||
		0xe000 <= r && r <= 0xfffd && r != 0xfeff || 0x10000 <= r && r <= 0x10ffff
}

// bare matches what needs no quotes.
var bare = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_./-]*$`)

// reserved reports whether some YAML reader takes a word for something else than a string.
func reserved(word string) bool {
	switch strings.ToLower(word) {
	case "true", "false", "null", "yes", "no", "on", "off", "y", "n":
		return true
	}
	return false
}

func scalar(text string) string {
	if bare.MatchString(text) && !reserved(text) {
		return text
	}
	return quoted(text)
}

// quoted writes a double-quoted scalar.
func quoted(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case printable(r):
			b.WriteRune(r)
		case r <= 0xff:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
