package red

// index finds places by key: an open-addressed table whose keys are hashes already. Removing moves what follows back, so that no marks of the dead are
// left behind. Keys are never zero. Not for concurrent use.
type index struct {
	slots  []slot
	length int
}

type slot struct {
	key   uint64 // 0 is free
	place int32
}

const leastSlots = 16

// touch brings where a key would be near.
func (x *index) touch(key uint64) uint64 {
	if len(x.slots) == 0 {
		return 0
	}
	return x.slots[key&uint64(len(x.slots)-1)].key
}

// find answers the place of a key; 0 when there is none.
func (x *index) find(key uint64) int32 {
	if x.length == 0 {
		return 0
	}
	mask := uint64(len(x.slots) - 1)
	for at := key & mask; x.slots[at].key != 0; at = (at + 1) & mask {
		if x.slots[at].key == key {
			return x.slots[at].place
		}
	}
	return 0
}

// put sets the place of a key.
func (x *index) put(key uint64, place int32) {
	if x.length >= len(x.slots)/4*3 {
		old := x.slots
		x.slots, x.length = make([]slot, max(leastSlots, 2*len(old))), 0
		for _, s := range old {
			if s.key != 0 {
				x.put(s.key, s.place)
			}
		}
	}
	mask := uint64(len(x.slots) - 1)
	at := key & mask
	for x.slots[at].key != 0 && x.slots[at].key != key {
		at = (at + 1) & mask
	}
	if x.slots[at].key == 0 {
		x.length++
	}
	x.slots[at] = slot{key, place}
}

// remove takes a key out.
func (x *index) remove(key uint64) {
	if x.length == 0 {
		return
	}
	mask := uint64(len(x.slots) - 1)
	at := key & mask
	for x.slots[at].key != key {
		if x.slots[at].key == 0 {
			return
		}
		at = (at + 1) & mask
	}
	x.length--
	// What follows without a gap moves back, unless it is nearer to its home than the hole is.
	for next := (at + 1) & mask; x.slots[next].key != 0; next = (next + 1) & mask {
		home := x.slots[next].key & mask
		if (next-home)&mask >= (next-at)&mask {
			x.slots[at] = x.slots[next]
			at = next
		}
	}
	x.slots[at] = slot{}
}
