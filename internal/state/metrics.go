package state

import "github.com/prometheus/client_golang/prometheus"

func (s *Store) registerMetrics() {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	s.options.Registerer.MustRegister(
		gauge("gantry_state_quorum", "1 while the state can be written as far as this node knows.", func() float64 {
			if s.Quorum() {
				return 1
			}
			return 0
		}),
		gauge("gantry_state_mirrored_revision", "Newest revision of the state that this node's memory shows.", func() float64 {
			return float64(s.Revision())
		}),
		gauge("gantry_state_nodes", "Live nodes.", func() float64 { return float64(len(s.Nodes())) }),
		gauge("gantry_state_queue", "Changes that wait for a transaction.", func() float64 { return float64(len(s.committer.queue)) }),
		gauge("gantry_state_disk_free_bytes", "Free space of the data folder's disk.", func() float64 { return float64(s.DiskFree()) }),
	)
	if s.etcd != nil {
		s.options.Registerer.MustRegister(
			gauge("gantry_state_revision", "Newest revision of this node's etcd; ahead of the mirrored one by the lag.", func() float64 {
				return float64(s.etcd.Server.KV().Rev())
			}),
			gauge("gantry_state_database_bytes", "Size of the state on disk.", func() float64 { return float64(s.etcd.Server.Backend().Size()) }),
			gauge("gantry_state_raft_applied_index", "Raft index that this member has applied; members that stay apart have diverged.", func() float64 {
				return float64(s.etcd.Server.AppliedIndex())
			}),
			gauge("gantry_state_raft_term", "Raft term; it grows with each election.", func() float64 { return float64(s.etcd.Server.Term()) }),
		)
	}
}
