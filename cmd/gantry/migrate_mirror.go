package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/migrate"
)

// Times between two looks at the status: often where it is drawn over itself, seldom where it makes lines.
const (
	statusDrawn  = time.Second
	statusLogged = 10 * time.Second
)

// mirrorInstances mirrors until ctx ends, which is how it is meant to end.
func (c *cli) mirrorInstances(ctx context.Context, r *remote, m *migration, connection migrate.Connection) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	source, here, err := c.registries(ctx, r, m, connection)
	if err != nil {
		return err
	}
	defer source.Close()
	watch := mirrorWatch{cli: c, kind: m.kind}
	mirror := migrate.Mirror{Source: source, Gantry: here, By: connection.URL.Host, Keep: m.keep, Tell: watch.tell,
		Explain: func(err error) *fault.Error { return c.explain(migrate.Explained(err)) }}
	mirror.Prepare()
	watch.status = mirror.Status
	watch.say("mirroring instances of %s and %s both ways; stop it with Ctrl-C", sourceName(connection.URL), r.address)
	showing, stop := context.WithCancel(ctx)
	var shown sync.WaitGroup
	shown.Go(func() { watch.run(showing) })
	err = mirror.Run(ctx)
	stop()
	shown.Wait()
	c.clearProgress()
	if c.flags.output.machine() {
		if printErr := c.answerValue(watch.last); printErr != nil {
			return printErr
		}
	}
	if err == nil {
		fmt.Fprintln(c.errOut, "stopped; the copies are taken back")
	}
	return err
}

// mirrorWatch shows how a mirror stands.
type mirrorWatch struct {
	cli    *cli
	kind   string
	status func() migrate.Status

	// mu: events come from several goroutines, beside the status.
	mu   sync.Mutex
	last migrate.Status
	told bool
}

func (w *mirrorWatch) say(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cli.clearProgress()
	fmt.Fprintln(w.cli.errOut, printable(fmt.Sprintf(format, args...)))
}

func (w *mirrorWatch) tell(event migrate.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.cli
	switch event.Kind {
	case migrate.Away:
		c.warn("%s is away: %s; its instances stay as last known for %v", event.Side, c.explain(migrate.Explained(event.Err)).Message, event.Keep)
	case migrate.Back:
		c.warn("%s is back after %v", event.Side, c.now().Sub(event.Since).Round(time.Second))
	case migrate.Forgotten:
		c.warn("%s has been away for %v: its instances are taken back from the other side", event.Side, event.Keep)
	case migrate.Shrunk:
		c.warn("%s has lost most of its instances at once, as after a restart: they stay in the other side for %v unless they come back", event.Side, event.Keep)
	case migrate.NotWritable:
		c.warn("%s does not take copies: %s", event.Side, c.explain(migrate.Explained(event.Err)).Message)
	case migrate.Writable:
		c.warn("%s takes copies again after %v", event.Side, c.now().Sub(event.Since).Round(time.Second))
	case migrate.Refused:
		f := c.explain(migrate.Explained(event.Err))
		c.warn("%s refuses %s: %s", event.Side, event.Subject, describe(f))
	}
}

// run shows the status until ctx ends.
func (w *mirrorWatch) run(ctx context.Context) {
	every := statusLogged
	if w.cli.live {
		every = statusDrawn
	}
	// The first line comes as soon as there is something to say.
	for wait := statusDrawn; ; wait = every {
		if w.cli.pause(ctx, wait) != nil {
			w.mu.Lock()
			w.last = w.status()
			w.mu.Unlock()
			return
		}
		w.show()
	}
}

func (w *mirrorWatch) show() {
	w.mu.Lock()
	defer w.mu.Unlock()
	status := w.status()
	if status == w.last && w.told || !status.Ready {
		return
	}
	w.last, w.told = status, true
	text := fmt.Sprintf("%s: %s, %d in gantry; gantry: %s, %d in %s", w.kind, mirrorCount(status.Source), status.ToGantry,
		mirrorCount(status.Gantry), status.ToSource, w.kind)
	if status.Refused > 0 {
		text += fmt.Sprintf("; %d refused", status.Refused)
	}
	if !w.cli.live {
		fmt.Fprintln(w.cli.errOut, text)
		return
	}
	w.cli.drawn = w.cli.now()
	fmt.Fprintf(w.cli.errOut, "\r\x1b[K%s", text)
}

func mirrorCount(count migrate.Count) string {
	return plural(count.Instances, "instance", "instances") + " of " + plural(count.Services, "service", "services")
}
