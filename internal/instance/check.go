package instance

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gantry-platform/gantry/internal/fault"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// CheckState is what one check of an instance found last.
type CheckState struct {
	ID     string
	Status gantryv1.CheckStatus
	Output string
	// At is when status or output changed; zero while there was no result.
	At time.Time
}

// outputInterval is how old the output of a check is at least before another one of the same status is written: outputs that
// hold a time or a count would otherwise be a write with each report.
const outputInterval = 5 * time.Minute

// CheckStates are what the instance's checks found, in the order of Checks. Do not change them.
func (i *Instance) CheckStates() []CheckState {
	if i.states == nil {
		return nil
	}
	return *i.states
}

// checkState is the state of the n-th check. Records of versions that kept none have the instance's health for it.
func (i *Instance) checkState(n int) CheckState {
	id := i.Checks[n].GetId()
	states := i.CheckStates()
	if n < len(states) && states[n].ID == id {
		return states[n]
	}
	for _, state := range states {
		if state.ID == id {
			return state
		}
	}
	state := CheckState{ID: id, Status: gantryv1.CheckStatus_CHECK_STATUS_PASSING, At: i.ChangedAt}
	if i.Health == gantryv1.Health_HEALTH_UNHEALTHY {
		state.Status, state.Output = gantryv1.CheckStatus_CHECK_STATUS_CRITICAL, i.HealthReason
	}
	return state
}

// check finds a check by its id; -1 when there is none.
func (i *Instance) check(id string) int {
	return slices.IndexFunc(i.Checks, func(c *gantryv1.Check) bool { return c.GetId() == id })
}

// carryChecks gives the checks of a new content their states: what they were in the record before, nil for none, else how they begin.
func (i *Instance) carryChecks(before *Instance) {
	i.states = nil
	if len(i.Checks) == 0 {
		if before != nil && len(before.Checks) > 0 {
			i.Health, i.HealthReason = gantryv1.Health_HEALTH_HEALTHY, ""
		}
		return
	}
	states := make([]CheckState, len(i.Checks))
	for n, check := range i.Checks {
		states[n] = CheckState{ID: check.GetId(), Status: check.GetInitial()}
		if check.GetInitial() == gantryv1.CheckStatus_CHECK_STATUS_UNSPECIFIED {
			states[n].Status = gantryv1.CheckStatus_CHECK_STATUS_CRITICAL
		} else if probe, ok := check.Probe.(*gantryv1.Check_Ttl); ok && probe.Ttl.GetTtl().AsDuration() == 0 {
			continue // whoever registers it says what it is
		}
		if before == nil {
			continue
		}
		if at := before.check(check.GetId()); at >= 0 {
			states[n] = before.checkState(at)
		}
	}
	i.judgeChecks(states)
}

// judgeChecks sets the states and the health that follows from them: unhealthy as soon as one check is critical.
func (i *Instance) judgeChecks(states []CheckState) {
	i.states = &states
	i.Health, i.HealthReason = gantryv1.Health_HEALTH_HEALTHY, ""
	for _, state := range states {
		if state.Status != gantryv1.CheckStatus_CHECK_STATUS_CRITICAL {
			continue
		}
		i.Health, i.HealthReason = gantryv1.Health_HEALTH_UNHEALTHY, cmp.Or(state.Output, "check "+state.ID+" is critical")
		if state.At.IsZero() {
			i.HealthReason = unchecked
		}
		return
	}
}

// withCheck is a copy in which the n-th check found something else.
func (i *Instance) withCheck(n int, status gantryv1.CheckStatus, output string, now time.Time) *Instance {
	states := make([]CheckState, len(i.Checks))
	for m := range i.Checks {
		states[m] = i.checkState(m)
	}
	states[n].Status, states[n].Output, states[n].At = status, output, now
	return i.withState(func(c *Instance) {
		c.ChangedAt = now
		c.judgeChecks(states)
	})
}

func appendCheckStates(b []byte, states []CheckState) []byte {
	for _, state := range states {
		var stamp [32]byte
		at := appendStamp(stamp[:0], 4, state.At)
		size := sizeString(1, state.ID) + sizeString(3, state.Output) + len(at)
		if state.Status != 0 {
			size += protowire.SizeTag(2) + protowire.SizeVarint(uint64(state.Status))
		}
		b = protowire.AppendTag(b, fieldCheckStates, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(size))
		b = appendString(b, 1, state.ID)
		b = appendVarint(b, 2, uint64(state.Status))
		b = appendString(b, 3, state.Output)
		b = append(b, at...)
	}
	return b
}

func decodeCheckState(b []byte) (state CheckState, err error) {
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return state, errMalformed
		}
		b = b[n:]
		switch kind {
		case protowire.BytesType:
			var v []byte
			v, n = protowire.ConsumeBytes(b)
			switch field {
			case 1:
				state.ID = view(v)
			case 3:
				state.Output = view(v)
			case 4:
				if state.At, err = decodeStamp(v); err != nil {
					return state, err
				}
			}
		case protowire.VarintType:
			var v uint64
			v, n = protowire.ConsumeVarint(b)
			if field == 2 {
				state.Status = gantryv1.CheckStatus(int32(v))
			}
		default:
			n = protowire.ConsumeFieldValue(field, kind, b)
		}
		if n < 0 {
			return state, errMalformed
		}
		b = b[n:]
	}
	return state, nil
}

// CheckReport is what an instance found of itself.
type CheckReport struct {
	Service Service
	// ID is the instance's, Check the check's.
	ID, Check string
	// Status is PASSING, WARNING or CRITICAL.
	Status gantryv1.CheckStatus
	// Output is cut to [MaxOutputBytes].
	Output string
}

func errUnknownCheck(id, check string) *fault.Error {
	return fault.New(fault.NotFound, "check.unknown", "instance %s has no check %s", quoted(id), quoted(check)).
		At("check").Hinted("register it with the instance")
}

// ReportCheck takes what an instance found of itself, for a check that waits for reports. Only another status, or now and then another output, is
// written; what says the same again keeps the check from falling silent and costs no more than a beat.
//
// Errors: Invalid; NotFound "instance.unknown" and "check.unknown"; Precondition "check.is_probed" for a check that the server makes; Unavailable.
func (r *Registry) ReportCheck(ctx context.Context, report CheckReport) error {
	report.Service = report.Service.Normal()
	switch report.Status {
	case gantryv1.CheckStatus_CHECK_STATUS_PASSING, gantryv1.CheckStatus_CHECK_STATUS_WARNING, gantryv1.CheckStatus_CHECK_STATUS_CRITICAL:
	default:
		return invalid("status", "there is no status %d of a check", report.Status).Hinted("use PASSING, WARNING or CRITICAL")
	}
	report.Output = cutOutput(report.Output)
	roster := r.table.find(report.Service)
	if roster == nil {
		return errUnknownInstance(report.Service, report.ID)
	}
	done, owner, err := r.refresh(roster, report)
	known := r.committed(report.Service, report.ID)
	switch {
	case err != nil || done:
		return err
	case owner != "":
		unheard, err := r.forwards.send(ctx, owner, ServiceBeats{Service: report.Service, IDs: []string{report.ID + checkBeat + report.Check}})
		switch {
		case err != nil && r.stale.Load() && ctx.Err() == nil:
			return nil // who can let it expire gives grace when the quorum is back
		case err != nil || len(unheard) == 0:
			return err
		}
		known = nil // the check is critical there, and this node may not have seen that yet
	}
	_, err = r.rewriteFrom(ctx, report.Service, report.ID, known, func(i *Instance) (*Instance, error) { return r.reported(i, report) })
	return err
}

// checkBeat stands between the ids of an instance and of its check in a beat for that check. No id holds it.
const checkBeat = "\x00"

// refresh takes a report that says nothing new: done when it was for this node, or the owner that must hear of it. Neither when
// something is to be written.
func (r *Registry) refresh(roster *roster, report CheckReport) (done bool, owner string, err error) {
	roster.mu.RLock()
	i, pending := roster.current(report.ID), roster.pending[report.ID] != nil
	if i == nil {
		roster.mu.RUnlock()
		return false, "", errUnknownInstance(roster.service, report.ID)
	}
	changed, err := r.reported(i, report)
	if err != nil || changed != i {
		roster.mu.RUnlock()
		if err == nil && pending {
			done = r.reportPending(roster, report)
		}
		return done, "", err
	}
	defer roster.mu.RUnlock()
	if pending {
		return true, "", nil
	}
	if i.life.owned {
		r.metrics.beats.Inc()
		i.life.hear(report.Check, r.now())
		return true, "", nil
	}
	if owner = r.ownership.members().ownerOf(roster, i); owner == r.self {
		return true, "", nil // it is about to be taken over, with its full ttl
	}
	return false, owner, nil
}

// reported is the instance after a report: itself when nothing is to be written.
func (r *Registry) reported(i *Instance, report CheckReport) (*Instance, error) {
	n := i.check(report.Check)
	if n < 0 {
		return nil, errUnknownCheck(i.ID, report.Check)
	}
	if _, ok := i.Checks[n].Probe.(*gantryv1.Check_Ttl); !ok {
		return nil, fault.New(fault.Precondition, "check.is_probed", "check %s is made by the server", quoted(report.Check)).At("check").
			Hinted("register it with a ttl to report it yourself")
	}
	state, now := i.checkState(n), r.clock.Now().UTC()
	if state.Status == report.Status && !state.At.IsZero() && (state.Output == report.Output || now.Sub(state.At) < outputInterval) {
		return i, nil
	}
	return i.withCheck(n, report.Status, report.Output, now), nil
}

// reportPending changes a provisional instance; false when it is not provisional any more.
func (r *Registry) reportPending(roster *roster, report CheckReport) bool {
	roster = r.lock(roster.service)
	defer r.notifier.flush()
	defer r.unlock(roster)
	p := roster.pending[report.ID]
	if p == nil {
		return false
	}
	changed, err := r.reported(p.instance, report)
	if err != nil || changed == p.instance {
		return true
	}
	// Another entry, so that the one on its way into the state does not pass for this.
	roster.pending[report.ID] = &pendingInstance{instance: changed, session: p.session, base: p.base}
	roster.changed(0, strings.Clone(report.ID))
	r.notifier.add(roster)
	r.journal.add(r.clock.Now(), roster.service, p.instance, changed, 0)
	r.provisionals.kick()
	return true
}

// cutOutput bounds an output and makes it valid text.
func cutOutput(output string) string {
	if len(output) > MaxOutputBytes {
		cut := MaxOutputBytes
		for cut > 0 && !utf8.RuneStart(output[cut]) {
			cut--
		}
		output = output[:cut]
	}
	return strings.ToValidUTF8(output, "�")
}

// hear notes a report of a check that this node waits for; false when there is no such check, or it is critical: then a report must change
// it to be good for anything. The caller holds the roster's lock, for reading at least.
func (l *life) hear(check string, now int64) bool {
	for _, p := range l.running() {
		if p.check.GetId() == check && !p.critical {
			p.heard.Store(now)
			return true
		}
	}
	return false
}

// silenceOf is how long nothing was heard of a check, in ticks.
func (r *Registry) silenceOf(p *probe) int64 {
	return r.now() - max(p.heard.Load(), p.since.Load(), r.grace.Load())
}

// followCheck brings a check's timer up to date with its state. The caller holds the roster's lock.
func (r *Registry) followCheck(p *probe, state CheckState, fresh bool) {
	critical := state.Status == gantryv1.CheckStatus_CHECK_STATUS_CRITICAL
	if fresh || critical != p.critical || !critical && !state.At.Equal(p.at) {
		p.since.Store(r.now())
	}
	p.critical, p.at = critical, state.At
	probe, ok := p.check.Probe.(*gantryv1.Check_Ttl)
	if !ok {
		return
	}
	patience := probe.Ttl.GetTtl().AsDuration()
	if critical {
		patience = p.check.GetDeregisterAfter().AsDuration()
	}
	p.patience.Store(ticks(patience))
	if patience == 0 {
		r.wheel.cancel(&p.timer)
		return
	}
	r.wheel.schedule(&p.timer, r.now()+ticks(patience)-r.silenceOf(p))
}

// expire does what is to be done about a check that has been silent for its ttl, or critical for too long.
func (r *Registry) expire(p *probe) {
	roster := p.life.roster
	roster.mu.Lock()
	i := roster.find(p.life.id)
	if p.stopped || i == nil || i.life != p.life {
		roster.mu.Unlock()
		return
	}
	if left := p.patience.Load() - r.silenceOf(p); left > 0 {
		r.wheel.schedule(&p.timer, r.now()+left)
		roster.mu.Unlock()
		return
	}
	critical, check, n := p.critical, p.check, i.check(p.check.GetId())
	if n < 0 {
		roster.mu.Unlock()
		return
	}
	state := i.checkState(n)
	r.wheel.schedule(&p.timer, r.now()+ticks(settleRetry)) // unless the state answers with a change
	roster.mu.Unlock()
	if critical {
		r.removeCritical(roster, i, check)
		return
	}
	r.writeCheck(roster, i, check.GetId(), &state, gantryv1.CheckStatus_CHECK_STATUS_CRITICAL,
		fmt.Sprintf("TTL expired: no report for %v", check.GetTtl().GetTtl().AsDuration()))
}
