package springconfig

import (
	"bytes"
	"context"
	"net/http"
	"path"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy/source"
)

// file answers the whole configuration as one file in a format.
func (h *Handler) file(ctx context.Context, w http.ResponseWriter, r *http.Request, application, profile, label, format string) error {
	q, err := parse(application, profile, label)
	if err != nil {
		return err
	}
	e, err := h.gather(ctx, r, q)
	if err != nil {
		return err
	}
	all, err := resolved(r, combined(e.portable()))
	if err != nil {
		return err
	}
	if format == source.Properties {
		var text []byte
		for _, p := range all.pairs {
			text = source.AppendProperty(text, p.Key, ": ", p.Value.Text)
		}
		return write(w, "text/plain;charset=UTF-8", text)
	}
	root, err := source.Nest(all.pairs)
	if err != nil {
		return err
	}
	var body bytes.Buffer
	if format == source.JSON {
		writeNode(&body, root)
		return write(w, "application/json", body.Bytes())
	}
	if only := root.Field("document"); only != nil && len(root.Fields) == 1 {
		root = only
	}
	encoder := yaml.NewEncoder(&body)
	encoder.SetIndent(2)
	if err := encoder.Encode(yamlNode(root)); err != nil {
		return err
	}
	return write(w, "text/plain;charset=UTF-8", body.Bytes())
}

// portable are the property sources that hold wherever they are read, without what says when they do.
func (e *environment) portable() []propertySource {
	var sources []propertySource
	for _, s := range e.PropertySources {
		if !s.Source.has(onCloudPlatform) {
			sources = append(sources, propertySource{s.Name, s.Source.without(onProfile)})
		}
	}
	return sources
}

// resolved replaces the placeholders in all values, unless the request asks to leave them.
func resolved(r *http.Request, all settings) (settings, error) {
	if r.URL.Query().Get("resolvePlaceholders") == "false" {
		return all, nil
	}
	p := newPlaceholders(all)
	for i, pair := range all.pairs {
		if pair.Value.Kind != source.String || !strings.Contains(pair.Value.Text, "${") {
			continue
		}
		text, err := p.resolve(pair.Value.Text)
		if err != nil {
			return settings{}, err
		}
		value := *pair.Value
		value.Text = text
		all.pairs[i].Value = &value
	}
	return all, nil
}

func writeNode(b *bytes.Buffer, n *source.Node) {
	switch n.Kind {
	case source.Object:
		b.WriteByte('{')
		for i, field := range n.Fields {
			if i > 0 {
				b.WriteByte(',')
			}
			writeString(b, field.Key)
			b.WriteByte(':')
			writeNode(b, field.Value)
		}
		b.WriteByte('}')
	case source.Array:
		b.WriteByte('[')
		for i, item := range n.Items {
			if i > 0 {
				b.WriteByte(',')
			}
			writeNode(b, item)
		}
		b.WriteByte(']')
	default:
		writeScalar(b, n)
	}
}

func yamlNode(n *source.Node) *yaml.Node {
	switch n.Kind {
	case source.Object:
		node := &yaml.Node{Kind: yaml.MappingNode}
		if len(n.Fields) == 0 {
			node.Style = yaml.FlowStyle
		}
		for _, field := range n.Fields {
			key := new(yaml.Node)
			key.SetString(field.Key)
			node.Content = append(node.Content, key, yamlNode(field.Value))
		}
		return node
	case source.Array:
		node := &yaml.Node{Kind: yaml.SequenceNode}
		for _, item := range n.Items {
			node.Content = append(node.Content, yamlNode(item))
		}
		return node
	case source.Bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: n.Text}
	case source.Number:
		tag := "!!int"
		if strings.ContainsAny(n.Text, ".eE") {
			tag = "!!float"
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: n.Text}
	default:
		node := new(yaml.Node)
		node.SetString(n.Text)
		return node
	}
}

// resource answers /{application}/{profile}/{label}/{path}: a document as it is, of the first profile that has one of its own.
func (h *Handler) resource(ctx context.Context, w http.ResponseWriter, r *http.Request, application, profile, label, name string) error {
	q, err := parse(application, profile, label)
	if err != nil {
		return err
	}
	extension := path.Ext(name)
	candidates := make([]string, 0, len(q.profiles)+1)
	for _, profile := range q.profiles {
		if profile != "default" {
			candidates = append(candidates, strings.TrimSuffix(name, extension)+"-"+profile+extension)
		}
	}
	who := subject(r)
	for _, candidate := range append(candidates, name) {
		v, err := h.read(ctx, q.folder+candidate, who)
		if err != nil {
			return err
		}
		if v == nil {
			continue
		}
		if accepts(r, "application/octet-stream") {
			return write(w, "application/octet-stream", v.Content)
		}
		text := string(v.Content)
		if r.URL.Query().Get("resolvePlaceholders") != "false" && strings.Contains(text, "${") {
			e, err := h.gather(ctx, r, q)
			if err != nil {
				return err
			}
			if text, err = newPlaceholders(combined(e.portable())).resolve(text); err != nil {
				return err
			}
		}
		return write(w, "text/plain;charset=UTF-8", []byte(text))
	}
	return fault.New(fault.NotFound, "springconfig.no_such_resource", "there is no %q", q.folder+name).At("path").
		Hinted("release a Config of that name in the namespace")
}
