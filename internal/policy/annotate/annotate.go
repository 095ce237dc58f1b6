// Package annotate writes the texts of an alert from Go templates, as Prometheus's rules know them: {{ $labels.service }} and {{ $value | humanize }}.
//
// Templates come from documents, so they are hostile: there are no loops and no templates within templates, every text that a function makes is
// bounded, and so is the whole. What a template can cost is then bounded by its own length. It imports libraries alone.
package annotate

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"text/template"
	"text/template/parse"
	"time"
)

// Limits, in bytes.
const (
	// MaxTemplate bounds a template's text: a few paragraphs.
	MaxTemplate = 4 << 10
	// MaxText bounds what it writes, and what any function within it makes.
	MaxText = 8 << 10
)

// Data is what a template sees.
type Data struct {
	// Labels are $labels; one that is not there is empty.
	Labels map[string]string
	// Value is $value.
	Value float64
	// Expected is $expected: what a baseline took for normal, otherwise NaN.
	Expected float64
}

// Template is a parsed template. It is safe for concurrent use.
type Template struct{ parsed *template.Template }

const preamble = `{{$labels := .Labels}}{{$value := .Value}}{{$expected := .Expected}}`

// Parse reads a template. Errors say what is wrong and where, in words for people.
func Parse(text string) (*Template, error) {
	if len(text) > MaxTemplate {
		return nil, fmt.Errorf("the template has %d bytes, at most %d are allowed", len(text), MaxTemplate)
	}
	parsed, err := template.New("text").Funcs(functions()).Option("missingkey=zero").Parse(preamble + text)
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "template: text:"))
	}
	if len(parsed.Templates()) > 1 {
		return nil, errors.New("a template cannot define another")
	}
	if err := check(parsed.Root); err != nil {
		return nil, err
	}
	return &Template{parsed}, nil
}

// check refuses what could run for long.
func check(list *parse.ListNode) error {
	if list == nil {
		return nil
	}
	for _, node := range list.Nodes {
		switch n := node.(type) {
		case *parse.RangeNode:
			return errors.New("range is not allowed in a template")
		case *parse.TemplateNode:
			return errors.New("template is not allowed in a template")
		case *parse.IfNode:
			if err := errors.Join(check(n.List), check(n.ElseList)); err != nil {
				return err
			}
		case *parse.WithNode:
			if err := errors.Join(check(n.List), check(n.ElseList)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Execute writes the text, which is valid UTF-8. Errors are of values that a function cannot take.
func (t *Template) Execute(data Data) (string, error) {
	w := &bounded{left: MaxText}
	if err := t.parsed.Execute(w, data); err != nil {
		return "", errors.New(strings.TrimPrefix(err.Error(), "template: text:"))
	}
	return strings.ToValidUTF8(w.text.String(), "\uFFFD"), nil
}

type bounded struct {
	text strings.Builder
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, errTooLong()
	}
	return b.text.Write(p)
}

func errTooLong() error { return fmt.Errorf("the text is longer than %d bytes", MaxText) }

func bound(text string) (string, error) {
	if len(text) > MaxText {
		return "", errTooLong()
	}
	return text, nil
}

// functions take the place of those that Go's templates have by themselves where these could make texts of any length.
func functions() template.FuncMap {
	return template.FuncMap{
		"humanize": humanize, "humanize1024": humanize1024, "humanizePercentage": humanizePercentage,
		"humanizeDuration": humanizeDuration, "humanizeTimestamp": humanizeTimestamp,
		"toUpper": strings.ToUpper, "toLower": strings.ToLower,
		"title":        func(s string) string { return strings.ToUpper(s[:min(1, len(s))]) + s[min(1, len(s)):] },
		"match":        match,
		"reReplaceAll": replaceAll,
		"stripPort":    func(s string) string { host, _, _ := strings.Cut(s, ":"); return host },
		"print":        func(args ...any) (string, error) { return bound(fmt.Sprint(args...)) },
		"println":      func(args ...any) (string, error) { return bound(fmt.Sprintln(args...)) },
		"printf":       func(format string, args ...any) (string, error) { return bound(fmt.Sprintf(format, args...)) },
		"html":         func(s string) (string, error) { return bound(template.HTMLEscapeString(s)) },
		"js":           func(s string) (string, error) { return bound(template.JSEscapeString(s)) },
		"urlquery":     func(s string) (string, error) { return bound(template.URLQueryEscaper(s)) },
	}
}

func match(pattern, text string) (bool, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return false, err
	}
	return re.MatchString(text), nil
}

func replaceAll(pattern, replacement, text string) (string, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return "", err
	}
	// Each match makes at most the replacement with the whole text in place of every reference.
	if len(text) > MaxText/8 || len(replacement) > 256 {
		return "", errTooLong()
	}
	return bound(re.ReplaceAllString(text, replacement))
}

func number(v any) (float64, error) {
	switch v := v.(type) {
	case float64:
		return v, nil
	case int:
		return float64(v), nil
	case string:
		return strconv.ParseFloat(v, 64)
	default:
		return 0, fmt.Errorf("want a number, got %T", v)
	}
}

// plain are the numbers that no unit helps.
func plain(f float64) bool { return f == 0 || math.IsNaN(f) || math.IsInf(f, 0) }

func scaled(v any, base float64, large []string, small []string) (string, error) {
	f, err := number(v)
	if err != nil {
		return "", err
	}
	unit := ""
	switch {
	case plain(f):
	case math.Abs(f) >= 1:
		for _, u := range large {
			if math.Abs(f) < base {
				break
			}
			unit, f = u, f/base
		}
	default:
		for _, u := range small {
			if math.Abs(f) >= 1 {
				break
			}
			unit, f = u, f*base
		}
	}
	return fmt.Sprintf("%.4g%s", f, unit), nil
}

func humanize(v any) (string, error) {
	return scaled(v, 1000, []string{"k", "M", "G", "T", "P", "E", "Z", "Y"}, []string{"m", "u", "n", "p", "f", "a", "z", "y"})
}

func humanize1024(v any) (string, error) {
	return scaled(v, 1024, []string{"ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"}, nil)
}

func humanizePercentage(v any) (string, error) {
	f, err := number(v)
	return fmt.Sprintf("%.4g%%", f*100), err
}

func humanizeDuration(v any) (string, error) {
	f, err := number(v)
	switch {
	case err != nil:
		return "", err
	case plain(f):
		return fmt.Sprintf("%.4gs", f), nil
	case math.Abs(f) < 1:
		return scaledSeconds(f)
	case math.Abs(f) < 60:
		return fmt.Sprintf("%.4gs", f), nil
	}
	sign, rest := "", int64(math.Min(math.Abs(f), 1e15))
	if f < 0 {
		sign = "-"
	}
	days, hours, minutes, seconds := rest/86400, rest/3600%24, rest/60%60, rest%60
	switch {
	case days > 0:
		return fmt.Sprintf("%s%dd %dh %dm %ds", sign, days, hours, minutes, seconds), nil
	case hours > 0:
		return fmt.Sprintf("%s%dh %dm %ds", sign, hours, minutes, seconds), nil
	default:
		return fmt.Sprintf("%s%dm %ds", sign, minutes, seconds), nil
	}
}

func scaledSeconds(f float64) (string, error) {
	text, err := humanize(f)
	return text + "s", err
}

func humanizeTimestamp(v any) (string, error) {
	f, err := number(v)
	if err != nil {
		return "", err
	}
	if plain(f) && f != 0 || math.Abs(f) > 1e11 {
		return "", fmt.Errorf("%v is no time", f)
	}
	return time.UnixMilli(int64(f * 1000)).UTC().Format(time.RFC3339), nil
}
