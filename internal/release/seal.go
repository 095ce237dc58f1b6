package release

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/gantry-platform/gantry/internal/fault"
)

// RootKeySize is the length of a root key in bytes (AES-256).
const RootKeySize = 32

// Keyring holds the root keys. The first wraps new data keys; all of them unwrap. To change the root key, give every node
// first [old, new], then [new, old], call [Releaser.RotateKeys], and take the old one away. It is immutable.
type Keyring struct {
	roots []rootKey
}

type rootKey struct {
	id   string
	aead cipher.AEAD
}

// NewKeyring makes a keyring of root keys of [RootKeySize] bytes each. Without any, sensitive documents are
// refused and the rest works. The keys are not kept: the caller may clear them.
func NewKeyring(roots ...[]byte) (*Keyring, error) {
	k := new(Keyring)
	for i, root := range roots {
		if len(root) != RootKeySize {
			return nil, fault.New(fault.Invalid, "secret.root_key_invalid", "root key %d has %d bytes", i+1, len(root)).
				Hinted("a root key is %d random bytes, written in hex or base64", RootKeySize)
		}
		aead, err := newAEAD(root)
		if err != nil {
			return nil, err
		}
		mac := hmac.New(sha256.New, root)
		mac.Write([]byte("gantry root key id"))
		k.roots = append(k.roots, rootKey{id: hex.EncodeToString(mac.Sum(nil)[:8]), aead: aead})
	}
	return k, nil
}

// ParseRootKeys reads root keys as a file or the environment holds them: hex or base64, one a line or parted by
// commas, blank lines and lines that begin with # left out. The error never shows what was read.
func ParseRootKeys(text string) (*Keyring, error) {
	var roots [][]byte
	for number, line := range strings.Split(strings.ReplaceAll(text, ",", "\n"), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		root, err := parseRootKey(line)
		if err != nil {
			return nil, fault.New(fault.Invalid, "secret.root_key_invalid", "line %d is no root key: neither hex nor base64 of %d bytes", number+1, RootKeySize).
				Hinted("make one with: openssl rand -hex %d", RootKeySize)
		}
		roots = append(roots, root)
	}
	return NewKeyring(roots...)
}

func parseRootKey(line string) ([]byte, error) {
	if len(line) == hex.EncodedLen(RootKeySize) {
		if root, err := hex.DecodeString(line); err == nil {
			return root, nil
		}
	}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if root, err := encoding.DecodeString(line); err == nil && len(root) == RootKeySize {
			return root, nil
		}
	}
	return nil, errors.New("not a root key")
}

// GenerateRootKey returns a new random root key in hex, as a file holds it.
func GenerateRootKey() string {
	var root [RootKeySize]byte
	rand.Read(root[:]) // never fails (crypto/rand)
	return hex.EncodeToString(root[:])
}

// first returns the root that wraps, or nil.
func (k *Keyring) first() *rootKey {
	if k == nil || len(k.roots) == 0 {
		return nil
	}
	return &k.roots[0]
}

func (k *Keyring) root(id string) *rootKey {
	if k == nil {
		return nil
	}
	for i := range k.roots {
		if k.roots[i].id == id {
			return &k.roots[i]
		}
	}
	return nil
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("release: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// sealedFormat is the first byte of a sealed content; behind it come the length of the key id, the key id,
// and what AES-GCM made, its random nonce first.
const sealedFormat = 1

// maxKeyID bounds the id of a data key; ids are 16 hex digits.
const maxKeyID = 64

// seal makes the stored form of a sensitive content.
func seal(aead cipher.AEAD, keyID string, ref Ref, version int64, plain []byte) []byte {
	sealed := make([]byte, 0, 2+len(keyID)+len(plain)+aead.Overhead())
	sealed = append(sealed, sealedFormat, byte(len(keyID)))
	sealed = append(sealed, keyID...)
	return aead.Seal(sealed, nil, plain, boundTo(keyID, ref, version))
}

// splitSealed takes a stored form apart without opening it.
func splitSealed(sealed []byte) (keyID string, box []byte, err error) {
	if len(sealed) < 2 || sealed[0] != sealedFormat {
		return "", nil, errors.New("release: no sealed content of a known format")
	}
	n := int(sealed[1])
	if n == 0 || n > maxKeyID || len(sealed) < 2+n {
		return "", nil, errors.New("release: sealed content is cut off")
	}
	return string(sealed[2 : 2+n]), sealed[2+n:], nil
}

// unseal opens a box for the one place where it belongs.
func unseal(aead cipher.AEAD, keyID string, ref Ref, version int64, box []byte) ([]byte, error) {
	plain, err := aead.Open(nil, nil, box, boundTo(keyID, ref, version))
	if err != nil {
		return nil, fmt.Errorf("release: sealed content does not open: %w", err)
	}
	return plain, nil
}

// boundTo is the additional data of a seal: a sealed content that was moved to another document, version or
// key does not open.
func boundTo(keyID string, ref Ref, version int64) []byte {
	data := []byte("gantry sealed content v1")
	for _, part := range [...]string{ref.Namespace, ref.Kind, ref.Name, keyID} {
		data = binary.BigEndian.AppendUint32(data, uint32(len(part)))
		data = append(data, part...)
	}
	return binary.BigEndian.AppendUint64(data, uint64(version))
}
