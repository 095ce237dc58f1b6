package server

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/signal/event"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// settingsChange is a change of a service's settings, and when this node saw it.
type settingsChange struct {
	instance.SettingsChange
	at time.Time
}

// observeSettings notes a change of a service's settings; it never waits.
func (f *changeFeed) observeSettings(change instance.SettingsChange) {
	f.keep(settingsChange{change, time.Now()})
}

// keep notes a change of settings that is to be written.
func (f *changeFeed) keep(change settingsChange) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.settings) >= maxPending {
		f.lost++
		return
	}
	f.settings = append(f.settings, change)
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// takeSettings are the changes of settings that wait.
func (f *changeFeed) takeSettings() []settingsChange {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.settings
	f.settings = nil
	return all
}

// event is the change as it stands in the feed. Who made it is in the audit; the state does not tell.
func (c *settingsChange) event() event.Event {
	words := []string{event.TargetField, c.Service.Group + "/" + c.Service.Name}
	if before, after := threshold(c.Before), threshold(c.After); before != after {
		words = append(words, "protect_threshold_before", before, "protect_threshold", after)
	}
	words = append(words, "metadata", strings.Join(differing(c.Before.GetMetadata(), c.After.GetMetadata()), ", "))
	return event.Event{ID: changeID("service.settings", c.Service.String(), fmt.Sprint(c.Revision)), Topic: "service.settings", Time: c.at, Service: cut(c.Service.Name),
		Fields: details(words...)}
}

// threshold is the share in words; none is set where the default holds.
func threshold(s *gantryv1.ServiceSettings) string {
	if s == nil || s.ProtectThreshold == nil {
		return "default"
	}
	return strconv.FormatFloat(s.GetProtectThreshold(), 'g', -1, 64)
}

// differing are the names of the values that are not the same.
func differing(before, after map[string]string) []string {
	names := map[string]bool{}
	for _, pair := range [][2]map[string]string{{before, after}, {after, before}} {
		for name, value := range pair[0] {
			if other, there := pair[1][name]; !there || other != value {
				names[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}
