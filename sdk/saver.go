package gantry

import (
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gantry-platform/gantry/sdk/internal/snapshot"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

const (
	// saveInterval is the least time between two writes of the local snapshot: changes in between share one.
	saveInterval = time.Second
	// refreshInterval is the most: what does not change must not grow old in the file while a session confirms it.
	refreshInterval = time.Hour
	// keepFor is how long the local snapshot keeps what the service no longer asks for: a job that runs once a month still finds it.
	keepFor = 32 * 24 * time.Hour
	// The kinds of entries in the local snapshot.
	entryService  = 1
	entryDocument = 2
)

// saver keeps the local snapshot. It is never nil; without a file, it does nothing.
type saver struct {
	client *Client
	logger *slog.Logger
	file   *snapshot.File
	dirty  chan struct{}
	// mu guards what was loaded. It is taken with Client.mu held, never the other way round.
	mu     sync.Mutex
	loaded map[string]snapshot.Entry
}

// openSaver loads the local snapshot and starts to keep it. Whatever goes wrong is logged: a service starts without it.
func openSaver(c *Client) *saver {
	s := &saver{client: c, logger: c.logger, dirty: make(chan struct{}, 1), loaded: map[string]snapshot.Entry{}}
	if c.settings.folder == "" {
		return s
	}
	secret := c.settings.snapshotKey
	if len(secret) == 0 {
		if token, err := c.settings.currentToken(); err == nil && len(token) >= snapshot.MinSecret {
			secret = []byte(token)
		}
	}
	identity := c.settings.identity
	scope := c.settings.namespace + "/" + identity.Group + "/" + identity.Service
	file, err := snapshot.Open(c.settings.folder, scope, secret)
	if err != nil {
		s.logger.Warn("no local snapshot is kept: without it the service cannot start while no server can be reached", "reason", err)
		return s
	}
	s.file = file
	entries, err := file.Load()
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		s.logger.Warn("the local snapshot is ignored", "file", file.Path(), "reason", err)
	default:
		s.load(entries)
	}
	c.running.Go(s.run)
	return s
}

// load takes the entries of a file. The newest of each name counts.
func (s *saver) load(entries []snapshot.Entry) {
	for _, entry := range entries {
		name, ok := entryName(entry)
		// A clock that was set back makes entries of the future: they are as old as can be.
		if age := time.Since(entry.Saved); !ok || age > keepFor {
			continue
		}
		s.loaded[name] = entry
	}
}

// entryName tells what an entry is about; false for one that cannot be read.
func entryName(entry snapshot.Entry) (string, bool) {
	switch entry.Kind {
	case entryService:
		event := &gantryv1.ServiceEvent{}
		if proto.Unmarshal(entry.Data, event) != nil || !event.GetFull() {
			return "", false
		}
		return "service " + keyOf(event.GetService()).String(), true
	case entryDocument:
		event := &gantryv1.DocumentEvent{}
		if proto.Unmarshal(entry.Data, event) != nil {
			return "", false
		}
		return "document " + documentKey{event.GetRef().GetKind(), event.GetRef().GetName()}.String(), true
	}
	return "", false
}

// service returns what the file knew of a service; nil for nothing.
func (s *saver) service(key serviceKey) (*gantryv1.ServiceEvent, time.Time) {
	event := &gantryv1.ServiceEvent{}
	saved, ok := s.find("service "+key.String(), event)
	if !ok {
		return nil, time.Time{}
	}
	return event, saved
}

// document returns what the file knew of a document; nil for nothing.
func (s *saver) document(key documentKey) (*gantryv1.DocumentEvent, time.Time) {
	event := &gantryv1.DocumentEvent{}
	saved, ok := s.find("document "+key.String(), event)
	if !ok {
		return nil, time.Time{}
	}
	return event, saved
}

func (s *saver) find(name string, into proto.Message) (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	entry, ok := s.loaded[name]
	return entry.Saved, ok && proto.Unmarshal(entry.Data, into) == nil
}

// mark says that there is something new to save.
func (s *saver) mark() {
	select {
	case s.dirty <- struct{}{}:
	default:
	}
}

// run saves until the client is closed, and a last time then.
func (s *saver) run() {
	refresh := time.NewTicker(refreshInterval)
	defer refresh.Stop()
	pause := time.NewTimer(saveInterval)
	defer pause.Stop()
	for {
		select {
		case <-s.dirty:
			s.save()
		case <-refresh.C:
			if s.client.Connection().Open {
				s.save()
			}
		case <-s.client.ctx.Done():
			select {
			case <-s.dirty:
				s.save()
			default:
			}
			return
		}
		pause.Reset(saveInterval)
		select {
		case <-pause.C:
		case <-s.client.ctx.Done():
		}
	}
}

func (s *saver) save() {
	omitted, err := s.file.Save(s.entries())
	if err != nil {
		s.logger.Warn("the local snapshot cannot be written", "file", s.file.Path(), "reason", err)
		return
	}
	if omitted > 0 {
		s.logger.Warn("the local snapshot is full", "file", s.file.Path(), "left_out", omitted, "bytes", snapshot.MaxSize)
	}
}

// entries is what to save: documents first, then services, then what was loaded and has not been asked for since.
func (s *saver) entries() []snapshot.Entry {
	current := map[string]snapshot.Entry{}
	now := time.Now()
	for _, item := range s.known(now) {
		data, err := proto.Marshal(item.event)
		if err != nil {
			// A string that is not UTF-8 cannot have come from the server.
			continue
		}
		entry := snapshot.Entry{Kind: item.kind, Saved: item.saved, Data: data}
		if name, ok := entryName(entry); ok {
			current[name] = entry
		}
	}
	s.mu.Lock()
	for name, entry := range s.loaded {
		if _, ok := current[name]; !ok && now.Sub(entry.Saved) <= keepFor {
			current[name] = entry
		}
	}
	s.mu.Unlock()
	names := make([]string, 0, len(current))
	for name := range current {
		names = append(names, name)
	}
	// Newest first, so that what does not fit is the oldest; documents before services of the same age.
	slices.SortFunc(names, func(a, b string) int {
		if order := current[b].Saved.Compare(current[a].Saved); order != 0 {
			return order
		}
		return strings.Compare(a, b)
	})
	entries := make([]snapshot.Entry, len(names))
	for i, name := range names {
		entries[i] = current[name]
	}
	return entries
}

// item is something that the client knows.
type item struct {
	kind  byte
	saved time.Time
	event proto.Message
}

// known collects what the client knows from a server.
func (s *saver) known(now time.Time) []item {
	c := s.client
	c.mu.Lock()
	defer c.mu.Unlock()
	var items []item
	for _, d := range c.documents {
		if d.content != nil && d.content.SavedAt.IsZero() && d.content.err == nil {
			items = append(items, item{entryDocument, now, d.event})
		}
	}
	for _, v := range c.services {
		if view := v.view.Load(); view.Known && view.SavedAt.IsZero() {
			items = append(items, item{entryService, now, v.message()})
		}
	}
	return items
}
