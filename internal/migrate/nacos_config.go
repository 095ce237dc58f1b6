package migrate

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy"
)

// nacosPage is how many configurations are listed at once; servers before 2.3 give at most 500.
const nacosPage = 200

// nacosConfigs is the configuration of a Nacos server.
type nacosConfigs struct {
	api        *nacosAPI
	namespaces Namespaces
	// named are "group/dataId" to take without listing; none: all.
	named []string
	// noBeta: the server does not tell of beta releases, or not to this user.
	noBeta atomic.Bool
}

// NacosConfigs returns the configuration of a Nacos server: all of it, or the named ones ("group/dataId"), which needs no right to
// list.
func NacosConfigs(c Connection, namespaces Namespaces, named []string) ConfigSource {
	return &nacosConfigs{api: newNacos(c), namespaces: namespaces, named: named}
}

func (*nacosConfigs) Kind() string { return "nacos" }

// nacosConfig is one configuration as lists and details give it: v1 says group and tenant, v3 groupName and namespaceId.
type nacosConfig struct {
	DataID    string    `json:"dataId"`
	Group     string    `json:"group"`
	GroupName string    `json:"groupName"`
	Content   *string   `json:"content"`
	Type      looseText `json:"type"`
	// EncryptedKey is set when a plugin has encrypted the content, which only its clients can undo.
	EncryptedKey looseText `json:"encryptedDataKey"`
	BetaIPs      looseText `json:"betaIps"`
	GrayName     looseText `json:"grayName"`
}

func (c *nacosConfig) group() string {
	if c.GroupName != "" {
		return c.GroupName
	}
	return c.Group
}

// nacosList is a page of configurations.
type nacosList struct {
	Total int           `json:"totalCount"`
	Pages int           `json:"pagesAvailable"`
	Items []nacosConfig `json:"pageItems"`
}

// Pages implements [ConfigSource].
func (s *nacosConfigs) Pages(ctx context.Context) iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		defer s.api.close()
		places, err := s.api.places(ctx, s.namespaces)
		if err != nil {
			yield(Page{}, err)
			return
		}
		before := 0
		for _, place := range places {
			walk := s.listed
			if len(s.named) > 0 {
				walk = s.only
			}
			total, goOn := walk(ctx, place, before, yield)
			if !goOn {
				return
			}
			before += total
		}
	}
}

// listed walks all of a tenant.
func (s *nacosConfigs) listed(ctx context.Context, place nacosPlace, before int, yield func(Page, error) bool) (total int, goOn bool) {
	for number := 1; ; number++ {
		list, err := s.list(ctx, place.id, number)
		if err != nil {
			return 0, yield(Page{}, err) && false
		}
		items, err := s.complete(ctx, place, list.Items)
		if err != nil {
			return 0, yield(Page{}, err) && false
		}
		if !yield(Page{Items: items, Total: before + list.Total}, nil) {
			return 0, false
		}
		total += len(list.Items)
		// A list that shrinks while it is walked ends with an empty page; one that never ends is a server's fault.
		if len(list.Items) == 0 || number >= list.Pages || total > maxSourceDocuments {
			return total, true
		}
	}
}

// maxSourceDocuments bounds the walk of one namespace: Gantry holds 20,000 documents in one.
const maxSourceDocuments = 100_000

func (s *nacosConfigs) list(ctx context.Context, tenant string, number int) (*nacosList, error) {
	var list nacosList
	common := url.Values{"pageNo": {strconv.Itoa(number)}, "pageSize": {strconv.Itoa(nacosPage)}, "dataId": {""}}
	err := s.api.either("configs", func() error {
		query := cloned(common, "search", "accurate", "group", "", "tenant", tenant)
		got, err := s.api.read(ctx, request{path: "/v1/cs/configs", query: query})
		if err != nil {
			return err
		}
		return decodeJSON(got.body, &list)
	}, func() error {
		const path = "/v3/admin/cs/config/list"
		got, err := s.api.read(ctx, request{path: path, query: cloned(common, "search", "accurate", "groupName", "", "namespaceId", nacosShown(tenant))})
		if err != nil {
			return err
		}
		return s.api.unwrap(got.body, path, &list)
	})
	return &list, err
}

// only walks the named ones.
func (s *nacosConfigs) only(ctx context.Context, place nacosPlace, before int, yield func(Page, error) bool) (total int, goOn bool) {
	var configs []nacosConfig
	for _, name := range s.named {
		group, id, ok := strings.Cut(name, "/")
		if !ok {
			group, id = nacosGroup, name
		}
		configs = append(configs, nacosConfig{DataID: id, Group: group})
	}
	items, err := s.complete(ctx, place, configs)
	if err != nil {
		return 0, yield(Page{}, err) && false
	}
	return len(items), yield(Page{Items: items, Total: before + len(items)}, nil)
}

// complete fetches what lists leave out, and makes items.
func (s *nacosConfigs) complete(ctx context.Context, place nacosPlace, configs []nacosConfig) ([]Item, error) {
	items := make([]Item, len(configs))
	err := atOnce(ctx, len(configs), func(ctx context.Context, i int) (err error) {
		items[i], err = s.item(ctx, place, configs[i])
		return err
	})
	return items, err
}

func (s *nacosConfigs) item(ctx context.Context, place nacosPlace, config nacosConfig) (Item, error) {
	name := nacosDocument(config.group(), config.DataID)
	item := Item{Origin: nacosShown(place.id) + "/" + config.group() + "/" + config.DataID,
		Document: policy.Document{Namespace: place.target, Kind: kindConfig, Name: name}}
	if config.Content == nil {
		detail, err := s.detail(ctx, place.id, config)
		switch {
		case err == nil:
			config.Content, config.Type, config.EncryptedKey = detail.Content, detail.Type, detail.EncryptedKey
		case gone(err):
			item.Refused = fault.New(fault.NotFound, "source.not_found", "nacos does not have it (any more)")
			return item, nil
		case statusOf(err) == http.StatusForbidden:
			item.Refused = fault.New(fault.Forbidden, "source.forbidden", "nacos does not let this user read it").Hinted("give a user that may")
			return item, nil
		default:
			return item, err
		}
	}
	if config.EncryptedKey != "" || strings.HasPrefix(config.DataID, "cipher-") {
		item.Refused = fault.New(fault.Invalid, "migrate.encrypted", "a plugin of Nacos has encrypted it, and only its clients can read it").
			Hinted("publish the plain text in Gantry with --sensitive, which seals it")
		return item, nil
	}
	if config.Content == nil {
		item.Refused = fault.New(fault.Invalid, "source.unreadable", "nacos gave no content")
		return item, nil
	}
	item.Document.Content = []byte(*config.Content)
	item.Document.Format, item.Guessed = nacosFormat(string(config.Type), config.DataID)
	note, err := s.beta(ctx, place.id, config)
	if note != "" {
		item.Notes = append(item.Notes, note)
	}
	return item, err
}

func (s *nacosConfigs) detail(ctx context.Context, tenant string, config nacosConfig) (*nacosConfig, error) {
	var detail nacosConfig
	err := s.api.either("config", func() error {
		query := url.Values{"dataId": {config.DataID}, "group": {config.group()}, "tenant": {tenant}}
		got, err := s.api.read(ctx, request{path: "/v1/cs/configs", query: query})
		if err != nil {
			return err
		}
		content := string(got.body)
		detail.Content = &content
		detail.Type = looseText(got.header.Get("Config-Type"))
		return nil
	}, func() error {
		const path = "/v3/admin/cs/config"
		query := url.Values{"dataId": {config.DataID}, "groupName": {config.group()}, "namespaceId": {nacosShown(tenant)}}
		got, err := s.api.read(ctx, request{path: path, query: query})
		if err != nil {
			return err
		}
		return s.api.unwrap(got.body, path, &detail)
	})
	return &detail, err
}

// beta tells of a release that only some addresses get: it is not copied, because only what everybody gets is.
func (s *nacosConfigs) beta(ctx context.Context, tenant string, config nacosConfig) (string, error) {
	if s.noBeta.Load() {
		return "", nil
	}
	var detail nacosConfig
	err := s.api.either("beta", func() error {
		query := url.Values{"dataId": {config.DataID}, "group": {config.group()}, "tenant": {tenant}, "beta": {"true"}}
		got, err := s.api.do(ctx, request{method: http.MethodGet, path: "/v1/cs/configs", query: query})
		if err != nil {
			return err
		}
		// A server without beta releases answers the content itself.
		var envelope nacosResult
		if decodeJSON(got.body, &envelope) != nil || envelope.Code == 0 && envelope.Data == nil {
			s.noBeta.Store(true)
			return nil
		}
		return s.api.unwrap(got.body, "/v1/cs/configs", &detail)
	}, func() error {
		const path = "/v3/admin/cs/config/beta"
		query := url.Values{"dataId": {config.DataID}, "groupName": {config.group()}, "namespaceId": {nacosShown(tenant)}}
		got, err := s.api.do(ctx, request{method: http.MethodGet, path: path, query: query})
		if err != nil {
			return err
		}
		return s.api.unwrap(got.body, path, &detail)
	})
	switch {
	case gone(err):
		return "", nil // it has none
	case err != nil && ctx.Err() != nil:
		return "", err
	case err != nil:
		// Not worth failing for: the rest is copied, and nothing is said of beta releases.
		s.noBeta.Store(true)
		return "", nil
	case detail.Content != nil:
		return strings.TrimSuffix(fmt.Sprintf("it has a beta release for %s, which is not copied", detail.BetaIPs), " "), nil
	default:
		return "", nil
	}
}

// nacosFormat is Gantry's format for a type of Nacos. Without a type it is guessed from the name.
func nacosFormat(kind, dataID string) (format string, guessed bool) {
	switch kind = strings.ToLower(kind); kind {
	case "yaml", "json", "toml", "properties", "xml", formatText:
		return kind, false
	case "yml":
		return "yaml", false
	case "html":
		return formatText, false
	default:
		return policy.FormatOf(dataID), true
	}
}

func cloned(query url.Values, pairs ...string) url.Values {
	out := url.Values{}
	for key, values := range query {
		out[key] = values
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		out.Set(pairs[i], pairs[i+1])
	}
	return out
}
