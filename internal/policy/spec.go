package policy

import (
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy/source"
)

// parse reads a document's content. What is wrong with a sensitive one is told by place alone.
func parse(doc Document) (source.Parsed, error) {
	parsed, err := source.Parse(doc.Format, doc.Content)
	if f, ok := fault.As(err); ok && doc.Sensitive {
		withheld := *f
		withheld.Message = "not valid " + doc.Format + "; the document is sensitive, so what stands there is not shown"
		return source.Parsed{}, &withheld
	}
	return parsed, err
}

// decodeSpec decodes the content of a kind whose spec is a struct, strictly: see
// [source.Tree.Decode] for what T may hold. The tree places what the kind itself finds:
//
//	tree.At("rules", i, "weight").Fault("route.weight_range", "...")
//
// Fields are named as the manifest names them, from "spec" on.
func decodeSpec[T any](doc Document) (T, source.Tree, error) {
	var spec T
	parsed, err := parse(doc)
	if err != nil {
		return spec, source.Tree{}, err
	}
	if len(parsed.Documents) != 1 {
		several := fault.New(fault.Invalid, "document.several_documents", "the spec of a %s is one document, here are %d", doc.Kind, len(parsed.Documents)).
			Hinted("publish each under a name of its own")
		if len(parsed.Documents) > 1 {
			several = several.On(parsed.Documents[1].Line, parsed.Documents[1].Column)
		}
		return spec, source.Tree{}, several
	}
	tree := source.Tree{Root: parsed.Documents[0], Field: "spec", Secret: doc.Sensitive}
	return spec, tree, tree.Decode(&spec)
}

// decodeOpen is decodeSpec for kinds that hold no secret: their content stands in lists, messages and notifications.
func decodeOpen[T any](doc Document) (T, source.Tree, error) {
	if doc.Sensitive {
		var none T
		return none, source.Tree{}, fault.New(fault.Invalid, "document.not_secret", "a %s holds no secret and cannot be sensitive", doc.Kind).
			At("metadata.sensitive").Hinted("take metadata.sensitive out; secrets belong into a %s", KindReceiver)
	}
	return decodeSpec[T](doc)
}
