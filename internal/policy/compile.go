package policy

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"regexp/syntax"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy/source"
)

// maxCached bounds the compiled schemas that are kept, by the bytes they were written in and
// schemaOverhead for each; in memory they are a few times that.
const (
	maxCached      = 8 << 20
	schemaOverhead = 4 << 10
)

// schemaCache keeps compiled schemas by their content, since every publishing of a
// configuration asks for those of its namespace.
type schemaCache struct {
	mu    sync.Mutex
	known map[[sha256.Size]byte]*cachedSchema
	bytes int
}

type cachedSchema struct {
	schema *compiledSchema
	size   int
}

func newSchemaCache() *schemaCache {
	return &schemaCache{known: map[[sha256.Size]byte]*cachedSchema{}}
}

// get compiles a Schema, or finds it compiled. What is not valid is not kept.
func (c *schemaCache) get(doc Document) (*compiledSchema, error) {
	if doc.Format == "" {
		doc.Format = source.YAML
	}
	hash := sha256.New()
	fmt.Fprintf(hash, "%s\n%s\n%t\n", doc.Name, doc.Format, doc.Sensitive)
	hash.Write(doc.Content)
	var key [sha256.Size]byte
	hash.Sum(key[:0])
	c.mu.Lock()
	found := c.known[key]
	c.mu.Unlock()
	if found != nil {
		return found.schema, nil
	}
	schema, err := compileSchema(doc)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known[key] == nil {
		size := len(doc.Content) + schemaOverhead
		c.known[key] = &cachedSchema{schema: schema, size: size}
		c.bytes += size
	}
	for other, old := range c.known {
		if c.bytes <= maxCached {
			break
		}
		if other != key {
			delete(c.known, other)
			c.bytes -= old.size
		}
	}
	return schema, nil
}

// compiledSchema is a Schema ready to check configurations. It is safe for concurrent use; one
// check runs at a time, since all parts of it draw on one meter.
type compiledSchema struct {
	name  string
	globs []*regexp.Regexp
	root  *jsonschema.Schema
	mu    sync.Mutex
	meter *meter
}

func (s *compiledSchema) appliesTo(name string) bool {
	for _, glob := range s.globs {
		if glob.MatchString(name) {
			return true
		}
	}
	return false
}

func compileSchema(doc Document) (*compiledSchema, error) {
	spec, tree, err := decodeSpec[schemaSpec](doc)
	if err != nil {
		return nil, err
	}
	schema := &compiledSchema{name: doc.Name, meter: &meter{budget: newBudget()}}
	if schema.globs, err = compileGlobs(spec.AppliesTo, tree); err != nil {
		return nil, err
	}
	if spec.Schema.Kind != source.Object && spec.Schema.Kind != source.Bool {
		return nil, tree.At("schema").Fault("document.wrong_type", "want a JSON Schema, an object, got %s", tree.Got(spec.Schema))
	}
	if err := boundSchema(spec.Schema, tree); err != nil {
		return nil, err
	}
	c := &schemaCompiler{tree: tree, spec: spec, meter: schema.meter}
	if schema.root, err = c.compile(); err != nil {
		return nil, err
	}
	return schema, nil
}

func compileGlobs(globs []string, tree source.Tree) ([]*regexp.Regexp, error) {
	if len(globs) == 0 || len(globs) > maxGlobs {
		return nil, tree.At("appliesTo").Fault("document.invalid_value", "want 1 to %d globs of configuration names, got %d", maxGlobs, len(globs)).
			Hinted(`"**" applies to every configuration of the namespace`)
	}
	compiled := make([]*regexp.Regexp, len(globs))
	for i, glob := range globs {
		at := tree.At("appliesTo", i)
		if glob == "" || len(glob) > MaxName {
			return nil, at.Fault("document.invalid_value", "a glob has 1 to %d bytes, this one has %d", MaxName, len(glob))
		}
		var err error
		if compiled[i], err = globPattern(glob); err != nil {
			return nil, at.Fault("document.invalid_value", "not a valid glob").Because(err)
		}
	}
	return compiled, nil
}

// boundSchema refuses schemas whose mere size makes a check expensive.
func boundSchema(root *source.Node, tree source.Tree) error {
	values := 0
	var walk func(n *source.Node, path []any) *fault.Error
	walk = func(n *source.Node, path []any) *fault.Error {
		if values++; values > maxSchemaValues {
			return tree.At("schema").Fault("document.schema_too_large", "the JSON Schema holds more than %d values", maxSchemaValues).
				Hinted("split it into several Schemas")
		}
		for i, item := range n.Items {
			if err := walk(item, append(path, i)); err != nil {
				return err
			}
		}
		for _, f := range n.Fields {
			if f.Key == "enum" && len(f.Value.Items) > maxEnum {
				return tree.At(append(path, f.Key)...).Fault("document.schema_too_large",
					"an enum lists at most %d values, this one %d", maxEnum, len(f.Value.Items)).Hinted("use a pattern")
			}
			if err := walk(f.Value, append(path, f.Key)); err != nil {
				return err
			}
		}
		return nil
	}
	if err := walk(root, []any{"schema"}); err != nil {
		return err
	}
	return nil
}

// schemaURL names the schema inside the compiler. Nothing is ever loaded from it.
const schemaURL = "gantry:///schema"

type schemaCompiler struct {
	tree  source.Tree
	spec  schemaSpec
	meter *meter
}

// errNoLoading is what every reference to the outside gets.
var errNoLoading = errors.New("references to other documents are not loaded")

type noLoader struct{}

func (noLoader) Load(string) (any, error) { return nil, errNoLoading }

func (c *schemaCompiler) compile() (*jsonschema.Schema, error) {
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.UseLoader(noLoader{})
	compiler.AssertFormat()
	compiler.UseRegexpEngine(c.meter.pattern)
	// A vocabulary sees every schema object as it is compiled: so each gets its meter, whatever
	// path leads to it.
	var all []*jsonschema.Schema
	compiler.RegisterVocabulary(&jsonschema.Vocabulary{
		URL:    "gantry:///meter",
		Schema: anything(),
		Compile: func(ctx *jsonschema.CompilerContext, _ map[string]any) (jsonschema.SchemaExt, error) {
			all = append(all, ctx.Enqueue(nil))
			return nil, nil
		},
	})
	compiler.AssertVocabs()
	if err := compiler.AddResource(schemaURL, c.spec.Schema.Plain()); err != nil {
		return nil, c.fault(err)
	}
	schema, err := compiler.Compile(schemaURL)
	if err != nil {
		return nil, c.fault(err)
	}
	for _, s := range all {
		c.meter.attach(s)
	}
	return schema, nil
}

func anything() *jsonschema.Schema {
	yes := true
	return &jsonschema.Schema{Bool: &yes, DraftVersion: 2020}
}

// fault says what is wrong with a JSON Schema, and where.
func (c *schemaCompiler) fault(err error) error {
	var (
		invalid  *jsonschema.SchemaValidationError
		outside  *jsonschema.LoadURLError
		pattern  *jsonschema.InvalidRegexError
		anchor   *jsonschema.AnchorNotFoundError
		pointer  *jsonschema.JSONPointerNotFoundError
		mismatch *jsonschema.ValidationError
	)
	switch {
	case errors.As(err, &invalid) && errors.As(invalid.Err, &mismatch):
		return c.mismatch(mismatch)
	case errors.As(err, &outside):
		return c.reference(outside.URL).Fault("document.schema_remote_ref", "the reference to %s leaves the Schema, and is not loaded", source.Quote(outside.URL)).
			Hinted(`copy what it names under "$defs" and refer to "#/$defs/..."`)
	case errors.As(err, &pattern):
		return invalidPattern(c.at(pattern.URL), pattern.Regex, pattern.Err)
	case errors.As(err, &anchor):
		return c.reference(anchor.Reference).Fault("document.schema_invalid", "there is no anchor for the reference %s", source.Quote(anchor.Reference))
	case errors.As(err, &pointer):
		return c.reference(pointer.URL).Fault("document.schema_invalid", "the reference to %s leads nowhere", source.Quote(local(pointer.URL))).
			Hinted(`refer to what is there, such as "#/$defs/name"`)
	default:
		return c.tree.At("schema").Fault("document.schema_invalid", "not a valid JSON Schema: %s", strings.ReplaceAll(err.Error(), schemaURL, "")).
			Because(err)
	}
}

// mismatch lists where a schema breaks the rules for schemas.
func (c *schemaCompiler) mismatch(err *jsonschema.ValidationError) error {
	var faults []*fault.Error
	var leaves func(e *jsonschema.ValidationError)
	leaves = func(e *jsonschema.ValidationError) {
		if len(e.Causes) > 0 {
			causes := e.Causes
			if _, choice := e.ErrorKind.(*kind.AnyOf); choice {
				causes = causes[:1] // every branch says the same of one value
			}
			for _, cause := range causes {
				leaves(cause)
			}
			return
		}
		if len(faults) < source.MaxFaults {
			place := c.tree.At(append([]any{"schema"}, steps(e.InstanceLocation)...)...)
			if format, ok := e.ErrorKind.(*kind.Format); ok && format.Want == "regex" {
				faults = append(faults, invalidPattern(place, fmt.Sprint(format.Got), format.Err))
				return
			}
			faults = append(faults, place.Fault("document.schema_invalid", "not a valid JSON Schema: %s", explain(e, c.tree.Secret)))
		}
	}
	leaves(err)
	return fault.Join(faults...)
}

func invalidPattern(place source.Place, pattern string, err error) *fault.Error {
	message := err.Error()
	if wrong := (*syntax.Error)(nil); errors.As(err, &wrong) {
		message = wrong.Code.String()
	}
	return place.Fault("document.schema_invalid", "the pattern %s is not valid: %s", source.Quote(pattern), message).
		Hinted("patterns are RE2: there is no look-ahead and there are no back references")
}

func steps(location []string) []any {
	path := make([]any, len(location))
	for i, step := range location {
		path[i] = step
	}
	return path
}

// local is the part of a location that an author would recognise.
func local(location string) string { return strings.TrimPrefix(location, schemaURL) }

// at places a location such as gantry:///schema#/properties/a.
func (c *schemaCompiler) at(location string) source.Place {
	path := []any{"schema"}
	_, fragment, _ := strings.Cut(location, "#")
	if decoded, err := url.PathUnescape(fragment); err == nil {
		fragment = decoded
	}
	for step := range strings.SplitSeq(strings.TrimPrefix(fragment, "/"), "/") {
		if step != "" {
			path = append(path, strings.NewReplacer("~1", "/", "~0", "~").Replace(step))
		}
	}
	return c.tree.At(path...)
}

// reference places the reference that leads to a location: the first whose text is the end of it,
// or else the first that leaves the document.
func (c *schemaCompiler) reference(location string) source.Place {
	var exact, outside []any
	var walk func(n *source.Node, path []any)
	walk = func(n *source.Node, path []any) {
		for i, item := range n.Items {
			walk(item, append(path, i))
		}
		for _, f := range n.Fields {
			here := append(path, f.Key)
			switch f.Key {
			case "$ref", "$dynamicRef", "$recursiveRef", "$schema":
				text := strings.TrimSuffix(f.Value.Text, "#")
				if exact == nil && text != "" && strings.HasSuffix(location, text) {
					exact = append([]any(nil), here...)
				}
				if outside == nil && text != "" && text[0] != '#' {
					outside = append([]any(nil), here...)
				}
			}
			walk(f.Value, here)
		}
	}
	walk(c.spec.Schema, []any{"schema"})
	switch {
	case exact != nil:
		return c.tree.At(exact...)
	case outside != nil:
		return c.tree.At(outside...)
	default:
		return c.tree.At("schema")
	}
}

// budget is what checks may still cost, in evaluations of one schema object on one value, about
// a microsecond each. A schema of a few lines can ask for more than the age of the universe.
type budget struct{ left int }

const fullBudget = 1_000_000

func newBudget() *budget { return &budget{left: fullBudget} }

func (b *budget) spent() bool { return b.left <= 0 }

// meter charges a budget for what the parts of a compiled schema do. The compiledSchema's mutex
// guards it.
type meter struct{ budget *budget }

// overspent unwinds a check that costs too much.
type overspent struct{}

func (m *meter) charge(cost int) {
	if m.budget.left -= cost; m.budget.left <= 0 {
		panic(overspent{})
	}
}

// attach makes a schema object charge for itself before it looks at what is in it, and for the
// objects that it evaluates on the same value.
func (m *meter) attach(s *jsonschema.Schema) {
	cost := 1
	for _, part := range inPlace(s) {
		cost++
		if part.Enum != nil {
			cost += len(part.Enum.Values) / 8
		}
	}
	cost += (len(s.Properties) + len(s.Required)) / 8
	format, name, check := s.Format, "", func(any) error { return nil }
	if format != nil {
		name, check = format.Name, format.Validate
	}
	s.Format = &jsonschema.Format{Name: name, Validate: func(v any) error {
		charge := cost
		switch v := v.(type) {
		case string:
			charge += len(v) / 256
		case json.Number:
			charge += len(v) / 16
		case map[string]any:
			charge += len(v) / 8
		case []any:
			charge += len(v) / 8
		}
		m.charge(charge)
		return check(v)
	}}
}

// maxPattern bounds the instructions of a compiled pattern.
const maxPattern = 5000

// pattern compiles a regular expression that charges for its use.
func (m *meter) pattern(text string) (jsonschema.Regexp, error) {
	m.charge(1 + len(text)/16)
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, err
	}
	if len(program.Inst) > maxPattern {
		return nil, fmt.Errorf("it compiles to %d steps, at most %d are allowed", len(program.Inst), maxPattern)
	}
	compiled, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	return &meteredPattern{compiled, len(program.Inst), m}, nil
}

type meteredPattern struct {
	*regexp.Regexp
	steps int
	meter *meter
}

func (p *meteredPattern) MatchString(s string) bool {
	p.meter.charge(1 + len(s)*p.steps/256)
	return p.Regexp.MatchString(s)
}
