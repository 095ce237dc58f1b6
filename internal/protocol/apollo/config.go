package apollo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy/source"
	"github.com/gantry-platform/gantry/internal/release"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// configuration is Apollo's answer at /configs.
type configuration struct {
	AppID          string            `json:"appId"`
	Cluster        string            `json:"cluster"`
	NamespaceName  string            `json:"namespaceName"`
	Configurations map[string]string `json:"configurations"`
	ReleaseKey     string            `json:"releaseKey"`
}

// config answers /configs/{appId}/{cluster}/{namespace}.
func (h *Handler) config(w http.ResponseWriter, r *http.Request, parts []string) error {
	ctx, p, asked, err := h.begin(r, parts)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	h.awaitMessages(ctx, p, normal(asked), query.Get("messages"))
	found, err := h.load(ctx, p, asked)
	if err != nil {
		return err
	}
	answer := configuration{AppID: p.app, Cluster: found[0].cluster, NamespaceName: asked, ReleaseKey: releaseKey(found)}
	if found[0].owner != p.app {
		answer.Cluster = p.cluster
	}
	if query.Get("releaseKey") == answer.ReleaseKey {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	if answer.Configurations, err = merged(normal(asked), found); err != nil {
		return err
	}
	return writeJSON(w, answer)
}

// begin reads /{appId}/{cluster}/{namespace} and says who asks.
func (h *Handler) begin(r *http.Request, parts []string) (context.Context, *place, string, error) {
	fields := [...]string{"appId", "cluster", "namespace"}
	var values [len(fields)]string
	for i, field := range fields {
		value, err := segment(field, parts[i])
		if err != nil {
			return nil, nil, "", err
		}
		values[i] = value
	}
	p, err := locate(r, values[0], values[1])
	if err != nil {
		return nil, nil, "", err
	}
	if err := name("namespace", values[2]); err != nil {
		return nil, nil, "", err
	}
	ctx, err := h.authorise(r, p.app)
	return ctx, p, values[2], err
}

// piece is a release that a namespace is made of.
type piece struct {
	owner, cluster string
	ref            release.Ref
	version        *gantryv1.Version
}

// load finds what a client gets of a namespace: of each owner the release of the first cluster that has one.
func (h *Handler) load(ctx context.Context, p *place, asked string) ([]piece, error) {
	namespace := normal(asked)
	var found []piece
	for _, owner := range p.owners(namespace) {
		for _, cluster := range p.clusters {
			ref := p.ref(owner, cluster, namespace)
			frame, err := h.releases.Resolve(ctx, ref, p.subject)
			if err != nil {
				return nil, err
			}
			if frame.Version == 0 {
				continue
			}
			version := frame.Event().Version
			if version.Withheld {
				return nil, fault.New(fault.Forbidden, "document.withheld", "%s is sensitive, and this caller may only view", ref).
					Hinted("use a token with the role service, or sign the request by an access key")
			}
			found = append(found, piece{owner, cluster, ref, version})
			break
		}
	}
	if len(found) == 0 {
		return nil, fault.New(fault.NotFound, "apollo.no_configuration",
			"Could not load configurations with appId: %s, clusterName: %s, namespace: %s", p.app, p.cluster, asked).
			Hinted("release a Config called %q in namespace %q", p.ref(p.owners(namespace)[0], defaultCluster, namespace).Name, p.gantry)
	}
	return found, nil
}

// releaseKey names what a client has: the versions, and when they were made, so that a document which is deleted and made anew
// under the same name does not pass for the old one. It is no checksum, from which a short secret could be found.
func releaseKey(found []piece) string {
	keys := make([]string, len(found))
	for i, piece := range found {
		sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %d %d", piece.ref.Namespace, piece.ref.Name, piece.version.Version, piece.version.CreatedAt.AsTime().UnixNano()))
		keys[i] = fmt.Sprintf("%d-%s", piece.version.Version, hex.EncodeToString(sum[:8]))
	}
	return strings.Join(keys, "+")
}

// merged lays the pieces over each other, the first on top.
func merged(namespace string, found []piece) (map[string]string, error) {
	if !isProperties(namespace) {
		return map[string]string{contentKey: string(found[0].version.Content)}, nil
	}
	all := map[string]string{}
	for _, piece := range slices.Backward(found) {
		settings, err := settings(piece)
		if err != nil {
			return nil, err
		}
		maps.Copy(all, settings)
	}
	return all, nil
}

// settings reads a document as items. A format without settings is read as properties: what was published as plain text may well be.
func settings(p piece) (map[string]string, error) {
	format := p.version.Format
	if format == source.Text {
		format = source.Properties
	}
	documents, err := source.Pairs(format, p.version.Content)
	if err != nil {
		if f, ok := fault.As(err); ok {
			place := ""
			if f.Line > 0 {
				place = fmt.Sprintf(" (line %d)", f.Line)
			}
			// Not the parser's own words: they may hold a part of a secret.
			return nil, fault.New(fault.Precondition, "apollo.not_properties", "version %d of %s cannot be read as settings%s", p.version.Version, p.ref, place).
				Hinted("publish it as properties, YAML, JSON or TOML, or name the namespace with an extension to have its text").Because(err)
		}
		return nil, err
	}
	all := map[string]string{}
	for _, pairs := range documents {
		for _, pair := range pairs {
			all[pair.Key] = pair.Value.Text
		}
	}
	return all, nil
}

// awaitAtMost bounds the wait of awaitMessages. The nodes of a cluster are milliseconds apart.
const awaitAtMost = time.Second

// maxMessages bounds the parameter "messages".
const maxMessages = 16 << 10

// awaitMessages waits until this node knows of the releases that another node has told the client of. Otherwise a client that asks here
// for what it heard of there would get the old, and not be told again. What cannot be read, and what does not come, is let go.
func (h *Handler) awaitMessages(ctx context.Context, p *place, namespace, text string) {
	if text == "" || len(text) > maxMessages {
		return
	}
	var told messages
	if json.Unmarshal([]byte(text), &told) != nil {
		return
	}
	origins := p.origins(namespace)
	behind := func() bool {
		return slices.ContainsFunc(origins, func(o origin) bool { return told.Details[o.key] > h.releases.InForceSince(o.ref) })
	}
	if !behind() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, awaitAtMost)
	defer cancel()
	watcher, err := h.watch(ctx, origins)
	if err != nil {
		return
	}
	defer watcher.Close()
	for behind() {
		if _, err := watcher.Next(ctx); err != nil {
			return
		}
	}
}

// output is how a file is written.
type output int

const (
	asProperties output = iota
	asJSON
	asRaw
)

// file answers /configfiles: the same as /configs as a file, without what is around it.
func (h *Handler) file(w http.ResponseWriter, r *http.Request, out output, parts []string) error {
	ctx, p, asked, err := h.begin(r, parts)
	if err != nil {
		return err
	}
	found, err := h.load(ctx, p, asked)
	if err != nil {
		return err
	}
	namespace := normal(asked)
	configurations, err := merged(namespace, found)
	if err != nil {
		return err
	}
	switch {
	case out == asJSON:
		return writeJSON(w, configurations)
	case out == asRaw && !isProperties(namespace):
		return writeText(w, contentTypes[typeOf(namespace)], []byte(configurations[contentKey]))
	}
	var text []byte
	for _, key := range slices.Sorted(maps.Keys(configurations)) {
		text = source.AppendProperty(text, key, "=", configurations[key])
	}
	return writeText(w, "text/plain", text)
}

var contentTypes = map[string]string{".json": "application/json", ".yml": "application/yaml", ".yaml": "application/yaml", ".xml": "application/xml", ".txt": "text/plain"}

func writeText(w http.ResponseWriter, contentType string, text []byte) error {
	w.Header().Set("Content-Type", contentType+";charset=UTF-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(text) // fails when the reader is gone
	return nil
}
