package springconfig

import (
	"slices"
	"strings"

	"github.com/gantry-platform/gantry/internal/fault"
)

// maxExpression bounds an expression over profiles, and so how deep it is.
const maxExpression = 256

// matches evaluates an expression over profiles as Spring has it: names, "!", "&", "|" and brackets; "&" and "|" are only
// mixed in brackets.
func matches(expression string, profiles []string) (bool, *fault.Error) {
	if len(expression) > maxExpression {
		return false, fault.New(fault.Invalid, "springconfig.bad_profile", "the expression has %d bytes", len(expression)).Hinted("at most %d", maxExpression)
	}
	p := &profileParser{rest: expression, profiles: profiles}
	value, ok := p.expression()
	if !ok || strings.TrimSpace(p.rest) != "" {
		return false, fault.New(fault.Invalid, "springconfig.bad_profile", "%q is no expression over profiles", expression).
			Hinted(`write it as "prod", "!prod", "prod & eu" or "(prod & eu) | test"`)
	}
	return value, nil
}

type profileParser struct {
	rest     string
	profiles []string
}

// next takes one of some characters, spaces before it aside.
func (p *profileParser) next(characters string) byte {
	p.rest = strings.TrimLeft(p.rest, " \t")
	if p.rest == "" || strings.IndexByte(characters, p.rest[0]) < 0 {
		return 0
	}
	c := p.rest[0]
	p.rest = p.rest[1:]
	return c
}

func (p *profileParser) expression() (value, ok bool) {
	if value, ok = p.operand(); !ok {
		return false, false
	}
	var operator byte
	for {
		c := p.next("&|")
		if c == 0 {
			return value, true
		}
		if operator != 0 && c != operator {
			return false, false
		}
		operator = c
		other, ok := p.operand()
		if !ok {
			return false, false
		}
		if c == '&' {
			value = value && other
		} else {
			value = value || other
		}
	}
}

func (p *profileParser) operand() (value, ok bool) {
	switch p.next("!(") {
	case '!':
		value, ok = p.operand()
		return !value, ok
	case '(':
		value, ok = p.expression()
		return value, ok && p.next(")") != 0
	}
	end := strings.IndexAny(p.rest, "!&|()")
	if end < 0 {
		end = len(p.rest)
	}
	name := strings.TrimSpace(p.rest[:end])
	p.rest = p.rest[end:]
	return slices.Contains(p.profiles, name), name != ""
}
