package nacos

import (
	"context"
	"hash/fnv"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
	"github.com/gantry-platform/gantry/internal/release"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func (a *API) configRoutes() map[string]*route {
	return map[string]*route{
		"/v1/cs/configs":             {get: a.getConfigs, post: a.postConfig, delete: a.deleteConfig, limit: maxConfigForm},
		"/v1/cs/configs/listener":    {post: a.postListener, get: a.getListeners, limit: maxConfigForm},
		"/v1/cs/configs/catalog":     {get: a.getConfigDetail},
		"/v1/cs/listener":            {get: a.getListeners},
		"/v1/cs/history":             {get: a.getHistory},
		"/v1/cs/history/previous":    {get: a.getPrevious},
		"/v1/cs/history/configs":     {get: a.getConfigNames},
		"/v1/cs/health":              {get: a.getHealth, open: true},
		"/v2/cs/config":              {get: a.getConfig, post: a.postConfig, delete: a.deleteConfig, limit: maxConfigForm},
		"/v2/cs/config/searchDetail": {get: a.searchConfigs},
		"/v2/cs/history":             {get: a.getHistoryDetail},
		"/v2/cs/history/list":        {get: a.getHistoryList},
		"/v2/cs/history/previous":    {get: a.getPrevious},
		"/v2/cs/history/configs":     {get: a.getConfigNames},
		"/v3/client/cs/config":       {get: a.getConfigV3},
		"/v3/admin/cs/config":        {get: a.getConfigDetail, post: a.postConfig, delete: a.deleteConfig, limit: maxConfigForm},
		"/v3/admin/cs/config/list":   {get: a.searchConfigs},
	}
}

// tenant is a configuration's namespace, which v1 calls otherwise than v2.
func (x *exchange) tenant() string { return x.first("tenant", "namespaceId") }

// configKey reads the name of a configuration.
func (x *exchange) configKey() (configKey, error) {
	return configKeyOf(x.tenant(), x.first("group", "groupName"), x.get("dataId"))
}

// either reads what some clients send as a header and others as a parameter.
func (x *exchange) either(name string) string {
	if value := x.request.Header.Get(name); value != "" {
		return value
	}
	return x.get(name)
}

// getConfigs serves all that v1 put on one path.
func (a *API) getConfigs(ctx context.Context, x *exchange) error {
	switch {
	case x.get("search") != "":
		return a.searchConfigs(ctx, x)
	case x.get("show") == "all":
		return a.getConfigDetail(ctx, x)
	case x.flag("beta", false):
		return a.getBeta(ctx, x)
	}
	return a.getConfig(ctx, x)
}

// getConfig answers a content: by itself in v1, as text in a result in v2.
func (a *API) getConfig(ctx context.Context, x *exchange) error {
	c, err := a.readRequested(ctx, x)
	if err != nil {
		return err
	}
	c.describe(x.Header())
	if x.results {
		return x.answer(appendString(nil, string(c.content)))
	}
	x.Header().Set("Content-Type", contentType(c.format))
	x.Header().Set("Content-Length", strconv.Itoa(len(c.content)))
	_, _ = x.Write(c.content) // the reader may be gone
	return nil
}

func (a *API) readRequested(ctx context.Context, x *exchange) (*config, error) {
	key, err := x.configKey()
	if err != nil {
		return nil, err
	}
	c, err := a.read(ctx, key, subjectAt(edge.Source(x.request)))
	if err == nil && c == nil {
		err = errNoConfig()
	}
	return c, err
}

// describe sets the headers that clients read beside a content.
func (c *config) describe(header http.Header) {
	header["Config-Type"] = []string{c.format}
	header["Content-MD5"] = []string{c.md5} // as Nacos writes it
	header.Set("Cache-Control", "no-cache,no-store")
	header.Set("Pragma", "no-cache")
	header.Set("Last-Modified", c.modified.UTC().Format(http.TimeFormat))
	if c.dataKey != "" {
		header.Set("Encrypted-Data-Key", c.dataKey)
	}
	if c.beta {
		header["isBeta"] = []string{"true"}
	}
}

func contentType(format string) string {
	switch format {
	case "json":
		return "application/json;charset=UTF-8"
	case "xml":
		return "application/xml;charset=UTF-8"
	default: // html too: what services wrote is never run as a page of this server
		return "text/plain;charset=UTF-8"
	}
}

// getConfigV3 answers a content with what is known of it. That there is none is an answer with status 200.
func (a *API) getConfigV3(ctx context.Context, x *exchange) error {
	c, err := a.readRequested(ctx, x)
	if f, ok := fault.As(err); ok && f.Reason == reasonNoConfig {
		x.json(http.StatusOK, []byte(`{"code":20004,"message":"resource not found","data":null}`))
		return nil
	}
	if err != nil {
		return err
	}
	b := appendString([]byte(`{"content":`), string(c.content))
	b = appendString(append(b, `,"md5":`...), c.md5)
	b = appendString(append(b, `,"contentType":`...), c.format)
	b = appendString(append(b, `,"encryptedDataKey":`...), c.dataKey)
	b = strconv.AppendInt(append(b, `,"lastModified":`...), c.modified.UnixMilli(), 10)
	b = strconv.AppendBool(append(b, `,"beta":`...), c.beta)
	return x.answer(append(b, '}'))
}

// postConfig publishes.
func (a *API) postConfig(ctx context.Context, x *exchange) error {
	key, err := x.configKey()
	if err != nil {
		return err
	}
	if x.get("tag") != "" {
		return invalid("tag", "publishing for a tag is not served").Hinted("publish with betaIps, or release to a cohort by labels")
	}
	p := publication{key: key, content: x.content(), kind: x.get("type"), casMD5: x.either("casMd5"), betaIPs: x.either("betaIps"),
		about: about{desc: x.get("desc"), app: x.get("appName"), tags: x.get("config_tags"), user: x.first("src_user", "srcUser"), dataKey: x.get("encryptedDataKey")}}
	if err := a.publish(ctx, &p); err != nil {
		return err
	}
	return x.yes()
}

// content is the parameter of that name as it stands, blank or not.
func (x *exchange) content() string {
	for _, p := range x.params {
		if p.key == "content" {
			return p.value
		}
	}
	return ""
}

// deleteConfig removes a configuration, or ends its beta.
func (a *API) deleteConfig(ctx context.Context, x *exchange) error {
	key, err := x.configKey()
	if err != nil {
		return err
	}
	if x.flag("beta", false) {
		if err := a.stopBeta(ctx, key); err != nil {
			return err
		}
		return x.rest(true)
	}
	if err := a.remove(ctx, key); err != nil {
		return err
	}
	return x.yes()
}

// item is a configuration in lists.
type item struct {
	ID               string `json:"id"`
	DataID           string `json:"dataId"`
	Group            string `json:"group"`
	Content          string `json:"content,omitempty"`
	MD5              string `json:"md5"`
	Tenant           string `json:"tenant"`
	AppName          string `json:"appName"`
	Type             string `json:"type"`
	EncryptedDataKey string `json:"encryptedDataKey"`
	Desc             string `json:"desc,omitempty"`
	ConfigTags       string `json:"configTags,omitempty"`
	SrcUser          string `json:"createUser,omitempty"`
	CreateTime       int64  `json:"createTime,omitempty"`
	ModifyTime       int64  `json:"modifyTime,omitempty"`
	BetaIPs          string `json:"betaIps,omitempty"`
}

func (k configKey) item(c *config) item {
	i := item{ID: k.number(), DataID: k.dataID, Group: groupNameOf(k.group), Tenant: tenantOf(k.namespace)}
	if c != nil {
		i.Content, i.MD5, i.AppName, i.Type, i.EncryptedDataKey = string(c.content), c.md5, c.app, c.format, c.dataKey
		i.Desc, i.ConfigTags, i.SrcUser, i.ModifyTime = c.desc, c.tags, c.user, c.modified.UnixMilli()
	}
	return i
}

// number stands for the row in Nacos's database. It names nothing here: whoever sends it sends the name too.
func (k configKey) number() string {
	hash := fnv.New64a()
	hash.Write([]byte(k.namespace + "\x00" + k.group + "\x00" + k.dataID))
	return strconv.FormatUint(hash.Sum64()>>11, 10) // exact in JavaScript
}

// list is a page of rows as Nacos answers it.
type list struct {
	Total     int   `json:"totalCount"`
	Number    int   `json:"pageNumber"`
	Available int   `json:"pagesAvailable"`
	Items     []any `json:"pageItems"`
}

// searchConfigs answers a page of configurations: of just that name, or of names that hold the parts; * stands for anything.
func (a *API) searchConfigs(ctx context.Context, x *exchange) error {
	p, err := x.page(100)
	if err != nil {
		return err
	}
	blur := x.get("search") != "accurate"
	matches := matcher(x.get("dataId"), x.first("group", "groupName"), blur)
	var found []configKey
	if err := a.eachConfig(ctx, namespaceOf(x.tenant()), func(key configKey, _ *gantryv1.Document) {
		if matches(key) {
			found = append(found, key)
		}
	}); err != nil {
		return err
	}
	from, until := p.of(len(found))
	answer := list{Total: len(found), Number: p.number, Available: p.pages(len(found)), Items: []any{}}
	for _, key := range found[from:until] {
		c, err := a.readForLists(ctx, key)
		if err != nil {
			return err
		}
		answer.Items = append(answer.Items, key.item(c))
	}
	return x.value(answer)
}

// readForLists reads what everybody gets of a configuration; nil when it is withheld or gone meanwhile.
func (a *API) readForLists(ctx context.Context, key configKey) (*config, error) {
	c, err := a.read(ctx, key, subjectAt(""))
	if fault.Is(err, fault.Forbidden) {
		return nil, nil
	}
	return c, err
}

// matcher decides by name. Without blur empty parts match all, as in Nacos.
func matcher(dataID, group string, blur bool) func(configKey) bool {
	part := func(wanted, have string) bool {
		if wanted == "" {
			return true
		}
		if !blur {
			return wanted == have
		}
		pieces := strings.Split(wanted, "*")
		if len(pieces) == 1 {
			return strings.Contains(have, wanted)
		}
		return inOrder(pieces, have)
	}
	return func(key configKey) bool { return part(dataID, key.dataID) && part(group, groupNameOf(key.group)) }
}

// inOrder reports whether a text is the pieces with anything between them.
func inOrder(pieces []string, text string) bool {
	if !strings.HasPrefix(text, pieces[0]) {
		return false
	}
	text = text[len(pieces[0]):]
	last := len(pieces) - 1
	for _, piece := range pieces[1:last] {
		at := strings.Index(text, piece)
		if at < 0 {
			return false
		}
		text = text[at+len(piece):]
	}
	return strings.HasSuffix(text, pieces[last])
}

// eachConfig visits the configurations of a namespace that are in force, in order of their names.
func (a *API) eachConfig(ctx context.Context, namespace string, visit func(configKey, *gantryv1.Document)) error {
	for token := ""; ; {
		documents, next, err := a.Releases.List(ctx, release.ListQuery{Namespace: namespace, Kind: configKind, PageSize: release.MaxPage, PageToken: token})
		if err != nil {
			return err
		}
		for _, document := range documents {
			key, named := configKeyOfRef(namespace, document.GetRef().GetName())
			if named && (document.GetReleasedVersion() != 0 || document.GetRollout() != nil) {
				visit(key, document)
			}
		}
		if token = next; token == "" {
			return nil
		}
	}
}

// getConfigDetail answers one configuration with all that is known of it.
func (a *API) getConfigDetail(ctx context.Context, x *exchange) error {
	key, err := x.configKey()
	if err != nil {
		return err
	}
	if err := access.Require(ctx, access.View, key.namespace); err != nil {
		return err
	}
	document, _, err := a.Releases.Get(ctx, key.ref(), 0)
	if fault.Is(err, fault.NotFound) {
		return errNoConfig()
	}
	if err != nil {
		return err
	}
	c, err := a.read(ctx, key, subjectAt(""))
	if err == nil && c == nil {
		err = errNoConfig()
	}
	if err != nil {
		return err
	}
	i := key.item(c)
	i.CreateTime = document.GetCreatedAt().AsTime().UnixMilli()
	return x.value(i)
}

// getBeta answers the version that a beta's addresses get.
func (a *API) getBeta(ctx context.Context, x *exchange) error {
	key, err := x.configKey()
	if err != nil {
		return err
	}
	if err := access.Require(ctx, access.View, key.namespace); err != nil {
		return err
	}
	document, _, err := a.Releases.Get(ctx, key.ref(), 0)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	rollout := document.GetRollout()
	if rollout == nil {
		return x.rest(nil)
	}
	_, version, err := a.Releases.Get(ctx, key.ref(), rollout.GetVersion())
	if err != nil {
		return err
	}
	i := key.item(a.configOf(key, version))
	i.BetaIPs = strings.Join(rollout.GetCohort().GetAddresses(), ",")
	return x.rest(i)
}

// getConfigNames answers all configurations of a namespace, without their contents.
func (a *API) getConfigNames(ctx context.Context, x *exchange) error {
	items := []item{}
	err := a.eachConfig(ctx, namespaceOf(x.tenant()), func(key configKey, document *gantryv1.Document) {
		i := key.item(nil)
		i.Type, i.ModifyTime = typeOf(document.GetFormat(), key.dataID), document.GetUpdatedAt().AsTime().UnixMilli()
		items = append(items, i)
	})
	if err != nil {
		return err
	}
	return x.value(items)
}

// stamp is a time as Nacos's JSON has it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000+0000") }
