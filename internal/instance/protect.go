package instance

import (
	"strings"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// losses are the instances of a service that fell silent lately. The package comment has the rule.
type losses struct {
	at map[string]int64 // tick of the loss by id
	// The last count, which is good for a tick: during a great loss everybody is judged at once. total is the whole that it counted in, with
	// those that are gone: removals of the same tick must not make the whole smaller and leave the losses.
	counted     int64
	lost, total int
}

// countsAsLoss reports whether an instance's silence is a loss: it was meant to be there.
func countsAsLoss(i *Instance) bool {
	status := i.EffectiveStatus()
	return !i.Persistent && (status == gantryv1.Status_STATUS_UP || status == gantryv1.Status_STATUS_STARTING)
}

// noteLoss learns from the mirror who was lost and who is back, on whichever node that was found.
func (r *Registry) noteLoss(roster *roster, before, i *Instance) {
	if i.Health != gantryv1.Health_HEALTH_UNHEALTHY || i.Persistent {
		if roster.losses != nil {
			delete(roster.losses.at, i.ID)
		}
		return
	}
	if countsAsLoss(i) && (before == nil || before.Health != gantryv1.Health_HEALTH_UNHEALTHY) {
		roster.note(i, r.now())
	}
}

// note counts an instance as lost.
func (r *roster) note(i *Instance, now int64) {
	if r.losses == nil {
		r.losses = &losses{at: make(map[string]int64), counted: -1}
	}
	if _, known := r.losses.at[i.ID]; !known {
		r.losses.at[strings.Clone(i.ID)] = now
		r.losses.lost++
		if len(r.losses.at) > 2*len(r.committed)+256 { // on nodes that judge nobody here, nothing else forgets
			r.recount(now, 2*ticks(i.TTL))
		}
	}
}

// lose counts an instance as lost and reports whether that is more than the service may lose.
func (r *roster) lose(i *Instance, now int64) bool {
	r.note(i, now)
	l := r.losses
	if l.counted != now {
		r.recount(now, 2*ticks(i.TTL))
	}
	threshold := r.threshold()
	return threshold > 0 && l.total >= protectMinimum && float64(l.lost) > threshold*float64(l.total)
}

// recount forgets losses older than the window, unless they are kept as protected.
func (r *roster) recount(now, window int64) {
	l := r.losses
	l.counted, l.lost, l.total = now, 0, r.ephemeral
	for id, at := range l.at {
		i := r.find(id)
		switch {
		case i != nil && i.Protected:
			l.lost++
		case now-at > window && i == nil:
			delete(l.at, id)
		case now-at > window:
		case i == nil:
			l.lost++
			l.total++
		default:
			l.lost++
		}
	}
}

// mostlyHealthy reports whether no more of the service than its threshold is unhealthy, or protection is off.
func (r *roster) mostlyHealthy() bool {
	if r.threshold() == 0 {
		return true
	}
	unhealthy := 0
	for _, i := range r.committed {
		if !i.Persistent && i.Health == gantryv1.Health_HEALTH_UNHEALTHY {
			unhealthy++
		}
	}
	return float64(unhealthy) <= r.threshold()*float64(r.ephemeral)
}

func (r *roster) threshold() float64 {
	if r.settings != nil && r.settings.ProtectThreshold != nil {
		return *r.settings.ProtectThreshold
	}
	return ProtectThreshold
}
