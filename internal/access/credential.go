package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/base64"
	"strings"

	"github.com/gantry-platform/gantry/internal/fault"
)

// Credential is what a client sent to show who it is: a token, or a user and a password, or nothing.
type Credential struct {
	Token          string
	User, Password string
	// Source is the address the request came from, with or without port.
	Source string
}

// maxAuthorization bounds an Authorization header: the longest user and password in base64, with room.
const maxAuthorization = 4 << 10

// ParseAuthorization reads the value of an HTTP Authorization header: Bearer (RFC 6750), Basic (RFC 7617), or a token of
// this server by itself. An empty one is an empty credential. Anything else is a *fault.Error, Unauthenticated, with reason
// "access.bad_authorization".
func ParseAuthorization(header string) (Credential, error) {
	if header == "" {
		return Credential{}, nil
	}
	if len(header) > maxAuthorization {
		return Credential{}, errAuthorization("the Authorization header is longer than 4096 bytes")
	}
	scheme, value, _ := strings.Cut(header, " ")
	value = strings.Trim(value, " ")
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		if value == "" {
			return Credential{}, errAuthorization("the Authorization header holds no token")
		}
		return Credential{Token: value}, nil
	case strings.EqualFold(scheme, "Basic"):
		plain, err := base64.StdEncoding.DecodeString(value)
		user, password, found := strings.Cut(string(plain), ":")
		if err != nil || !found {
			return Credential{}, errAuthorization("the Authorization header is not user:password in base64")
		}
		return Credential{User: user, Password: password}, nil
	case value == "" && strings.HasPrefix(scheme, tokenPrefix):
		// Prometheus up to 2.42 leaves the scheme out of service discovery requests where none is configured.
		return Credential{Token: scheme}, nil
	default:
		return Credential{}, errAuthorization("the Authorization header has an unknown scheme")
	}
}

func errAuthorization(message string) error {
	return fault.New(fault.Unauthenticated, "access.bad_authorization", "%s", message).
		At("Authorization").Hinted("send \"Bearer <token>\", or \"Basic \" and user:password in base64")
}

// A token is "gty_", 16 characters of id, "_", and 43 characters of secret (256 random bits). The id names it in
// lists and in the audit log; the secret is shown once, and only the SHA-256 of its text is stored. A fast hash
// is enough, since the secret cannot be guessed.
const (
	tokenPrefix    = "gty_"
	tokenIDLength  = 16
	secretLength   = 43
	tokenLength    = len(tokenPrefix) + tokenIDLength + 1 + secretLength
	secretRandom   = 32
	tokenIDRandom  = 10
	tokenSeparator = '_'
)

// newToken returns the id of a new token, its full text for its owner, and what is stored.
func newToken() (id, text string, hash [sha256.Size]byte) {
	id = randomWord(tokenIDRandom)
	secret := make([]byte, secretRandom)
	rand.Read(secret) // never fails: crypto/rand ends the process rather than return less
	word := base64.RawURLEncoding.EncodeToString(secret)
	return id, tokenPrefix + id + string(tokenSeparator) + word, hashSecret(word)
}

// randomWord returns n random bytes as lower-case base32.
func randomWord(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b))
}

func hashSecret(secret string) [sha256.Size]byte {
	var text [secretLength]byte
	copy(text[:], secret)
	return sha256.Sum256(text[:])
}

// parseToken splits the text of a token. It tells the form alone, not whether there is such a token.
func parseToken(text string) (id, secret string, ok bool) {
	if len(text) != tokenLength || !strings.HasPrefix(text, tokenPrefix) {
		return "", "", false
	}
	rest := text[len(tokenPrefix):]
	if rest[tokenIDLength] != tokenSeparator {
		return "", "", false
	}
	return rest[:tokenIDLength], rest[tokenIDLength+1:], true
}

func sameHash(a, b *[sha256.Size]byte) bool { return subtle.ConstantTimeCompare(a[:], b[:]) == 1 }

// LooksLikeToken tells tokens of this server from passwords, for languages that have one place for both.
func LooksLikeToken(text string) bool { return strings.HasPrefix(text, tokenPrefix) }
