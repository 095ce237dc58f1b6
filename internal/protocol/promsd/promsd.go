// Package promsd tells Prometheus where to scrape: HTTP service discovery
// (https://prometheus.io/docs/prometheus/latest/http_sd/). Every instance becomes a target group of its own with its labels, its
// service and its health as meta labels.
//
// It imports instance, access and fault.
package promsd

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
)

// group is one entry of Prometheus's list.
type group struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// Handler serves the list. Prometheus sends credentials by its own http_sd settings (basic_auth or authorization); Path is
// where it belongs.
//
// Query parameters: namespace (default "default"; "*" is all that the caller may see), service, group, and port: the name of
// the instance's port to scrape, by default what [Advertised] says; with "only=advertised" only instances that say they have metrics are listed.
func Handler(registry *instance.Registry, authenticate func(*http.Request) (*access.Identity, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "use GET", http.StatusMethodNotAllowed)
			return
		}
		identity, err := authenticate(r)
		if err == nil {
			err = access.Require(access.NewContext(r.Context(), identity), access.View|access.Serve, namespaceOf(r))
		}
		if err != nil && !(namespaceOf(r) == "*" && identity != nil && identity.Active()) {
			refuse(w, err)
			return
		}
		groups := list(registry, identity, r)
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(groups); err != nil {
			return // the reader is gone
		}
	})
}

// Path is where Prometheus is pointed to.
const Path = "/prometheus/sd"

func namespaceOf(r *http.Request) string {
	if namespace := r.URL.Query().Get("namespace"); namespace != "" {
		return namespace
	}
	return instance.Default
}

func refuse(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	var f *fault.Error
	if errors.As(err, &f) {
		switch f.Code {
		case fault.Unauthenticated:
			w.Header().Set("WWW-Authenticate", `Bearer realm="gantry", Basic realm="gantry"`)
			status = http.StatusUnauthorized
		case fault.Forbidden:
			status = http.StatusForbidden
		case fault.Exhausted:
			status = http.StatusTooManyRequests
		case fault.Unavailable:
			status = http.StatusServiceUnavailable
		}
		http.Error(w, f.Error(), status)
		return
	}
	http.Error(w, "internal error", status)
}

func list(registry *instance.Registry, identity *access.Identity, r *http.Request) []group {
	query := r.URL.Query()
	namespace := namespaceOf(r)
	if namespace == "*" {
		namespace = ""
	}
	groups := []group{}
	for _, service := range registry.Services(namespace) {
		if !identity.May(access.View|access.Serve, service.Namespace) ||
			query.Get("service") != "" && query.Get("service") != service.Name ||
			query.Get("group") != "" && query.Get("group") != service.Group {
			continue
		}
		snapshot := registry.Lookup(service)
		if snapshot == nil {
			continue
		}
		for _, i := range snapshot.Instances {
			if target, ok := targetOf(i, query.Get("port"), query.Get("only") == "advertised"); ok {
				groups = append(groups, group{Targets: []string{target}, Labels: labelsOf(service, i)})
			}
		}
	}
	return groups
}

func targetOf(i *instance.Instance, name string, advertised bool) (string, bool) {
	if name == "" {
		endpoint, says := Advertised(i)
		return endpoint.Address, says || !advertised
	}
	for _, port := range i.Ports {
		if port.Name == name {
			return net.JoinHostPort(i.Address, strconv.Itoa(int(port.Number))), true
		}
	}
	return "", false
}

func labelsOf(service instance.Service, i *instance.Instance) map[string]string {
	labels := map[string]string{
		"__meta_gantry_namespace": service.Namespace,
		"__meta_gantry_group":     service.Group,
		"__meta_gantry_service":   service.Name,
		"__meta_gantry_instance":  i.ID,
		"__meta_gantry_protocol":  i.Protocol,
		"__meta_gantry_status":    strings.ToLower(strings.TrimPrefix(i.EffectiveStatus().String(), "STATUS_")),
		"__meta_gantry_health":    strings.ToLower(strings.TrimPrefix(i.Health.String(), "HEALTH_")),
		"service":                 service.Name,
	}
	endpoint, _ := Advertised(i)
	if endpoint.Path != defaultPath {
		labels["__metrics_path__"] = endpoint.Path
	}
	if endpoint.Scheme != "http" {
		labels["__scheme__"] = endpoint.Scheme
	}
	for _, label := range i.Labels {
		labels["__meta_gantry_label_"+labelName(label.Key)] = label.Value
	}
	for _, entry := range i.Metadata {
		labels["__meta_gantry_metadata_"+labelName(entry.Key)] = entry.Value
	}
	return labels
}

var notInLabel = regexp.MustCompile(`[^a-zA-Z0-9_]`)

// labelName makes a name that Prometheus accepts.
func labelName(name string) string { return notInLabel.ReplaceAllString(name, "_") }
