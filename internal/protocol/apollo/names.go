package apollo

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
	"github.com/gantry-platform/gantry/internal/release"
)

const (
	defaultCluster = "default"
	// applicationNamespace is every application's own; it is never public.
	applicationNamespace = "application"
	// publicApp owns the public namespaces: their documents are called public/<namespace>.
	publicApp = "public"
	// noApp is what clients send that have no application id: they read public namespaces alone.
	noApp = "ApolloNoAppIdPlaceHolder"

	kindConfig = "Config"
	properties = ".properties"
	// contentKey is the one item of a namespace that is no properties.
	contentKey = "content"

	// maxName bounds each of appId, cluster and namespace; Apollo's own database has 64 and 32.
	maxName  = 128
	maxLabel = 128
)

// types are the extensions of namespaces that are no properties.
var types = [...]string{".json", ".yml", ".yaml", ".xml", ".txt"}

// place is what a request is about.
type place struct {
	gantry  string // Gantry's namespace
	app     string
	cluster string
	// clusters are looked at in this order.
	clusters []string
	subject  release.Subject
}

// name checks one of appId, cluster and namespace by Apollo's rule. So it holds no "/", and is neither "." nor "..", and the name of the
// document that it becomes a part of is what it seems.
func name(field, value string) error {
	good := value != "" && len(value) <= maxName && value[0] != '.'
	for i := 0; good && i < len(value); i++ {
		b := value[i]
		good = 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || b == '-' || b == '_' || b == '.'
	}
	if good {
		return nil
	}
	return fault.New(fault.Invalid, "apollo.invalid_name", "%.64q is no valid %s", value, field).At(field).
		Hinted("use up to %d letters, digits, '-', '_' and '.', the first not '.'", maxName)
}

// locate reads what a request is about: the application and its cluster, and who asks.
func locate(r *http.Request, app, cluster string) (*place, error) {
	query := r.URL.Query()
	if err := name("appId", app); err != nil {
		return nil, err
	}
	if err := name("cluster", cluster); err != nil {
		return nil, err
	}
	p := &place{gantry: edge.Namespace(r.Context()), app: app, cluster: cluster}
	for _, candidate := range []string{cluster, query.Get("dataCenter"), defaultCluster} {
		if candidate == "" || slices.Contains(p.clusters, candidate) {
			continue
		}
		if err := name("dataCenter", candidate); err != nil {
			return nil, err
		}
		if candidate != defaultCluster {
			p.clusters = append(p.clusters, candidate)
		}
	}
	p.clusters = append(p.clusters, defaultCluster)
	label := query.Get("label")
	if len(label) > maxLabel {
		return nil, fault.New(fault.TooLarge, "apollo.label_too_long", "the label has %d bytes", len(label)).At("label").Hinted("at most %d", maxLabel)
	}
	p.subject = subject(r, query.Get("ip"), label)
	return p, nil
}

// subject is who asks, as cohorts see it. The address that a client says of itself decides which version it gets and nothing else,
// so that it need not be believed; without one it is where the request came from. It stands for the instance, too, so that
// percentages choose among addresses.
func subject(r *http.Request, ip, label string) release.Subject {
	address, err := netip.ParseAddr(ip)
	if err != nil {
		address, err = netip.ParseAddr(edge.Source(r))
	}
	var s release.Subject
	if err == nil {
		s.Address = address.Unmap().WithZone("")
		s.InstanceID = s.Address.String()
	}
	if label != "" {
		s.Labels = map[string]string{"label": label}
	}
	return s
}

// segment is a part of a path as it is meant.
func segment(field, escaped string) (string, error) {
	value, err := url.PathUnescape(escaped)
	if err != nil {
		return "", name(field, "%")
	}
	return value, nil
}

// normal takes the extension off a namespace of properties, which is the same with and without it.
func normal(namespace string) string {
	if rest, extension := len(namespace)-len(properties), properties; rest > 0 && strings.EqualFold(namespace[rest:], extension) {
		return namespace[:rest]
	}
	return namespace
}

// isProperties reports whether a namespace, in normal form, is of the type properties.
func isProperties(namespace string) bool { return typeOf(namespace) == properties }

func typeOf(namespace string) string {
	lower := strings.ToLower(namespace)
	for _, extension := range types {
		if strings.HasSuffix(lower, extension) {
			return extension
		}
	}
	return properties
}

// ref is the document of an application's namespace, in normal form.
func (p *place) ref(app, cluster, namespace string) release.Ref {
	document := app + "/"
	if cluster != defaultCluster {
		document += cluster + "/"
	}
	document += namespace
	if isProperties(namespace) {
		document += properties
	}
	return release.Ref{Namespace: p.gantry, Kind: kindConfig, Name: document}
}

// owners are whose documents a namespace is made of, the strongest first.
func (p *place) owners(namespace string) []string {
	switch {
	case p.app == noApp:
		return []string{publicApp}
	case namespace == applicationNamespace || p.app == publicApp:
		return []string{p.app}
	}
	return []string{p.app, publicApp}
}

// origin is one document that a namespace may come from.
type origin struct {
	ref release.Ref
	// key is what Apollo calls it in its messages.
	key string
}

// origins are all documents that a namespace may come from.
func (p *place) origins(namespace string) []origin {
	var all []origin
	for _, owner := range p.owners(namespace) {
		for _, cluster := range p.clusters {
			all = append(all, origin{p.ref(owner, cluster, namespace), owner + "+" + cluster + "+" + namespace})
		}
	}
	return all
}
