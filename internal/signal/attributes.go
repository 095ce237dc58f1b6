package signal

import (
	"cmp"
	"slices"
	"strings"

	"github.com/gantry-platform/gantry/internal/fault"
)

// AttributeQuery asks which attributes the newest spans and their resources have, for whoever writes conditions.
type AttributeQuery struct {
	// Namespace is required.
	Namespace string
	// Service, when it is set, looks at spans of that service alone.
	Service string
	// Key is empty to list keys, or names the one whose values are listed, as their text.
	Key string
	// Prefix is what the listed texts begin with, upper and lower case alike.
	Prefix string
	Within Range
	// Limit is the most texts answered, the most frequent first. Default 50, at most 500.
	Limit int
}

const (
	defaultAttributes = 50
	maxAttributes     = 500
	// MaxAttributeText bounds a key or a value that is worth listing: nobody chooses a longer one by its beginning.
	MaxAttributeText = 200
)

// Complete checks a query and fills its defaults, in the same way for every store.
func (q *AttributeQuery) Complete() error {
	switch {
	case q.Namespace == "":
		return fault.New(fault.Invalid, "traces.no_namespace", "attributes are looked for within a namespace").At("namespace")
	case q.Limit < 0 || q.Limit > maxAttributes:
		return fault.New(fault.Invalid, "traces.limit", "%d attributes at once", q.Limit).At("limit").Hinted("ask for 1 to %d, and for what begins with something", maxAttributes)
	case len(q.Key) > 1<<10 || len(q.Prefix) > 1<<10:
		return fault.New(fault.Invalid, "traces.conditions", "a key or prefix of %d bytes", max(len(q.Key), len(q.Prefix))).At("prefix").Hinted("at most 1 KiB")
	}
	q.Limit = cmp.Or(q.Limit, defaultAttributes)
	return nil
}

// Wants tells whether a text is one to list.
func (q *AttributeQuery) Wants(text string) bool {
	return text != "" && len(text) <= MaxAttributeText && len(text) >= len(q.Prefix) && strings.EqualFold(text[:len(q.Prefix)], q.Prefix)
}

// AttributeCount is a key or a value, and how many of the spans that were looked at have it.
type AttributeCount struct {
	Text  string
	Spans int
}

// AttributeResult is the answer to an [AttributeQuery].
type AttributeResult struct {
	Attributes []AttributeCount
	// Spans is how many were looked at.
	Spans int
	// Partial names what could not be asked.
	Partial []string
	// Truncated says that there are more texts than the limit, or spans that were not looked at.
	Truncated bool
}

// CountAttributes makes an answer of counts: the most frequent first.
func CountAttributes(counts map[string]int, limit int) (all []AttributeCount, cut bool) {
	for text, spans := range counts {
		all = append(all, AttributeCount{text, spans})
	}
	slices.SortFunc(all, func(a, b AttributeCount) int {
		return cmp.Or(cmp.Compare(b.Spans, a.Spans), strings.Compare(a.Text, b.Text))
	})
	if len(all) > limit {
		return all[:limit], true
	}
	return all, false
}
