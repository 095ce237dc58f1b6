package nacos

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
	"github.com/gantry-platform/gantry/internal/release"
)

// Long polling, as Nacos does it: the answer comes a little before the client's time is over, and not all too soon.
const (
	timeoutHeader  = "Long-Pulling-Timeout"
	noHangUpHeader = "Long-Pulling-Timeout-No-Hangup"
	answerEarlier  = 500 * time.Millisecond
	leastHold      = 10 * time.Second
	mostHold       = 60 * time.Second
	// maxListened bounds the names of one request; clients send at most 3,000.
	maxListened = 10_000
)

// Separators of the names.
const (
	wordSeparator = "\x02"
	lineSeparator = "\x01"
)

// listened is a configuration that a client holds.
type listened struct {
	dataID, group, tenant string
	// md5 of what the client holds; "" for nothing.
	md5 string
}

// readListened reads what a client holds: lines of dataId, group, md5 and perhaps the tenant.
func readListened(text string) ([]listened, error) {
	var all []listened
	for line := range strings.SplitSeq(text, lineSeparator) {
		if line == "" {
			continue
		}
		if len(all) == maxListened {
			return nil, fault.New(fault.TooLarge, "nacos.too_large", "invalid protocol, too much listener").At("Listening-Configs").
				Hinted("listen to at most %d in one request", maxListened)
		}
		words := strings.Split(line, wordSeparator)
		if len(words) != 3 && len(words) != 4 {
			return nil, invalid("Listening-Configs", "invalid probeModify")
		}
		l := listened{dataID: words[0], group: words[1], md5: words[2]}
		if len(words) == 4 {
			l.tenant = words[3]
		}
		all = append(all, l)
	}
	if len(all) == 0 {
		return nil, invalid("Listening-Configs", "invalid probeModify")
	}
	return all, nil
}

// appendChanged writes the names as the answer has them.
func appendChanged(b []byte, changed []listened) []byte {
	for _, l := range changed {
		b = append(append(append(b, l.dataID...), wordSeparator...), l.group...)
		if l.tenant != "" {
			b = append(append(b, wordSeparator...), l.tenant...)
		}
		b = append(b, lineSeparator...)
	}
	return b
}

// postListener answers which of the configurations that a client holds it should read again; when there is none, it waits for one.
func (a *API) postListener(ctx context.Context, x *exchange) error {
	text := x.get("Listening-Configs")
	if !strings.Contains(text, lineSeparator) {
		if again, err := url.QueryUnescape(text); err == nil { // some clients escape twice, and Nacos unescapes twice
			text = again
		}
	}
	all, err := readListened(text)
	if err != nil {
		return err
	}
	hold, err := holdOf(x.request.Header)
	if err != nil {
		return err
	}
	l := &listener{api: a, subject: subjectAt(edge.Source(x.request)), held: make(map[release.Ref][]listened, len(all))}
	for _, one := range all {
		key, err := configKeyOf(one.tenant, one.group, one.dataID)
		if err != nil {
			return err
		}
		if err := access.Require(ctx, mayRead, key.namespace); err != nil {
			return err
		}
		l.held[key.ref()] = append(l.held[key.ref()], one)
	}
	changed, err := l.look(ctx)
	if err == nil && len(changed) == 0 && hold > 0 {
		changed, err = l.await(ctx, hold)
	}
	if err != nil {
		return err
	}
	header := x.Header()
	header.Set("Cache-Control", "no-cache,no-store")
	header.Set("Pragma", "no-cache")
	x.text(http.StatusOK, url.QueryEscape(string(appendChanged(nil, changed))))
	return nil
}

// holdOf is how long a client wants to wait; 0 when it does not.
func holdOf(header http.Header) (time.Duration, error) {
	text := header.Get(timeoutHeader)
	if text == "" || strings.EqualFold(header.Get(noHangUpHeader), "true") {
		return 0, nil
	}
	wanted, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || wanted < 0 {
		return 0, invalid(timeoutHeader, "%s is no time in milliseconds", quoted(text))
	}
	hold := time.Duration(min(wanted, mostHold.Milliseconds())) * time.Millisecond
	return max(leastHold, hold-answerEarlier), nil
}

// listener is one request that waits.
type listener struct {
	api     *API
	subject *release.Subject
	// held is what the client holds of each document; the same may be named twice.
	held map[release.Ref][]listened
}

// md5OfNothing is what some clients hold after a configuration was removed. Told of a difference, they would ask again and again.
const md5OfNothing = "d41d8cd98f00b204e9800998ecf8427e"

// differs returns those of a document's names whose md5 is not the given one.
func (l *listener) differs(ref release.Ref, md5 string) []listened {
	var changed []listened
	for _, one := range l.held[ref] {
		if one.md5 != md5 && (md5 != "" || one.md5 != md5OfNothing) {
			changed = append(changed, one)
		}
	}
	return changed
}

// look compares with what is in force now.
func (l *listener) look(ctx context.Context) ([]listened, error) {
	var changed []listened
	for ref := range l.held {
		frame, err := l.api.Releases.Resolve(ctx, ref, *l.subject)
		if err != nil {
			return nil, err
		}
		changed = append(changed, l.differs(ref, l.api.digest(frame))...)
	}
	return changed, nil
}

// await waits for a difference, at most for hold; then there is none. Watchers tell first what is in force, so nothing falls in between.
func (l *listener) await(ctx context.Context, hold time.Duration) ([]listened, error) {
	waiting, cancel := edge.Waiting(ctx)
	defer cancel()
	waiting, end := context.WithTimeout(waiting, hold)
	defer end()
	watchers, err := l.watch(ctx)
	for _, w := range watchers {
		defer w.Close()
	}
	if err != nil {
		return nil, err
	}
	if len(watchers) == 1 {
		return l.next(waiting, watchers[0])
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	var changed []listened
	for _, w := range watchers {
		all.Go(func() {
			news, failure := l.next(waiting, w)
			mu.Lock()
			defer mu.Unlock()
			changed = append(changed, news...)
			if failure != nil && err == nil {
				err = failure
			}
			end() // one answer is for all
		})
	}
	all.Wait()
	if len(changed) > 0 {
		err = nil
	}
	return changed, err
}

// watch opens as many watchers as the names need.
func (l *listener) watch(ctx context.Context) ([]*release.Watcher, error) {
	var watchers []*release.Watcher
	refs := make([]release.Ref, 0, min(len(l.held), release.MaxWatched))
	left := len(l.held)
	for ref := range l.held {
		refs = append(refs, ref)
		if left--; left > 0 && len(refs) < release.MaxWatched {
			continue
		}
		w, err := l.api.Releases.Watch(ctx, *l.subject)
		if err != nil {
			return watchers, err
		}
		watchers = append(watchers, w)
		if err := w.Add(refs...); err != nil {
			return watchers, err
		}
		refs = refs[:0]
	}
	return watchers, nil
}

// next waits for a difference among what a watcher watches; when the time is over, there is none.
func (l *listener) next(ctx context.Context, w *release.Watcher) ([]listened, error) {
	for {
		frames, err := w.Next(ctx)
		if err != nil {
			if ctx.Err() != nil || err == release.ErrClosed {
				return nil, nil
			}
			return nil, err
		}
		var changed []listened
		for _, frame := range frames {
			changed = append(changed, l.differs(frame.Ref, l.api.digest(frame))...)
		}
		if len(changed) > 0 {
			return changed, nil
		}
	}
}

// getListeners answers who listens to a configuration. Clients of HTTP ask and go, so there is nobody to name.
func (a *API) getListeners(ctx context.Context, x *exchange) error {
	key := configKey{namespace: namespaceOf(x.tenant())}
	if err := access.Require(ctx, access.View, key.namespace); err != nil {
		return err
	}
	return x.value(map[string]any{"collectStatus": http.StatusOK, "lisentersGroupkeyStatus": map[string]string{}})
}
