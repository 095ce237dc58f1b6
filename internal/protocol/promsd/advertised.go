package promsd

import (
	"net"
	"strconv"
	"strings"

	"github.com/gantry-platform/gantry/internal/instance"
)

// Endpoint is where an instance shows its metrics.
type Endpoint struct {
	// Scheme is http or https; Address host:port; Path begins with a slash.
	Scheme, Address, Path string
}

// Words of metadata by which an instance says where its metrics are; the first that is there counts. metrics_path is older than the others; those of prometheus.io are
// what Kubernetes' users write.
var (
	pathWords   = [...]string{"gantry.metrics.path", "metrics_path", "prometheus.io/path"}
	portWords   = [...]string{"gantry.metrics.port", "prometheus.io/port"}
	schemeWords = [...]string{"gantry.metrics.scheme", "prometheus.io/scheme"}
	scrapeWords = [...]string{"gantry.metrics.scrape", "prometheus.io/scrape"}
)

const (
	// defaultPort is the name of a port that exists to be scraped.
	defaultPort = "metrics"
	defaultPath = "/metrics"
	// maxPath is longer than any path of metrics.
	maxPath = 512
)

func word(i *instance.Instance, words []string) (string, bool) {
	for _, w := range words {
		if value, ok := i.Metadata.Lookup(w); ok {
			return value, true
		}
	}
	return "", false
}

// Advertised is where an instance shows its metrics, and whether it says that it does: by a port named "metrics", or by metadata: a path, a port, or "true" for scrape.
// "false" for scrape is a no. Without a word the endpoint is /metrics on the main port.
func Advertised(i *instance.Instance) (endpoint Endpoint, advertised bool) {
	endpoint = Endpoint{Scheme: "http", Path: defaultPath}
	number := i.Port
	for _, port := range i.Ports {
		if port.Name == defaultPort {
			number, advertised = port.Number, true
		}
	}
	if text, ok := word(i, portWords[:]); ok {
		if n, err := strconv.ParseUint(text, 10, 16); err == nil && n > 0 {
			number, advertised = uint16(n), true
		}
	}
	if path, ok := word(i, pathWords[:]); ok && strings.HasPrefix(path, "/") && len(path) <= maxPath {
		endpoint.Path, advertised = path, true
	}
	if scheme, ok := word(i, schemeWords[:]); ok && strings.EqualFold(scheme, "https") {
		endpoint.Scheme = "https"
	}
	if scrape, ok := word(i, scrapeWords[:]); ok {
		advertised = strings.EqualFold(scrape, "true") || advertised && !strings.EqualFold(scrape, "false")
	}
	endpoint.Address = net.JoinHostPort(i.Address, strconv.Itoa(int(number)))
	return endpoint, advertised
}
