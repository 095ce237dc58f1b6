package server

import (
	"crypto/tls"
	"net"
	"path/filepath"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/clickhouse"
	"github.com/gantry-platform/gantry/internal/signal/ingest"
	"github.com/gantry-platform/gantry/internal/signal/trace"
)

// traceStore keeps traces and answers about them: on this node's disk, or in ClickHouse.
type traceStore interface {
	ingest.Store
	signal.TraceReader
	Close() error
}

// openTraces opens the store that the settings ask for.
func (s *Server) openTraces() error {
	var err error
	if s.settings.ClickHouseURL != "" {
		s.signals.traces, err = s.openClickHouse()
		return err
	}
	settings := s.settings
	options := trace.Options{Dir: filepath.Join(s.dataDir, "signals", "traces"), Memory: s.tracesMemory(), Retention: settings.TracesRetention,
		RetentionSize: int64(settings.TracesRetentionSize), MinFree: int64(settings.MinimumFree), Logger: s.log.With("part", "traces"), Registerer: s.metrics}
	if settings.TracesSampleShare < 1 {
		options.Sampling = &trace.Sampling{Share: settings.TracesSampleShare, Slow: settings.TracesSampleSlow}
	}
	local, err := trace.Open(options)
	if err == nil {
		s.signals.traces = local
	}
	return err
}

func (s *Server) openClickHouse() (traceStore, error) {
	settings := s.settings
	address, _, err := clickhouse.CheckURL(settings.ClickHouseURL)
	if err != nil {
		return nil, err
	}
	// Blocks are sampled and measured when they are made; ClickHouse has no such moment, and what would silently not hold is refused.
	if settings.TracesSampleShare < 1 || settings.TracesRetentionSize != 0 {
		return nil, fault.New(fault.Invalid, "setting.contradiction", "--traces-sample-share and --traces-retention-size are about traces on this node's disk, not in ClickHouse").At("clickhouse-url").
			Hinted("leave them out; --traces-retention holds in ClickHouse too")
	}
	options := clickhouse.Options{URL: settings.ClickHouseURL, User: settings.ClickHouseUser, Memory: s.tracesMemory(), Retention: settings.TracesRetention,
		Logger: s.log.With("part", "traces"), Registerer: s.metrics}
	if options.Password, err = secretOf("clickhouse-password-file", settings.ClickHousePassword, settings.ClickHousePasswordFile); err != nil {
		return nil, err
	}
	if settings.ClickHouseCA != "" {
		options.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		if options.TLS.RootCAs, err = readPool("clickhouse-ca", settings.ClickHouseCA); err != nil {
			return nil, err
		}
	}
	if address.Scheme == "http" && options.Password != "" && !isLoopback(net.JoinHostPort(address.Hostname(), "0")) {
		s.log.Warn("the password and the traces go to ClickHouse unencrypted; give an https URL", "setting", "clickhouse-url", "host", address.Host)
	}
	remote, err := clickhouse.Open(options)
	if err != nil {
		return nil, err
	}
	return remote, nil
}
