package server

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/storage"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/release"
	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/event"
	"github.com/gantry-platform/gantry/internal/signal/event/kafka"
	"github.com/gantry-platform/gantry/internal/signal/fanout"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// events is the room of business events and changes with what feeds and empties it.
type events struct {
	room      *event.Room
	feed      *changeFeed
	catchUp   *catchUp
	client    *kgo.Client      // nil without Kafka
	forwarder *kafka.Forwarder // nil without Kafka
}

// openEvents makes the room and begins to forward. Series takes the counters of events.
func (s *Server) openEvents(series storage.Appendable) error {
	log := s.log.With("part", "events")
	folder := filepath.Join(s.dataDir, "events")
	room, err := event.Open(event.Options{Folder: folder, MaxAge: s.settings.EventsMaxAge, MaxBytes: int64(s.settings.EventsMaxSize),
		Rate: float64(s.settings.EventsRate), MinimumFree: uint64(s.settings.MinimumFree), Node: s.store.Self().Name, Series: series, Logger: log, Registerer: s.metrics, Observe: s.live.Changed})
	if err != nil {
		return err
	}
	s.events = &events{room: room, feed: newChangeFeed()}
	if len(s.settings.EventsKafkaBrokers) == 0 {
		return nil
	}
	connection, err := s.kafkaConnection()
	if err != nil {
		return err
	}
	if s.events.client, err = kafka.Connect(connection); err != nil {
		return err
	}
	s.events.forwarder, err = kafka.New(kafka.Options{Source: room, Producer: s.events.client, Folder: folder, Prefix: s.settings.EventsKafkaPrefix, Logger: log, Registerer: s.metrics})
	if err == nil {
		room.Need(s.events.forwarder.Needed)
	}
	return err
}

func (s *Server) kafkaConnection() (kafka.Connection, error) {
	o := s.settings
	c := kafka.Connection{Brokers: o.EventsKafkaBrokers, User: o.EventsKafkaUser}
	if c.User != "" {
		c.Mechanism = o.EventsKafkaMechanism
	}
	var err error
	if c.Password, err = secretOf("events-kafka-password-file", o.EventsKafkaPassword, o.EventsKafkaPasswordFile); err != nil {
		return c, err
	}
	if o.EventsKafkaTLS {
		c.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		if o.EventsKafkaCA != "" {
			if c.TLS.RootCAs, err = readPool("events-kafka-ca", o.EventsKafkaCA); err != nil {
				return c, err
			}
		}
	}
	return c, nil
}

// allEvents answers about the events of all nodes.
func (s *Server) allEvents() *fanout.Events {
	self := s.store.Self()
	all := &fanout.Events{Local: fanout.EventNode{ID: self.ID, Name: self.Name, Events: s.events.room}}
	if s.peers != nil {
		all.Others = s.peers.EventNodes
	}
	return all
}

// close ends it. The room is closed after those who write into it.
func (e *events) close() error {
	if e.forwarder != nil {
		e.forwarder.Close()
	}
	if e.client != nil {
		e.client.Close()
	}
	return e.room.Close()
}

const (
	// maxPending bounds the documents whose changes wait to be written into the feed.
	maxPending = 10_000
	// historyLook is how many entries of a document's history are read after a change of it.
	historyLook = 50
	// lookBack is how far before the start of the feed an entry may lie that still counts: what happened while a node started is not lost, and what happened
	// long ago does not come again.
	lookBack  = 10 * time.Minute
	feedPause = time.Second
)

// changeFeed gathers what has changed until it is written: documents, whose history is read then, and settings of services.
type changeFeed struct {
	mu       sync.Mutex
	pending  map[release.Ref]struct{}
	settings []settingsChange
	lost     int
	wake     chan struct{}
}

func newChangeFeed() *changeFeed {
	return &changeFeed{pending: map[release.Ref]struct{}{}, wake: make(chan struct{}, 1)}
}

// observe notes a document; it never waits.
func (f *changeFeed) observe(ref release.Ref) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.pending) >= maxPending {
		f.lost++
		return
	}
	f.pending[ref] = struct{}{}
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *changeFeed) take() (all []release.Ref, lost int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for ref := range f.pending {
		all = append(all, ref)
	}
	clear(f.pending)
	lost, f.lost = f.lost, 0
	return all, lost
}

// feedChanges writes what changes into the feed until the server stops.
func (s *Server) feedChanges(ctx context.Context) {
	sequence := s.instances.ChangesFromNow()
	s.events.catchUp = s.newCatchUp(ctx)
	s.workers.Go(func() { s.events.catchUp.run(s.running) })
	s.workers.Go(func() { s.feedInstances(sequence) })
	began := time.Now().Add(-lookBack)
	s.workers.Go(func() { s.feedReleases(began) })
}

func (s *Server) feedReleases(began time.Time) {
	ctx := access.NewContext(s.running, access.System("feed of changes"))
	behind := feedBehind{log: s.log, what: "documents", count: &s.events.catchUp.behind}
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.events.feed.wake:
		}
		refs, lost := s.events.feed.take()
		if lost > 0 {
			s.log.Warn("changes of documents or settings are missing in the feed: too many at once; the other nodes, if there are any, are asked", "changes", lost)
			s.events.catchUp.lacks()
		}
		for _, ref := range refs {
			if !written(ctx, &behind, s.feedRelease(ctx, ref, began), func() { s.events.feed.observe(ref) }) {
				return
			}
		}
		for _, change := range s.events.feed.takeSettings() {
			err := s.events.room.Record(ctx, change.Service.Namespace, []event.Event{change.event()})
			if !written(ctx, &behind, err, func() { s.events.feed.keep(change) }) {
				return
			}
		}
	}
}

// written says how writing into the feed went; what could not be written waits for a moment and is noted again. It answers false at the end.
func written(ctx context.Context, behind *feedBehind, err error, note func()) bool {
	if ctx.Err() != nil {
		return false
	}
	behind.say(err)
	if err != nil {
		note()
		select {
		case <-time.After(feedPause):
		case <-ctx.Done():
		}
	}
	return true
}

// feedRelease writes the newest entries of a document's history into the feed; those that are there already have the same ids.
func (s *Server) feedRelease(ctx context.Context, ref release.Ref, began time.Time) error {
	_, _, entries, err := s.releases.History(ctx, ref, historyLook)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var changes []event.Event
	for i := len(entries) - 1; i >= 0; i-- {
		if entry := entries[i]; entry.GetAt().AsTime().After(began) {
			changes = append(changes, releaseChange(ref, entry))
		}
	}
	return s.events.room.Record(ctx, ref.Namespace, changes)
}

func releaseChange(ref release.Ref, entry *gantryv1.HistoryEntry) event.Event {
	at := entry.GetAt().AsTime()
	action := strings.ToLower(strings.TrimPrefix(entry.GetAction().String(), "ACTION_"))
	e := event.Event{ID: changeID("release", ref.Namespace, ref.Kind, ref.Name, action, fmt.Sprint(entry.GetVersion()), at.Format(time.RFC3339Nano)),
		Topic: "release." + action, Time: at, Fields: details(event.TargetField, ref.Kind+"/"+ref.Name, event.ActorField, entry.GetAuthor(), event.MessageField, entry.GetMessage())}
	e.Fields = append(e.Fields, signal.Attribute{Key: "version", Value: event.Int(entry.GetVersion())})
	if previous := entry.GetPreviousVersion(); previous != 0 {
		e.Fields = append(e.Fields, signal.Attribute{Key: "previous_version", Value: event.Int(previous)})
	}
	if cohort := entry.GetCohort(); cohort != nil {
		e.Fields = append(e.Fields, details("cohort", cohort.String())...)
	}
	return e
}

// feedBehind says once that a feed cannot be written, such as while the disk is full, and once that it goes on: it is tried each second.
type feedBehind struct {
	log  *slog.Logger
	what string
	// count is how many feeds are behind.
	count *atomic.Int32
	now   bool
}

func (b *feedBehind) say(err error) {
	switch {
	case err != nil && !b.now:
		b.count.Add(1)
		b.log.Warn("changes are not in the feed yet; they follow when they can be written", "of", b.what, "reason", err)
	case err == nil && b.now:
		b.count.Add(-1)
		b.log.Info("the feed of changes goes on", "of", b.what)
	}
	b.now = err != nil
}

func (s *Server) feedInstances(sequence uint64) {
	behind := feedBehind{log: s.log, what: "instances", count: &s.events.catchUp.behind}
	for {
		moved := s.instances.Changed()
		changes, next, complete := s.instances.ChangesSince(sequence)
		if !complete {
			s.log.Warn("changes of instances are missing in the feed: the state was loaded anew, or there were too many at once; the other nodes, if there are any, are asked")
			s.events.catchUp.lacks()
		}
		byNamespace := map[string][]event.Event{}
		for i := range changes {
			if e, worth := instanceChange(&changes[i]); worth {
				namespace := changes[i].Service.Namespace
				byNamespace[namespace] = append(byNamespace[namespace], e)
			}
		}
		err := recordAll(s.running, s.events.room, byNamespace)
		if s.running.Err() == nil {
			behind.say(err)
		}
		if err != nil && s.running.Err() == nil {
			moved = nil
		} else {
			sequence = next
		}
		again := time.NewTimer(feedPause)
		if moved != nil {
			again.Stop()
		}
		select {
		case <-moved:
		case <-again.C:
		case <-s.running.Done():
			return
		}
	}
}

// recordAll writes changes of several namespaces.
func recordAll(ctx context.Context, room *event.Room, byNamespace map[string][]event.Event) error {
	for namespace, changes := range byNamespace {
		for batch := range slices.Chunk(changes, event.MaxBatch) {
			if err := room.Record(ctx, namespace, batch); err != nil {
				return err
			}
		}
	}
	return nil
}

// instanceChange is a change of an instance as it stands in the feed. What is not in the state yet, or changes nothing that anybody would look for in a graph, does
// not stand there.
func instanceChange(c *instance.Change) (event.Event, bool) {
	before, after := c.Before, c.After
	if before != nil && before.Modified == 0 {
		before = nil
	}
	if after != nil && after.Modified == 0 {
		return event.Event{}, false
	}
	e := event.Event{Time: c.At, Service: cut(c.Service.Name)}
	var words []string
	switch {
	case before == nil && after == nil:
		return e, false
	case before == nil:
		e.Topic, words = "instance.registered", append(words, "address", fmt.Sprintf("%s:%d", after.Address, after.Port), "status", statusWord(after), "version", label(after, "version"),
			"lane", label(after, "lane"), "protocol", after.Protocol)
		e.Time = after.ChangedAt
	case after == nil:
		e.Topic, words = "instance.removed", append(words, "status_before", statusWord(before), "version", label(before, "version"))
	default:
		e.Topic, words = difference(before, after)
		e.Time = after.ChangedAt
	}
	if e.Topic == "" {
		return e, false
	}
	if e.Time.IsZero() {
		e.Time = c.At
	}
	newest := after
	if newest == nil {
		newest = before
	}
	e.Instance = cut(newest.ID)
	e.Fields = details(append(words, event.TargetField, c.Service.Group+"/"+c.Service.Name+"/"+newest.ID)...)
	e.ID = changeID(append([]string{e.Topic, c.Service.String(), newest.ID, fmt.Sprint(newest.Modified)}, words...)...)
	return e, true
}

// difference says what changed, by the word that says most.
func difference(before, after *instance.Instance) (topic string, words []string) {
	add := func(name, from, to string) {
		if from != to {
			words = append(words, name+"_before", from, name, to)
		}
	}
	add("status", statusWord(before), statusWord(after))
	add("health", healthWord(before), healthWord(after))
	add("weight", fmt.Sprint(before.EffectiveWeight()), fmt.Sprint(after.EffectiveWeight()))
	add("version", label(before, "version"), label(after, "version"))
	add("lane", label(before, "lane"), label(after, "lane"))
	switch {
	case len(words) == 0:
		return "", nil
	case statusWord(before) != statusWord(after) && after.EffectiveStatus() == gantryv1.Status_STATUS_DRAINING:
		return "instance.draining", words
	case statusWord(before) != statusWord(after):
		return "instance.status", words
	case healthWord(before) != healthWord(after):
		return "instance.health", append(words, event.MessageField, after.HealthReason)
	default:
		return "instance.changed", words
	}
}

func statusWord(i *instance.Instance) string {
	return strings.ToLower(strings.TrimPrefix(i.EffectiveStatus().String(), "STATUS_"))
}

func healthWord(i *instance.Instance) string {
	return strings.ToLower(strings.TrimPrefix(i.Health.String(), "HEALTH_"))
}

func label(i *instance.Instance, name string) string { return i.Labels.Map()[name] }

// details are fields of texts, without those that are empty.
func details(pairs ...string) []signal.Attribute {
	var all []signal.Attribute
	for i := 0; i+1 < len(pairs); i += 2 {
		if text := pairs[i+1]; text != "" {
			if len(text) > event.MaxText {
				text = text[:event.MaxText]
			}
			all = append(all, signal.Attribute{Key: pairs[i], Value: event.Text(strings.ToValidUTF8(text, "?"))})
		}
	}
	return all
}

// changeID is the same on every node, and stands for what happened.
func changeID(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// cut keeps a name within the bound of an event's.
func cut(name string) string {
	const most = 128
	if len(name) > most {
		name = strings.ToValidUTF8(name[:most], "")
	}
	return name
}
