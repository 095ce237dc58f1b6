package springconfig

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/gantry-platform/gantry/internal/policy/source"
)

const (
	onProfile = "spring.config.activate.on-profile"
	// onCloudPlatform is for the client to decide, who knows where it runs.
	onCloudPlatform = "spring.config.activate.on-cloud-platform"
	// legacyProfiles is what onProfile was called before Spring Boot 2.4. Newer clients refuse to start with it.
	legacyProfiles = "spring.profiles"
)

// settings are the keys and values of a property source, in the order of the text.
type settings struct {
	pairs []source.Pair
	// origins writes each value with the place where it stands.
	origins bool
}

// unique keeps the last value of each key.
func unique(pairs []source.Pair) settings {
	at := make(map[string]int, len(pairs))
	all := make([]source.Pair, 0, len(pairs))
	for _, p := range pairs {
		if i, twice := at[p.Key]; twice {
			all[i] = p
			continue
		}
		at[p.Key] = len(all)
		all = append(all, p)
	}
	return settings{pairs: all}
}

// named reports whether a key is name or one of the items of a list of that name.
func named(key, name string) bool {
	rest, ok := strings.CutPrefix(key, name)
	return ok && (rest == "" || rest[0] == '[')
}

// without leaves out what is called so.
func (s settings) without(names ...string) settings {
	var kept []source.Pair
	for _, p := range s.pairs {
		drop := false
		for _, name := range names {
			drop = drop || named(p.Key, name)
		}
		if !drop {
			kept = append(kept, p)
		}
	}
	s.pairs = kept
	return s
}

// has reports whether something is called so.
func (s settings) has(name string) bool {
	for _, p := range s.pairs {
		if named(p.Key, name) {
			return true
		}
	}
	return false
}

// active reports whether the settings are for some of the profiles.
func (s settings) active(profiles []string) (bool, error) {
	for _, name := range []string{onProfile, legacyProfiles} {
		fits, bound := false, false
		for _, p := range s.pairs {
			if !named(p.Key, name) || p.Value.Text == "" {
				continue
			}
			bound = true
			for expression := range strings.SplitSeq(p.Value.Text, ",") {
				ok, err := matches(expression, profiles)
				if err != nil {
					return false, err.At(p.Key).On(p.Value.Line, p.Value.Column)
				}
				fits = fits || ok
			}
		}
		if bound && !fits {
			return false, nil
		}
	}
	return true, nil
}

// MarshalJSON keeps the order, in which people read it.
func (s settings) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, p := range s.pairs {
		if i > 0 {
			b.WriteByte(',')
		}
		writeString(&b, p.Key)
		b.WriteByte(':')
		if s.origins {
			b.WriteString(`{"value":`)
		}
		writeScalar(&b, p.Value)
		if s.origins {
			fmt.Fprintf(&b, `,"origin":"%d:%d"}`, p.Value.Line, p.Value.Column)
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// writeScalar writes a value as Spring does: nothing is an empty string.
func writeScalar(b *bytes.Buffer, n *source.Node) {
	switch n.Kind {
	case source.Bool, source.Number:
		b.WriteString(n.Text)
	default:
		writeString(b, n.Text)
	}
}

func writeString(b *bytes.Buffer, text string) {
	encoder := json.NewEncoder(b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a string always can be
	b.Truncate(b.Len() - 1)  // the line end
}

// combined lays property sources over each other, the first on top. A list of a stronger source replaces that of a weaker one
// as a whole.
func combined(sources []propertySource) settings {
	values := map[string]*source.Node{}
	var order []string
	lists := map[string][]source.Pair{}
	var listOrder []string
	for i := len(sources) - 1; i >= 0; i-- {
		own := map[string][]source.Pair{}
		for _, p := range sources[i].Source.pairs {
			if name, _, indexed := strings.Cut(p.Key, "["); indexed {
				own[name] = append(own[name], p)
				if _, known := lists[name]; !known {
					lists[name] = nil
					listOrder = append(listOrder, name)
				}
				continue
			}
			if _, known := values[p.Key]; !known {
				order = append(order, p.Key)
			}
			values[p.Key] = p.Value
		}
		for name, pairs := range own {
			lists[name] = pairs
		}
	}
	var all settings
	for _, key := range order {
		all.pairs = append(all.pairs, source.Pair{Key: key, Value: values[key]})
	}
	for _, name := range listOrder {
		all.pairs = append(all.pairs, lists[name]...)
	}
	return all
}
