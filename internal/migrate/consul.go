package migrate

import (
	"context"
	"encoding/base64"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy"
)

func newConsul(c Connection) *endpoint {
	api := newEndpoint("consul", c)
	if c.Token != "" {
		api.sign = func(_ context.Context, r *http.Request) error { r.Header.Set("X-Consul-Token", c.Token); return nil }
	}
	return api
}

// consulKeys is the key-value store of a Consul.
type consulKeys struct {
	api    *endpoint
	target string
	prefix string
}

// ConsulKeys returns the keys of a Consul below a prefix (empty: all), for a namespace of Gantry.
func ConsulKeys(c Connection, target, prefix string) ConfigSource {
	return &consulKeys{api: newConsul(c), target: target, prefix: prefix}
}

func (*consulKeys) Kind() string { return "consul" }

// consulKey is an entry of the store.
type consulKey struct {
	Key     string
	Value   *string // base64; null for none
	Flags   uint64
	Session string
}

// consulPage is how many keys are handed on at once.
const consulPage = 200

// Pages implements [ConfigSource]. Names are listed first, and the keys are then read one by one, so that no answer has to hold all of
// the store.
func (s *consulKeys) Pages(ctx context.Context) iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		defer s.api.close()
		names, err := s.names(ctx)
		if err != nil {
			yield(Page{}, err)
			return
		}
		for from := 0; from < len(names); from += consulPage {
			page := Page{Total: len(names)}
			some := names[from:min(from+consulPage, len(names))]
			items := make([]Item, len(some))
			err := atOnce(ctx, len(some), func(ctx context.Context, i int) (err error) {
				items[i], err = s.item(ctx, some[i])
				return err
			})
			if err != nil {
				yield(Page{}, err)
				return
			}
			page.Items = items
			if !yield(page, nil) {
				return
			}
		}
	}
}

func (s *consulKeys) names(ctx context.Context) ([]string, error) {
	got, err := s.api.read(ctx, request{path: "/v1/kv/" + escapeKey(s.prefix), query: url.Values{"keys": {""}}})
	if statusOf(err) == http.StatusNotFound {
		return nil, nil // no keys
	}
	if err != nil {
		return nil, err
	}
	var names []string
	if err := decodeJSON(got.body, &names); err != nil {
		return nil, err
	}
	if len(names) > maxSourceDocuments {
		return nil, fault.New(fault.TooLarge, "source.too_many", "consul has %d keys, at most %d are taken at once", len(names), maxSourceDocuments).
			Hinted("take them by --prefix")
	}
	return names, nil
}

func (s *consulKeys) item(ctx context.Context, name string) (Item, error) {
	item := Item{Origin: name, Document: policy.Document{Namespace: s.target, Kind: policy.KeyValue, Name: name, Format: "text"}}
	got, err := s.api.read(ctx, request{path: "/v1/kv/" + escapeKey(name)})
	switch {
	case statusOf(err) == http.StatusNotFound:
		item.Refused = fault.New(fault.NotFound, "source.not_found", "consul does not have it any more, or the token may not read it")
		return item, nil
	case statusOf(err) == http.StatusForbidden:
		item.Refused = fault.New(fault.Forbidden, "source.forbidden", "consul does not let this token read it").Hinted("give a token that may, by GANTRY_SOURCE_TOKEN")
		return item, nil
	case err != nil:
		return item, err
	}
	key, err := decodeConsulKey(got.body)
	if err != nil {
		return item, err
	}
	if key == nil {
		item.Refused = fault.New(fault.Invalid, "source.unreadable", "consul's answer holds no key")
		return item, nil
	}
	if key.Value != nil {
		if item.Document.Content, err = base64.StdEncoding.DecodeString(*key.Value); err != nil {
			item.Refused = fault.New(fault.Invalid, "source.unreadable", "its value is not base64")
			return item, nil
		}
	}
	if key.Flags != 0 {
		item.Notes = append(item.Notes, fmt.Sprintf("its flags %d are not copied", key.Flags))
	}
	if key.Session != "" {
		item.Notes = append(item.Notes, "a session of Consul holds its lock, which is not copied")
	}
	return item, nil
}

func decodeConsulKey(body []byte) (*consulKey, error) {
	var keys []consulKey
	if err := decodeJSON(body, &keys); err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, nil
	}
	return &keys[0], nil
}

// escapeKey keeps the slashes, which divide keys, and escapes everything else.
func escapeKey(key string) string {
	parts := strings.Split(key, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return strings.Join(parts, "/")
}
