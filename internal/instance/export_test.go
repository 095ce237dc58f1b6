package instance

import (
	"errors"
	"time"

	dto "github.com/prometheus/client_model/go"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// Tick is the grain of the registry's time.
const Tick = tick

// SessionSettle is how long a lost session's instance stays after it was marked.
const SessionSettle = sessionSettle

// Idle waits until every silent instance was judged and written.
func (r *Registry) Idle() {
	r.due.mu.Lock()
	defer r.due.mu.Unlock()
	for len(r.due.lives)+r.due.working > 0 && !r.due.closed {
		r.due.idle.Wait()
	}
}

// Encode brings what a registrant says into the stored form.
func Encode(m *gantryv1.Instance) (*Instance, error) {
	i := new(Instance)
	if err := i.build(m); err != nil {
		return nil, err
	}
	i.encode()
	return i, nil
}

// Stored is the stored form.
func (i *Instance) Stored() []byte { return i.record() }

// Content is the part of the stored form that the registrant said.
func (i *Instance) Content() []byte { return i.said() }

// Decode reads a stored record.
func Decode(value []byte) (*Instance, error) { return decodeInstance(value, 1) }

// WithState is a copy with another health.
func (i *Instance) WithState(health gantryv1.Health, reason string) *Instance {
	return i.withState(func(c *Instance) { c.Health, c.HealthReason = health, reason })
}

// Transitions counts what this node wrote of silent instances.
func (r *Registry) Transitions() (count float64) {
	for _, to := range []verdict{recovered, mark, protect, remove} {
		var metric dto.Metric
		if err := r.metrics.transitions.WithLabelValues(to.String()).Write(&metric); err == nil {
			count += metric.GetCounter().GetValue()
		}
	}
	return count
}

// TakeProvisionally takes a registration as if nothing could be written now.
func (r *Registry) TakeProvisionally(registration Registration, session *Session) error {
	p, err := r.prepare(&registration, session, new(Instance))
	if err != nil {
		return err
	}
	r.complete(&p)
	results := make([]Result, 1)
	if err := r.writeLater([]prepared{p}, results); err != nil {
		return err
	}
	if !results[0].Provisional {
		return errors.New("not provisional")
	}
	return nil
}

// WithCheck is a copy in which a check found something.
func (i *Instance) WithCheck(n int, status gantryv1.CheckStatus, output string, now time.Time) *Instance {
	return i.withCheck(n, status, output, now)
}
