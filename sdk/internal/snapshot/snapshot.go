// Package snapshot keeps a sealed local file of what a client last knew, so that a service starts
// while no server can be reached.
//
// A file is: 8 bytes of magic that carry the format's version, 16 bytes of salt, 12 bytes of
// nonce, and the entries sealed by AES-256-GCM. The key is HKDF-SHA-256 (RFC 5869) of a secret and the
// salt. Magic, salt and the scope are authenticated with it, so that a file of another service,
// another namespace or another format is refused like a tampered one.
//
// The package imports nothing of the project.
package snapshot

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	magic     = "GNTRSNP1"
	saltSize  = 16
	nonceSize = 12
	keySize   = 32

	// MaxSize bounds a file, in bytes. A service with its neighbours and configuration is well under 1 MiB;
	// this leaves room for one that watches dozens of large ones.
	MaxSize = 64 << 20
	// maxEntries bounds what a decoder makes of one file.
	maxEntries = 20_000
	// MinSecret is the shortest secret a key is derived from, in bytes.
	MinSecret = 16
)

// ErrUnusable is in the chain of errors for files that are torn, tampered with, of another
// scope, sealed with another key, or of another format.
var ErrUnusable = errors.New("snapshot is not usable")

// Entry is one thing that was known.
type Entry struct {
	// Kind is the caller's own mark.
	Kind byte
	// Saved is when the entry was last known to be right, to the millisecond.
	Saved time.Time
	Data  []byte
}

// size is what an entry takes in a file, at most.
func (e Entry) size() int { return 1 + 2*binary.MaxVarintLen64 + len(e.Data) }

// File is a sealed file. Its methods are not safe for concurrent use.
type File struct {
	path   string
	scope  string
	secret []byte
}

// Open prepares a file for a scope (whose it is) in a folder, which is created with mode 0700. With an
// empty secret, a random one is kept in a file with mode 0600 beside it.
func Open(folder, scope string, secret []byte) (*File, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	base := filepath.Join(folder, fileName(scope))
	if len(secret) == 0 {
		var err error
		if secret, err = keyFile(base + ".key"); err != nil {
			return nil, err
		}
	}
	if len(secret) < MinSecret {
		return nil, fmt.Errorf("the snapshot's secret has %d bytes; at least %d are needed", len(secret), MinSecret)
	}
	return &File{path: base + ".snapshot", scope: scope, secret: secret}, nil
}

// fileName makes a name that a person recognises and that differs for each scope.
func fileName(scope string) string {
	readable := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		}
		return '-'
	}, scope)
	if len(readable) > 64 {
		readable = readable[:64]
	}
	sum := sha256.Sum256([]byte(scope))
	return readable + "-" + hex.EncodeToString(sum[:4])
}

// keyFile reads a secret, or makes one. Of several processes that make one at once, the first wins.
func keyFile(path string) ([]byte, error) {
	secret := make([]byte, keySize)
	rand.Read(secret)
	fresh, err := os.CreateTemp(filepath.Dir(path), ".key-*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(fresh.Name())
	_, err = fresh.Write(secret)
	if err = errors.Join(err, fresh.Sync(), fresh.Close()); err != nil {
		return nil, err
	}
	// A link fails when the name is taken, and never shows a half-written file.
	if err := os.Link(fresh.Name(), path); err == nil {
		return secret, nil
	} else if !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("the key file %s can be read by others (mode %04o); set it to 0600", path, info.Mode().Perm())
	}
	secret, err = os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(secret) != keySize {
		return nil, fmt.Errorf("the key file %s has %d bytes instead of %d; delete it to start afresh", path, len(secret), keySize)
	}
	return secret, nil
}

// Path is where the file is, for messages.
func (f *File) Path() string { return f.path }

// Load reads the file. Its error is [fs.ErrNotExist] when there is none and [ErrUnusable] when it must be
// ignored.
func (f *File) Load() ([]Entry, error) {
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, err
	}
	if info.Size() > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrUnusable, info.Size(), MaxSize)
	}
	sealed, err := os.ReadFile(f.path)
	if err != nil {
		return nil, err
	}
	return f.Unseal(sealed)
}

// Save writes the file anew: to a temporary file with mode 0600, flushed, and moved into its place.
// Entries that do not fit into [MaxSize] are left out, the last first; Save returns how many.
func (f *File) Save(entries []Entry) (omitted int, err error) {
	kept := entries[:fitting(entries)]
	sealed, err := f.Seal(kept)
	if err != nil {
		return 0, err
	}
	// CreateTemp makes files with mode 0600.
	fresh, err := os.CreateTemp(filepath.Dir(f.path), ".snapshot-*")
	if err != nil {
		return 0, err
	}
	_, err = fresh.Write(sealed)
	if err = errors.Join(err, fresh.Sync(), fresh.Close()); err == nil {
		err = os.Rename(fresh.Name(), f.path)
	}
	if err != nil {
		os.Remove(fresh.Name())
		return 0, err
	}
	return len(entries) - len(kept), nil
}

// fitting counts how many of the first entries fit into a file.
func fitting(entries []Entry) int {
	room := MaxSize - len(magic) - saltSize - nonceSize - 16
	for i, entry := range entries {
		if room -= entry.size(); room < 0 || i >= maxEntries {
			return i
		}
	}
	return len(entries)
}

// Seal returns the bytes of a file.
func (f *File) Seal(entries []Entry) ([]byte, error) {
	header := make([]byte, len(magic)+saltSize+nonceSize)
	copy(header, magic)
	// crypto/rand.Read never fails.
	rand.Read(header[len(magic):])
	aead, err := f.aead(header[len(magic) : len(magic)+saltSize])
	if err != nil {
		return nil, err
	}
	return aead.Seal(header, header[len(magic)+saltSize:], encode(entries), f.associated(header)), nil
}

// Unseal opens the bytes of a file. Its error is [ErrUnusable].
func (f *File) Unseal(sealed []byte) ([]Entry, error) {
	headerSize := len(magic) + saltSize + nonceSize
	if len(sealed) < headerSize || len(sealed) > MaxSize || string(sealed[:len(magic)]) != magic {
		return nil, fmt.Errorf("%w: not a snapshot of this format", ErrUnusable)
	}
	header, body := sealed[:headerSize], sealed[headerSize:]
	aead, err := f.aead(header[len(magic) : len(magic)+saltSize])
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, header[len(magic)+saltSize:], body, f.associated(header))
	if err != nil {
		return nil, fmt.Errorf("%w: torn, tampered with, or sealed for another service or with another key", ErrUnusable)
	}
	return Decode(plain)
}

func (f *File) aead(salt []byte) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, f.secret, salt, "gantry snapshot 1", keySize)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func (f *File) associated(header []byte) []byte {
	return append(header[:len(magic)+saltSize:len(magic)+saltSize], f.scope...)
}

// encode writes each entry as kind, milliseconds, length and data.
func encode(entries []Entry) []byte {
	size := 0
	for _, entry := range entries {
		size += entry.size()
	}
	out := make([]byte, 0, size)
	for _, entry := range entries {
		out = append(out, entry.Kind)
		out = binary.AppendVarint(out, entry.Saved.UnixMilli())
		out = binary.AppendUvarint(out, uint64(len(entry.Data)))
		out = append(out, entry.Data...)
	}
	return out
}

// Decode reads what a file seals. Data refers to plain. Its error is [ErrUnusable].
func Decode(plain []byte) ([]Entry, error) {
	var entries []Entry
	for len(plain) > 0 {
		if len(entries) == maxEntries {
			return nil, fmt.Errorf("%w: more than %d entries", ErrUnusable, maxEntries)
		}
		kind := plain[0]
		millis, width := binary.Varint(plain[1:])
		if width <= 0 {
			return nil, fmt.Errorf("%w: an entry's time is torn", ErrUnusable)
		}
		plain = plain[1+width:]
		size, width := binary.Uvarint(plain)
		if width <= 0 || size > uint64(len(plain)-width) {
			return nil, fmt.Errorf("%w: an entry's length is wrong", ErrUnusable)
		}
		plain = plain[width:]
		entries = append(entries, Entry{Kind: kind, Saved: time.UnixMilli(millis), Data: plain[:size:size]})
		plain = plain[size:]
	}
	return entries, nil
}
