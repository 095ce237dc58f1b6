package migrate

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy"
	"github.com/gantry-platform/gantry/internal/policy/source"
)

// ApolloOptions say what of an Apollo is taken.
type ApolloOptions struct {
	// Apps to take; none: all that the token may see, by the portal.
	Apps []string
	// Owners are the applications that own public namespaces, by namespace, where that cannot be told.
	Owners map[string]string
	// NamespaceNames makes it read from a config service: these namespaces of each of Apps, as they are released.
	NamespaceNames []string
	// Clusters to read from a config service; none: "default".
	Clusters []string
}

// maxApolloApps bounds the applications of one copy.
const maxApolloApps = 10_000

// ApolloConfigs returns the configuration of an Apollo: by its portal's open API, or, with NamespaceNames, by a config service.
//
// From the portal the namespaces of Apollo's environments become documents in the namespaces of Gantry that stand for the environments: by
// their names in small letters, unless they are mapped.
func ApolloConfigs(c Connection, namespaces Namespaces, o ApolloOptions) ConfigSource {
	api := newEndpoint("apollo", c)
	if len(o.NamespaceNames) > 0 {
		if c.Token != "" {
			api.sign = func(_ context.Context, r *http.Request) error { signApollo(r, c.Token, time.Now()); return nil }
		}
		if len(o.Clusters) == 0 {
			o.Clusters = []string{apolloCluster}
		}
		return &apolloService{api: api, namespaces: namespaces, options: o}
	}
	api.sign = func(_ context.Context, r *http.Request) error {
		if c.Token != "" {
			r.Header.Set("Authorization", c.Token)
		}
		return nil
	}
	return &apolloPortal{api: api, namespaces: namespaces, options: o}
}

// signApollo signs a request to a config service with an application's access key.
func signApollo(r *http.Request, secret string, now time.Time) {
	app, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path[strings.LastIndex(r.URL.Path, "/configs/")+1:], "configs/"), "/")
	timestamp := strconv.FormatInt(now.UnixMilli(), 10)
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte(timestamp + "\n" + r.URL.RequestURI()))
	r.Header.Set("Timestamp", timestamp)
	r.Header.Set("Authorization", "Apollo "+app+":"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

// apolloPortal reads by the open API of Apollo's portal.
type apolloPortal struct {
	api        *endpoint
	namespaces Namespaces
	options    ApolloOptions
}

func (*apolloPortal) Kind() string { return "apollo" }

// apolloNamespace is a namespace of a cluster, with its items as they were last edited.
type apolloNamespace struct {
	Name   string       `json:"namespaceName"`
	Format string       `json:"format"`
	Public bool         `json:"isPublic"`
	Items  []apolloItem `json:"items"`
}

type apolloItem struct {
	Key     string `json:"key"`
	Value   string `json:"value"`
	Comment string `json:"comment"`
}

// apolloRelease is what is in force.
type apolloRelease struct {
	Configurations map[string]string `json:"configurations"`
}

// apolloPlace is a cluster of an application in an environment.
type apolloPlace struct{ env, app, cluster, target string }

func (p apolloPlace) path() string {
	return "/openapi/v1/envs/" + url.PathEscape(p.env) + "/apps/" + url.PathEscape(p.app) + "/clusters/" + url.PathEscape(p.cluster) + "/namespaces"
}

// Pages implements [ConfigSource].
func (s *apolloPortal) Pages(ctx context.Context) iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		defer s.api.close()
		places, err := s.places(ctx)
		if err != nil {
			yield(Page{}, err)
			return
		}
		owners, total, err := s.owners(ctx, places)
		if err != nil {
			yield(Page{}, err)
			return
		}
		for _, place := range places {
			namespaces, err := s.list(ctx, place)
			if err != nil {
				yield(Page{}, err)
				return
			}
			page := Page{Total: total}
			for _, n := range namespaces {
				items, err := s.items(ctx, place, n, owners)
				if err != nil {
					yield(Page{}, err)
					return
				}
				page.Items = append(page.Items, items...)
			}
			if !yield(page, nil) {
				return
			}
		}
	}
}

func (s *apolloPortal) get(ctx context.Context, path string, into any) error {
	got, err := s.api.read(ctx, request{path: path})
	if err != nil {
		return err
	}
	if len(got.body) == 0 {
		return nil // Apollo's way to say null
	}
	return decodeJSON(got.body, into)
}

func (s *apolloPortal) places(ctx context.Context) ([]apolloPlace, error) {
	apps := s.options.Apps
	if len(apps) == 0 {
		var listed []struct {
			ID string `json:"appId"`
		}
		if err := s.get(ctx, "/openapi/v1/apps", &listed); err != nil {
			return nil, err
		}
		for _, app := range listed {
			apps = append(apps, app.ID)
		}
	}
	if len(apps) > maxApolloApps {
		return nil, fault.New(fault.TooLarge, "source.too_many", "apollo has %d applications", len(apps)).Hinted("take at most %d at once, by --app", maxApolloApps)
	}
	var places []apolloPlace
	for _, app := range apps {
		var listed []struct {
			Env      string   `json:"env"`
			Clusters []string `json:"clusters"`
		}
		if err := s.get(ctx, "/openapi/v1/apps/"+url.PathEscape(app)+"/envclusters", &listed); err != nil {
			return nil, err
		}
		for _, env := range listed {
			target, taken := s.namespaces.Target(env.Env, strings.ToLower(env.Env))
			for _, cluster := range env.Clusters {
				if taken {
					places = append(places, apolloPlace{env.Env, app, cluster, target})
				}
			}
		}
	}
	return places, nil
}

func (s *apolloPortal) list(ctx context.Context, place apolloPlace) ([]apolloNamespace, error) {
	var namespaces []apolloNamespace
	err := s.get(ctx, place.path(), &namespaces)
	return namespaces, err
}

// owners finds out whose the public namespaces are. The open API says of a namespace that it is public, also when an application only lays its own over
// another's: where several have it, only a person knows.
func (s *apolloPortal) owners(ctx context.Context, places []apolloPlace) (owners map[string]string, total int, err error) {
	owners = map[string]string{}
	for _, place := range places {
		namespaces, err := s.list(ctx, place)
		if err != nil {
			return nil, 0, err
		}
		for _, n := range namespaces {
			total++
			if !n.Public {
				continue
			}
			if other, ok := owners[n.Name]; ok && other != place.app {
				owners[n.Name] = "" // more than one
				continue
			}
			owners[n.Name] = place.app
		}
	}
	for namespace, app := range s.options.Owners {
		owners[namespace] = app
	}
	return owners, total, nil
}

// items makes documents of a namespace.
func (s *apolloPortal) items(ctx context.Context, place apolloPlace, n apolloNamespace, owners map[string]string) ([]Item, error) {
	item := Item{Origin: place.env + "/" + place.app + "/" + place.cluster + "/" + n.Name}
	app := place.app
	if n.Public {
		switch owner := owners[n.Name]; owner {
		case place.app:
			app = apolloPublic
		case "":
			item.Document = policy.Document{Namespace: place.target, Kind: kindConfig, Name: apolloDocument(app, place.cluster, n.Name)}
			item.Refused = fault.New(fault.Invalid, "migrate.owner_unknown", "the namespace %s is public, and several applications have it", n.Name).
				Hinted("say whose it is with --public %s=APP", n.Name)
			return []Item{item}, nil
		}
	}
	var release apolloRelease
	err := s.get(ctx, place.path()+"/"+url.PathEscape(n.Name)+"/releases/latest", &release)
	if err != nil && !gone(err) {
		return nil, err
	}
	settings := release.Configurations
	if settings == nil {
		item.Draft = true
		item.Notes = append(item.Notes, "it was never released in Apollo: it is published and not released")
		settings = map[string]string{}
		for _, i := range n.Items {
			if i.Key != "" {
				settings[i.Key] = i.Value
			}
		}
	} else if changed := unreleased(n.Items, settings); changed > 0 {
		item.Notes = append(item.Notes, fmt.Sprintf("%d of its items were edited in Apollo after the last release: what was released is taken", changed))
	}
	item.Document = apolloContent(place.target, apolloDocument(app, place.cluster, n.Name), n.Name, settings, n.Items)
	return []Item{item}, nil
}

// unreleased counts the items that are not as they were released.
func unreleased(items []apolloItem, settings map[string]string) int {
	changed, seen := 0, 0
	for _, i := range items {
		if i.Key == "" {
			continue
		}
		value, ok := settings[i.Key]
		if ok {
			seen++
		}
		if !ok || value != i.Value {
			changed++
		}
	}
	return changed + len(settings) - seen
}

// apolloContent writes a namespace as a document: one text, or properties in the order of the items, with their comments.
func apolloContent(target, name, namespace string, settings map[string]string, items []apolloItem) policy.Document {
	d := policy.Document{Namespace: target, Kind: kindConfig, Name: name}
	if apolloFile(namespace) {
		d.Format, d.Content = policy.FormatOf(namespace), []byte(settings["content"])
		return d
	}
	d.Format = source.Properties
	var b []byte
	written := map[string]bool{}
	for _, i := range items {
		value, ok := settings[i.Key]
		if !ok || written[i.Key] {
			continue
		}
		written[i.Key] = true
		for _, line := range strings.FieldsFunc(i.Comment, unicode.IsControl) {
			if line = strings.TrimSpace(line); line != "" {
				b = append(b, "# "+line+"\n"...)
			}
		}
		b = source.AppendProperty(b, i.Key, " = ", value)
	}
	for _, key := range sortedKeys(settings) {
		if !written[key] {
			b = source.AppendProperty(b, key, " = ", settings[key])
		}
	}
	d.Content = b
	return d
}

// apolloService reads what is released from a config service, as clients do.
type apolloService struct {
	api        *endpoint
	namespaces Namespaces
	options    ApolloOptions
}

func (*apolloService) Kind() string { return "apollo" }

// Pages implements [ConfigSource]. A config service is of one environment; it does not say which.
func (s *apolloService) Pages(ctx context.Context) iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		defer s.api.close()
		target := defaultNamespace
		for _, source := range sortedKeys(s.namespaces.Sources()) {
			target = s.namespaces.Sources()[source]
		}
		total := len(s.options.Apps) * len(s.options.Clusters) * len(s.options.NamespaceNames)
		for _, app := range s.options.Apps {
			page := Page{Total: total}
			for _, cluster := range s.options.Clusters {
				for _, namespace := range s.options.NamespaceNames {
					item, err := s.item(ctx, target, app, cluster, namespace)
					if err != nil {
						yield(Page{}, err)
						return
					}
					page.Items = append(page.Items, item)
				}
			}
			if !yield(page, nil) {
				return
			}
		}
	}
}

func (s *apolloService) item(ctx context.Context, target, app, cluster, namespace string) (Item, error) {
	item := Item{Origin: app + "/" + cluster + "/" + namespace,
		Document: policy.Document{Namespace: target, Kind: kindConfig, Name: apolloDocument(app, cluster, namespace)}}
	path := "/configs/" + url.PathEscape(app) + "/" + url.PathEscape(cluster) + "/" + url.PathEscape(namespace)
	got, err := s.api.read(ctx, request{path: path})
	if statusOf(err) == http.StatusNotFound {
		item.Refused = fault.New(fault.NotFound, "source.not_found", "apollo has released nothing under this name")
		return item, nil
	}
	if err != nil {
		return item, err
	}
	var answered struct {
		apolloRelease
		Cluster string `json:"cluster"`
	}
	if err := decodeJSON(got.body, &answered); err != nil {
		return item, err
	}
	if answered.Cluster != "" && answered.Cluster != cluster {
		item.Refused = fault.New(fault.NotFound, "source.not_found", "apollo has released nothing in this cluster, and answers what is in %q", short(answered.Cluster))
		return item, nil
	}
	item.Document = apolloContent(target, item.Document.Name, namespace, answered.Configurations, nil)
	return item, nil
}
