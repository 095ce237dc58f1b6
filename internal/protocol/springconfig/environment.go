package springconfig

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"net/http"
	"slices"
	"strings"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy"
	"github.com/gantry-platform/gantry/internal/policy/source"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
	"github.com/gantry-platform/gantry/internal/release"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// Limits of a request.
const (
	maxApplications = 8
	maxProfiles     = 16
	maxName         = 128
	// maxContents bounds the documents of one answer, in bytes.
	maxContents = 16 << 20
)

const (
	kindConfig = "Config"
	// shared is the application whose configuration all others have.
	shared = "application"
	// v2 is the media type that clients ask for which want to know where values stand.
	v2 = "application/vnd.spring-cloud.config-server.v2+json"
)

// extensions are the files that Spring looks for, the strongest first.
var extensions = [...]string{".properties", ".yml", ".yaml"}

// request is what configuration is asked for.
type request struct {
	name, label  string
	applications []string // the strongest last, shared first
	profiles     []string // the strongest last
	folder       string   // "" or "<label>/"
}

// environment is Spring's answer.
type environment struct {
	Name            string           `json:"name"`
	Profiles        []string         `json:"profiles"`
	Label           *string          `json:"label"`
	Version         string           `json:"version"`
	State           *string          `json:"state"`
	PropertySources []propertySource `json:"propertySources"`
}

type propertySource struct {
	Name   string   `json:"name"`
	Source settings `json:"source"`
}

// parse reads application, profile and label of a path.
func parse(applications, profiles, label string) (*request, error) {
	q := &request{name: unfold(applications), label: unfold(label)}
	apps, err := list("application", q.name, maxApplications)
	if err != nil {
		return nil, err
	}
	q.applications = append([]string{shared}, slices.DeleteFunc(apps, func(app string) bool { return app == shared })...)
	if q.profiles, err = list("profile", profiles, maxProfiles); err != nil {
		return nil, err
	}
	if len(label) > maxName {
		return nil, fault.New(fault.TooLarge, "springconfig.too_long", "the label has %d bytes", len(label)).At("label").Hinted("at most %d", maxName)
	}
	switch q.label {
	case "", "main", "master":
	default:
		q.folder = q.label + "/"
	}
	return q, nil
}

// unfold gives names their "/" back, which clients cannot send.
func unfold(name string) string { return strings.ReplaceAll(name, "(_)", "/") }

// list reads names divided by commas, each once: the last time that it is there counts, as the last is the strongest.
func list(field, text string, most int) ([]string, error) {
	var names []string
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		if len(part) > maxName {
			return nil, fault.New(fault.TooLarge, "springconfig.too_long", "one of them has %d bytes", len(part)).At(field).Hinted("at most %d", maxName)
		}
		names = append(slices.DeleteFunc(names, func(name string) bool { return name == part }), part)
		if len(names) > most {
			return nil, fault.New(fault.TooLarge, "springconfig.too_many", "there are more than %d", most).At(field).Hinted("ask for fewer at once")
		}
	}
	if len(names) == 0 {
		return nil, fault.New(fault.Invalid, "springconfig.invalid_path", "%.64q names none", text).At(field).Hinted(`name one, such as "default" for the profile`)
	}
	return names, nil
}

// documents are the names that the configuration may have, the strongest first.
func (q *request) documents() []string {
	var names []string
	add := func(suffix string) {
		for _, application := range slices.Backward(q.applications) {
			for _, extension := range extensions {
				names = append(names, q.folder+application+suffix+extension)
			}
		}
	}
	for _, profile := range slices.Backward(q.profiles) {
		add("-" + profile)
	}
	add("")
	return names
}

// gather makes the answer to a request.
func (h *Handler) gather(ctx context.Context, r *http.Request, q *request) (*environment, error) {
	e := &environment{Name: q.name, Profiles: q.profiles, PropertySources: []propertySource{}}
	if q.label != "" {
		e.Label = &q.label
	}
	who, version, size := subject(r), sha256.New(), 0
	for _, name := range q.documents() {
		v, err := h.read(ctx, name, who)
		if err != nil {
			return nil, err
		}
		if v == nil {
			continue
		}
		if size += len(v.Content); size > maxContents {
			return nil, fault.New(fault.TooLarge, "springconfig.too_large", "the documents of %s have more than %d MiB", q.name, maxContents>>20).
				Hinted("split the application's configuration, or ask for fewer profiles")
		}
		mark(version, name, v)
		sources, err := propertySources(edge.Namespace(ctx), name, v, q.profiles)
		if err != nil {
			return nil, err
		}
		e.PropertySources = append(e.PropertySources, sources...)
	}
	e.Version = hex.EncodeToString(version.Sum(nil)[:20])
	return e, nil
}

// mark takes a document into a version: which one it is, and not its checksum, from which a short secret could be found.
func mark(version hash.Hash, name string, v *gantryv1.Version) {
	fmt.Fprintf(version, "%q %d %d\n", name, v.Version, v.CreatedAt.AsTime().UnixNano())
}

// read returns what a subject gets of a document; nil when that is nothing.
func (h *Handler) read(ctx context.Context, name string, who release.Subject) (*gantryv1.Version, error) {
	if err := policy.ValidateName("name", name); err != nil {
		return nil, err
	}
	ref := release.Ref{Namespace: edge.Namespace(ctx), Kind: kindConfig, Name: name}
	if version, _ := h.releases.Wanted(ref, &who); version == 0 {
		return nil, nil
	}
	frame, err := h.releases.Resolve(ctx, ref, who)
	if err != nil || frame.Version == 0 {
		return nil, err
	}
	v := frame.Event().Version
	if v.Withheld {
		return nil, fault.New(fault.Forbidden, "document.withheld", "%s is sensitive, and this caller may only view", ref).
			Hinted("use a token with the role service")
	}
	return v, nil
}

// propertySources are what a document holds for profiles, the strongest first.
func propertySources(namespace, name string, v *gantryv1.Version, profiles []string) ([]propertySource, error) {
	texts := [][]byte{v.Content}
	format := v.Format
	if format == source.Text {
		format = policy.FormatOf(name)
	}
	if format == source.Properties {
		texts = splitProperties(v.Content)
	}
	var documents [][]source.Pair
	for _, text := range texts {
		parts, err := source.Pairs(format, text)
		if err != nil {
			return nil, unreadable(name, v, err)
		}
		documents = append(documents, parts...)
	}
	var sources []propertySource
	for i, pairs := range slices.Backward(documents) {
		all := unique(pairs)
		active, err := all.active(profiles)
		if err != nil {
			return nil, unreadable(name, v, err)
		}
		if !active {
			continue
		}
		title := "gantry:" + namespace + "/" + name
		if len(documents) > 1 {
			title = fmt.Sprintf("%s (document #%d)", title, i)
		}
		sources = append(sources, propertySource{title, all.without(legacyProfiles)})
	}
	return sources, nil
}

// unreadable says which document keeps a configuration from being served. It is an error of the document's author, yet not its own words
// are told: they may hold a part of a secret.
func unreadable(name string, v *gantryv1.Version, err error) error {
	f, ok := fault.As(err)
	if !ok {
		return err
	}
	reason := f.Message
	if v.Sensitive {
		reason = "it is not valid"
	}
	return fault.New(fault.Precondition, "springconfig.unreadable", "version %d of %q cannot be read as settings: %s", v.Version, name, reason).
		On(f.Line, f.Column).Hinted("publish it again as %s or %s", source.YAML, source.Properties).Because(err)
}

// splitProperties divides a properties file at the lines "#---" and "!---", as Spring Boot does.
func splitProperties(text []byte) [][]byte {
	var all [][]byte
	start := 0
	for at := 0; at < len(text); {
		end := at + bytes.IndexByte(text[at:], '\n') + 1
		if end == at {
			end = len(text)
		}
		line := string(bytes.TrimRight(text[at:end], " \t\r\n"))
		if line == "#---" || line == "!---" {
			all = append(all, text[start:at])
			start = end
		}
		at = end
	}
	return append(all, text[start:])
}

// environment answers /{application}/{profile}[/{label}].
func (h *Handler) environment(ctx context.Context, w http.ResponseWriter, r *http.Request, application, profile, label string) error {
	q, err := parse(application, profile, label)
	if err != nil {
		return err
	}
	e, err := h.gather(ctx, r, q)
	if err != nil {
		return err
	}
	contentType := "application/json"
	if accepts(r, v2) {
		contentType = v2
		for i := range e.PropertySources {
			e.PropertySources[i].Source.origins = true
		}
	}
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(e); err != nil {
		return err
	}
	return write(w, contentType, body.Bytes())
}

// accepts reports whether a client asks for a media type.
func accepts(r *http.Request, mediaType string) bool {
	for _, header := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(header, ",") {
			name, _, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(name), mediaType) {
				return true
			}
		}
	}
	return false
}
