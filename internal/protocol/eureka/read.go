package eureka

import (
	"net/http"

	"github.com/gantry-platform/gantry/internal/fault"
)

func errUnknown(what, name string) *fault.Error {
	return fault.New(fault.NotFound, "eureka.unknown", "there is no %s %q", what, cut(name)).
		Hinted("it may have been removed after a silence: register again")
}

func (op *operation) document(body []byte, gzip bool) answer {
	return answer{status: http.StatusOK, format: op.format, body: body, gzip: gzip}
}

// envelope is one thing by itself: JSON says what it is, XML says so anyway.
func (op *operation) envelope(name string, piece []byte) answer {
	if !op.format.json() {
		return op.document(piece, false)
	}
	b := make([]byte, 0, len(piece)+len(name)+5)
	b = append(b, `{"`...)
	b = append(b, name...)
	b = append(b, `":`...)
	b = append(b, piece...)
	return op.document(append(b, '}'), false)
}

func (op *operation) oneApplication(e *edition, name string) (answer, error) {
	a := e.application(name)
	if a == nil {
		return answer{}, errUnknown("application", name)
	}
	return op.envelope("application", a.piece(op.format)), nil
}

func (op *operation) oneInstance(app, id string) (answer, error) {
	m := op.resolve(app, id)
	if m == nil {
		return answer{}, errUnknown("instance", id)
	}
	return op.envelope("instance", op.format.appendMember(nil, *m, actionAdded)), nil
}

// instanceAnywhere finds an instance by its id alone. It is a rare question: no index is kept for it.
func (op *operation) instanceAnywhere(e *edition, id string) (answer, error) {
	for _, a := range e.applications {
		if m := a.member(id); m != nil {
			return op.envelope("instance", op.format.appendMember(nil, *m, actionAdded)), nil
		}
	}
	return answer{}, errUnknown("instance", id)
}

// byAddress are the applications and instances of a virtual address, with the hash of just these; none is no error.
func (op *operation) byAddress(e *edition, vip string, secure bool) answer {
	var list []byte
	var counts counts
	found := 0
	for _, a := range e.applications {
		if !a.answersTo(vip, secure) {
			continue
		}
		list = op.format.beginApplication(op.format.between(list, found == 0), a.name)
		found++
		members := 0
		for _, m := range a.members {
			if hasAddress(m, vip, secure) {
				list = op.format.appendMember(op.format.between(list, members == 0), m, actionAdded)
				counts[shownStatus(m.instance)]++
				members++
			}
		}
		list = op.format.endApplication(list)
	}
	before, _, after := op.format.wrap(counts.hash())
	body := append(append(before, list...), after...)
	if op.gzip {
		return op.document(op.packer.gzipped(body), true)
	}
	return op.document(body, false)
}
