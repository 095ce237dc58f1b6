package server

import (
	"time"

	"github.com/gantry-platform/gantry/internal/release"
	"github.com/gantry-platform/gantry/internal/signal/live"
)

// instancePause is the least time between two looks at what instances did, for those who watch: a storm of registrations is one look.
const instancePause = 100 * time.Millisecond

// observeDocument is told by the releaser; it must not wait.
func (s *Server) observeDocument(ref release.Ref) {
	s.live.Moved(ref.Namespace, live.Documents)
	s.events.feed.observe(ref)
}

// followInstances tells who watches which namespaces have instances or settings that moved.
func (s *Server) followInstances() {
	pause := time.NewTicker(instancePause)
	defer pause.Stop()
	sequence := s.instances.ChangesFromNow()
	revisions := map[string]int64{}
	for {
		moved := s.instances.Changed()
		changes, next, complete := s.instances.ChangesSince(sequence)
		sequence = next
		touched := map[string]bool{}
		for i := range changes {
			touched[changes[i].Service.Namespace] = true
		}
		// Settings of services are no changes of instances, and show in the revision.
		watched := s.live.Watched()
		seen := make(map[string]int64, len(watched))
		for _, namespace := range watched {
			seen[namespace] = s.instances.Revision(namespace)
			// A namespace that is watched since a moment has no revision to compare with: it is told once too often rather than not at all.
			if touched[namespace] || !complete || revisions[namespace] != seen[namespace] {
				s.live.Moved(namespace, live.Services)
			}
		}
		revisions = seen
		pause.Reset(instancePause)
		for _, wait := range []<-chan struct{}{moved, nil} {
			var due <-chan time.Time
			if wait == nil {
				due = pause.C
			}
			select {
			case <-wait:
			case <-due:
			case <-s.running.Done():
				return
			}
		}
	}
}
