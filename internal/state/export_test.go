package state

import "time"

// AbsentAt is Absent at a time.
func (s *Store) AbsentAt(now time.Time) []Node { return s.absent(now) }
