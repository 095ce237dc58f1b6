package migrate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
)

// modelRegistry is a registry in memory. It is like Nacos, where address and port are the instance and a provider takes a copy's place, or like
// the others, where copies have ids of their own.
type modelRegistry struct {
	kind    string
	inPlace bool
	ttl     time.Duration

	mu    sync.Mutex
	slots map[modelKey]*modelEntry
	away  bool
	// refuses makes it refuse copies of a service.
	refuses string
	// wrong are violations of what a mirror may do.
	wrong []string
	beats int
}

type modelKey struct {
	service Service
	place   place
	copy    bool
}

type modelEntry struct {
	instance Instance
	heard    time.Time
}

func newModel(kind string, inPlace bool) *modelRegistry {
	return &modelRegistry{kind: kind, inPlace: inPlace, ttl: 30 * time.Second, slots: map[modelKey]*modelEntry{}}
}

var errAway = fault.New(fault.Unavailable, "model.away", "it is away")

func (m *modelRegistry) key(service Service, at place, isCopy bool) modelKey {
	return modelKey{service, at, isCopy && !m.inPlace}
}

// provide registers a genuine instance.
func (m *modelRegistry) provide(service Service, at place, available bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.slots[m.key(service, at, false)] = &modelEntry{instance: Instance{ID: fmt.Sprint(at), Address: at.address, Port: at.port, Weight: 1, Available: available,
		Metadata: map[string]string{"origin": m.kind}}}
}

// withdraw deregisters one.
func (m *modelRegistry) withdraw(service Service, at place) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := m.key(service, at, false)
	if e := m.slots[key]; e != nil && !e.instance.marked() {
		delete(m.slots, key)
	}
}

func (m *modelRegistry) setAway(away bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.away = away
}

// expire removes copies that nobody beats for. The caller holds mu.
func (m *modelRegistry) expire() {
	maps.DeleteFunc(m.slots, func(_ modelKey, e *modelEntry) bool { return e.instance.marked() && time.Since(e.heard) > m.ttl })
}

// shown is what a reader sees.
func (m *modelRegistry) shown() View {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire()
	view := View{}
	for key, e := range m.slots {
		view[key.service] = append(view[key.service], e.instance)
	}
	return view
}

func (m *modelRegistry) Kind() string             { return m.kind }
func (m *modelRegistry) Close()                   {}
func (m *modelRegistry) BeatEvery() time.Duration { return m.ttl / 3 }

func (m *modelRegistry) gone() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away {
		return errAway
	}
	return nil
}

func (m *modelRegistry) Follow(ctx context.Context, show func(View)) error {
	for {
		if err := m.gone(); err != nil {
			return err
		}
		show(m.shown())
		if err := pause(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
}

func (m *modelRegistry) each(ctx context.Context, copies []Copy, do func(Copy) error) []error {
	errs := make([]error, len(copies))
	for i, c := range copies {
		if errs[i] = ctx.Err(); errs[i] != nil {
			continue
		}
		m.mu.Lock()
		m.expire()
		if errs[i] = errAway; !m.away {
			errs[i] = do(c)
		}
		m.mu.Unlock()
	}
	return errs
}

func (m *modelRegistry) Register(ctx context.Context, copies []Copy) []error {
	return m.each(ctx, copies, func(c Copy) error {
		if c.Service.Name == m.refuses {
			return fault.New(fault.Invalid, "model.refused", "no")
		}
		if origin := c.Instance.Metadata["origin"]; origin == m.kind || origin == "" {
			m.wrong = append(m.wrong, fmt.Sprintf("%s gets a copy of its own %v", m.kind, c))
		}
		if from := c.Instance.Metadata[MarkFrom]; from == "" || from == m.kind {
			m.wrong = append(m.wrong, fmt.Sprintf("a copy in %s is marked %q", m.kind, from))
		}
		key := m.key(c.Service, c.Instance.place(), true)
		if e := m.slots[key]; e != nil && !e.instance.marked() {
			return nil // a provider was faster
		}
		m.slots[key] = &modelEntry{instance: c.Instance, heard: time.Now()}
		return nil
	})
}

func (m *modelRegistry) Beat(ctx context.Context, copies []Copy) (unknown []int, err error) {
	at := map[spot]int{}
	for i, c := range copies {
		at[spot{c.Service, c.Instance.place()}] = i
	}
	err = errors.Join(m.each(ctx, copies, func(c Copy) error {
		m.beats++
		e := m.slots[m.key(c.Service, c.Instance.place(), true)]
		if e == nil {
			unknown = append(unknown, at[spot{c.Service, c.Instance.place()}])
			return nil
		}
		e.heard = time.Now()
		return nil
	})...)
	return unknown, err
}

func (m *modelRegistry) Remove(ctx context.Context, copies []Copy) []error {
	return m.each(ctx, copies, func(c Copy) error {
		key := m.key(c.Service, c.Instance.place(), true)
		if e := m.slots[key]; e != nil && e.instance.marked() {
			delete(m.slots, key)
		}
		return nil
	})
}
