package instance

import "context"

// AwaitChange waits until a service has changed after a revision, and returns it as of then with its revision; the snapshot is nil when there is no such
// service then. Without a wait there is nothing to find out: the caller looks first. A change that only this node knows, because
// there is no quorum, does not count. It is for languages that ask again after each answer; who follows for long subscribes.
//
// Errors: Invalid; Exhausted; ctx's when it ends first.
func (r *Registry) AwaitChange(ctx context.Context, service Service, revision int64) (*Snapshot, int64, error) {
	service = service.Normal()
	subscriber := r.Subscribe(Follower{})
	defer subscriber.Close()
	if err := subscriber.Add(service, 0); err != nil {
		return nil, 0, err
	}
	for {
		snapshots, err := subscriber.NextSnapshots(ctx)
		if err != nil {
			return nil, 0, err
		}
		if last := snapshots[len(snapshots)-1]; last.Revision > revision {
			return r.Lookup(service), last.Revision, nil
		}
	}
}
