package event_test

import (
	"testing"

	"github.com/gantry-platform/gantry/internal/signal/event"
)

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"sequence":1,"id":"a","namespace":"n","topic":"t","time":"2026-11-01T00:00:00Z","arrived":"2026-11-01T00:00:00Z","outcome":"success","fields":{"a":1,"b":1.5,"c":"x","d":true}}`))
	f.Add([]byte(`{"fields":{"a":1e400}}`))
	f.Add([]byte(`{"fields":{"a":[{}]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := event.Decode(data)
		if err != nil {
			return
		}
		line, err := s.Encode()
		if err != nil {
			return
		}
		if _, err := event.Decode(line); err != nil {
			t.Fatalf("%q is written as %q: %v", data, line, err)
		}
	})
}

func FuzzFrames(f *testing.F) {
	f.Add(event.Frame(event.Frame(nil, []byte("one")), []byte("two")))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		var again []byte
		whole := event.Frames(data, func(line []byte) bool {
			again = event.Frame(again, line)
			return true
		})
		if string(again) != string(data[:whole]) {
			t.Fatalf("%x of %x", again, data)
		}
	})
}
