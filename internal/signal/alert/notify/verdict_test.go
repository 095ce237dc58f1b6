package notify

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gantry-platform/gantry/internal/policy"
)

// FuzzVerdict reads what a robot may answer: anything.
func FuzzVerdict(f *testing.F) {
	for _, text := range []string{`{"errcode":0,"errmsg":"ok"}`, `{"errcode":45009,"errmsg":"later"}`, `{"StatusCode":0}`, `[]`, `null`, `{"errcode":"0"}`, `{"errcode":1e99}`, "{\"errcode\":1,\"errmsg\":\"\xff\\u0000\"}"} {
		f.Add([]byte(text))
	}
	r := policy.Receiver{WeCom: &policy.Chat{URL: "https://robots.example/send?key=hunter2hunter2hunter2"}}
	f.Fuzz(func(t *testing.T, answer []byte) {
		err := withoutSecrets(verdict(answer, "errcode", "errmsg", -1, 45009), r)
		var failed *Error
		if err == nil {
			return
		}
		if !errors.As(err, &failed) || !utf8.ValidString(failed.Text) || len(failed.Text) > 600 || strings.ContainsAny(failed.Text, "\r\n\x00") || strings.Contains(failed.Text, "hunter2hunter2hunter2") {
			t.Fatalf("%q", err)
		}
	})
}
