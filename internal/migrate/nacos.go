package migrate

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
)

// nacosPublic is what Nacos calls the namespace whose id is empty.
const nacosPublic = "public"

// nacosGroup is the group that Nacos means when none is named.
const nacosGroup = "DEFAULT_GROUP"

// nacosAPI asks a Nacos server. Servers before 3.0 have the operations of v1, those from 3.2 on the ones of v3 alone, and those between
// both or either, as they were set up: it tries v1 and falls back where the server says that it is gone.
type nacosAPI struct {
	*endpoint
	user, password string

	mu sync.Mutex
	// v3 by area ("namespaces", "configs", ...): v1 is gone there.
	v3 map[string]bool
	// token is the one that login gave, renewed before until.
	token string
	until time.Time
}

func newNacos(c Connection) *nacosAPI {
	base := *c.URL
	if strings.Trim(base.Path, "/") == "" {
		base.Path = "/nacos"
	}
	c.URL = &base
	api := &nacosAPI{endpoint: newEndpoint("nacos", c), user: c.User, password: c.Password, token: c.Token, v3: map[string]bool{}}
	api.sign = api.signed
	return api
}

// signed puts the token into a request's headers: in the query it would stand in the access log of every proxy.
func (a *nacosAPI) signed(ctx context.Context, r *http.Request) error {
	if strings.HasSuffix(r.URL.Path, "/login") {
		return nil
	}
	token, err := a.login(ctx)
	if err != nil || token == "" {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("accessToken", token)
	return nil
}

// login returns a token, a new one when the last is about to end; empty without credentials.
func (a *nacosAPI) login(ctx context.Context) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.user == "" || a.token != "" && time.Now().Before(a.until) {
		return a.token, nil
	}
	form := url.Values{"username": {a.user}, "password": {a.password}}
	var got *answer
	var err error
	for _, path := range []string{"/v1/auth/login", "/v1/auth/users/login", "/v3/auth/user/login"} {
		got, err = a.do(ctx, request{method: http.MethodPost, path: path, body: []byte(form.Encode()), contentType: "application/x-www-form-urlencoded"})
		if !gone(err) {
			break
		}
	}
	if status := statusOf(err); status >= 400 && status < 500 {
		// What it answers may quote what it was sent.
		return "", fault.New(fault.Unauthenticated, "source.unauthenticated", "nacos refuses the user %q or its password", a.user).
			Hinted("see --source-user and GANTRY_SOURCE_PASSWORD")
	}
	if err != nil {
		return "", err
	}
	var answered struct {
		AccessToken string `json:"accessToken"`
		TokenTTL    int64  `json:"tokenTtl"`
		Data        struct {
			AccessToken string `json:"accessToken"`
			TokenTTL    int64  `json:"tokenTtl"`
		} `json:"data"`
	}
	if err := decodeJSON(got.body, &answered); err != nil {
		return "", err
	}
	token, ttl := answered.AccessToken, answered.TokenTTL
	if token == "" {
		token, ttl = answered.Data.AccessToken, answered.Data.TokenTTL
	}
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fault.New(fault.Unauthenticated, "source.unauthenticated", "nacos gave no token for the user %q", a.user)
	}
	// A tenth is left for what is under way; a server that says nothing gives the default of 5 hours.
	life := min(max(time.Duration(ttl)*time.Second, time.Minute), 24*time.Hour)
	a.token, a.until = token, time.Now().Add(life*9/10)
	return a.token, nil
}

// either asks v1, or v3 where the server has said that v1 is gone. area names what belongs together.
func (a *nacosAPI) either(area string, v1, v3 func() error) error {
	a.mu.Lock()
	newer := a.v3[area]
	a.mu.Unlock()
	if newer {
		return v3()
	}
	err := v1()
	if !gone(err) {
		return err
	}
	if newest := v3(); newest != nil {
		if gone(newest) {
			return err
		}
		return newest
	}
	a.mu.Lock()
	a.v3[area] = true
	a.mu.Unlock()
	return nil
}

// nacosResult is the envelope of v2 and v3, and of v1's console.
type nacosResult struct {
	Code    int             `json:"code"`
	Message looseText       `json:"message"`
	Data    json.RawMessage `json:"data"`
}

// unwrap reads the data of an envelope.
func (a *nacosAPI) unwrap(body []byte, path string, into any) error {
	var result nacosResult
	if err := decodeJSON(body, &result); err != nil {
		return err
	}
	switch {
	case result.Code == 0 || result.Code == 200:
		if len(result.Data) == 0 || into == nil {
			return nil
		}
		return decodeJSON(result.Data, into)
	case result.Code >= 400 && result.Code < 600:
		return &statusError{system: "nacos", method: "", path: path, status: result.Code, body: short(string(result.Message))}
	default:
		return fault.New(fault.Unavailable, "source.failed", "nacos answers %s with code %d: %s", path, result.Code, short(string(result.Message)))
	}
}

// nacosNamespace is a tenant.
type nacosNamespace struct {
	ID looseText `json:"namespace"`
}

// namespaces are the ids of all tenants; "" is the public one.
func (a *nacosAPI) namespaces(ctx context.Context) ([]string, error) {
	var listed []nacosNamespace
	list := func(path string) func() error {
		return func() error {
			got, err := a.read(ctx, request{path: path})
			if err != nil {
				return err
			}
			return a.unwrap(got.body, path, &listed)
		}
	}
	if err := a.either("namespaces", list("/v1/console/namespaces"), list("/v3/admin/core/namespace/list")); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	var ids []string
	for _, n := range listed {
		id := nacosTenant(string(n.ID))
		if !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	if len(ids) > maxNamespaces {
		return nil, fault.New(fault.TooLarge, "source.too_many", "nacos has %d namespaces, at most %d are taken", len(ids), maxNamespaces).
			Hinted("name those to take with --namespace")
	}
	return ids, nil
}

// maxNamespaces is how many Gantry has at most.
const maxNamespaces = 1000

// nacosTenant is a namespace's id as v1 wants it: "public" is the empty one.
func nacosTenant(id string) string {
	if id == nacosPublic {
		return ""
	}
	return id
}

// nacosShown is a tenant's name for people, and in the flags.
func nacosShown(id string) string {
	if id == "" {
		return nacosPublic
	}
	return id
}

// nacosTarget is Gantry's name for a tenant.
func nacosTarget(id string) string {
	if id == "" {
		return defaultNamespace
	}
	return id
}

// nacosPlace is a tenant and the namespace of Gantry that stands for it.
type nacosPlace struct{ id, target string }

// places are the tenants to take. Those that were named need not be listed, which takes rights of its own.
func (a *nacosAPI) places(ctx context.Context, namespaces Namespaces) ([]nacosPlace, error) {
	var places []nacosPlace
	if named := namespaces.Sources(); len(named) > 0 {
		for _, source := range sortedKeys(named) {
			places = append(places, nacosPlace{nacosTenant(source), named[source]})
		}
		return places, nil
	}
	ids, err := a.namespaces(ctx)
	for _, id := range ids {
		places = append(places, nacosPlace{id, nacosTarget(id)})
	}
	return places, err
}
