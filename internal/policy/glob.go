package policy

import (
	"regexp"
	"strings"
)

// globPattern turns a glob over document names into a pattern: '*' is any run of characters but
// '/', "**" any run, '?' one character but '/'. All else stands for itself.
func globPattern(glob string) (*regexp.Regexp, error) {
	var b strings.Builder
	b.WriteString(`(?s)^`)
	for i := 0; i < len(glob); {
		switch {
		case strings.HasPrefix(glob[i:], "**"):
			b.WriteString(`.*`)
			i += 2
		case glob[i] == '*':
			b.WriteString(`[^/]*`)
			i++
		case glob[i] == '?':
			b.WriteString(`[^/]`)
			i++
		default:
			end := i + 1
			for end < len(glob) && glob[end] != '*' && glob[end] != '?' {
				end++
			}
			b.WriteString(regexp.QuoteMeta(glob[i:end]))
			i = end
		}
	}
	b.WriteString(`$`)
	return regexp.Compile(b.String())
}

// Glob compiles a pattern over names of documents: '*' is any run of characters but '/', "**" any run, '?' one character but '/'. All
// else stands for itself.
func Glob(pattern string) (*regexp.Regexp, error) { return globPattern(pattern) }
