package policy

import (
	"bytes"

	"github.com/gantry-platform/gantry/internal/policy/source"
)

// textLines are the lines of a file of manifests, line ends included, to take authored text from
// where a parser keeps values alone.
type textLines struct {
	format string
	lines  [][]byte
}

func (l textLines) line(n int) []byte {
	if n < 1 || n > len(l.lines) {
		return nil
	}
	return l.lines[n-1]
}

// at is the byte at a place, or 0. Columns count characters.
func (l textLines) at(line, column int) byte {
	for i := range string(l.line(line)) {
		if column--; column == 0 {
			return l.line(line)[i]
		}
	}
	return 0
}

func indentation(line []byte) int { return len(line) - len(bytes.TrimLeft(line, " ")) }

func isBlank(line []byte) bool { return len(bytes.TrimSpace(line)) == 0 }

// literal says where the content of a text field stands. It is verbatim in a literal block.
func (l textLines) literal(field *source.Node, content []byte) contentPlace {
	start := contentPlace{line: field.Line, column: field.Column}
	if l.format != source.YAML || l.at(field.Line, field.Column) != '|' {
		return start
	}
	n := 0
	for line := range bytes.Lines(content) {
		n++
		written := l.line(field.Line + n)
		if isBlank(line) {
			continue
		}
		indent := indentation(written) - indentation(line)
		if indent < 0 || !bytes.Equal(bytes.TrimRight(written[indent:], "\r\n"), bytes.TrimRight(line, "\n")) {
			return start
		}
		return contentPlace{line: field.Line + 1, column: indent + 1, verbatim: true}
	}
	return start
}

// block cuts a spec in block style out of its manifest, from the line below its key to the next key
// of the manifest or the end of the document, less its indentation.
func (l textLines) block(root, spec *source.Node) ([]byte, contentPlace, bool) {
	if l.format != source.YAML || spec.Kind != source.Object || len(spec.Fields) == 0 {
		return nil, contentPlace{}, false
	}
	first, end := 0, len(l.lines)+1
	for _, f := range root.Fields {
		if f.Value == spec && f.Key == "spec" {
			first = f.Line + 1
		}
	}
	if first == 0 || first > spec.Line {
		return nil, contentPlace{}, false
	}
	for _, f := range root.Fields {
		if f.Line >= first {
			end = min(end, f.Line)
		}
	}
	for n := spec.Line; n < end; n++ {
		// At the start of a line these end a document even inside of a text (YAML 1.2, 9.1.2).
		if line := l.line(n); bytes.HasPrefix(line, []byte("---")) || bytes.HasPrefix(line, []byte("...")) {
			end = n
		}
	}
	indent := spec.Column - 1
	for end > first && l.foreign(end-1, indent) {
		end--
	}
	var content []byte
	for n := first; n < end; n++ {
		line := l.line(n)
		content = append(content, line[min(indent, indentation(line)):]...)
	}
	if len(content) > 0 && content[len(content)-1] != '\n' {
		content = append(content, '\n')
	}
	return content, contentPlace{line: first, column: indent + 1, verbatim: true}, true
}

// foreign reports whether a line at the end of a block does not belong to it: it is empty, or a
// comment that stands further out.
func (l textLines) foreign(n, indent int) bool {
	line := l.line(n)
	return isBlank(line) || indentation(line) < indent && bytes.HasPrefix(bytes.TrimLeft(line, " "), []byte("#"))
}
