package source

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"

	"github.com/gantry-platform/gantry/internal/fault"
)

// checkXML refuses what is not one well-formed element. Entities of a document type are neither
// read nor loaded.
func checkXML(text []byte) error {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	decoder := xml.NewDecoder(bytes.NewReader(text))
	decoder.CharsetReader = func(label string, _ io.Reader) (io.Reader, error) {
		return nil, fmt.Errorf("the encoding %s is declared, and UTF-8 is what is stored", Quote(label))
	}
	cursor := newCursor(text)
	depth, roots, values := 0, 0, 0
	for {
		line, column := cursor.at(int(decoder.InputOffset()))
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			line, column = cursor.at(int(decoder.InputOffset()))
			return syntax("not valid XML", line, column, "%s", xmlMessage(err))
		}
		switch token := token.(type) {
		case xml.StartElement:
			if depth == 0 {
				roots++
			}
			depth++
			values += 1 + len(token.Attr)
			if err := checkElement(token, depth, roots, values); err != nil {
				return err.On(line, column)
			}
		case xml.EndElement:
			depth--
		case xml.CharData:
			if depth == 0 && len(bytes.TrimSpace(token)) > 0 {
				return syntax("not valid XML", line, column, "text outside of the root element")
			}
		}
	}
	if roots == 0 {
		return syntax("not valid XML", 1, 1, "there is no element")
	}
	return nil
}

func checkElement(element xml.StartElement, depth, roots, values int) *fault.Error {
	switch {
	case roots > 1:
		return syntax("not valid XML", 0, 0, "a second root element <%s>", element.Name.Local)
	case depth > MaxDepth:
		return tooDeep(0, 0)
	case values > MaxValues:
		return (&builder{}).spend(values, 0, 0)
	}
	seen := make(map[xml.Name]bool, len(element.Attr))
	for _, a := range element.Attr {
		if seen[a.Name] {
			return syntax("not valid XML", 0, 0, "the attribute %s stands twice in <%s>", a.Name.Local, element.Name.Local)
		}
		seen[a.Name] = true
	}
	return nil
}

func xmlMessage(err error) string {
	if wrong := (*xml.SyntaxError)(nil); errors.As(err, &wrong) {
		return wrong.Msg
	}
	return err.Error()
}
