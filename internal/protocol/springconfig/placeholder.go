package springconfig

import (
	"strings"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy/source"
)

// Limits of placeholders, which can stand for each other.
const (
	maxPlaceholderDepth = 16
	maxResolved         = 8 << 20 // bytes made by one request, and placeholders looked at
)

// placeholders replaces ${key} and ${key:default}, in which either part may hold further ones. What is not known stays as it is,
// as it may be the client's to know; "\${" is a "${" that was not meant.
type placeholders struct {
	values map[string]*source.Node
	made   int
}

func newPlaceholders(all settings) *placeholders {
	p := &placeholders{values: make(map[string]*source.Node, len(all.pairs))}
	for _, pair := range all.pairs {
		p.values[pair.Key] = pair.Value
	}
	return p
}

func (p *placeholders) resolve(text string) (string, error) { return p.within(text, 0) }

func (p *placeholders) within(text string, depth int) (string, error) {
	var b strings.Builder
	for {
		start := strings.Index(text, "${")
		if start < 0 {
			break
		}
		if start > 0 && text[start-1] == '\\' {
			b.WriteString(text[:start-1] + "${")
			text = text[start+2:]
			continue
		}
		end := closing(text[start+2:])
		if end < 0 {
			break
		}
		b.WriteString(text[:start])
		whole, inner := text[start:start+2+end+1], text[start+2:start+2+end]
		value, err := p.value(whole, inner, depth+1)
		if err != nil {
			return "", err
		}
		b.WriteString(value)
		text = text[start+len(whole):]
		if err := p.spend(len(value) + 1); err != nil {
			return "", err
		}
	}
	b.WriteString(text)
	return b.String(), p.spend(len(text))
}

// value is what a placeholder stands for.
func (p *placeholders) value(whole, inner string, depth int) (string, error) {
	if depth > maxPlaceholderDepth {
		return whole, nil // it stands for itself in the end
	}
	inner, err := p.within(inner, depth)
	if err != nil {
		return "", err
	}
	if node, ok := p.values[inner]; ok {
		return p.within(node.Text, depth)
	}
	key, fallback, has := strings.Cut(inner, ":")
	if !has {
		return whole, nil
	}
	if node, ok := p.values[key]; ok {
		return p.within(node.Text, depth)
	}
	return fallback, nil
}

func (p *placeholders) spend(bytes int) error {
	if p.made += bytes; p.made > maxResolved {
		return fault.New(fault.TooLarge, "springconfig.too_large", "with its placeholders replaced the text has more than %d MiB", maxResolved>>20).
			Hinted("look for placeholders that stand for many others, or ask with resolvePlaceholders=false")
	}
	return nil
}

// closing finds the "}" that ends a placeholder; -1 when there is none.
func closing(text string) int {
	open := 0
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '}' && open == 0:
			return i
		case text[i] == '}':
			open--
		case strings.HasPrefix(text[i:], "${"):
			open++
			i++
		}
	}
	return -1
}
