package nacos

import (
	"context"
	"net/url"
	"sync"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/release"
)

func (r *configRequest) key() (configKey, error) { return configKeyOf(r.Tenant, r.Group, r.DataID) }

// errTag answers who publishes for, or removes, a tag.
func errTag() *fault.Error {
	return invalid("tag", "configurations by tag are not kept").
		Hinted("publish with betaIps, or release the document in stages to clients by their labels")
}

func (k *call) publishConfig(r *configPublishRequest) ([]byte, error) {
	key, err := r.key()
	if err != nil {
		return nil, err
	}
	if r.addition("tag") != "" {
		return nil, errTag()
	}
	err = k.api.publish(k.ctx, &publication{key: key, content: r.Content, kind: r.addition("type"), casMD5: r.CasMD5, betaIPs: r.addition("betaIps"),
		about: about{desc: r.addition("desc"), app: r.addition("appName"), tags: r.addition("config_tags"), user: r.addition("src_user"),
			dataKey: r.addition("encryptedDataKey")}})
	if err != nil {
		return nil, err
	}
	return encodeJSON("ConfigPublishResponse", good(r.RequestID)), nil
}

func (k *call) queryConfig(r *configQueryRequest) ([]byte, error) {
	key, err := r.key()
	if err != nil {
		return nil, err
	}
	c, err := k.api.read(k.ctx, key, k.c.subject())
	if err != nil {
		return nil, err
	}
	if c == nil {
		return encodeJSON("ConfigQueryResponse", configQueryResponse{response: bad(r.RequestID, codeNoConfig, "config data not exist")}), nil
	}
	answer := configQueryResponse{response: good(r.RequestID), Content: string(c.content), EncryptedDataKey: c.dataKey, ContentType: c.format,
		MD5: c.md5, LastModified: c.modified.UnixMilli(), Beta: c.beta, IsBeta: c.beta}
	if r.Tag != "" {
		answer.Tag = url.QueryEscape(r.Tag) // Nacos says by it that there is none of the tag, and this is the one for all
	}
	return encodeJSON("ConfigQueryResponse", answer), nil
}

func (k *call) removeConfig(r *configRemoveRequest) ([]byte, error) {
	key, err := r.key()
	if err != nil {
		return nil, err
	}
	if r.Tag != "" {
		return nil, errTag()
	}
	if err := k.api.remove(k.ctx, key); err != nil {
		return nil, err
	}
	return encodeJSON("ConfigRemoveResponse", good(r.RequestID)), nil
}

// heldConfigs is what a connection's client has of the configurations that it listens to.
type heldConfigs struct {
	c *connection

	mu       sync.Mutex
	watcher  *release.Watcher
	identity *access.Identity // of the watcher
	closed   bool
	configs  map[release.Ref]*heldConfig
}

// heldConfig is one configuration that a client listens to.
type heldConfig struct {
	name configName // in the client's words
	// md5 is what the client has, told the newest that it was told of.
	md5, told string
	attempts  int
}

// listen answers which of the configurations are others than the client has, and follows all of them from then on.
func (k *call) listen(r *configListenRequest) ([]byte, error) {
	if len(r.Contexts) > release.MaxWatched {
		return nil, fault.New(fault.TooLarge, "document.too_many_watched", "%d configurations at once", len(r.Contexts)).At("configListenContexts").
			Hinted("one connection listens to at most %d", release.MaxWatched)
	}
	refs := make([]release.Ref, len(r.Contexts))
	for n := range r.Contexts {
		one := &r.Contexts[n]
		key, err := configKeyOf(one.Tenant, one.Group, one.DataID)
		if err != nil {
			return nil, err
		}
		if err := access.Require(k.ctx, mayRead, key.namespace); err != nil {
			return nil, err
		}
		refs[n] = key.ref()
	}
	answer := configListenResponse{response: good(r.RequestID), Changed: []configName{}}
	if r.Listen != nil && !*r.Listen {
		k.c.unlisten(refs)
		return encodeJSON("ConfigChangeBatchListenResponse", answer), nil
	}
	// What is current is looked at before it is followed, and following tells everything once: so nothing is told twice, and no change falls in between.
	subject, told := k.c.subject(), make([]string, len(refs))
	for n := range refs {
		current, readable, err := k.digest(refs[n], subject)
		if err != nil {
			return nil, err
		}
		if told[n] = r.Contexts[n].MD5; readable && current != told[n] {
			answer.Changed = append(answer.Changed, r.Contexts[n].configName)
			told[n] = current
		}
	}
	if err := k.c.listen(access.FromContext(k.ctx), refs, r.Contexts, told); err != nil {
		return nil, err
	}
	return encodeJSON("ConfigChangeBatchListenResponse", answer), nil
}

// digest is the md5 of what a subject gets; what is withheld from the caller is not readable.
func (k *call) digest(ref release.Ref, subject *release.Subject) (md5 string, readable bool, err error) {
	frame, err := k.api.Releases.Resolve(k.ctx, ref, *subject)
	if err != nil {
		return "", false, err
	}
	return k.api.digest(frame), !frame.Event().GetVersion().GetWithheld(), nil
}

// listen notes what the client has and was told of, and follows the configurations.
func (c *connection) listen(identity *access.Identity, refs []release.Ref, contexts []listenContext, told []string) error {
	if len(refs) == 0 {
		return nil
	}
	l, err := c.listening(identity)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return release.ErrClosed
	}
	var fresh []release.Ref
	for n, ref := range refs {
		if l.configs[ref] == nil {
			fresh = append(fresh, ref)
		}
		l.configs[ref] = &heldConfig{name: contexts[n].configName, md5: contexts[n].MD5, told: told[n]}
	}
	if err := l.watcher.Add(refs...); err != nil {
		for _, ref := range fresh {
			delete(l.configs, ref)
		}
		return err
	}
	return nil
}

// listening answers what the connection listens to, made when it is first needed.
func (c *connection) listening(identity *access.Identity) (*heldConfigs, error) {
	c.mu.Lock()
	l := c.configs
	c.mu.Unlock()
	if l != nil {
		return l, nil
	}
	watcher, err := c.watch(identity)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.configs != nil { // two requests at once
		watcher.Close()
		return c.configs, nil
	}
	c.configs = &heldConfigs{c: c, watcher: watcher, identity: identity, configs: make(map[release.Ref]*heldConfig)}
	l = c.configs
	c.server.workers.Go(func() { l.push(watcher) })
	return l, nil
}

func (c *connection) watch(identity *access.Identity) (*release.Watcher, error) {
	return c.server.api.Releases.Watch(access.NewContext(context.Background(), identity), *c.subject())
}

func (c *connection) unlisten(refs []release.Ref) {
	c.mu.Lock()
	l := c.configs
	c.mu.Unlock()
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, ref := range refs {
		delete(l.configs, ref)
	}
	l.watcher.Remove(refs...)
}

// follow goes on by the rights of another identity: the client has logged in again. Everything is looked at anew; what the client has is not told.
func (l *heldConfigs) follow(identity *access.Identity) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.identity == identity {
		return
	}
	watcher, err := l.c.watch(identity)
	if err == nil {
		refs := make([]release.Ref, 0, len(l.configs))
		for ref := range l.configs {
			refs = append(refs, ref)
		}
		if err = watcher.Add(refs...); err != nil {
			watcher.Close()
		}
	}
	if err != nil {
		l.c.server.api.Logger.Debug("listening by another identity", "connection", l.c.id, "error", err)
		return // the old rights hold as long as they do
	}
	old := l.watcher
	l.watcher, l.identity = watcher, identity
	l.c.server.workers.Go(func() { l.push(watcher) })
	old.Close()
}

func (l *heldConfigs) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.watcher.Close()
}

// push tells the client of configurations that are others than it has.
func (l *heldConfigs) push(watcher *release.Watcher) {
	for {
		frames, err := watcher.Next(l.c.ctx)
		if err != nil {
			return
		}
		for _, frame := range frames {
			if frame.Event().GetVersion().GetWithheld() {
				continue
			}
			if err := l.notify(frame.Ref, l.c.server.api.digest(frame)); err != nil {
				l.c.cancel(err)
				return
			}
		}
	}
}

func (l *heldConfigs) notify(ref release.Ref, md5 string) error {
	l.mu.Lock()
	one := l.configs[ref]
	if one == nil || md5 == one.told {
		l.mu.Unlock()
		return nil
	}
	one.told = md5
	name, attempts := one.name, one.attempts
	l.mu.Unlock()
	request := configChangeNotify{l.c.server.newRequest("config"), name}
	l.c.expect(request.number, &push{attempt: attempts, done: func() { l.acknowledged(ref) }, again: func() { l.again(ref, md5) }})
	return l.c.send(encodeJSON("ConfigChangeNotifyRequest", request))
}

func (l *heldConfigs) acknowledged(ref release.Ref) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if one := l.configs[ref]; one != nil {
		one.attempts = 0
	}
}

// maxNotices bounds how often a client is told of one change that it does not acknowledge. It is alive, or the connection would end, and asks by
// itself every few minutes.
const maxNotices = 8

// again tells the client once more, unless it has said meanwhile what it has, or something newer was told.
func (l *heldConfigs) again(ref release.Ref, md5 string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.configs[ref]
	if one == nil || l.closed || one.told != md5 || one.md5 == md5 || one.attempts >= maxNotices {
		return
	}
	one.attempts++
	one.told = one.md5
	_ = l.watcher.Add(ref) // it fails only when the connection has ended
}
