package apollo

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
	"github.com/gantry-platform/gantry/internal/release"
)

// Limits of a request for notifications.
const (
	// maxNotifications bounds the namespaces of one request: each is up to six documents, of which a watcher holds 1,000.
	maxNotifications = 128
	// maxNotificationsBytes bounds the parameter, far above what so many namespaces need.
	maxNotificationsBytes = 48 << 10
)

// noRelease is the id of a namespace that nothing was ever released of.
const noRelease = -1

// notification is how Apollo speaks of the news of one namespace.
type notification struct {
	NamespaceName  string    `json:"namespaceName"`
	NotificationID int64     `json:"notificationId"`
	Messages       *messages `json:"messages,omitempty"`
}

// messages are the ids of the single documents, by Apollo's names for them.
type messages struct {
	Details map[string]int64 `json:"details"`
}

// watched is a namespace that a client waits for.
type watched struct {
	namespace string
	has       int64 // the id that the client has
	began     int64 // the id that it had here when the wait began
	origins   []origin
}

// parseNotifications reads the parameter "notifications". Of a namespace that stands there twice the lower id counts, so that neither
// misses anything.
func parseNotifications(text string) ([]notification, error) {
	invalid := func(format string, args ...any) error {
		return fault.New(fault.Invalid, "apollo.invalid_notifications", format, args...).At("notifications").
			Hinted(`send [{"namespaceName":"application","notificationId":-1}], escaped for a URL`)
	}
	if len(text) > maxNotificationsBytes {
		return nil, fault.New(fault.TooLarge, "apollo.too_many_notifications", "the parameter has %d bytes", len(text)).At("notifications").
			Hinted("at most %d", maxNotificationsBytes)
	}
	var sent []notification
	if err := json.Unmarshal([]byte(text), &sent); err != nil {
		return nil, invalid("it is no list of notifications in JSON")
	}
	var all []notification
	at := map[string]int{}
	for _, n := range sent {
		n.NamespaceName = normal(n.NamespaceName)
		if n.NamespaceName == "" {
			continue
		}
		if err := name("namespaceName", n.NamespaceName); err != nil {
			return nil, err
		}
		if i, twice := at[n.NamespaceName]; twice {
			all[i].NotificationID = min(all[i].NotificationID, n.NotificationID)
			continue
		}
		at[n.NamespaceName] = len(all)
		all = append(all, n)
	}
	switch {
	case len(all) == 0:
		return nil, invalid("it names no namespace")
	case len(all) > maxNotifications:
		return nil, fault.New(fault.TooLarge, "apollo.too_many_notifications", "it names %d namespaces", len(all)).At("notifications").
			Hinted("at most %d in one request", maxNotifications)
	}
	return all, nil
}

// notifications answers /notifications/v2.
func (h *Handler) notifications(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	sent, err := parseNotifications(query.Get("notifications"))
	if err != nil {
		return err
	}
	news, err := h.await(r, sent)
	switch {
	case err != nil:
		return err
	case len(news) == 0:
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return writeJSON(w, news)
}

// notification answers /notifications, which clients before 2016 use: one namespace.
func (h *Handler) notification(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	sent := notification{NamespaceName: applicationNamespace, NotificationID: noRelease}
	if query.Has("namespace") {
		sent.NamespaceName = normal(query.Get("namespace"))
	}
	if err := name("namespace", sent.NamespaceName); err != nil {
		return err
	}
	if text := query.Get("notificationId"); text != "" {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fault.New(fault.Invalid, "apollo.invalid_notifications", "%.32q is no notification id", text).At("notificationId").Hinted("send a whole number, or -1 for none")
		}
		sent.NotificationID = id
	}
	news, err := h.await(r, []notification{sent})
	switch {
	case err != nil:
		return err
	case len(news) == 0:
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return writeJSON(w, notification{NamespaceName: news[0].NamespaceName, NotificationID: news[0].NotificationID})
}

// await waits until one of the namespaces has news for the client, and returns those that have; none when the wait is over without.
func (h *Handler) await(r *http.Request, sent []notification) ([]notification, error) {
	query := r.URL.Query()
	p, err := locate(r, query.Get("appId"), query.Get("cluster"))
	if err != nil {
		return nil, err
	}
	ctx, err := h.authorise(r, p.app)
	if err != nil {
		return nil, err
	}
	all := make([]watched, len(sent))
	var origins []origin
	for i, n := range sent {
		all[i] = watched{namespace: n.NamespaceName, has: n.NotificationID, origins: p.origins(n.NamespaceName)}
		all[i].began, _ = h.current(all[i].origins)
		origins = append(origins, all[i].origins...)
	}
	if news := h.news(all, newer); len(news) > 0 {
		return news, nil
	}
	if h.held.Add(1) > h.maxHeld {
		h.held.Add(-1)
		return nil, fault.New(fault.Unavailable, "apollo.too_many_held", "%d requests wait on this node already", h.maxHeld).
			Hinted("ask another node, or again later")
	}
	defer h.held.Add(-1)
	return h.wait(ctx, all, origins)
}

// wait is await's part that holds the request.
func (h *Handler) wait(ctx context.Context, all []watched, origins []origin) ([]notification, error) {
	waiting, cancel := edge.Waiting(ctx)
	defer cancel()
	waiting, stop := context.WithTimeout(waiting, h.hold)
	defer stop()
	watcher, err := h.watch(ctx, origins)
	if err != nil {
		return nil, err
	}
	defer watcher.Close()
	// What is told first is what there is; it is looked at once more, as it may have changed before the watcher was there.
	for {
		if news := h.news(all, newer); len(news) > 0 {
			return news, nil
		}
		if _, err := watcher.Next(waiting); err != nil {
			break
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return h.news(all, different), nil
}

func (h *Handler) watch(ctx context.Context, origins []origin) (*release.Watcher, error) {
	watcher, err := h.releases.WatchEveryone(ctx)
	if err != nil {
		return nil, err
	}
	refs := make([]release.Ref, len(origins))
	for i, o := range origins {
		refs[i] = o.ref
	}
	if err := watcher.Add(refs...); err != nil {
		watcher.Close()
		return nil, err
	}
	return watcher, nil
}

// newer says that a namespace has news; different that the client has another id than this server, which it should not keep.
func newer(w *watched, is int64) bool     { return is > w.has || is != w.began }
func different(w *watched, is int64) bool { return is != w.has }

// news returns the namespaces whose id is so.
func (h *Handler) news(all []watched, so func(w *watched, is int64) bool) []notification {
	var news []notification
	for i := range all {
		id, details := h.current(all[i].origins)
		if so(&all[i], id) {
			news = append(news, notification{NamespaceName: all[i].namespace, NotificationID: id, Messages: &messages{Details: details}})
		}
	}
	return news
}

// current is the id of a namespace now, and those of its documents.
func (h *Handler) current(origins []origin) (id int64, details map[string]int64) {
	id, details = noRelease, map[string]int64{}
	for _, o := range origins {
		if since := h.releases.InForceSince(o.ref); since > 0 {
			id = max(id, since)
			details[o.key] = since
		}
	}
	return id, details
}
