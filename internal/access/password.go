package access

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/gantry-platform/gantry/internal/fault"
)

// Limits of a password, in characters.
const (
	minPassword = 8
	maxPassword = 256
)

// cost is how hard a password is to try. It is stored with each hash, so that it can grow.
type cost struct {
	memory  uint32 // KiB
	time    uint32
	threads uint8
}

// currentCost is the first recommendation of OWASP's Password Storage Cheat Sheet for argon2id: 19 MiB, two passes, one
// lane; some 25 ms. The heavier one of RFC 9106 (64 MiB) would be more memory than an idle server has.
func currentCost() cost { return cost{memory: 19 << 10, time: 2, threads: 1} }

// weaker reports whether c falls short of the other in any way.
func (c cost) weaker(than cost) bool {
	return c.memory < than.memory || c.time < than.time
}

const (
	saltLength = 16
	hashLength = 32
	// Bounds of stored costs: a damaged record must not take the node's memory.
	maxCostMemory  = 256 << 10
	maxCostTime    = 16
	maxCostThreads = 16
)

// passwordHash is argon2id (RFC 9106). Its text is the PHC string format:
// $argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>.
type passwordHash struct {
	cost       cost
	salt, hash []byte
}

func (h passwordHash) String() string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.cost.memory, h.cost.time, h.cost.threads,
		b64.EncodeToString(h.salt), b64.EncodeToString(h.hash))
}

var errPasswordHash = errors.New("access: not an argon2id hash within bounds")

func parsePasswordHash(text string) (passwordHash, error) {
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return passwordHash{}, errPasswordHash
	}
	var h passwordHash
	c := &h.cost
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &c.memory, &c.time, &c.threads); err != nil {
		return passwordHash{}, errPasswordHash
	}
	var errs [2]error
	h.salt, errs[0] = base64.RawStdEncoding.DecodeString(parts[4])
	h.hash, errs[1] = base64.RawStdEncoding.DecodeString(parts[5])
	if errs[0] != nil || errs[1] != nil || len(h.salt) < 8 || len(h.salt) > 64 || len(h.hash) < 16 || len(h.hash) > 64 ||
		c.memory < 8 || c.memory > maxCostMemory || c.time < 1 || c.time > maxCostTime ||
		c.threads < 1 || c.threads > maxCostThreads || h.String() != text {
		return passwordHash{}, errPasswordHash
	}
	return h, nil
}

// hasher hashes a bounded number of passwords at a time, since each takes its memory. Some more may wait;
// the rest is turned away, since an answer would come too late for them anyway.
type hasher struct {
	slots   chan struct{}
	waiting atomic.Int32
	cost    cost
}

const maxWaitingHashes = 128

func newHasher() *hasher {
	return &hasher{slots: make(chan struct{}, min(runtime.GOMAXPROCS(0), 4)), cost: currentCost()}
}

func (h *hasher) enter(ctx context.Context) error {
	if h.waiting.Add(1) > maxWaitingHashes {
		h.waiting.Add(-1)
		return fault.New(fault.Exhausted, "access.busy", "too many passwords are being checked").
			Hinted("try again in some seconds; clients that call often should use a token")
	}
	defer h.waiting.Add(-1)
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *hasher) leave() { <-h.slots }

// create hashes a new password.
func (h *hasher) create(ctx context.Context, password string) (passwordHash, error) {
	if err := h.enter(ctx); err != nil {
		return passwordHash{}, err
	}
	defer h.leave()
	made := passwordHash{cost: h.cost, salt: make([]byte, saltLength)}
	rand.Read(made.salt)
	made.hash = argon2.IDKey([]byte(password), made.salt, h.cost.time, h.cost.memory, h.cost.threads, hashLength)
	return made, nil
}

// matches reports whether a password is the hashed one.
func (h *hasher) matches(ctx context.Context, stored passwordHash, password string) (bool, error) {
	if err := h.enter(ctx); err != nil {
		return false, err
	}
	defer h.leave()
	c := stored.cost
	hash := argon2.IDKey([]byte(password), stored.salt, c.time, c.memory, c.threads, uint32(len(stored.hash)))
	return subtle.ConstantTimeCompare(hash, stored.hash) == 1, nil
}

// decoy is compared with when there is no such user, so that the answer takes as long.
func (h *hasher) decoy() passwordHash {
	made := passwordHash{cost: h.cost, salt: make([]byte, saltLength), hash: make([]byte, hashLength)}
	rand.Read(made.salt)
	rand.Read(made.hash)
	return made
}

func checkPassword(password, field string) error {
	if !utf8.ValidString(password) {
		return fault.New(fault.Invalid, "access.bad_password", "the password is not UTF-8").At(field).
			Hinted("use %d to %d characters", minPassword, maxPassword)
	}
	if n := utf8.RuneCountInString(password); n < minPassword || n > maxPassword {
		return fault.New(fault.Invalid, "access.bad_password", "the password has %d characters", n).At(field).
			Hinted("use %d to %d characters", minPassword, maxPassword)
	}
	return nil
}
