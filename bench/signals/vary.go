package main

import (
	"encoding/binary"
	"hash/maphash"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
)

// pass is one replay of a corpus. Passes of a worker change the same spans again and again; ids are changed by exclusive or, so that what pointed to each
// other still does.
type pass struct {
	seed maphash.Seed
	// key is what ids are changed by, and shift is added to times.
	key   [16]byte
	shift uint64
	// words remembers values that were changed: an order has the same number in all its spans.
	words map[string]string
}

func newPass(number, shift uint64) *pass {
	p := &pass{seed: maphash.MakeSeed(), shift: shift, words: map[string]string{}}
	binary.LittleEndian.PutUint64(p.key[:], scramble(number))
	binary.LittleEndian.PutUint64(p.key[8:], scramble(number^0x9e3779b97f4a7c15))
	return p
}

// scramble spreads a number over 64 bits (splitmix64, https://prng.di.unimi.it/splitmix64.c).
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (p *pass) vary(s *otlp.Span, varied map[string]bool) {
	for _, id := range [][]byte{s.TraceId, s.SpanId, s.ParentSpanId} {
		for i := range id {
			id[i] ^= p.key[i]
		}
	}
	s.StartTimeUnixNano += p.shift
	s.EndTimeUnixNano += p.shift
	for _, e := range s.Events {
		e.TimeUnixNano += p.shift
	}
	for _, a := range s.Attributes {
		if varied[a.Key] {
			p.value(a.Value)
		}
	}
}

func (p *pass) value(v *common.AnyValue) {
	switch v := v.Value.(type) {
	case *common.AnyValue_StringValue:
		v.StringValue = p.word(v.StringValue)
	case *common.AnyValue_IntValue:
		if v.IntValue > 9 {
			// Another number of about the size: the lower three quarters of its bits change.
			size := 1
			for v.IntValue>>size > 0 {
				size++
			}
			mask := int64(1)<<(size*3/4) - 1
			v.IntValue ^= int64(maphash.Comparable(p.seed, v.IntValue)) & mask
		}
	}
}

// word changes letters to other letters and digits to other digits. A prefix up to a dash stays, as in "order-17".
func (p *pass) word(text string) string {
	if changed, ok := p.words[text]; ok {
		return changed
	}
	out := []byte(text)
	start := 0
	for i, b := range out[:min(len(out), 8)] {
		if b == '-' {
			start = i + 1
		}
	}
	sum := maphash.String(p.seed, text)
	for i := start; i < len(out); i++ {
		if sum == 0 {
			sum = maphash.Comparable(p.seed, i)
		}
		switch b := out[i]; {
		case b >= '0' && b <= '9':
			out[i], sum = '0'+byte(sum%10), sum/10
		case b >= 'a' && b <= 'z':
			out[i], sum = 'a'+byte(sum%26), sum/26
		}
	}
	p.words[text] = string(out)
	return string(out)
}
