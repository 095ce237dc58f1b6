package nacos

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/release"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// config is a configuration as somebody gets it.
type config struct {
	key configKey
	// content is shared and must not be changed.
	content []byte
	md5     string
	// format is Nacos's word for it.
	format   string
	version  int64
	modified time.Time
	// beta: the caller gets it by a rollout.
	beta bool
	about
}

// subjectAt is who asks from an address, for cohorts. A text that is no address is in none.
func subjectAt(address string) *release.Subject {
	subject := &release.Subject{}
	if parsed, err := netip.ParseAddr(address); err == nil {
		subject.Address = parsed.Unmap().WithZone("")
	}
	return subject
}

// read returns what a subject gets of a configuration; nil when nothing is released.
func (a *API) read(ctx context.Context, key configKey, subject *release.Subject) (*config, error) {
	frame, err := a.Releases.Resolve(ctx, key.ref(), *subject)
	if err != nil {
		return nil, err
	}
	event := frame.Event()
	if event.GetAbsent() {
		return nil, nil
	}
	if event.GetVersion().GetWithheld() {
		return nil, fault.New(fault.Forbidden, "document.withheld", "the configuration %s is sensitive", quoted(key.dataID)).
			Hinted("services read it with the role service, people with the role releaser")
	}
	c := a.configOf(key, event.GetVersion())
	c.beta = event.GetRolloutId() != ""
	return c, nil
}

func (a *API) configOf(key configKey, v *gantryv1.Version) *config {
	return &config{key: key, content: v.GetContent(), md5: a.digests.of(v.GetChecksum(), v.GetContent()), format: typeOf(v.GetFormat(), key.dataID),
		version: v.GetVersion(), modified: v.GetCreatedAt().AsTime(), about: aboutOf(v.GetMessage())}
}

// digest returns the md5 of what a frame tells; "" when nothing is released, or when it is withheld from the caller.
func (a *API) digest(frame *release.Frame) string {
	v := frame.Event().GetVersion()
	if v == nil || v.GetWithheld() {
		return ""
	}
	return a.digests.of(v.GetChecksum(), v.GetContent())
}

// digestFor returns the md5 of what a subject gets, as [API.digest].
func (a *API) digestFor(ctx context.Context, key configKey, subject *release.Subject) (string, error) {
	frame, err := a.Releases.Resolve(ctx, key.ref(), *subject)
	if err != nil {
		return "", err
	}
	return a.digest(frame), nil
}

// formatOf is our format for a type; "" for none and for one that is not known, which Nacos takes for none.
func formatOf(kind string) string {
	switch kind = strings.ToLower(kind); kind {
	case "json", "xml", "yaml", "properties", "toml", "text":
		return kind
	case "html":
		return "text"
	default:
		return ""
	}
}

// typeOf undoes formatOf.
func typeOf(format, dataID string) string {
	if format == "text" && strings.HasSuffix(dataID, ".html") {
		return "html"
	}
	return format
}

// publication is a configuration to be published.
type publication struct {
	key     configKey
	content string
	// kind is the type; "" leaves it to the name.
	kind string
	// casMD5 is compared with what is released for all; "" compares nothing.
	casMD5 string
	// betaIPs are addresses or ranges, divided by commas, that the version is for; "" is for all.
	betaIPs string
	about
}

// errChanged answers a compare-and-set that failed.
func errChanged() *fault.Error {
	return fault.New(fault.Conflict, "document.version_conflict", "Cas publish fail, server md5 may have changed.").At("casMd5").
		Hinted("read the configuration again, and publish with its md5")
}

// publish publishes and releases a configuration.
//
// Errors: those of [release.Releaser.Publish] and Release; Conflict when casMD5 does not hold; NotFound "namespace.unknown".
func (a *API) publish(ctx context.Context, p *publication) error {
	ref := p.key.ref()
	if p.content == "" {
		return missing("content")
	}
	if err := a.mayPublish(ctx, ref.Namespace); err != nil {
		return err
	}
	message, err := p.message()
	if err != nil {
		return err
	}
	draft := release.Draft{Ref: ref, Format: formatOf(p.kind), Content: []byte(p.content), Message: message, Release: p.betaIPs == ""}
	if err := a.compare(ctx, p, &draft); err != nil {
		return err
	}
	published, err := a.publishInFormat(ctx, draft)
	if err != nil {
		if p.casMD5 != "" && fault.Is(err, fault.Conflict) {
			return errChanged().Because(err)
		}
		return err
	}
	if p.betaIPs == "" {
		return nil
	}
	return a.stage(ctx, p, published)
}

// mayPublish asks for what every step needs, before the first.
func (a *API) mayPublish(ctx context.Context, namespace string) error {
	if err := access.Require(ctx, access.Publish, namespace); err != nil {
		return err
	}
	if err := access.Require(ctx, access.Release, namespace); err != nil {
		return err
	}
	if !a.Instances.HasNamespace(namespace) {
		return fault.New(fault.NotFound, "namespace.unknown", "there is no namespace %s", quoted(namespace)).At("tenant").
			Hinted("create it first, such as with `gantry namespace create`")
	}
	return nil
}

// compare looks at what is there: whether casMD5 holds, and for which revision; and what is sensitive stays so.
func (a *API) compare(ctx context.Context, p *publication, draft *release.Draft) error {
	document, version, err := a.Releases.Get(ctx, draft.Ref, 0)
	if fault.Is(err, fault.NotFound) {
		if document = nil; p.casMD5 != "" {
			draft.ExpectedRevision = new(int64)
		}
		return nil
	}
	if err != nil {
		return err
	}
	draft.Sensitive = document.GetSensitive()
	if p.casMD5 == "" {
		return nil
	}
	if document.GetReleasedVersion() != 0 && a.digests.of(version.GetChecksum(), version.GetContent()) != p.casMD5 {
		return errChanged()
	}
	draft.ExpectedRevision = &document.Revision
	return nil
}

// syntaxReasons are why a content does not parse; what breaks a Schema is another matter and stays refused.
var syntaxReasons = []string{"document.syntax", "document.duplicate_key", "document.key_conflict", "document.too_deep",
	"document.number_range", "document.too_many_values", "document.several_documents"}

// publishInFormat publishes a draft; where its format was guessed and the content does not parse in it, as text.
func (a *API) publishInFormat(ctx context.Context, draft release.Draft) (*release.Published, error) {
	published, err := a.Releases.Publish(ctx, draft)
	if f, ok := fault.As(err); ok && draft.Format == "" && f.Code == fault.Invalid && slices.Contains(syntaxReasons, f.Reason) {
		draft.Format = "text"
		return a.Releases.Publish(ctx, draft)
	}
	return published, err
}

// stage gives a version to the addresses of a beta. One of another version that is under way is replaced, as in Nacos.
func (a *API) stage(ctx context.Context, p *publication, published *release.Published) error {
	cohort := &gantryv1.Cohort{}
	for address := range strings.SplitSeq(p.betaIPs, ",") {
		if address = strings.TrimSpace(address); address != "" {
			cohort.Addresses = append(cohort.Addresses, address)
		}
	}
	step := release.Step{Ref: p.key.ref(), Message: "beta of Nacos"}
	if rollout := published.Document.GetRollout(); rollout != nil && rollout.GetVersion() != published.Version {
		if _, err := a.Releases.Abort(ctx, step); err != nil && !fault.Is(err, fault.Precondition) {
			return err
		}
	}
	_, err := a.Releases.Release(ctx, step, published.Version, cohort)
	if f, ok := fault.As(err); ok && f.Reason == "document.already_released" {
		return nil // the addresses have it, as everybody has
	}
	return err
}

// stopBeta ends a beta; that there is none is no error.
func (a *API) stopBeta(ctx context.Context, key configKey) error {
	_, err := a.Releases.Abort(ctx, release.Step{Ref: key.ref(), Message: "beta of Nacos ended"})
	if f, ok := fault.As(err); ok && (f.Reason == "document.no_rollout" || f.Code == fault.NotFound) {
		return nil
	}
	return err
}

// remove takes a configuration out of force; that there is none is no error.
func (a *API) remove(ctx context.Context, key configKey) error {
	_, err := a.Releases.Delete(ctx, release.Step{Ref: key.ref(), Message: "removed by Nacos's protocol"})
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}
