package alert

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy"
)

// Draft is an Alert or an Objective that may not be published yet.
type Draft struct {
	Namespace, Kind, Name, Format string
	Content                       []byte
	// Since and Until are the time to go through. A zero Until is now, a zero Since six hours before.
	Since, Until time.Time
}

// Episode is one time that an alert would have been about.
type Episode struct {
	Labels      map[string]string
	Annotations map[string]string
	// ActiveAt is when its condition began to hold; FiredAt is zero when it did not hold long enough; EndedAt is zero when it still does.
	ActiveAt, FiredAt, EndedAt time.Time
	// Peak is the value that is furthest from 0.
	Peak     float64
	Expected float64
}

// Preview is what a draft would have done.
type Preview struct {
	Since, Until time.Time
	// Step is the time between two evaluations: that of the draft, or longer when there would be too many.
	Step        time.Duration
	Evaluations int
	Episodes    []Episode
	// Failed counts evaluations that failed, and Error is the first.
	Failed int
	Error  string
	// Waiting says what had no verdict.
	Waiting string
	// Cut says that time was over before the end was reached; Until is then where it stopped.
	Cut bool
}

const defaultPreview = 6 * time.Hour

// Preview goes through a time and says when a draft would have fired. Holds begin anew at its beginning. It needs the right to view. Errors: those of the draft; Invalid "alert.bad_period";
// Exhausted "alert.busy".
func (e *Engine) Preview(ctx context.Context, d Draft) (Preview, error) {
	if err := access.Require(ctx, access.View, d.Namespace); err != nil {
		return Preview{}, err
	}
	rule, p, err := e.plan(d)
	if err != nil {
		return Preview{}, err
	}
	select {
	case e.previews <- struct{}{}:
		defer func() { <-e.previews }()
	default:
		return Preview{}, fault.New(fault.Exhausted, "alert.busy", "other previews are under way").Hinted("try again in a minute, or look at a shorter time")
	}
	ctx, cancel := context.WithTimeout(ctx, previewTimeout)
	defer cancel()
	ask, open := e.ask(d.Namespace), map[string]*Episode{}
	alerts := map[string]*Alert{}
	for at := p.Since; !at.After(p.Until); at = at.Add(p.Step) {
		queryCtx, done := context.WithTimeout(ctx, queryTimeout)
		found, err := rule.evaluate(queryCtx, ask, at)
		done()
		if ctx.Err() != nil {
			p.Until, p.Cut = at, true
			break
		}
		p.Evaluations++
		if err != nil {
			if p.Failed++; p.Error == "" {
				p.Error = failure(err)
			}
			continue
		}
		p.Waiting = or(found.waiting, p.Waiting)
		alerts, _ = step(alerts, found.alerts, timing{hold: rule.hold, keep: rule.keep}, at)
		if p.Episodes = append(p.Episodes, follow(open, alerts, at)...); len(p.Episodes) > maxPage {
			p.Until, p.Cut = at, true
			break
		}
	}
	for _, id := range slices.Sorted(maps.Keys(open)) {
		p.Episodes = append(p.Episodes, *open[id])
	}
	slices.SortStableFunc(p.Episodes, func(a, b Episode) int { return a.ActiveAt.Compare(b.ActiveAt) })
	if len(p.Episodes) > maxPage {
		p.Episodes = p.Episodes[:maxPage]
		p.Cut = true
	}
	return p, nil
}

// follow brings the open episodes up to date and answers those that ended.
func follow(open map[string]*Episode, alerts map[string]*Alert, at time.Time) (ended []Episode) {
	for id, a := range alerts {
		if a.State != Pending && a.State != Firing {
			continue
		}
		episode := open[id]
		if episode == nil {
			episode = &Episode{Labels: a.Labels, ActiveAt: a.ActiveAt, Peak: float64(a.Value)}
			open[id] = episode
		}
		episode.FiredAt, episode.Annotations, episode.Expected = a.FiredAt, a.Annotations, float64(a.Expected)
		if v := float64(a.Value); v > 0 && v > episode.Peak || v < 0 && v < episode.Peak {
			episode.Peak = v
		}
	}
	for id, episode := range open {
		if a := alerts[id]; a == nil || a.State != Pending && a.State != Firing {
			episode.EndedAt = at
			ended = append(ended, *episode)
			delete(open, id)
		}
	}
	return ended
}

// plan checks a draft and lays out the evaluations.
func (e *Engine) plan(d Draft) (*rule, Preview, error) {
	if d.Kind != policy.KindAlert && d.Kind != policy.KindObjective {
		return nil, Preview{}, fault.New(fault.Invalid, "alert.bad_kind", "a preview is of an Alert or an Objective, not of %.64q", d.Kind).At("kind")
	}
	if d.Name == "" {
		d.Name = "draft"
	}
	if d.Format == "" {
		d.Format = "yaml"
	}
	doc := policy.Document{Namespace: d.Namespace, Kind: d.Kind, Name: d.Name, Format: d.Format, Content: d.Content}
	if _, err := policy.Standard().Validate(doc, nil); err != nil {
		return nil, Preview{}, err
	}
	rule := compile(Ref{d.Namespace, d.Kind, d.Name}, 0, Document{Format: d.Format, Content: d.Content})
	if rule.broken != "" {
		return nil, Preview{}, fmt.Errorf("alert: a valid draft cannot be compiled: %s", rule.broken)
	}
	now := e.Now()
	p := Preview{Since: d.Since, Until: d.Until, Step: rule.every}
	if p.Until.IsZero() || p.Until.After(now) {
		p.Until = now
	}
	if p.Since.IsZero() {
		p.Since = p.Until.Add(-defaultPreview)
	}
	span := p.Until.Sub(p.Since)
	if span < 0 || span > maxPreviewSpan {
		return nil, Preview{}, fault.New(fault.Invalid, "alert.bad_period", "the time from %s to %s is not between 0 and %s", p.Since.UTC().Format(time.RFC3339), p.Until.UTC().Format(time.RFC3339), maxPreviewSpan).At("since")
	}
	if least := span / maxPreview; p.Step < least {
		p.Step = least.Truncate(time.Second) + time.Second
	}
	return rule, p, nil
}
