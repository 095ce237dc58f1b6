package red

// recent remembers identities for a while: two generations, the older of which is dropped when the newer one is full or old enough. So an
// identity is remembered for at least one full generation. Not for concurrent use.
type recent struct {
	newer, older set
	// most is how many identities one generation holds.
	most int
	// turned is when the newer generation began.
	turned int64
}

// seen tells whether the identity was remembered, and remembers it.
func (r *recent) seen(id uint64) bool {
	if id == 0 {
		id = 1 // zero marks a free place
	}
	if r.older.has(id) {
		return true
	}
	if r.newer.add(id) {
		return true
	}
	if r.newer.length >= r.most {
		r.turn(r.turned)
	}
	return false
}

// touch brings where an identity would be near.
func (r *recent) touch(id uint64) (touched uint64) {
	if n := len(r.newer.places); n > 0 {
		touched = r.newer.places[id&uint64(n-1)]
	}
	if n := len(r.older.places); n > 0 {
		touched += r.older.places[id&uint64(n-1)]
	}
	return touched
}

// turn drops the older generation and begins a new one. When a full generation turns itself, the time of the last turn stays: Flush only asks
// for how long nothing turned.
func (r *recent) turn(now int64) {
	r.older, r.newer = r.newer, r.older
	r.newer.clear()
	r.turned = now
}

// set is an open-addressed table of identities above zero. They are hashes already, so their low bits pick the place.
type set struct {
	places []uint64
	length int
}

const leastPlaces = 64

func (s *set) has(id uint64) bool {
	if s.length == 0 {
		return false
	}
	mask := uint64(len(s.places) - 1)
	for at := id & mask; ; at = (at + 1) & mask {
		switch s.places[at] {
		case id:
			return true
		case 0:
			return false
		}
	}
}

// add tells whether the identity was there already.
func (s *set) add(id uint64) bool {
	if s.length >= len(s.places)/4*3 {
		s.grow()
	}
	if !s.put(id) {
		return true
	}
	s.length++
	return false
}

func (s *set) put(id uint64) bool {
	mask := uint64(len(s.places) - 1)
	for at := id & mask; ; at = (at + 1) & mask {
		switch s.places[at] {
		case id:
			return false
		case 0:
			s.places[at] = id
			return true
		}
	}
}

func (s *set) grow() {
	old := s.places
	s.places = make([]uint64, max(leastPlaces, 2*len(old)))
	for _, id := range old {
		if id != 0 {
			s.put(id)
		}
	}
}

// clear keeps the table for the next generation unless it was hardly used, so that memory follows the load down as well.
func (s *set) clear() {
	if s.length < len(s.places)/8 {
		s.places = nil
	} else {
		clear(s.places)
	}
	s.length = 0
}
