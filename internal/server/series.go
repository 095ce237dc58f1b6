package server

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	prometheusapi "github.com/gantry-platform/gantry/internal/protocol/prometheus"
	"github.com/gantry-platform/gantry/internal/protocol/promsd"
	"github.com/gantry-platform/gantry/internal/signal/series"
	"github.com/gantry-platform/gantry/internal/state"
)

// openSeries opens the store of metrics in the data folder, which the state has claimed for this process.
func (s *Server) openSeries() error {
	dir := filepath.Join(s.dataDir, "signals", "metrics")
	size := int64(s.settings.MetricsRetentionSize)
	if size == 0 {
		size = -1
	}
	options := series.Options{Dir: dir, Retention: s.settings.MetricsRetention, RetentionSize: size, Node: s.store.Self().Name,
		Limits: series.Limits{Series: s.settings.MetricsSeries, NamespaceSeries: s.settings.MetricsNamespaceSeries, NameSeries: s.settings.MetricsNameSeries,
			Deltas: s.settings.MetricsDeltaSeries},
		Logger: s.log.With("part", "series"), Registerer: s.metrics, MinimumFree: uint64(s.settings.MinimumFree)}
	if s.cluster != nil {
		options.Peers = seriesPeers{s}
	}
	store, err := series.Open(options)
	if err != nil {
		return fault.New(fault.Precondition, "series.cannot_open", "cannot open the metrics in %s: %v", dir, rootCause(err)).At("data").
			Hinted("see that this user may write the folder and that its disk has room").Because(err)
	}
	s.series = store
	return nil
}

// seriesPeers are the other nodes' metrics. The client to the nodes is made after the store of metrics, and before anybody asks.
type seriesPeers struct{ server *Server }

// Others implements series.Peers.
func (p seriesPeers) Others() []series.Peer { return p.server.peers.Others() }

// SelectSeries implements series.Peers.
func (p seriesPeers) SelectSeries(ctx context.Context, id string, selection series.Selection) (io.ReadCloser, error) {
	return p.server.peers.SelectSeries(ctx, id, selection)
}

// ListSeriesLabels implements series.Peers.
func (p seriesPeers) ListSeriesLabels(ctx context.Context, id string, selection series.Selection, name string, limit int) ([]string, error) {
	return p.server.peers.ListSeriesLabels(ctx, id, selection, name, limit)
}

// startSeries begins to scrape what this node owns of the fleet, and to keep the server's own figures.
func (s *Server) startSeries() error {
	host, err := s.advertised()
	if err != nil {
		return err
	}
	s.scraper, err = s.series.Scrape(series.ScrapeOptions{Discovery: &scraped{instances: s.instances, store: s.store}, Interval: s.settings.ScrapeInterval,
		Timeout: s.settings.ScrapeTimeout, Samples: s.settings.ScrapeSamples, Loopback: isLoopback(net.JoinHostPort(host, "0")), DefaultGroup: instance.Default,
		Own: prometheus.Gatherers{s.metrics, runtimeFigures{prometheus.DefaultGatherer}}})
	return err
}

// stopScraping ends what reads the registry.
func (s *Server) stopScraping() {
	if s.scraper != nil {
		s.scraper.Close()
	}
}

// closeSeries closes the metrics, when nothing writes them any more.
func (s *Server) closeSeries() {
	if s.series != nil {
		logError(s.log, "closing the metrics", s.series.Close())
	}
}

// runtimeFigures are those of Go and the process. The rest of what the libraries register, etcd's above all, is thousands of series for experts: /metrics shows them.
type runtimeFigures struct{ all prometheus.Gatherer }

// Gather implements prometheus.Gatherer.
func (r runtimeFigures) Gather() ([]*dto.MetricFamily, error) {
	families, err := r.all.Gather()
	return slices.DeleteFunc(families, func(f *dto.MetricFamily) bool {
		return !strings.HasPrefix(f.GetName(), "go_") && !strings.HasPrefix(f.GetName(), "process_")
	}), err
}

// scraped are the instances that show metrics and that this node owns: each has one owner among the live nodes, so each is scraped once.
type scraped struct {
	instances       *instance.Registry
	store           *state.Store
	registry, nodes <-chan struct{}
}

// Next implements series.Discovery.
func (d *scraped) Next(ctx context.Context) ([]series.Target, error) {
	if d.registry != nil {
		select {
		case <-d.registry:
		case <-d.nodes:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	d.registry, d.nodes = d.instances.Changed(), d.store.NodesChanged()
	var targets []series.Target
	self := d.store.Self().ID
	for _, service := range d.instances.Services("") {
		snapshot := d.instances.Lookup(service)
		if snapshot == nil {
			continue
		}
		for _, i := range snapshot.Instances {
			endpoint, advertised := promsd.Advertised(i)
			if !advertised || d.instances.Owner(service, i) != self {
				continue
			}
			targets = append(targets, series.Target{Namespace: service.Namespace, Group: service.Group, Service: service.Name, Instance: strings.Clone(i.ID),
				Scheme: endpoint.Scheme, Address: endpoint.Address, Path: strings.Clone(endpoint.Path)})
		}
	}
	return targets, nil
}

// prometheusAPI is Prometheus's query API over the metrics.
func (s *Server) prometheusAPI() *prometheusapi.Handler {
	return prometheusapi.New(prometheusapi.Options{Series: s.series, Access: s.access, Targets: scrapedTargets{s.scraper}, Rules: alertRules{s}, HasNamespace: s.instances.HasNamespace, Version: s.version, Logger: s.log.With("part", "prometheus")})
}

// scrapedTargets shows what this node scrapes in Prometheus's shape.
type scrapedTargets struct{ scraper *series.Scraper }

// Targets implements the API's Targets.
func (t scrapedTargets) Targets(scope prometheusapi.Scope) []prometheusapi.Target {
	interval, timeout := t.scraper.Settings()
	targets := []prometheusapi.Target{}
	for _, one := range t.scraper.Targets(scope.Namespace, scope.All) {
		targets = append(targets, prometheusapi.Target{DiscoveredLabels: map[string]string{}, Labels: one.Labels, ScrapePool: "gantry", ScrapeURL: one.URL, GlobalURL: one.URL,
			LastError: one.LastError, LastScrape: one.Last, LastScrapeDuration: one.Took.Seconds(), Health: one.Health, ScrapeInterval: interval.String(), ScrapeTimeout: timeout.String()})
	}
	return targets
}

// completeMetrics refuses what cannot be kept.
func (s *Settings) completeMetrics() error {
	const least = 2 * time.Hour // one block
	if s.MetricsRetention < least {
		return fault.New(fault.Invalid, "setting.bad_value", "metrics are kept for two hours at least, not for %s", s.MetricsRetention).At("metrics-retention").
			Hinted("a block of metrics covers two hours, and goes as a whole")
	}
	if s.ScrapeInterval < time.Second {
		return fault.New(fault.Invalid, "setting.bad_value", "metrics are scraped once a second at most, not every %s", s.ScrapeInterval).At("scrape-interval").Hinted("15s is usual")
	}
	if s.ScrapeTimeout < 0 || s.ScrapeTimeout > s.ScrapeInterval {
		return fault.New(fault.Invalid, "setting.bad_value", "a scrape may take %s at most, its interval, not %s", s.ScrapeInterval, s.ScrapeTimeout).At("scrape-timeout").
			Hinted("leave it out: two thirds of the interval")
	}
	for name, n := range map[string]int{"metrics-series": s.MetricsSeries, "metrics-namespace-series": s.MetricsNamespaceSeries, "metrics-name-series": s.MetricsNameSeries, "metrics-delta-series": s.MetricsDeltaSeries,
		"scrape-samples": s.ScrapeSamples} {
		if n < 1 {
			return fault.New(fault.Invalid, "setting.bad_value", "%d is too few", n).At(name).Hinted("leave it out for its default")
		}
	}
	return nil
}
