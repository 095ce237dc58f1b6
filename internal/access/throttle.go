package access

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// throttle slows down those who guess passwords. Failures alone count: however often somebody logs in
// rightly, they are not held up. It is a table of fixed size: names and sources share buckets by
// a hash that differs in each process, so that nobody can make it grow or choose whom they collide with.
//
// Attempts that are under way when the bucket runs empty still finish; they are bounded by the hasher, and what they
// fail is owed, down to as much again as the bucket holds.
type throttle struct {
	mu      sync.Mutex
	seed    maphash.Seed
	buckets [throttleBuckets]bucket

	burst float64
	every time.Duration
}

type bucket struct {
	// spent is how many failures are not yet forgiven, at a time.
	spent float32
	at    int64 // Unix, ns
}

const throttleBuckets = 4096

// newThrottle allows a burst of failures, and then one in each interval.
func newThrottle(burst int, every time.Duration) *throttle {
	return &throttle{seed: maphash.MakeSeed(), burst: float64(burst), every: every}
}

// wait returns how long who must wait before the next attempt; 0 if they need not.
func (t *throttle) wait(who string, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	spent := t.forgive(t.bucket(who), now)
	if spent <= t.burst-1 {
		return 0
	}
	return time.Duration((spent - (t.burst - 1)) * float64(t.every))
}

// failed counts a failure.
func (t *throttle) failed(who string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.bucket(who)
	b.spent = float32(min(t.forgive(b, now)+1, 2*t.burst))
	b.at = now.UnixNano()
}

func (t *throttle) bucket(who string) *bucket {
	return &t.buckets[maphash.String(t.seed, who)%throttleBuckets]
}

// forgive returns what is left of a bucket's failures now. A clock that was set back forgives nothing, and
// counts anew from there.
func (t *throttle) forgive(b *bucket, now time.Time) float64 {
	passed := now.UnixNano() - b.at
	if passed < 0 {
		b.at, passed = now.UnixNano(), 0
	}
	return max(0, float64(b.spent)-float64(passed)/float64(t.every))
}

// origin is what attempts from one place have in common: the address without port, and of IPv6 the /64 that one
// customer commands.
func origin(source string) string {
	address, err := netip.ParseAddr(source)
	if err != nil {
		withPort, err := netip.ParseAddrPort(source)
		if err != nil {
			return source
		}
		address = withPort.Addr()
	}
	address = address.Unmap().WithZone("")
	if address.Is6() {
		prefix, _ := address.Prefix(64)
		address = prefix.Addr()
	}
	return address.String()
}
