package nacos

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
)

// Words of the requests about patterns, by which clients of 3.x follow all services, or all configurations, with names like it.
const (
	watchBegin  = "WATCH"
	watchCancel = "CANCEL_WATCH"

	syncInit   = "FUZZY_WATCH_INIT_NOTIFY"
	syncDiff   = "FUZZY_WATCH_DIFF_SYNC_NOTIFY"
	syncFinish = "FINISH_FUZZY_WATCH_INIT_NOTIFY"

	patternSplitter = ">>"
)

// Bounds of patterns: of one connection, of its bytes, of what one pattern may match, and of the names in one message.
const (
	maxPatterns     = 64
	maxPatternBytes = 2048
	maxMatches      = 10_000
	syncBatch       = 100
)

// Nacos's error codes about patterns.
const (
	codePatterns = 50310
	codeMatches  = 50311
)

// pattern is what a client follows by name.
type pattern struct {
	text string
	// services: it is of services, else of configurations.
	services               bool
	namespace, group, name string

	// Guarded by patterns.mu. has are the keys that the client has, or was sent and has not acknowledged yet.
	has map[string]bool
	// fresh: everything is to be looked at. initial: the client waits for the word that it has all there is.
	fresh, initial bool
	over           bool // more match than are told
}

// parsePattern reads "namespace>>group>>name", where group and name may begin or end with a star.
func parsePattern(text string, services bool) (*pattern, error) {
	parts := strings.Split(text, patternSplitter)
	if len(text) > maxPatternBytes || len(parts) != 3 || parts[1] == "" || parts[2] == "" {
		return nil, invalid("groupKeyPattern", "%s is no pattern", quoted(text)).Hinted("send namespace>>group>>name")
	}
	return &pattern{text: text, services: services, namespace: namespaceOf(parts[0]), group: parts[1], name: parts[2], has: map[string]bool{}}, nil
}

func (p *pattern) matches(group, name string) bool { return fits(p.group, group) && fits(p.name, name) }

// fits is Nacos's rule: "*" fits everything, "*x*" what holds x, "*x" and "x*" what ends and begins with it.
func fits(pattern, text string) bool {
	begins, ends := strings.HasPrefix(pattern, "*"), strings.HasSuffix(pattern, "*")
	plain := strings.ReplaceAll(pattern, "*", "")
	switch {
	case pattern == "*":
		return true
	case begins && ends:
		return strings.Contains(text, plain)
	case begins:
		return strings.HasSuffix(text, plain)
	case ends:
		return strings.HasPrefix(text, plain)
	default:
		return pattern == text
	}
}

// serviceKeyOf and configGroupKeyOf are how clients name a service and a configuration in one word.
func serviceKeyOf(service instance.Service) string {
	return namespaceIDOf(service.Namespace) + groupSeparator + groupNameOf(service.Group) + groupSeparator + service.Name
}

func configGroupKeyOf(key configKey) string {
	escape := strings.NewReplacer("%", "%25", "+", "%2B")
	return escape.Replace(key.dataID) + "+" + escape.Replace(groupNameOf(key.group)) + "+" + escape.Replace(namespaceIDOf(key.namespace))
}

// patterns are what one connection follows by pattern. One goroutine looks after all of them.
type patterns struct {
	c    *connection
	ctx  context.Context
	stop context.CancelFunc
	wake chan struct{}

	mu  sync.Mutex
	all map[string]*pattern // by kind and text
	// sequence is the newest change of instances that was looked at.
	sequence uint64
}

func (k *call) watchServices(r *fuzzyRequest) ([]byte, error) {
	return k.watchPattern(r, true, "NamingFuzzyWatchResponse")
}

func (k *call) watchConfigs(r *fuzzyRequest) ([]byte, error) {
	return k.watchPattern(r, false, "ConfigFuzzyWatchResponse")
}

func (k *call) watchPattern(r *fuzzyRequest, services bool, answer string) ([]byte, error) {
	p, err := parsePattern(r.Pattern, services)
	if err != nil {
		return nil, err
	}
	if err := access.Require(k.ctx, mayRead, p.namespace); err != nil {
		return nil, err
	}
	code := 0
	switch r.WatchType {
	case watchBegin:
		if len(r.Received) > maxMatches {
			return nil, fault.New(fault.TooLarge, "nacos.matches", "%d names at once", len(r.Received)).At("receivedGroupKeys").Hinted("at most %d", maxMatches)
		}
		for _, key := range r.Received {
			p.has[key] = true
		}
		p.fresh, p.initial = true, r.Initializing
		code = k.c.follow(p)
	case watchCancel:
		k.c.unfollow(p)
	default:
		err = errUnsupportedType(r.WatchType)
	}
	switch {
	case err != nil:
		return nil, err
	case code == codePatterns:
		return encodeJSON(answer, bad(r.RequestID, code, "fuzzy watch pattern over limit")), nil
	case code == codeMatches:
		return encodeJSON(answer, bad(r.RequestID, code, "fuzzy watch pattern matched count over limit")), nil
	}
	return encodeJSON(answer, good(r.RequestID)), nil
}

func (p *pattern) key() string { return map[bool]string{true: "s", false: "c"}[p.services] + p.text }

// follow begins to follow a pattern, or does it anew with what the client has now. It answers an error code of Nacos, or 0.
func (c *connection) follow(p *pattern) int {
	c.mu.Lock()
	all := c.patterns
	if all == nil {
		all = &patterns{c: c, wake: make(chan struct{}, 1), all: make(map[string]*pattern), sequence: c.server.api.Instances.ChangesFromNow()}
		all.ctx, all.stop = context.WithCancel(c.ctx)
		c.patterns = all
		c.server.workers.Go(all.run)
	}
	c.mu.Unlock()
	all.mu.Lock()
	defer all.mu.Unlock()
	before := all.all[p.key()]
	if before == nil && len(all.all) >= maxPatterns {
		return codePatterns
	}
	all.all[p.key()] = p
	all.signal()
	if before != nil && before.over {
		return codeMatches
	}
	return 0
}

func (c *connection) unfollow(p *pattern) {
	c.mu.Lock()
	all := c.patterns
	c.mu.Unlock()
	if all != nil {
		all.mu.Lock()
		defer all.mu.Unlock()
		delete(all.all, p.key())
		all.signal()
	}
}

func (p *patterns) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// run tells the client what came and went, in rounds, until the connection ends.
func (p *patterns) run() {
	pause := time.NewTimer(p.c.server.pace.fuzzy)
	defer pause.Stop()
	for {
		wait, stop := p.changes()
		err := p.look()
		if err == nil {
			err = p.await(wait)
		}
		stop()
		if err != nil {
			if p.ctx.Err() == nil {
				p.c.cancel(err)
			}
			return
		}
		pause.Reset(p.c.server.pace.fuzzy)
		select {
		case <-pause.C:
		case <-p.ctx.Done():
			return
		}
	}
}

// changes are the channels that close when something changes that patterns follow. They are taken before it is looked at.
func (p *patterns) changes() (wait []<-chan struct{}, stop func()) {
	var stops []func()
	namespaces := map[string]bool{}
	services := false
	p.mu.Lock()
	for _, one := range p.all {
		services = services || one.services
		if !one.services {
			namespaces[one.namespace] = true
		}
	}
	p.mu.Unlock()
	if services {
		wait = append(wait, p.c.server.api.Instances.Changed())
	}
	for namespace := range namespaces {
		changed, stop := p.c.server.api.Releases.KindChanged(namespace, configKind)
		wait, stops = append(wait, changed), append(stops, stop)
	}
	return wait, func() {
		for _, stop := range stops {
			stop()
		}
	}
}

// await waits for the first of the channels, for a new pattern, or for the end.
func (p *patterns) await(wait []<-chan struct{}) error {
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	var any chan struct{}
	if len(wait) > 1 {
		any = make(chan struct{}, len(wait))
		for _, one := range wait[1:] {
			p.c.server.workers.Go(func() {
				select {
				case <-one:
					any <- struct{}{}
				case <-ctx.Done():
				}
			})
		}
	}
	var first <-chan struct{}
	if len(wait) > 0 {
		first = wait[0]
	}
	select {
	case <-first:
	case <-any:
	case <-p.wake:
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
	return nil
}

// look finds out what the client does not know, and sends it.
func (p *patterns) look() error {
	changes, next, complete := p.c.server.api.Instances.ChangesSince(p.sequence)
	p.sequence = next
	p.mu.Lock()
	all := make([]*pattern, 0, len(p.all))
	for _, one := range p.all {
		all = append(all, one)
	}
	p.mu.Unlock()
	p.c.mu.Lock()
	identity := p.c.identity
	p.c.mu.Unlock()
	ctx := access.NewContext(p.ctx, identity)
	for _, one := range all {
		if err := access.Require(ctx, mayRead, one.namespace); err != nil {
			return err
		}
		var news []news
		var err error
		if one.services && complete && !p.isFresh(one) {
			news = p.changed(one, changes)
		} else {
			news, err = p.difference(ctx, one)
		}
		if err == nil {
			err = p.tell(one, news)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *patterns) isFresh(one *pattern) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return one.fresh
}

// news is a name that came or went.
type news struct {
	key  string
	gone bool
}

// changed looks at the services of some changes alone.
func (p *patterns) changed(one *pattern, changes []instance.Change) (all []news) {
	seen := map[instance.Service]bool{}
	for n := range changes {
		service := changes[n].Service
		if changes[n].Before != nil && changes[n].After != nil || seen[service] || service.Namespace != one.namespace ||
			!one.matches(groupNameOf(service.Group), service.Name) {
			continue
		}
		seen[service] = true
		all = p.note(one, all, serviceKeyOf(service), p.c.server.api.Instances.Lookup(service) != nil)
	}
	return all
}

// difference compares everything that there is with what the client has.
func (p *patterns) difference(ctx context.Context, one *pattern) (all []news, err error) {
	there := map[string]bool{}
	over := false
	add := func(group, name string, key func() string) {
		if !one.matches(group, name) {
			return
		}
		if over = len(there) >= maxMatches; !over {
			there[key()] = true
		}
	}
	if one.services {
		for _, service := range p.c.server.api.Instances.Services(one.namespace) {
			add(groupNameOf(service.Group), service.Name, func() string { return serviceKeyOf(service) })
		}
	} else {
		names, err := p.c.server.api.Releases.InForce(ctx, one.namespace, configKind)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if key, nameable := configKeyOfRef(one.namespace, name); nameable {
				add(groupNameOf(key.group), key.dataID, func() string { return configGroupKeyOf(key) })
			}
		}
	}
	p.mu.Lock()
	one.over = over
	has := make([]string, 0, len(one.has))
	for key := range one.has {
		has = append(has, key)
	}
	p.mu.Unlock()
	for key := range there {
		all = p.note(one, all, key, true)
	}
	for _, key := range has {
		if !there[key] && !over { // what lies beyond the bound may be there
			all = p.note(one, all, key, false)
		}
	}
	return all, nil
}

// note adds to the news what the client does not know, and notes that it is told.
func (p *patterns) note(one *pattern, all []news, key string, there bool) []news {
	p.mu.Lock()
	defer p.mu.Unlock()
	if one.has[key] == there || there && len(one.has) >= maxMatches {
		return all
	}
	if there {
		one.has[key] = true
	} else {
		delete(one.has, key)
	}
	return append(all, news{key, !there})
}

// tell sends news: one by one as changes, or in batches while the client begins.
func (p *patterns) tell(one *pattern, all []news) error {
	p.mu.Lock()
	fresh, initial := one.fresh, one.initial
	one.fresh, one.initial = false, false
	p.mu.Unlock()
	if !fresh {
		for _, n := range all {
			if err := p.send(one, []news{n}, one.change(n)); err != nil {
				return err
			}
		}
		return nil
	}
	kind := syncDiff
	if initial {
		kind = syncInit
	}
	total := (len(all) + syncBatch - 1) / syncBatch
	for batch := range total {
		part := all[batch*syncBatch : min((batch+1)*syncBatch, len(all))]
		if err := p.send(one, part, one.sync(kind, part, total, batch+1)); err != nil {
			return err
		}
	}
	if initial {
		return p.send(one, nil, one.sync(syncFinish, nil, 1, 1))
	}
	return nil
}

// fuzzyNotice is a request of ours about a pattern. Services and configurations have other names for the same.
type fuzzyNotice struct {
	serverRequest
	kind        string
	SyncType    string         `json:"syncType,omitempty"`
	Pattern     string         `json:"groupKeyPattern,omitempty"`
	Contexts    []fuzzyContext `json:"contexts,omitempty"`
	Total       int            `json:"totalBatch,omitempty"`
	Current     int            `json:"currentBatch,omitempty"`
	ServiceKey  string         `json:"serviceKey,omitempty"`
	ChangedType string         `json:"changedType,omitempty"`
	GroupKey    string         `json:"groupKey,omitempty"`
	ChangeType  string         `json:"changeType,omitempty"`
}

type fuzzyContext struct {
	ServiceKey  string `json:"serviceKey,omitempty"`
	GroupKey    string `json:"groupKey,omitempty"`
	ChangedType string `json:"changedType"`
}

func (p *pattern) word(n news) string {
	verb, noun := "ADD", "CONFIG"
	if n.gone {
		verb = "DELETE"
	}
	if p.services {
		noun = "SERVICE"
	}
	return verb + "_" + noun
}

func (p *pattern) change(n news) *fuzzyNotice {
	if p.services {
		return &fuzzyNotice{kind: "NamingFuzzyWatchChangeNotifyRequest", SyncType: "FUZZY_WATCH_RESOURCE_CHANGED", ServiceKey: n.key, ChangedType: p.word(n)}
	}
	return &fuzzyNotice{kind: "ConfigFuzzyWatchChangeNotifyRequest", GroupKey: n.key, ChangeType: p.word(n)}
}

func (p *pattern) sync(kind string, part []news, total, current int) *fuzzyNotice {
	notice := &fuzzyNotice{kind: "ConfigFuzzyWatchSyncRequest", SyncType: kind, Pattern: p.text, Total: total, Current: current}
	if p.services {
		notice.kind = "NamingFuzzyWatchSyncRequest"
	}
	for _, n := range part {
		one := fuzzyContext{GroupKey: n.key, ChangedType: p.word(n)}
		if p.services {
			one.ServiceKey, one.GroupKey = n.key, ""
		}
		notice.Contexts = append(notice.Contexts, one)
	}
	return notice
}

// send sends a notice; what is not acknowledged is taken for not known, and looked at again.
func (p *patterns) send(one *pattern, part []news, notice *fuzzyNotice) error {
	module := "config"
	if one.services {
		module = "naming"
	}
	finish := notice.SyncType == syncFinish
	notice.serverRequest = p.c.server.newRequest(module)
	keys := append([]news(nil), part...)
	p.c.expect(notice.number, &push{again: func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, n := range keys {
			if n.gone {
				one.has[n.key] = true
			} else {
				delete(one.has, n.key)
			}
		}
		one.fresh, one.initial = true, one.initial || finish
		p.signal()
	}})
	return p.c.send(encodeJSON(notice.kind, notice))
}
