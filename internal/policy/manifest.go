package policy

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy/source"
)

// Limits of a file of manifests.
const (
	MaxManifestFile = 16 << 20 // bytes
	MaxManifests    = 10_000   // in one file
)

// Manifest is a document as a file holds it.
type Manifest struct {
	Document
	// File is the name of the file, as it was given.
	File string
	// Line is where the manifest starts, from 1.
	Line int
	at   contentPlace
}

// contentPlace says where a document's content stands in its file.
type contentPlace struct {
	line, column int
	// verbatim content stands in whole lines: its first line is the file's line, indented by
	// column-1. Other content is only known to start there.
	verbatim bool
}

// Locate turns the positions of an error about the content, as [Registry.Validate] or the server
// returns it, into positions in the file, and puts the file's name before the message. It returns
// errors that are no faults unchanged.
func (m Manifest) Locate(err error) error {
	f, ok := fault.As(err)
	if !ok {
		return err
	}
	return m.locate(f)
}

func (m Manifest) locate(f *fault.Error) *fault.Error {
	moved := *f
	switch {
	case f.Line == 0:
		moved.Line, moved.Column = m.Line, 0
	case m.at.verbatim:
		moved.Line += m.at.line - 1
		if f.Column > 0 {
			moved.Column += m.at.column - 1
		}
	default:
		moved.Line, moved.Column = m.at.line, m.at.column
	}
	moved.Message = filePlace(m.File, moved.Line, moved.Column) + moved.Message
	moved.Others = make([]*fault.Error, len(f.Others))
	for i, other := range f.Others {
		moved.Others[i] = m.locate(other)
	}
	return &moved
}

func filePlace(file string, line, column int) string {
	switch {
	case line == 0:
		return file + ": "
	case column == 0:
		return fmt.Sprintf("%s:%d: ", file, line)
	default:
		return fmt.Sprintf("%s:%d:%d: ", file, line, column)
	}
}

// inFile puts the file's name and place before the messages of an error with positions in it.
func inFile(file string, err error) error {
	f, ok := fault.As(err)
	if !ok {
		return err
	}
	named := *f
	named.Message = filePlace(file, f.Line, f.Column) + f.Message
	named.Others = make([]*fault.Error, len(f.Others))
	for i, other := range f.Others {
		named.Others[i] = inFile(file, other).(*fault.Error)
	}
	return &named
}

// envelope is what every manifest has.
type envelope struct {
	Kind     string `json:"kind" spec:"required"`
	Metadata struct {
		// Namespace may be left out: the reader decides what it is then.
		Namespace string `json:"namespace"`
		Name      string `json:"name" spec:"required"`
		// Sensitive is for kinds other than Config, whose spec says it.
		Sensitive *bool `json:"sensitive"`
	} `json:"metadata" spec:"required"`
	Spec *source.Node `json:"spec"`
	// Source is the content as text, for kinds other than Config: what a spec cannot show
	// byte for byte.
	Source *source.Node `json:"source"`
}

// textSpec is the spec of a Config, and the source of any other kind.
type textSpec struct {
	Format    string `json:"format"`
	Sensitive bool   `json:"sensitive"`
	// Content is text; ContentBase64 are bytes that no text can show. One of them.
	Content       *string `json:"content"`
	ContentBase64 *string `json:"contentBase64"`
}

// ParseManifests reads the manifests of a file: YAML with any number of documents, or one JSON object
// or list of objects. It is strict: unknown fields and wrong types are refused. It does not ask what a
// kind says, see [Registry.Validate]. Errors are faults of class Invalid, or TooLarge above
// [MaxManifestFile], whose messages start with "file:line:column: ".
func ParseManifests(file string, data []byte) ([]Manifest, error) {
	if len(data) > MaxManifestFile {
		return nil, fault.New(fault.TooLarge, "manifest.too_large", "%s: the file has %d bytes, at most %d are allowed", file, len(data), MaxManifestFile).
			Hinted("split it into several files")
	}
	manifests, err := parseManifests(file, bytes.TrimPrefix(data, []byte("\ufeff")))
	if err != nil {
		return nil, inFile(file, err)
	}
	return manifests, nil
}

func parseManifests(file string, data []byte) ([]Manifest, error) {
	format := source.YAML
	if start := bytes.TrimSpace(data); strings.EqualFold(path.Ext(file), ".json") || len(start) > 0 && start[0] == '{' && json.Valid(data) {
		format = source.JSON
	}
	parsed, err := source.Parse(format, data)
	if err != nil {
		return nil, err
	}
	roots := parsed.Documents
	if format == source.JSON && roots[0].Kind == source.Array {
		roots = roots[0].Items
	}
	if len(roots) > MaxManifests {
		return nil, fault.New(fault.Invalid, "manifest.too_many", "the file holds %d manifests, at most %d are allowed", len(roots), MaxManifests).
			Hinted("split it into several files")
	}
	var manifests []Manifest
	var faults []*fault.Error
	lines := textLines{format: format, lines: bytes.SplitAfter(data, []byte("\n"))}
	for _, root := range roots {
		if root.Kind == source.Object && len(root.Fields) == 0 {
			continue // between two "---"
		}
		manifest, err := readManifest(root, lines)
		if f, ok := fault.As(err); ok {
			if faults = append(faults, f); len(faults) >= source.MaxFaults {
				break
			}
			continue
		}
		manifest.File = file
		manifests = append(manifests, manifest)
	}
	if err := fault.Join(faults...); err != nil {
		return nil, err
	}
	return manifests, nil
}

func readManifest(root *source.Node, lines textLines) (Manifest, error) {
	tree := source.Tree{Root: root}
	var e envelope
	if err := tree.Decode(&e); err != nil {
		return Manifest{}, err
	}
	m := Manifest{Line: root.Line}
	m.Kind, m.Namespace, m.Name = e.Kind, e.Metadata.Namespace, e.Metadata.Name
	if m.Namespace != "" {
		if err := ValidateName("metadata.namespace", m.Namespace); err != nil {
			return Manifest{}, placed(err, tree.At("metadata", "namespace"))
		}
	}
	if err := validateNameOf(m.Kind, "metadata.name", m.Name); err != nil {
		return Manifest{}, placed(err, tree.At("metadata", "name"))
	}
	if e.Metadata.Sensitive != nil {
		m.Sensitive = *e.Metadata.Sensitive
	}
	switch {
	case e.Kind == kindConfig && e.Metadata.Sensitive != nil:
		return Manifest{}, tree.Key("metadata", "sensitive").Fault("document.unknown_field", "a Config says in its spec whether it is sensitive").
			Hinted("write spec.sensitive")
	case e.Kind == kindConfig && e.Source != nil:
		return Manifest{}, tree.Key("source").Fault("document.unknown_field", "a Config has no source").Hinted("write spec.content")
	case (e.Spec == nil) == (e.Source == nil):
		return Manifest{}, tree.At("spec").Fault("document.missing_field", "a manifest has a spec").Hinted("add it")
	case e.Kind == kindConfig:
		return m, m.readText(source.Tree{Root: e.Spec, Field: "spec"}, lines)
	case e.Source != nil:
		sensitive := m.Sensitive
		err := m.readText(source.Tree{Root: e.Source, Field: "source"}, lines)
		m.Sensitive = m.Sensitive || sensitive
		return m, err
	default:
		return m, m.readSpec(root, e.Spec, lines)
	}
}

func placed(err error, at source.Place) error {
	if f, ok := fault.As(err); ok {
		return f.On(at.Line, at.Column)
	}
	return err
}

// readText takes the content from a text field.
func (m *Manifest) readText(tree source.Tree, lines textLines) error {
	tree.Secret = true // it may be sensitive, whatever is wrong with it
	var spec textSpec
	if err := tree.Decode(&spec); err != nil {
		return err
	}
	m.Format, m.Sensitive = spec.Format, spec.Sensitive
	if m.Format == "" {
		m.Format = FormatOf(m.Name)
	}
	switch {
	case (spec.Content == nil) == (spec.ContentBase64 == nil):
		return tree.At("content").Fault("document.missing_field", "want either content or contentBase64").Hinted("write the text under content: |")
	case spec.Content != nil:
		m.Content = []byte(*spec.Content)
		m.at = lines.literal(tree.Root.Field("content"), m.Content)
	default:
		content, err := base64.StdEncoding.DecodeString(*spec.ContentBase64)
		at := tree.At("contentBase64")
		if err != nil {
			return at.Fault("document.invalid_value", "not valid base64").Because(err).Hinted("use the standard alphabet, with padding")
		}
		m.Content = content
		m.at = contentPlace{line: at.Line, column: at.Column}
	}
	return nil
}

// readSpec takes the spec's own text as the content: as its author wrote it, comments and all,
// less its indentation. Where that is not possible (JSON, flow style, anchors of elsewhere) the
// spec is written anew.
func (m *Manifest) readSpec(root, spec *source.Node, lines textLines) error {
	m.Format = source.YAML
	if content, at, ok := lines.block(root, spec); ok {
		if parsed, err := source.Parse(source.YAML, content); err == nil && len(parsed.Documents) == 1 && sameValue(parsed.Documents[0], spec) {
			m.Content, m.at = content, at
			return nil
		}
	}
	content, err := yaml.Marshal(yamlNode(spec))
	if err != nil {
		return fault.New(fault.Invalid, "document.syntax", "the spec cannot be written as YAML").At("spec").On(spec.Line, spec.Column).Because(err)
	}
	m.Content, m.at = content, contentPlace{line: spec.Line, column: spec.Column}
	return nil
}

// sameValue compares all but places.
func sameValue(a, b *source.Node) bool {
	return a.Kind == b.Kind && a.Text == b.Text &&
		slices.EqualFunc(a.Items, b.Items, sameValue) &&
		slices.EqualFunc(a.Fields, b.Fields, func(a, b source.Field) bool { return a.Key == b.Key && sameValue(a.Value, b.Value) })
}

func yamlNode(n *source.Node) *yaml.Node {
	node := &yaml.Node{Kind: yaml.ScalarNode, Value: n.Text}
	switch n.Kind {
	case source.Null:
		node.Tag, node.Value = "!!null", "null"
	case source.Bool:
		node.Tag = "!!bool"
	case source.Number:
		node.Tag = "!!int"
		if strings.ContainsAny(n.Text, ".eE") {
			node.Tag = "!!float"
		}
	case source.String:
		node.SetString(n.Text)
	case source.Array:
		node.Kind, node.Tag = yaml.SequenceNode, "!!seq"
		for _, item := range n.Items {
			node.Content = append(node.Content, yamlNode(item))
		}
	case source.Object:
		node.Kind, node.Tag = yaml.MappingNode, "!!map"
		for _, f := range n.Fields {
			key := &yaml.Node{Kind: yaml.ScalarNode}
			key.SetString(f.Key)
			node.Content = append(node.Content, key, yamlNode(f.Value))
		}
	}
	return node
}
