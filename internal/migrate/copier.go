package migrate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
	"github.com/gantry-platform/gantry/sdk/api/gantry/v1/gantryv1connect"
)

const (
	// publishers is how many documents are published at once.
	publishers = 8
	// writeAttempts is how often a call of Gantry is tried while it is unavailable: an election takes a few seconds.
	writeAttempts = 6
	// maxMessage is the longest message that Gantry keeps with a version.
	maxMessage = 1 << 10
)

// CopyOptions say what is copied and how.
type CopyOptions struct {
	// DryRun changes nothing.
	DryRun bool
	// Release puts what is published in force for everyone.
	Release bool
	// Overwrite replaces documents that have other content, or were deleted, in Gantry.
	Overwrite bool
	// Only takes documents whose name in Gantry matches one of these globs; none: all.
	Only []string
	// Sensitive publishes the matching documents as sensitive.
	Sensitive []string
}

// Copier copies configuration into Gantry.
type Copier struct {
	Source    ConfigSource
	URL       string // of the source, for the report and the messages of versions
	Releases  gantryv1connect.ReleaseServiceClient
	Instances gantryv1connect.InstanceServiceClient // for namespaces
	Options   CopyOptions
	// Explain makes a fault of what a Gantry server answered.
	Explain func(error) *fault.Error
	// Progress is told how many documents are done, of how many known by now; it may be nil. It is called by one goroutine.
	Progress func(done, total int)

	report    *tally
	only      []*regexp.Regexp
	sensitive []*regexp.Regexp
	spaces    spaces
	kinds     *policy.Registry
}

// Run copies until all is done, ctx ends, or something is wrong that every further document would meet too. The report
// is never nil; the error is what stopped it.
func (c *Copier) Run(ctx context.Context) (*Report, error) {
	c.report = newTally(c.Source.Kind(), c.URL, c.Options.DryRun)
	var err error
	if c.only, err = globs(c.Options.Only); err != nil {
		return &c.report.Report, err
	}
	if c.sensitive, err = globs(c.Options.Sensitive); err != nil {
		return &c.report.Report, err
	}
	c.spaces, c.kinds = spaces{copier: c, known: map[string]error{}}, policy.Standard()
	last, err := c.walk(ctx)
	c.report.finish()
	if err == nil {
		return &c.report.Report, nil
	}
	c.report.Stopped = &Stop{After: last, Message: "interrupted"}
	if ctx.Err() == nil {
		f := c.Explain(Explained(err))
		c.report.Stopped.Reason, c.report.Stopped.Message = f.Reason, f.Message
		err = f
	} else {
		err = ctx.Err()
	}
	return &c.report.Report, err
}

func globs(patterns []string) ([]*regexp.Regexp, error) {
	var compiled []*regexp.Regexp
	for _, p := range patterns {
		re, err := policy.Glob(p)
		if err != nil {
			return nil, fault.New(fault.Invalid, "migrate.bad_glob", "%q is no pattern", p).Hinted("use * within a part of a name, ** over parts, ? for one character")
		}
		compiled = append(compiled, re)
	}
	return compiled, nil
}

func matches(patterns []*regexp.Regexp, name string) bool {
	for _, p := range patterns {
		if p.MatchString(name) {
			return true
		}
	}
	return false
}

// walk copies page by page and returns the origin of the last document that was done with.
func (c *Copier) walk(ctx context.Context) (last string, err error) {
	done := 0
	for page, err := range c.Source.Pages(ctx) {
		if err != nil {
			return last, err
		}
		c.report.noteAll(page.Notes)
		n, err := c.page(ctx, page, done)
		if n > 0 {
			last = page.Items[n-1].Origin
		}
		done += n
		if err != nil {
			return last, err
		}
	}
	return last, ctx.Err()
}

// page copies the documents of a page, some at once, and returns how many from its beginning are done.
func (c *Copier) page(ctx context.Context, page Page, before int) (done int, err error) {
	finished := make([]bool, len(page.Items))
	var mu sync.Mutex
	completed := 0
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(publishers)
	for i, item := range page.Items {
		if inner.Err() != nil {
			break
		}
		group.Go(func() error {
			if err := c.one(inner, item); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			finished[i] = true
			completed++
			if c.Progress != nil {
				c.Progress(before+completed, max(page.Total, before+len(page.Items)))
			}
			return nil
		})
	}
	err = group.Wait()
	if err == nil {
		err = ctx.Err()
	}
	for done < len(finished) && finished[done] {
		done++
	}
	c.report.Found += completed
	return done, err
}

// one copies a document. An error stops everything; what is wrong with this document alone goes into the report.
func (c *Copier) one(ctx context.Context, item Item) error {
	if item.Refused == nil && len(c.only) > 0 && !matches(c.only, item.Document.Name) {
		c.report.count(item, LeftOut)
		return nil
	}
	if item.Refused != nil {
		c.report.refuse(item, item.Refused)
		return nil
	}
	item.Document.Sensitive = item.Document.Sensitive || matches(c.sensitive, item.Document.Name)
	effect, err := c.take(ctx, &item)
	switch {
	case err == nil:
		c.report.count(item, effect)
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	f := c.Explain(err)
	if !aboutOne(f) {
		return f
	}
	c.report.refuse(item, f)
	return nil
}

// aboutOne tells what is wrong with one document, or with the rights in its namespace, from what every other would meet too.
func aboutOne(f *fault.Error) bool {
	switch f.Code {
	case fault.Invalid, fault.TooLarge, fault.NotFound, fault.AlreadyExists, fault.Conflict, fault.Precondition, fault.Forbidden:
		return true
	default:
		return false
	}
}

// take publishes a document unless Gantry has it already.
func (c *Copier) take(ctx context.Context, item *Item) (Effect, error) {
	if err := c.validate(item); err != nil {
		return "", err
	}
	document, release := item.Document, c.Options.Release && !item.Draft
	missing, err := c.spaces.ensure(ctx, document.Namespace)
	if err != nil {
		return "", err
	}
	ref := &gantryv1.DocumentRef{Namespace: document.Namespace, Kind: document.Kind, Name: document.Name}
	var have *stored
	if !missing {
		if have, err = c.stored(ctx, ref); err != nil {
			return "", err
		}
	}
	effect, err := c.decide(document, have, release)
	if err != nil || effect == Unchanged {
		return effect, err
	}
	expected := have.version()
	publish := &gantryv1.PublishRequest{Ref: ref, Format: document.Format, Content: document.Content, Sensitive: document.Sensitive, Message: c.message(*item),
		ExpectedVersion: &expected, Release: release}
	switch {
	case c.Options.DryRun:
		return effect, c.rehearse(ctx, publish, effect, missing)
	case effect == Released:
		return effect, c.release(ctx, publish, have)
	default:
		return c.publish(ctx, publish, effect)
	}
}

// stored is what Gantry has under a name.
type stored struct {
	head   *gantryv1.Document
	latest *gantryv1.Version
}

func (c *Copier) stored(ctx context.Context, ref *gantryv1.DocumentRef) (*stored, error) {
	get := func(version int64) (got *gantryv1.GetResponse, err error) {
		err = c.patiently(ctx, func() error {
			got, err = c.Releases.Get(ctx, &gantryv1.GetRequest{Ref: ref, Version: version})
			return err
		})
		return got, err
	}
	got, err := get(0)
	if err == nil && got.GetVersion().GetVersion() != got.GetDocument().GetLatestVersion() {
		got, err = get(got.GetDocument().GetLatestVersion())
	}
	switch {
	case err == nil:
		return &stored{head: got.GetDocument(), latest: got.GetVersion()}, nil
	case fault.Is(c.Explain(err), fault.NotFound):
		return nil, nil
	default:
		return nil, err
	}
}

// ours begins the messages of the versions that copies make.
const ours = "migrated from "

func (c *Copier) message(item Item) string {
	text := fmt.Sprintf("%s%s at %s: %s", ours, c.Source.Kind(), c.URL, item.Origin)
	return strings.ToValidUTF8(text[:min(len(text), maxMessage)], "")
}

// decide says what is to become of a document, given what Gantry has.
func (c *Copier) decide(document policy.Document, have *stored, release bool) (Effect, error) {
	if have == nil {
		return Created, nil
	}
	same := sameContent(document, have.latest)
	switch {
	case have.head.GetDeleted():
		if !c.Options.Overwrite {
			return "", fault.New(fault.Conflict, "migrate.deleted", "somebody has deleted it in Gantry").Hinted("give --overwrite to take it again")
		}
		return Created, nil
	case same && (!release || have.head.GetReleasedVersion() == have.head.GetLatestVersion()):
		return Unchanged, nil
	case same:
		return Released, nil
	case c.Options.Overwrite, strings.HasPrefix(have.latest.GetMessage(), ours):
		return Updated, nil
	default:
		return "", fault.New(fault.Conflict, "migrate.exists", "it is in Gantry with other content, written by %s", author(have.latest)).
			Hinted("compare them, and give --overwrite to replace what is in Gantry")
	}
}

func author(v *gantryv1.Version) string {
	if v.GetAuthor() == "" {
		return "somebody"
	}
	return v.GetAuthor()
}

// sameContent compares by checksum. A version whose content is withheld from the caller has none, and is never the same: then the server
// compares.
func sameContent(d policy.Document, v *gantryv1.Version) bool {
	sum := sha256.Sum256(d.Content)
	return v.GetChecksum() == hex.EncodeToString(sum[:]) && v.GetFormat() == d.Format && v.GetSensitive() == d.Sensitive
}

// rehearse asks whether it could be done. Where the namespace is not there yet there is nobody to ask, and what was found here counts.
func (c *Copier) rehearse(ctx context.Context, publish *gantryv1.PublishRequest, effect Effect, missing bool) error {
	if missing || effect == Released {
		return nil
	}
	return c.patiently(ctx, func() error {
		_, err := c.Releases.Validate(ctx, publish)
		return err
	})
}

func (c *Copier) release(ctx context.Context, publish *gantryv1.PublishRequest, have *stored) error {
	return c.patiently(ctx, func() error {
		revision := have.head.GetRevision()
		_, err := c.Releases.Release(ctx, &gantryv1.ReleaseRequest{Ref: publish.Ref, Version: have.latest.GetVersion(), Message: publish.Message, ExpectedRevision: &revision})
		return err
	})
}

func (c *Copier) publish(ctx context.Context, publish *gantryv1.PublishRequest, effect Effect) (Effect, error) {
	err := c.patiently(ctx, func() error {
		published, err := c.Releases.Publish(ctx, publish)
		if published.GetUnchanged() && effect == Updated {
			effect = Unchanged // its content could not be compared here
		}
		return err
	})
	return effect, err
}

// syntaxReasons are why a content does not parse in a format; what breaks a Schema is another matter.
var syntaxReasons = [...]string{"document.syntax", "document.duplicate_key", "document.key_conflict", "document.too_deep",
	"document.number_range", "document.too_many_values", "document.several_documents"}

// validate finds what is wrong with a document before the server is asked: its name, size and syntax.
func (c *Copier) validate(item *Item) error {
	d := &item.Document
	_, err := c.kinds.Validate(*d, nothing{})
	f, ok := fault.As(err)
	if !ok || !item.Guessed || d.Format == formatText || !slices.Contains(syntaxReasons[:], f.Reason) {
		return err
	}
	item.Notes = append(item.Notes, fmt.Sprintf("it is no valid %s and is taken as text", d.Format))
	d.Format = formatText
	return nil
}

// version is the newest there is, for compare-and-set; 0 for no document.
func (s *stored) version() int64 {
	if s == nil {
		return 0
	}
	return s.head.GetLatestVersion()
}

// nothing is a library without documents.
type nothing struct{}

// Released implements [policy.Library].
func (nothing) Released(string, string) []policy.Document { return nil }

// patiently calls Gantry again while it is unavailable, for some seconds.
func (c *Copier) patiently(ctx context.Context, call func() error) error {
	wait := firstWait
	for attempt := 1; ; attempt++ {
		err := call()
		if err == nil || attempt == writeAttempts || ctx.Err() != nil {
			return err
		}
		if code := c.Explain(err).Code; code != fault.Unavailable && code != fault.Exhausted {
			return err
		}
		if pause(ctx, wait) != nil {
			return err
		}
		wait *= 2
	}
}

// spaces makes the namespaces that are missing, each once.
type spaces struct {
	copier *Copier
	mu     sync.Mutex
	listed map[string]bool
	known  map[string]error
	made   map[string]bool
}

// ensure makes a namespace if it is not there. In a dry run it tells that it is missing.
func (s *spaces) ensure(ctx context.Context, name string) (missing bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err, ok := s.known[name]; ok {
		return s.made[name] && s.copier.Options.DryRun, err
	}
	if s.listed == nil {
		if err := s.list(ctx); err != nil {
			return false, err
		}
	}
	if s.listed[name] {
		s.known[name] = nil
		return false, nil
	}
	if !s.copier.Options.DryRun {
		err = s.create(ctx, name)
	}
	if ctx.Err() != nil || err != nil && !aboutOne(s.copier.Explain(err)) {
		return false, err // not for good: the next may ask again
	}
	s.known[name] = err
	if err == nil {
		s.made[name] = true
		s.copier.report.namespaceCreated(name)
	}
	return s.copier.Options.DryRun, err
}

func (s *spaces) list(ctx context.Context) error {
	var answer *gantryv1.ListNamespacesResponse
	err := s.copier.patiently(ctx, func() (err error) {
		answer, err = s.copier.Instances.ListNamespaces(ctx, &gantryv1.ListNamespacesRequest{})
		return err
	})
	if err != nil {
		return err
	}
	s.listed, s.made = map[string]bool{}, map[string]bool{}
	for _, n := range answer.GetNamespaces() {
		s.listed[n.GetName()] = true
	}
	return nil
}

func (s *spaces) create(ctx context.Context, name string) error {
	err := s.copier.patiently(ctx, func() error {
		_, err := s.copier.Instances.CreateNamespace(ctx, &gantryv1.CreateNamespaceRequest{Namespace: &gantryv1.Namespace{Name: name,
			Description: ours + s.copier.Source.Kind()}})
		return err
	})
	if err == nil {
		return nil
	}
	f := s.copier.Explain(err)
	switch f.Code {
	case fault.AlreadyExists:
		return nil
	case fault.Forbidden:
		return fault.New(fault.Forbidden, f.Reason, "the namespace %s is not there, and creating it is not allowed: %s", name, f.Message).
			Hinted("have somebody create it, or map it to another with --namespace")
	default:
		return f
	}
}
