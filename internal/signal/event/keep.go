package event

import (
	"context"
	"time"
)

// keepEvery is between two looks at the age and size of a log.
const keepEvery = time.Minute

// keep is the keeper: it seals what is full and removes what is old.
func (j *journal) keep(ctx context.Context) {
	ticker := time.NewTicker(keepEvery)
	defer ticker.Stop()
	for {
		j.sealAll(ctx)
		j.removeOld()
		select {
		case <-ctx.Done():
			return
		case <-j.full:
		case <-ticker.C:
		}
	}
}

// sealAll seals what is not.
func (j *journal) sealAll(ctx context.Context) {
	for _, v := range j.view() {
		if ctx.Err() != nil {
			return
		}
		if j.sealed(v.segment) {
			continue
		}
		described, size, err := v.segment.seal()
		if err != nil {
			j.logger.Warn("a segment of the log cannot be compressed yet", "file", v.segment.path(rawSuffix), "reason", err)
			return
		}
		j.mu.Lock()
		v.segment.meta, v.segment.size, v.segment.raw = described, size, false
		j.mu.Unlock()
	}
}

// sealed tells whether there is nothing to do for a segment: it is sealed, or still written.
func (j *journal) sealed(s *segment) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return !s.raw || s == j.current
}

// removeOld removes the oldest segments while the log is over its age or size. What somebody still has to read outlives its age, but not
// the size: the disk is shared.
func (j *journal) removeOld() {
	needed := ^uint64(0)
	if j.needed != nil {
		needed = j.needed()
	}
	for {
		s, lost := j.oldest(needed)
		if s == nil {
			return
		}
		if lost > 0 {
			j.logger.Error("events were removed before they could be forwarded: the log is full", "events", lost)
		}
		if err := s.remove(); err != nil {
			j.logger.Warn("an old segment of the log cannot be removed", "file", s.path(""), "reason", err)
			return
		}
	}
}

// oldest takes the oldest segment out of the log if it must go.
func (j *journal) oldest(needed uint64) (s *segment, lost uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.segments) == 0 {
		return nil, 0
	}
	s = j.segments[0]
	total := j.currentSize
	for _, each := range j.segments {
		total += each.size
	}
	last := s.First + s.Events // one behind
	old := s.Arrived.Before(j.now().Add(-j.maxAge)) && !s.Arrived.IsZero()
	switch {
	case s.Events == 0 && !s.raw:
	case total > j.maxBytes:
		if last > needed {
			lost = last - max(needed, s.First)
		}
	case old && last <= needed:
	default:
		return nil, 0
	}
	j.lost += lost
	j.segments = j.segments[1:]
	return s, lost
}
