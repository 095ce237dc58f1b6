package access

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/state"
)

// verifier tells whether a password is right. What it found is remembered for a short while: a right one, so that
// clients that send it with each request do not cost a hash each; a wrong one, so that a fleet that has an old
// password and keeps sending it does not use up the attempts of those who have the new one (to repeat a guess
// teaches nobody anything). What is asked for at the same time is checked once. It remembers HMACs
// under a key of this process, never passwords.
type verifier struct {
	directory *directory
	store     *state.Store
	log       *slog.Logger
	hasher    *hasher
	now       func() time.Time

	users   *throttle
	sources *throttle

	key     [32]byte
	decoy   passwordHash
	flights singleflight.Group
	right   memory
	wrong   memory
}

// proof stands for a user, their session and a password.
type proof [sha256.Size]byte

const (
	verifyBound  = 10 * time.Second // hashing and waiting for it
	userBurst    = 10               // failures a user has before they must wait
	userEvery    = 6 * time.Second
	sourceBurst  = 30 // more, since a source may be many people behind one address
	sourceEvery  = 2 * time.Second
	maxPasswordB = 4 * maxPassword // bytes: longer ones cannot be right and are not worth a hash
)

func newVerifier(directory *directory, options Options) *verifier {
	v := &verifier{
		directory: directory, store: options.Store, log: options.Logger, hasher: newHasher(), now: options.Now,
		users: newThrottle(userBurst, userEvery), sources: newThrottle(sourceBurst, sourceEvery),
		right: memory{until: map[proof]time.Time{}}, wrong: memory{until: map[proof]time.Time{}},
	}
	rand.Read(v.key[:])
	v.decoy = v.hasher.decoy()
	return v
}

// verify returns the user if the password is theirs. Unknown and disabled users and wrong passwords
// get the same answer after the same time.
func (v *verifier) verify(ctx context.Context, name, password, source string) (*user, error) {
	if len(name) > maxUserName || len(password) > maxPasswordB {
		return nil, errBadCredentials()
	}
	u := v.directory.user(name)
	stored, session := v.decoy, ""
	if u != nil {
		stored, session = u.hash, u.Session
	}
	proof := v.prove(name, session, password)
	active := u != nil && !u.Disabled
	switch {
	case active && v.right.has(proof, v.now()):
		return u, nil
	case v.wrong.has(proof, v.now()):
		return nil, errBadCredentials()
	}
	from := origin(source)
	if wait := max(v.users.wait(name, v.now()), v.sources.wait(from, v.now())); wait > 0 {
		return nil, fault.New(fault.Exhausted, "access.throttled", "too many wrong passwords").
			Hinted("wait %s", wait.Truncate(time.Second)+time.Second)
	}
	right, err := v.compare(ctx, proof, u, stored, password)
	switch {
	case err != nil:
		return nil, err
	case !right || !active:
		if v.wrong.put(proof, v.now()) { // once, however many sent the same at the same time
			v.users.failed(name, v.now())
			v.sources.failed(from, v.now())
		}
		return nil, errBadCredentials()
	default:
		v.right.put(proof, v.now())
		return u, nil
	}
}

func errBadCredentials() error {
	return fault.New(fault.Unauthenticated, "access.bad_credentials", "the user or the password is wrong").
		Hinted("check both; an administrator can set a new password")
}

func (v *verifier) prove(name, session, password string) proof {
	mac := hmac.New(sha256.New, v.key[:])
	for _, part := range [...]string{name, session, password} {
		length := [4]byte{byte(len(part) >> 24), byte(len(part) >> 16), byte(len(part) >> 8), byte(len(part))}
		mac.Write(length[:])
		mac.Write([]byte(part))
	}
	return proof(mac.Sum(nil))
}

// compare hashes once for all that ask for the same at the same time. It goes on when one of them leaves.
func (v *verifier) compare(ctx context.Context, proof proof, u *user, stored passwordHash, password string) (bool, error) {
	answer := v.flights.DoChan(string(proof[:]), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), verifyBound)
		defer cancel()
		right, err := v.hasher.matches(ctx, stored, password)
		if right && stored.cost.weaker(v.hasher.cost) {
			v.strengthen(ctx, u, password)
		}
		return right, err
	})
	select {
	case result := <-answer:
		if errors.Is(result.Err, context.DeadlineExceeded) {
			return false, fault.New(fault.Exhausted, "access.busy", "too many passwords are being checked").
				Hinted("try again in some seconds; clients that call often should use a token")
		}
		right, _ := result.Val.(bool)
		return right, result.Err
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// strengthen stores a right password under today's cost. If that cannot be now, the next login tries again.
func (v *verifier) strengthen(ctx context.Context, u *user, password string) {
	if u == nil || !v.store.Quorum() {
		return
	}
	err := func() error {
		hash, err := v.hasher.create(ctx, password)
		if err != nil {
			return err
		}
		record, found, err := v.store.Get(ctx, userKey(u.Name))
		if err != nil || !found {
			return err
		}
		current, _, err := decodeUser(record.Key, record.Value)
		if err != nil || current.Session != u.Session {
			return err // another password meanwhile
		}
		current.Password = hash.String()
		value, err := encode(current)
		if err != nil {
			return err
		}
		_, err = v.store.Commit(ctx, state.Change{
			If:  []state.Condition{state.Unchanged(record.Key, record.Modified)},
			Put: []state.Put{{Key: record.Key, Value: value}},
		})
		return err
	}()
	if err != nil {
		v.log.Warn("cannot store a password under today's cost", "user", u.Name, "error", err)
	}
}

// memory is a bounded set of proofs, each for a short while.
type memory struct {
	mu    sync.Mutex
	until map[proof]time.Time
}

const (
	rememberFor   = time.Minute
	maxRemembered = 4096
)

func (m *memory) has(proof proof, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	until, found := m.until[proof]
	if !found {
		return false
	}
	if left := until.Sub(now); left <= 0 || left > rememberFor { // over, or the clock was set back
		delete(m.until, proof)
		return false
	}
	return true
}

// put remembers a proof, and reports whether it was new.
func (m *memory) put(proof proof, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, found := m.until[proof]
	if len(m.until) >= maxRemembered {
		m.makeRoom(now)
	}
	m.until[proof] = now.Add(rememberFor)
	return !found
}

// makeRoom forgets all that is over, or else any one.
func (m *memory) makeRoom(now time.Time) {
	for proof, until := range m.until {
		if !now.Before(until) {
			delete(m.until, proof)
		}
	}
	for proof := range m.until {
		if len(m.until) < maxRemembered {
			return
		}
		delete(m.until, proof)
	}
}
