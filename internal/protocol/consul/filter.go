package consul

import (
	"strings"

	"github.com/hashicorp/go-bexpr"

	"github.com/gantry-platform/gantry/internal/fault"
)

// Limits of a filter expression.
const (
	maxFilterBytes = 4 << 10
	// maxFilterSteps bounds the parser, which goes back and tries again; an expression of the full size needs less.
	maxFilterSteps = 500_000
	// maxFilterDepth bounds nesting, which the evaluator follows by recursion.
	maxFilterDepth = 64
)

// filter keeps what the call's filter expression matches: an expression of Consul's language over the fields of the answer.
func filter[T any](c *call, all []T) ([]T, error) {
	matches, err := matcher[T](c)
	if err != nil || matches == nil {
		return all, err
	}
	kept := make([]T, 0, len(all))
	for _, item := range all {
		match, err := matches(item)
		if err != nil {
			return nil, err
		}
		if match {
			kept = append(kept, item)
		}
	}
	return kept, nil
}

// filterMap is filter for answers that are objects.
func filterMap[T any](c *call, all map[string]T) (map[string]T, error) {
	matches, err := matcher[T](c)
	if err != nil || matches == nil {
		return all, err
	}
	kept := make(map[string]T, len(all))
	for key, item := range all {
		match, err := matches(item)
		if err != nil {
			return nil, err
		}
		if match {
			kept[key] = item
		}
	}
	return kept, nil
}

// matcher compiles the call's filter; nil when there is none.
func matcher[T any](c *call) (func(T) (bool, error), error) {
	evaluator, err := compileFilter(c.filter)
	if err != nil || evaluator == nil {
		return nil, err
	}
	match := func(item T) (bool, error) {
		match, err := evaluator.Evaluate(item)
		if err != nil {
			return false, errFilter("%v", err)
		}
		return match, nil
	}
	var zero T
	if pointer, ok := any(zero).(interface{ example() T }); ok { // so that a wrong field is told even when there is nothing to filter
		zero = pointer.example()
	}
	_, err = match(zero)
	return match, err
}

func compileFilter(expression string) (*bexpr.Evaluator, error) {
	switch {
	case expression == "":
		return nil, nil
	case len(expression) > maxFilterBytes:
		return nil, errFilter("an expression of %d bytes; use at most %d", len(expression), maxFilterBytes)
	case strings.Count(expression, "(")+strings.Count(strings.ToLower(expression), "not ") > maxFilterDepth:
		return nil, errFilter("more than %d parentheses and negations", maxFilterDepth)
	}
	evaluator, err := bexpr.CreateEvaluator(expression, bexpr.WithMaxExpressions(maxFilterSteps))
	if err != nil {
		return nil, errFilter("%v", err)
	}
	return evaluator, nil
}

func errFilter(format string, args ...any) *fault.Error {
	f := fault.New(fault.Invalid, "consul.filter", "Failed to create boolean expression evaluator: "+format, args...).At("filter")
	return f.Hinted("name fields as they stand in the answer, such as ServiceMeta.version == \"v1\"")
}

// The examples are what a filter is tried on before there is an answer.
func (*agentService) example() *agentService { return new(agentService) }
func (*node) example() *node                 { return new(node) }
func (serviceEntry) example() serviceEntry {
	return serviceEntry{Node: new(node), Service: new(agentService)}
}
