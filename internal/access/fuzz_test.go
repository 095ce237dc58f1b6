package access

import (
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/state"
)

// These targets are inside the package: what they feed is not worth an embedded state for each input.

func FuzzParseToken(f *testing.F) {
	_, text, _ := newToken()
	for _, seed := range []string{text, text[1:], "gty_", "", strings.Repeat("_", tokenLength)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, secret, ok := parseToken(text)
		if ok != (id != "") {
			t.Fatalf("%q: %t, %q", text, ok, id)
		}
		if ok && tokenPrefix+id+"_"+secret != text {
			t.Fatalf("%q became %q and %q", text, id, secret)
		}
	})
}

func FuzzParseAuthorization(f *testing.F) {
	for _, seed := range []string{"", "Bearer x", "Basic YW5uOnBhc3M=", "Basic", "Digest x=1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		credential, err := ParseAuthorization(header)
		if err != nil {
			if credential != (Credential{}) || !fault.Is(err, fault.Unauthenticated) {
				t.Fatalf("%+v beside %v", credential, err)
			}
			return
		}
		if header != "" && credential.Token == "" && !strings.HasPrefix(strings.ToLower(header), "basic ") {
			t.Fatalf("%q is %+v", header, credential)
		}
	})
}

func FuzzParsePageToken(f *testing.F) {
	f.Add("")
	f.Add(strings.Repeat("0f", 16))
	f.Add(strings.Repeat("0F", 16))
	f.Fuzz(func(t *testing.T, token string) {
		key, err := parsePageToken(token)
		if err != nil {
			return
		}
		if !strings.HasPrefix(key, state.Prefix(auditRoom)) || pageToken(key) != token {
			t.Fatalf("%q leads to %q", token, key)
		}
	})
}

func FuzzDecodeUser(f *testing.F) {
	hash := passwordHash{cost: cost{8, 1, 1}, salt: make([]byte, 16), hash: make([]byte, 32)}.String()
	f.Add("ann", []byte(`{"name":"ann","session":"s","password":"`+hash+`","grants":[{"namespace":"*","role":"admin"}]}`))
	f.Add("ann", []byte(`{"name":"bob","session":"s","password":"`+hash+`"}`))
	f.Add("", []byte(`{"password":"$argon2id$v=19$m=4294967295,t=4294967295,p=255$AAAA$AAAA"}`))
	f.Fuzz(func(t *testing.T, name string, value []byte) {
		u, hash, err := decodeUser(userKey(name), value)
		if err != nil {
			return
		}
		if u.Name != name || u.Session == "" || hash.String() != u.Password ||
			hash.cost.memory > maxCostMemory || hash.cost.time > maxCostTime || hash.cost.threads > maxCostThreads {
			t.Fatalf("%+v passed", u)
		}
		encoded, err := encode(u)
		if err != nil {
			t.Fatal(err)
		}
		if again, _, err := decodeUser(userKey(name), encoded); err != nil || again.administrator() != u.administrator() {
			t.Fatalf("%+v became %+v, %v", u, again, err)
		}
	})
}

func FuzzDecodeToken(f *testing.F) {
	f.Add("abcdefghijklmnop", []byte(`{"id":"abcdefghijklmnop","hash":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","author":"system","grants":[{"namespace":"*","role":"admin"}]}`))
	f.Add("abcdefghijklmnop", []byte(`{"id":"abcdefghijklmnop","hash":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","user":"ann","session":"s","expires":"2026-01-01T00:00:00Z"}`))
	f.Add("x", []byte(`{"id":"x","hash":""}`))
	f.Fuzz(func(t *testing.T, id string, value []byte) {
		decoded, err := decodeToken(tokenKey(id), value)
		if err != nil {
			return
		}
		if decoded.ID != id || len(decoded.Hash) != sha256.Size {
			t.Fatalf("%+v passed", decoded)
		}
		if decoded.User != "" && (decoded.Expires.IsZero() || decoded.Session == "") {
			t.Fatalf("a login for ever: %+v", decoded)
		}
	})
}
