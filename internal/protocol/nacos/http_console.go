package nacos

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net"
	"net/http"
	"strconv"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
)

// spokenVersion is the version of Nacos that this protocol is like; tools choose what they send by it.
const spokenVersion = "2.5.1"

func (a *API) consoleRoutes() map[string]*route {
	login := &route{post: a.postLogin, open: true}
	namespaces := &route{get: a.getNamespaces, post: a.postNamespace, put: a.putNamespace, delete: a.deleteNamespace}
	alive := &route{get: a.getHealth, open: true}
	nodes := &route{get: a.getNodes}
	return map[string]*route{
		"/v1/auth/login": login, "/v1/auth/users/login": login, "/v3/auth/user/login": login,
		"/v1/console/namespaces":        namespaces,
		"/v2/console/namespace":         {get: a.getNamespace, post: a.postNamespace, put: a.putNamespace, delete: a.deleteNamespace},
		"/v2/console/namespace/list":    {get: a.getNamespaces},
		"/v3/admin/core/namespace":      {get: a.getNamespace, post: a.postNamespace, put: a.putNamespace, delete: a.deleteNamespace},
		"/v3/admin/core/namespace/list": {get: a.getNamespaces},
		"/v1/console/server/state":      {get: a.getState, open: true},
		"/v3/admin/core/state":          {get: a.getState, open: true},
		"/v1/console/health/liveness":   alive, "/v1/console/health/readiness": alive,
		"/v2/console/health/liveness": alive, "/v2/console/health/readiness": alive,
		"/v1/core/cluster/nodes": nodes, "/v1/core/cluster/simple/nodes": {get: a.getNodeAddresses}, "/v2/core/cluster/node/list": nodes,
		"/v1/ns/operator/servers": {get: a.getServers},
		"/v1/ns/operator/metrics": {get: a.getMetrics}, "/v2/ns/operator/metrics": {get: a.getMetrics},
		"/v2/ns/ops/metrics": {get: a.getMetrics}, "/v2/ns/ops/switches": {get: a.getSwitches, put: a.putSwitch},
		"/v1/ns/operator/switches": {get: a.getSwitches, put: a.putSwitch}, "/v2/ns/operator/switches": {get: a.getSwitches, put: a.putSwitch},
	}
}

// postLogin answers a token for a user and password.
func (a *API) postLogin(ctx context.Context, x *exchange) error {
	l, err := a.logIn(ctx, x.get("username"), x.get("password"), x.request.RemoteAddr)
	if err != nil {
		return err
	}
	b := appendString([]byte(`{"accessToken":`), l.token)
	b = strconv.AppendInt(append(b, `,"tokenTtl":`...), int64(l.lifetime.Seconds()), 10)
	b = strconv.AppendBool(append(b, `,"globalAdmin":`...), l.admin)
	b = appendString(append(b, `,"username":`...), x.get("username"))
	x.Header().Set("Cache-Control", "no-store")
	x.Header().Set("Authorization", "Bearer "+l.token) // where some clients look for it
	x.json(http.StatusOK, append(b, '}'))
	return nil
}

// namespace is a namespace as consoles list it.
type namespace struct {
	ID          string `json:"namespace"`
	ShowName    string `json:"namespaceShowName"`
	Desc        string `json:"namespaceDesc"`
	Quota       int    `json:"quota"`
	ConfigCount int    `json:"configCount"`
	Type        int    `json:"type"`
}

// configQuota is the number that Nacos shows where none is set.
const configQuota = 200

func (a *API) namespaceFor(name, description string) namespace {
	live, _ := a.Releases.Documents(name)
	n := namespace{ID: tenantOf(name), ShowName: name, Desc: description, Quota: configQuota, ConfigCount: live, Type: 2}
	if name == instance.Default {
		n.ShowName, n.Type = publicNamespace, 0
	}
	return n
}

// getNamespaces lists those that the caller may see.
func (a *API) getNamespaces(ctx context.Context, x *exchange) error {
	if x.flag("checkNamespaceIdExist", false) {
		if err := access.Require(ctx, access.Administer, "*"); err != nil {
			return err
		}
		id := x.first("customNamespaceId", "namespaceId")
		return x.value(id != "" && a.Instances.HasNamespace(namespaceOf(id)))
	}
	if x.get("show") == "all" {
		return a.getNamespace(ctx, x)
	}
	identity := access.FromContext(ctx)
	if !identity.Active() {
		return access.Require(ctx, mayRead, instance.Default)
	}
	all := []namespace{}
	for _, n := range a.Instances.Namespaces() {
		if identity.May(mayRead, n.GetName()) {
			all = append(all, a.namespaceFor(n.GetName(), n.GetDescription()))
		}
	}
	return x.rest(all)
}

func (a *API) getNamespace(ctx context.Context, x *exchange) error {
	name := namespaceOf(x.get("namespaceId"))
	if err := access.Require(ctx, mayRead, name); err != nil {
		return err
	}
	for _, n := range a.Instances.Namespaces() {
		if n.GetName() == name {
			return x.value(a.namespaceFor(name, n.GetDescription()))
		}
	}
	return fault.New(fault.NotFound, "namespace.unknown", "there is no namespace %s", quoted(name)).At("namespaceId")
}

// postNamespace creates a namespace; without an id it gets a random one, as in Nacos.
func (a *API) postNamespace(ctx context.Context, x *exchange) error {
	if err := access.Require(ctx, access.Administer, "*"); err != nil {
		return err
	}
	name := x.first("customNamespaceId", "namespaceId")
	if name == "" {
		var random [16]byte
		rand.Read(random[:]) // never fails (crypto/rand)
		name = hex.EncodeToString(random[:])
	}
	if err := a.Instances.CreateNamespace(ctx, namespaceOf(name), describe(x.get("namespaceName"), x.get("namespaceDesc"))); err != nil {
		return err
	}
	return x.yes()
}

// describe makes one description of Nacos's name for people and its description.
func describe(name, desc string) string {
	if name == "" || desc == "" {
		return name + desc
	}
	return name + ": " + desc
}

// putNamespace is refused: a namespace is what it was created as.
func (a *API) putNamespace(ctx context.Context, _ *exchange) error {
	if err := access.Require(ctx, access.Administer, "*"); err != nil {
		return err
	}
	return invalid("namespace", "a namespace cannot be renamed or described anew").Hinted("create another one and move what is in it")
}

func (a *API) deleteNamespace(ctx context.Context, x *exchange) error {
	if err := access.Require(ctx, access.Administer, "*"); err != nil {
		return err
	}
	if err := a.Instances.DeleteNamespace(ctx, namespaceOf(x.first("namespaceId", "namespace"))); err != nil {
		return err
	}
	return x.yes()
}

// getState answers what tools ask first.
func (a *API) getState(_ context.Context, x *exchange) error {
	mode := "standalone"
	if len(a.nodes()) > 1 {
		mode = "cluster"
	}
	return x.value(map[string]any{"version": spokenVersion, "standalone_mode": mode, "function_mode": nil,
		"auth_enabled": strconv.FormatBool(!a.Access.Disabled()), "login_page_enabled": strconv.FormatBool(!a.Access.Disabled())})
}

// getHealth answers that the server answers.
func (a *API) getHealth(_ context.Context, x *exchange) error {
	if x.results {
		return x.answer([]byte(`"OK"`))
	}
	x.text(http.StatusOK, "OK")
	return nil
}

func (a *API) nodes() []Node {
	if a.Options.Nodes == nil {
		return nil
	}
	return a.Options.Nodes()
}

// mayKnow lets in whoever is somebody: which nodes there are is no secret among those who have a credential.
func mayKnow(ctx context.Context) error {
	if access.FromContext(ctx).Active() {
		return nil
	}
	return access.Require(ctx, mayRead, instance.Default)
}

// getNodes answers the live nodes.
func (a *API) getNodes(ctx context.Context, x *exchange) error {
	if err := mayKnow(ctx); err != nil {
		return err
	}
	all := []any{}
	for _, n := range a.nodes() {
		host, port, err := net.SplitHostPort(n.HTTP)
		number, _ := strconv.Atoi(port)
		if err != nil {
			continue
		}
		all = append(all, map[string]any{"ip": host, "port": number, "address": n.HTTP, "state": "UP", "failAccessCnt": 0,
			"extendInfo": map[string]any{"version": spokenVersion, "name": n.Name}, "abilities": map[string]any{}})
	}
	return x.rest(all)
}

func (a *API) getNodeAddresses(ctx context.Context, x *exchange) error {
	if err := mayKnow(ctx); err != nil {
		return err
	}
	all := []string{}
	for _, n := range a.nodes() {
		all = append(all, n.HTTP)
	}
	return x.rest(all)
}

// getServers is getNodes for clients of 1.x.
func (a *API) getServers(ctx context.Context, x *exchange) error {
	if err := mayKnow(ctx); err != nil {
		return err
	}
	all := []any{}
	for _, n := range a.nodes() {
		if host, port, err := net.SplitHostPort(n.HTTP); err == nil {
			number, _ := strconv.Atoi(port)
			all = append(all, map[string]any{"ip": host, "port": number, "servePort": number, "key": n.HTTP, "state": "UP", "alive": true})
		}
	}
	return x.value(map[string]any{"servers": all})
}

// getMetrics answers whether the server serves, and to those who may look how much it holds.
func (a *API) getMetrics(ctx context.Context, x *exchange) error {
	if x.flag("onlyStatus", true) {
		return x.answer([]byte(`{"status":"UP"}`))
	}
	if err := access.Require(ctx, access.View, "*"); err != nil {
		return err
	}
	figures := a.Instances.Figures()
	return x.value(map[string]any{"status": "UP", "serviceCount": figures.Services, "instanceCount": figures.Instances,
		"subscribeCount": figures.Subscribers, "responsibleInstanceCount": figures.Owned})
}

// getSwitches answers what cannot be switched: how the server is.
func (a *API) getSwitches(ctx context.Context, x *exchange) error {
	if err := mayKnow(ctx); err != nil {
		return err
	}
	return x.value(map[string]any{"name": "00-00---000-NACOS_SWITCH_DOMAIN-000---00-00", "clientBeatInterval": defaultBeatInterval.Milliseconds(),
		"defaultPushCacheMillis": cachePushed, "defaultCacheMillis": cachePolled, "distroThreshold": 0.7, "healthCheckEnabled": true, "pushEnabled": true,
		"lightBeatEnabled": true, "defaultInstanceEphemeral": true, "autoChangeHealthCheckEnabled": true, "distroEnabled": true, "enableStandalone": true,
		"overriddenServerStatus": nil})
}

func (a *API) putSwitch(ctx context.Context, _ *exchange) error {
	if err := access.Require(ctx, access.Administer, "*"); err != nil {
		return err
	}
	return invalid("entry", "there are no switches").Hinted("settings of the server are in docs/configuration.md")
}
