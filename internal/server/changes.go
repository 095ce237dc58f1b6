package server

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/gantry-platform/gantry/internal/policy"
	"github.com/gantry-platform/gantry/internal/signal/alert"
	"github.com/gantry-platform/gantry/internal/signal/event"
	"github.com/gantry-platform/gantry/internal/signal/wire"
)

// alertChanges tells alerts what was changed before them, from the feed of changes.
type alertChanges struct{ room *event.Room }

// Changes implements [alert.Changes]. A release belongs to no service in the feed: it is named for every one, since a document may be read by all.
func (c alertChanges) Changes(ctx context.Context, namespace string, services []string, since, until time.Time) ([]alert.Change, error) {
	found, err := c.room.Changes(ctx, event.Query{Namespace: namespace, Since: since, Until: until, Limit: event.MaxLimit})
	if err != nil {
		return nil, err
	}
	var out []alert.Change
	for _, e := range found.Events {
		if e.Service != "" && len(services) > 0 && !slices.Contains(services, e.Service) {
			continue
		}
		if !mayMatter(&e) {
			continue
		}
		change := alert.Change{At: e.Time, Service: e.Service, Kind: e.Topic}
		var words []string
		for _, f := range e.Fields {
			switch text := wire.Text(f.Value); f.Key {
			case event.ActorField:
				change.Actor = text
			case event.TargetField:
				change.Target = text
				words = append(words, text)
			case event.MessageField:
				words = append(words, text)
			default:
				words = append(words, f.Key+" "+text)
			}
		}
		change.Summary = strings.Join(words, ": ")
		out = append(out, change)
	}
	return out, nil
}

// mayMatter tells changes that can be a cause: a draft changes nothing that runs, and what is written about alerts changes nothing but alerts.
func mayMatter(e *event.Stored) bool {
	if e.Topic == "release.published" {
		return false
	}
	for _, f := range e.Fields {
		if f.Key != event.TargetField {
			continue
		}
		switch kind, _, _ := strings.Cut(wire.Text(f.Value), "/"); kind {
		case policy.KindAlert, policy.KindObjective, policy.KindNotificationRoute, policy.KindReceiver, policy.KindSilence, policy.KindInhibition:
			return false
		}
	}
	return true
}
