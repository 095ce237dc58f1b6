package event

import "context"

// BreakFile makes the next write to the log of events fail.
func (r *Room) BreakFile() {
	r.events.mu.Lock()
	defer r.events.mu.Unlock()
	_ = r.events.file.Close()
}

// FlushCounts writes the counters now.
func (r *Room) FlushCounts() error { return r.counts.flush(context.TODO(), r.options.Now()) }

// Frames reads frames, as at a start.
func Frames(data []byte, each func(line []byte) bool) int { return unframe(data, each) }

// Frame makes one.
func Frame(to, line []byte) []byte { return frame(to, line) }

// SegmentBytes is the size of segments after [SmallSegments].
const SegmentBytes = 1 << 20

// SmallSegments makes segments of [SegmentBytes].
func SmallSegments(o *Options) { o.segmentBytes = SegmentBytes }

// ShortQuestions read two segments at most.
func ShortQuestions(o *Options) { o.maxScanned = 2 }
