package server

import (
	"context"
	"io"
	"path/filepath"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/state"
)

// Restore fills the empty state that the settings name from a backup, without serving anything. A node of a cluster is restored
// as a node alone; it opens itself to the others when it is started with the secret.
func Restore(ctx context.Context, settings *Settings, from io.Reader, log io.Writer, progress func(records int)) (int, error) {
	if len(settings.Cluster) > 0 || settings.Join != "" {
		return 0, fault.New(fault.Invalid, "setting.contradiction", "a backup is restored into one node").At("cluster").
			Hinted("leave out --cluster and --join; the other nodes join the restored one")
	}
	logger, err := newLogger(settings, log)
	if err != nil {
		return 0, err
	}
	s := &Server{settings: settings, log: logger}
	options := state.Options{Dir: settings.Data, Prefix: settings.EtcdPrefix, MinimumFree: uint64(settings.MinimumFree),
		Logger: logger.With("part", "state"), Node: state.Node{Name: settings.Name}}
	if len(settings.EtcdEndpoints) > 0 {
		if options.External, err = s.external(); err != nil {
			return 0, err
		}
	} else {
		options.Embedded = &state.Embedded{Name: settings.Name, Quota: int64(settings.StateQuota)}
		if settings.EtcdSocket {
			options.Embedded.Socket = filepath.Join(settings.Data, "etcd.sock")
		}
	}
	store, err := state.Open(ctx, options)
	if err != nil {
		return 0, err
	}
	defer store.Close()
	return store.Restore(ctx, from, progress)
}
