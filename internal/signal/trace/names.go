package trace

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"github.com/gantry-platform/gantry/internal/signal"
)

// name is an endpoint of a service that spans were seen of.
type name struct {
	Namespace string      `json:"n"`
	Service   string      `json:"s"`
	Endpoint  string      `json:"e"`
	Kind      signal.Kind `json:"k"`
}

// maxNames bounds the names of a head and of a block. A fleet of 300 services with 20 endpoints each fits; what is beyond is
// still found by searching, and only missing from the lists.
const maxNames = 8192

type names map[name]struct{}

func newNames() names { return names{} }

// add keeps a clone: names come from requests.
func (n names) add(one name) {
	if _, ok := n[one]; ok || len(n) >= maxNames {
		return
	}
	one.Namespace, one.Service, one.Endpoint = strings.Clone(one.Namespace), strings.Clone(one.Service), strings.Clone(one.Endpoint)
	n[one] = struct{}{}
}

func (n names) encode() string {
	list := make([]name, 0, len(n))
	for one := range n {
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b name) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Service, b.Service), cmp.Compare(a.Endpoint, b.Endpoint), cmp.Compare(a.Kind, b.Kind))
	})
	text, err := json.Marshal(list)
	if err != nil {
		return "[]" // cannot be: names are strings and numbers
	}
	return string(text)
}

func decodeNames(text string) (names, error) {
	var list []name
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, err
	}
	out := newNames()
	for _, one := range list[:min(len(list), maxNames)] {
		out[one] = struct{}{}
	}
	return out, nil
}
