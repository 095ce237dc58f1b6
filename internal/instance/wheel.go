package instance

import "sync"

// timer is one entry of a wheel. Its owner embeds it; a timer is linked at most once.
type timer struct {
	next, prev *timer
	due        int64
	target     target
}

// target is whose timer it is. fire must be quick: it runs on the tick.
type target interface{ fire(*Registry) }

const (
	wheelBits   = 6
	wheelSlots  = 1 << wheelBits
	wheelLevels = 4 // 64^4 ticks of 100 ms are 19 days
)

// wheel is a hierarchical timer wheel (Varghese and Lauck, 1987): scheduling, cancelling and firing cost the same
// with ten timers and with a million.
type wheel struct {
	mu    sync.Mutex
	now   int64
	slots [wheelLevels][wheelSlots]timer // heads of rings
}

func newWheel() *wheel {
	w := new(wheel)
	for level := range w.slots {
		for slot := range w.slots[level] {
			head := &w.slots[level][slot]
			head.next, head.prev = head, head
		}
	}
	return w
}

func (t *timer) unlink() {
	if t.next == nil {
		return
	}
	t.prev.next, t.next.prev = t.next, t.prev
	t.next, t.prev = nil, nil
}

// schedule makes t fire at tick due, or at the next tick when that has passed, instead of when it was to fire.
func (w *wheel) schedule(t *timer, due int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t.unlink()
	t.due = max(due, w.now+1)
	w.link(t)
}

// cancel makes t not fire. A timer that is being fired just now still does.
func (w *wheel) cancel(t *timer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t.unlink()
}

func (w *wheel) link(t *timer) {
	ahead := t.due - w.now
	level := 0
	for level < wheelLevels-1 && ahead >= 1<<(wheelBits*(level+1)) {
		level++
	}
	at := t.due
	if ahead >= 1<<(wheelBits*wheelLevels) {
		at = w.now + 1<<(wheelBits*wheelLevels) - 1 // beyond the horizon: it is linked again when it gets there
	}
	head := &w.slots[level][(at>>(wheelBits*level))&(wheelSlots-1)]
	t.next, t.prev = head, head.prev
	head.prev.next, head.prev = t, t
}

// step goes one tick on and appends what is due to fired.
func (w *wheel) step(fired []*timer) []*timer {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now++
	for level := 1; level < wheelLevels; level++ {
		if w.now&(1<<(wheelBits*level)-1) != 0 {
			break
		}
		w.cascade(&w.slots[level][(w.now>>(wheelBits*level))&(wheelSlots-1)])
	}
	head := &w.slots[0][w.now&(wheelSlots-1)]
	for head.next != head {
		t := head.next
		t.unlink()
		fired = append(fired, t)
	}
	return fired
}

// cascade links the timers of a slot again, nearer to their time.
func (w *wheel) cascade(head *timer) {
	if head.next == head {
		return
	}
	first, last := head.next, head.prev
	head.next, head.prev = head, head
	last.next = nil
	for t := first; t != nil; {
		next := t.next
		t.next, t.prev = nil, nil
		w.link(t)
		t = next
	}
}
