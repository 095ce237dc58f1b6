package series

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	config_util "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/scrape"
)

// Target is an address that shows metrics. Two targets are the same when all fields are.
type Target struct {
	// Namespace, Group, Service and Instance are whose metrics they are.
	Namespace, Group, Service, Instance string
	// Scheme is http or https, Address host:port, Path begins with a slash.
	Scheme, Address, Path string
}

// Discovery says what this node scrapes: its share of the instances that show metrics.
type Discovery interface {
	// Next returns all targets: at once the first time, later when they may be others than those it returned last. It is called by one goroutine. Its error is that of ctx.
	Next(ctx context.Context) ([]Target, error)
}

// ScrapeOptions say how targets are scraped. Zero fields mean their defaults.
type ScrapeOptions struct {
	Discovery Discovery
	// Interval between two scrapes of a target. Default 15 seconds: four points in the minute over which rates are looked at.
	Interval time.Duration
	// Timeout of one scrape. Default two thirds of the interval.
	Timeout time.Duration
	// Body is the largest answer in bytes, unpacked. Default 16 MiB: 100,000 lines.
	Body int64
	// Samples is the most of one answer. Default 50,000.
	Samples int
	// Targets is the most that this node scrapes. Default 10,000: 700 scrapes a second.
	Targets int
	// Loopback lets addresses of this machine's loopback be scraped. It is for nodes that are themselves reached by loopback: elsewhere such an
	// address names what is private to this machine, and not the instance.
	Loopback bool
	// DefaultGroup is the group that is no label.
	DefaultGroup string
	// Own are the server's own figures, which are kept as often as targets are scraped; see [Store.Record]. Nil: they are not.
	Own prometheus.Gatherer
}

// job is the name of the one scrape pool.
const job = "gantry"

// settle is how long changes of targets gather before they are applied.
const settle = time.Second

// Scraper scrapes targets into a store. Each has the series up, scrape_duration_seconds and scrape_samples_scraped; a target that goes leaves marks that its
// series have ended.
type Scraper struct {
	store   *Store
	options ScrapeOptions
	manager *scrape.Manager
	log     *slog.Logger
	stop    context.CancelFunc
	workers sync.WaitGroup
}

// Scrape begins to scrape. Close ends it, and must be called before the store is closed.
func (s *Store) Scrape(options ScrapeOptions) (*Scraper, error) {
	options.Interval = orDefault(options.Interval, 15*time.Second)
	options.Timeout = min(orDefault(options.Timeout, options.Interval*2/3), options.Interval)
	options.Body = orDefault(options.Body, 16<<20)
	options.Samples = orDefault(options.Samples, 50_000)
	options.Targets = orDefault(options.Targets, 10_000)
	r := &Scraper{store: s, options: options, log: s.log}
	manager, err := scrape.NewManager(&scrape.Options{AppendMetadata: true, DiscoveryReloadInterval: model.Duration(settle), DiscoveryReloadOnStartup: true,
		HTTPClientOptions: []config_util.HTTPClientOption{config_util.WithDialContextFunc(r.dial)}}, quiet(s.log), nil, nil, s, s.inner)
	if err != nil {
		return nil, fmt.Errorf("series: %w", err)
	}
	r.manager = manager
	settings, err := r.settings()
	if err != nil {
		return nil, fmt.Errorf("series: the settings of scraping: %w", err)
	}
	running, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.workers.Go(func() { r.run(running, settings) })
	if options.Own != nil {
		r.workers.Go(func() { s.Record(running, options.Own, options.Interval) })
	}
	return r, nil
}

// settings are Prometheus's configuration of the one pool. They are read from text, because only that sets its defaults.
func (r *Scraper) settings() (*config.Config, error) {
	limits := r.store.limits
	return config.Load(fmt.Sprintf(`
global: {scrape_interval: %[1]s, scrape_timeout: %[2]s}
scrape_configs:
  - job_name: %[3]s
    follow_redirects: false
    fallback_scrape_protocol: PrometheusText0.0.4
    scrape_native_histograms: true
    body_size_limit: %[4]dB
    sample_limit: %[5]d
    label_limit: %[6]d
    label_name_length_limit: %[7]d
    label_value_length_limit: %[8]d
    native_histogram_bucket_limit: %[9]d
`, model.Duration(r.options.Interval), model.Duration(r.options.Timeout), job, r.options.Body, r.options.Samples, limits.Labels, limits.LabelName, limits.LabelValue, limits.Buckets), r.log)
}

// run hands the targets to Prometheus's scraper, as they change.
func (r *Scraper) run(ctx context.Context, settings *config.Config) {
	// This asks the resolver for the machine's name, which may take a while.
	if err := r.manager.ApplyConfig(settings); err != nil {
		r.log.Error("nothing is scraped", "error", err)
		return
	}
	sets := make(chan map[string][]*targetgroup.Group)
	r.workers.Go(func() { _ = r.manager.Run(sets) })
	defer r.manager.Stop()
	var before []Target
	crowded := false
	for first := true; ; first = false {
		targets, err := r.options.Discovery.Next(ctx)
		if err != nil {
			return
		}
		if len(targets) > r.options.Targets {
			if !crowded {
				r.log.Warn("not all targets are scraped: this node has too many", "targets", len(targets), "limit", r.options.Targets)
			}
			targets = targets[:r.options.Targets]
			crowded = true
		} else {
			crowded = false
		}
		if first || !slices.Equal(before, targets) {
			select {
			case sets <- map[string][]*targetgroup.Group{job: r.groups(targets)}:
			case <-ctx.Done():
				return
			}
			before = targets
		}
		// In a large fleet something changes all the time.
		timer := time.NewTimer(settle)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

func (r *Scraper) groups(targets []Target) []*targetgroup.Group {
	groups := make([]*targetgroup.Group, 0, len(targets))
	for i, t := range targets {
		set := model.LabelSet{
			model.AddressLabel: text(t.Address), model.SchemeLabel: text(t.Scheme), model.MetricsPathLabel: text(t.Path),
			NamespaceLabel: text(t.Namespace), serviceLabel: text(t.Service), model.InstanceLabel: text(t.Instance), model.JobLabel: text(t.Service),
		}
		if t.Group != r.options.DefaultGroup {
			set["group"] = text(t.Group)
		}
		groups = append(groups, &targetgroup.Group{Source: fmt.Sprint(i), Targets: []model.LabelSet{set}})
	}
	return groups
}

// text is a label's value: names of the registry share memory with its records, which must not be held for them.
func text(s string) model.LabelValue {
	return model.LabelValue(strings.Clone(strings.ToValidUTF8(s, "\uFFFD")))
}

// errNotScraped is why an address is not connected to.
var errNotScraped = errors.New("this address is not scraped: it is one of the network's or of this machine's own")

// dial connects to registered addresses, and not to those behind which clouds and machines keep what is nobody else's: whoever may register an instance would
// read it through us. The address is judged after it was resolved.
func (r *Scraper) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: r.options.Timeout, Control: func(_, resolved string, _ syscall.RawConn) error {
		if !scrapeable(resolved, r.options.Loopback) {
			return errNotScraped
		}
		return nil
	}}
	return dialer.DialContext(ctx, network, address)
}

// metadataV6 is where Amazon's machines find their credentials by IPv6; by IPv4 that is a link-local address, on all clouds.
var metadataV6 = netip.MustParseAddr("fd00:ec2::254")

func scrapeable(address string, loopback bool) bool {
	endpoint, err := netip.ParseAddrPort(address)
	if err != nil {
		return false
	}
	ip := endpoint.Addr().Unmap().WithZone("")
	if ip.IsLoopback() {
		return loopback
	}
	return !ip.IsUnspecified() && !ip.IsLinkLocalUnicast() && !ip.IsMulticast() && ip != metadataV6 && ip != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// Close ends scraping. Scrapes that are under way are given up.
func (r *Scraper) Close() {
	r.stop()
	r.workers.Wait()
	r.manager.UnregisterMetrics()
}

// ScrapedTarget is a target with how its last scrape went.
type ScrapedTarget struct {
	// Labels are on all its series.
	Labels map[string]string
	URL    string
	// Health is "up", "down" or "unknown".
	Health    string
	LastError string
	Last      time.Time
	Took      time.Duration
}

// Targets are what this node scrapes, of one namespace or of all.
func (r *Scraper) Targets(namespace string, all bool) []ScrapedTarget {
	var found []ScrapedTarget
	builder := labels.NewBuilder(labels.EmptyLabels())
	for _, t := range r.manager.TargetsActive()[job] {
		if !all && t.GetValue(NamespaceLabel) != namespace {
			continue
		}
		one := ScrapedTarget{Labels: t.Labels(builder).Map(), URL: t.URL().String(), Health: string(t.Health()), Last: t.LastScrape(), Took: t.LastScrapeDuration()}
		if err := t.LastError(); err != nil {
			one.LastError = err.Error()
		}
		found = append(found, one)
	}
	slices.SortFunc(found, func(a, b ScrapedTarget) int { return strings.Compare(a.URL, b.URL) })
	return found
}

// Settings are the interval and the timeout in force.
func (r *Scraper) Settings() (interval, timeout time.Duration) {
	return r.options.Interval, r.options.Timeout
}
