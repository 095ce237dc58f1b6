package gantry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gantry-platform/gantry/sdk/internal/config"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// KindConfig is the kind of documents that hold configuration.
const KindConfig = "Config"

// maxReportError bounds the error in an applied report, in bytes.
const maxReportError = 1024

// documentKey names a document inside the client's namespace.
type documentKey struct{ kind, name string }

func (k documentKey) String() string { return k.kind + "/" + k.name }

func (k documentKey) ref(namespace string) *gantryv1.DocumentRef {
	return &gantryv1.DocumentRef{Namespace: namespace, Kind: k.kind, Name: k.name}
}

// Content is the version of a document that is in force for this client. It is immutable and shared.
type Content struct {
	Kind string
	Name string
	// Absent: nothing is released under the name. Then there is no version.
	Absent  bool
	Version int64
	// Format is yaml, json, toml, properties, xml or text.
	Format string
	// Data is the text, at most 1 MiB. Shared: do not change.
	Data []byte
	// Checksum is the SHA-256 of Data, in hexadecimal.
	Checksum string
	// Sensitive: do not log it.
	Sensitive bool
	// RolloutID is set when the version comes from a staged release.
	RolloutID string
	// SavedAt is when the local snapshot saw the content, for one that comes from there; otherwise zero.
	SavedAt time.Time

	// err is why the version cannot be used as it came.
	err error
}

// same reports whether two contents are the same version of the same text.
func (c *Content) same(other *Content) bool {
	return other != nil && c.Absent == other.Absent && c.Version == other.Version && c.Checksum == other.Checksum
}

// document is what the client knows of one document, for all that are interested in it.
type document struct {
	client *Client
	key    documentKey
	// ready is closed when there is a first content, or a refusal.
	ready chan struct{}

	// Client.mu guards the rest.
	isReady bool
	changed chan struct{}
	content *Content
	event   *gantryv1.DocumentEvent
	users   int
	// report is what was reported last, to be told again on a new session.
	report   *gantryv1.AppliedReport
	alone    bool
	err      error
	fallback *time.Timer
}

// document finds or makes the entry of a document, and counts one more user. The caller holds mu.
func (c *Client) document(key documentKey) (*document, error) {
	if c.closed {
		return nil, ErrClosed
	}
	if d := c.documents[key]; d != nil {
		d.users++
		return d, nil
	}
	if len(c.documents) >= maxDocuments {
		return nil, invalid("document", "close documents that are not in use", "%d documents are watched, the most there can be", maxDocuments)
	}
	d := &document{client: c, key: key, users: 1, ready: make(chan struct{}), changed: make(chan struct{})}
	c.documents[key] = d
	delete(c.outbox.unwatch, key)
	c.outbox.documents[key] = d
	c.signal()
	d.fallback = c.later(c.settings.snapshotWait, d.recall)
	return d, nil
}

// release counts one user less, and forgets a document that nobody uses.
func (d *document) release() {
	c := d.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.users--; d.users > 0 || c.closed {
		return
	}
	d.fallback.Stop()
	delete(c.documents, d.key)
	delete(c.outbox.documents, d.key)
	delete(c.outbox.applied, d.key)
	if c.link != nil {
		c.outbox.unwatch[d.key] = struct{}{}
	}
	c.signal()
}

// documentChanged takes an event of a session.
func (c *Client) documentChanged(l *link, event *gantryv1.DocumentEvent) {
	content := newContent(event)
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.documents[documentKey{content.Kind, content.Name}]
	if c.link != l || d == nil {
		return
	}
	d.err, d.alone = nil, false
	d.event = event
	c.saver.mark()
	if content.same(d.content) {
		// The server says it again, or confirms what the local snapshot had: nothing changes for those who use it.
		if d.content.SavedAt.IsZero() {
			return
		}
		confirmed := *d.content
		confirmed.SavedAt = time.Time{}
		content = &confirmed
	}
	d.publish(content)
}

// newContent reads what a server sent, and finds what makes it unusable.
func newContent(event *gantryv1.DocumentEvent) *Content {
	v := event.GetVersion()
	c := &Content{
		Kind: event.GetRef().GetKind(), Name: event.GetRef().GetName(), Absent: event.GetAbsent(), RolloutID: event.GetRolloutId(),
	}
	if c.Absent {
		return c
	}
	c.Version, c.Format, c.Data = v.GetVersion(), v.GetFormat(), v.GetContent()
	c.Checksum, c.Sensitive = v.GetChecksum(), v.GetSensitive()
	sum := sha256.Sum256(c.Data)
	switch {
	case v.GetWithheld():
		c.err = fmt.Errorf("the content is sensitive and withheld from this client; give its token the service role in the namespace")
	case len(c.Data) > config.MaxSize:
		c.err = fmt.Errorf("the content has %d bytes; at most %d are allowed", len(c.Data), config.MaxSize)
	case !strings.EqualFold(hex.EncodeToString(sum[:]), c.Checksum):
		c.err = fmt.Errorf("the content does not fit its checksum: it was damaged on the way")
	}
	return c
}

// publish puts a content in force. The caller holds mu.
func (d *document) publish(content *Content) {
	d.content = content
	d.settle()
	d.notify()
}

// settle says that there is an answer. The caller holds mu.
func (d *document) settle() {
	if !d.isReady {
		d.isReady = true
		close(d.ready)
	}
}

// notify wakes who waits for a change. The caller holds mu.
func (d *document) notify() {
	close(d.changed)
	d.changed = make(chan struct{})
}

// confirmed notes that the server accepted the watch. The caller holds mu.
func (d *document) confirmed() { d.err, d.alone = nil, false }

// refuse notes that the server does not give the document to this client. The caller holds mu.
func (d *document) refuse(err error) {
	if d.err == nil || d.err.Error() != err.Error() {
		d.client.logger.Error("the server refuses the document; asking again slowly", "document", d.key.String(), "reason", err)
	}
	d.err = err
	d.settle()
	d.notify()
}

// recall takes what the local snapshot knows when no server has answered. The caller holds mu.
func (d *document) recall() {
	event, saved := d.client.saver.document(d.key)
	if event == nil || d.content != nil || d.client.documents[d.key] != d {
		return
	}
	content := newContent(event)
	content.SavedAt = saved
	d.client.logger.Warn("no server has answered; using the local snapshot", "document", d.key.String(), "version", content.Version,
		"age", time.Since(saved).Round(time.Second))
	d.event = event
	d.publish(content)
}

// wait waits for a first content. It returns nil for both when the context ends first.
func (d *document) wait(ctx context.Context) (*Content, error) {
	select {
	case <-d.ready:
	case <-d.client.ctx.Done():
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, fmt.Errorf("gantry: nothing is known of %s yet: %w%s", d.key, ctx.Err(), d.client.reason())
	}
	d.client.mu.Lock()
	defer d.client.mu.Unlock()
	if d.content == nil {
		return nil, d.err
	}
	return d.content, nil
}

// next waits for a content other than the one given, and returns the newest.
func (d *document) next(ctx context.Context, last *Content) (*Content, error) {
	for {
		d.client.mu.Lock()
		content, changed, closed := d.content, d.changed, d.client.closed
		d.client.mu.Unlock()
		if closed {
			return nil, ErrClosed
		}
		if content != nil && content != last {
			return content, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// applied reports that a content is in force here, or why it is not. Of several users of a document, the last report counts.
func (d *document) applied(content *Content, problem error) {
	c := d.client
	c.mu.Lock()
	defer c.mu.Unlock()
	// Nothing was there and nothing is: there is nothing to tell.
	if c.closed || c.documents[d.key] != d || (content.Absent && problem == nil && d.report == nil) {
		return
	}
	report := &gantryv1.AppliedReport{
		Ref: d.key.ref(c.settings.namespace), Version: content.Version, Checksum: content.Checksum, AppliedAt: timestamppb.Now(),
	}
	if problem != nil {
		report.Error = problem.Error()
		if len(report.Error) > maxReportError {
			report.Error = report.Error[:maxReportError]
		}
		if !utf8.ValidString(report.Error) {
			report.Error = strings.ToValidUTF8(report.Error, "")
		}
	}
	d.report = report
	c.outbox.applied[d.key] = report
	c.signal()
}

// Document is a document as text. For a struct that follows it, see [Bind].
type Document struct {
	document *document
	ctx      context.Context
	cancel   context.CancelFunc
}

// Document follows a document of a kind, such as [KindConfig], until it is closed. It does not wait. A client follows at most 1,000 documents.
func (c *Client) Document(kind, name string) (*Document, error) {
	if err := validName("kind", kind); err != nil {
		return nil, err
	}
	if err := validName("name", name); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	d, err := c.document(documentKey{kind, name})
	if err != nil {
		return nil, err
	}
	doc := &Document{document: d}
	doc.ctx, doc.cancel = context.WithCancel(c.ctx)
	return doc, nil
}

// Get returns the content in force. The first time it waits for the server's answer, or, when none comes within the snapshot
// wait, for the local snapshot's. It fails with an [*Error] when the server refuses the document to this client, and with another error when the
// content cannot be used: withheld, too large, or damaged.
func (d *Document) Get(ctx context.Context) (*Content, error) {
	if d.ctx.Err() != nil {
		return nil, ErrClosed
	}
	content, err := d.document.wait(ctx)
	if err != nil {
		return nil, err
	}
	if content.err != nil {
		return nil, fmt.Errorf("gantry: %s version %d: %w", d.document.key, content.Version, content.err)
	}
	return content, nil
}

// Watch calls a function with the content in force and then with each change, one after another; of several changes during a
// call, only the last follows. What the function returns is reported to the server: nil says that the content is in force here now, an error
// that it is refused, and what was in force before stays so. Watch returns when its context ends, with its error, or with [ErrClosed].
func (d *Document) Watch(ctx context.Context, apply func(*Content) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.ctx, cancel)()
	var last *Content
	for {
		content, err := d.document.next(ctx, last)
		if d.ctx.Err() != nil {
			return ErrClosed
		}
		if err != nil {
			return err
		}
		// A snapshot's content that the server confirms is not a change.
		if last == nil || !content.same(last) {
			problem := content.err
			if problem == nil {
				problem = apply(content)
			}
			if problem != nil {
				d.document.client.logger.Error("a document's version is refused", "document", d.document.key.String(),
					"version", content.Version, "reason", problem)
			}
			d.document.applied(content, problem)
		}
		last = content
	}
}

// Close ends following the document, and Watch with it.
func (d *Document) Close() {
	if d.ctx.Err() == nil {
		d.cancel()
		d.document.release()
	}
}
