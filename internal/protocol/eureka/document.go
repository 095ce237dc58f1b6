package eureka

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"hash/crc32"
	"sync"
	"time"
)

// format is how an answer is written. In the compact ones instances are short.
type format uint8

const (
	formatXML format = iota
	formatXMLCompact
	formatJSON
	formatJSONCompact
	formats // how many there are
)

func (f format) json() bool    { return f >= formatJSON }
func (f format) compact() bool { return f == formatXMLCompact || f == formatJSONCompact }

func (f format) contentType() string {
	if f.json() {
		return "application/json"
	}
	return "application/xml"
}

// lazyDocument is a text, and the same as a deflated stretch; each is made when it is first asked for.
type lazyDocument struct {
	plainOnce, packedOnce sync.Once
	plain, packed         []byte
}

// packer deflates. It is safe for concurrent use.
type packer struct{ writers sync.Pool }

// deflate compresses into blocks of which none is the last, from the beginning of a byte to the end of one (RFC 1951). So stretches can be
// put together to one stream in any order.
func (p *packer) deflate(plain []byte) []byte {
	var packed bytes.Buffer
	writer, _ := p.writers.Get().(*flate.Writer)
	if writer == nil {
		writer, _ = flate.NewWriter(&packed, flate.BestSpeed) // the level is valid
	} else {
		writer.Reset(&packed)
	}
	_, _ = writer.Write(plain) // a buffer takes everything
	_ = writer.Flush()
	p.writers.Put(writer)
	return packed.Bytes()
}

// stored writes short text into a deflated stream as it is.
func stored(b, text []byte, last bool) []byte {
	const most = 1<<16 - 1
	for {
		part := text[:min(len(text), most)]
		text = text[len(part):]
		final := byte(0)
		if last && len(text) == 0 {
			final = 1
		}
		b = append(b, final)
		b = binary.LittleEndian.AppendUint16(b, uint16(len(part)))
		b = binary.LittleEndian.AppendUint16(b, ^uint16(len(part)))
		b = append(b, part...)
		if len(text) == 0 {
			return b
		}
	}
}

// gzipHeader is that of RFC 1952 without name or time.
const gzipHeader = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"

// gzipStream puts a gzip stream (RFC 1952) together.
type gzipStream struct {
	out  []byte
	crc  uint32
	size uint32 // modulo 2^32, as the format has it
}

func newGzipStream(size int) *gzipStream {
	return &gzipStream{out: append(make([]byte, 0, size+len(gzipHeader)+16), gzipHeader...)}
}

func (s *gzipStream) note(plain []byte) {
	s.crc = crc32.Update(s.crc, crc32.IEEETable, plain)
	s.size += uint32(len(plain))
}

func (s *gzipStream) packed(plain, packed []byte) {
	s.note(plain)
	s.out = append(s.out, packed...)
}

func (s *gzipStream) stored(plain []byte) {
	s.note(plain)
	s.out = stored(s.out, plain, false)
}

func (s *gzipStream) finish(plain []byte) []byte {
	s.note(plain)
	s.out = stored(s.out, plain, true)
	s.out = binary.LittleEndian.AppendUint32(s.out, s.crc)
	return binary.LittleEndian.AppendUint32(s.out, s.size)
}

// gzipped is a whole document, compressed.
func (p *packer) gzipped(plain []byte) []byte {
	packed := p.deflate(plain)
	stream := newGzipStream(len(packed))
	stream.packed(plain, packed)
	return stream.finish(nil)
}

// version is what documents say about their version; nobody compares it.
const version = "1"

// wrap is what stands before, between and after the applications of a document.
func (f format) wrap(hash string) (before, between, after []byte) {
	if f.json() {
		before = append(before, `{"applications":{"versions__delta":"`+version+`","apps__hashcode":"`+hash+`","application":[`...)
		return before, []byte{','}, []byte("]}}")
	}
	before = append(before, `<applications><versions__delta>`+version+`</versions__delta><apps__hashcode>`+hash+`</apps__hashcode>`...)
	return before, nil, []byte("</applications>")
}

func (f format) appendMember(b []byte, m member, action string) []byte {
	shown := show(m.service, m.instance, action)
	if f.json() {
		return shown.appendJSON(b, f.compact())
	}
	return shown.appendXML(b, f.compact())
}

// beginApplication, endApplication and between stand around the members of an application.
func (f format) beginApplication(b []byte, name string) []byte {
	if f.json() {
		b = appendJSONString(append(b, `{"name":`...), name)
		return append(b, `,"instance":[`...)
	}
	b = append(b, "<application>"...)
	return appendElement(b, "name", name)
}

func (f format) endApplication(b []byte) []byte {
	if f.json() {
		return append(b, "]}"...)
	}
	return append(b, "</application>"...)
}

func (f format) between(b []byte, first bool) []byte {
	if f.json() && !first {
		return append(b, ',')
	}
	return b
}

// piece is the application as it stands in documents.
func (a *application) piece(f format) []byte {
	lazy := &a.pieces[f]
	lazy.plainOnce.Do(func() {
		b := f.beginApplication(nil, a.name)
		for n, m := range a.members {
			b = f.appendMember(f.between(b, n == 0), m, actionAdded)
		}
		lazy.plain = f.endApplication(b)
	})
	return lazy.plain
}

func (a *application) packedPiece(f format, p *packer) []byte {
	lazy := &a.pieces[f]
	lazy.packedOnce.Do(func() { lazy.packed = p.deflate(a.piece(f)) })
	return lazy.packed
}

// whole is the document of all applications.
func (e *edition) whole(f format, gzip bool, p *packer) []byte {
	lazy := &e.documents[f]
	if !gzip {
		lazy.plainOnce.Do(func() { e.timed(func() { lazy.plain = e.join(f) }) })
		return lazy.plain
	}
	lazy.packedOnce.Do(func() { e.timed(func() { lazy.packed = e.joinPacked(f, p) }) })
	return lazy.packed
}

// timed notes what work costs.
func (e *edition) timed(work func()) {
	begun := time.Now()
	work()
	e.spent.Add(int64(time.Since(begun)))
}

func (e *edition) join(f format) []byte {
	before, between, after := f.wrap(e.counts.hash())
	size := len(before) + len(after)
	for _, a := range e.applications {
		size += len(a.piece(f)) + len(between)
	}
	b := append(make([]byte, 0, size), before...)
	for n, a := range e.applications {
		if n > 0 {
			b = append(b, between...)
		}
		b = append(b, a.piece(f)...)
	}
	return append(b, after...)
}

func (e *edition) joinPacked(f format, p *packer) []byte {
	before, between, after := f.wrap(e.counts.hash())
	size := len(before) + len(after)
	for _, a := range e.applications {
		size += len(a.packedPiece(f, p)) + 8
	}
	stream := newGzipStream(size)
	stream.stored(before)
	for n, a := range e.applications {
		if n > 0 && len(between) > 0 {
			stream.stored(between)
		}
		stream.packed(a.piece(f), a.packedPiece(f, p))
	}
	return stream.finish(after)
}
