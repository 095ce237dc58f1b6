package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/gantry-platform/gantry/bench/internal/stats"
)

// subject is a server as the tables see it. All have the same rows, as far as they can do what a row is about.
type subject struct {
	// title names the server and the language of the spans.
	title string
	// acknowledged says what the server has done with a span when it acknowledges it.
	acknowledged string
	// trace asks for a trace, and tells how many spans it has: 0 when it is not there.
	trace func(ctx context.Context, id string) (spans int, took time.Duration, err error)
	// searches are what it can be asked.
	searches []search
	// keeps is whether everything that it acknowledged has to be there: a trace that is not is an error then.
	keeps bool
}

// search is a question, and what it takes to answer it.
type search struct {
	what string
	ask  func(ctx context.Context) (found int, took time.Duration, err error)
}

func row(what, format string, values ...any) {
	fmt.Printf("| %s | %s |\n", what, fmt.Sprintf(format, values...))
}

// print writes the head of a subject's table, and how sending went.
func (s *sent) print(about subject) {
	fmt.Printf("\n| %s | figure |\n|---|---|\n", about.title)
	row("an acknowledged span is", "%s", about.acknowledged)
	row("spans acknowledged", "%d of %d bytes on the wire each", s.spans, s.bytes/s.spans)
	row("spans a second, wall clock", "%.0f", float64(s.spans)/s.wall.Seconds())
	row("spans a second, wall clock, until all was worked off", "%.0f", float64(s.spans)/s.settled.Seconds())
	row("spans a second of the server's processor time", "%.0f", float64(s.spans)/s.cpu.Seconds())
	row("processor time a span", "%.2f us", float64(s.cpu.Nanoseconds())/1e3/float64(s.spans))
	row("spans left out because memory was short", "%d", s.left)
	row("requests asked to wait", "%d", s.waited)
	row("memory at most", "%d MiB, of which the program's own %d MiB", s.peak.Resident>>20, s.peak.Anonymous>>20)
}

const (
	// lookUps and askings are how often a trace is looked up by id, and each search is made.
	lookUps = 1000
	askings = 7
)

// ask looks traces up and searches for them.
func (about subject) ask(ctx context.Context, s *sent) error {
	var took []time.Duration
	for range lookUps {
		id := s.known[rand.IntN(len(s.known))]
		spans, t, err := about.trace(ctx, id)
		if err != nil {
			return fmt.Errorf("trace %s: %w", id, err)
		}
		if spans < 2 && about.keeps && s.left == 0 {
			return fmt.Errorf("trace %s has %d spans", id, spans)
		}
		if spans > 0 {
			took = append(took, t)
		}
	}
	row("traces that are there", "%d of %d looked up", len(took), lookUps)
	if len(took) > 0 {
		printTimes("trace by id", took, "")
	}
	for _, q := range about.searches {
		took, found := took[:0], 0
		for range askings {
			n, t, err := q.ask(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", q.what, err)
			}
			took, found = append(took, t), n
		}
		printTimes(q.what, took, fmt.Sprintf(" (%d found)", found))
	}
	return nil
}

func printTimes(what string, took []time.Duration, more string) {
	slices.SortFunc(took, cmp.Compare[time.Duration])
	row(what, "median %s, p99 %s, most %s%s", round(stats.Quantile(took, 0.5)), round(stats.Quantile(took, 0.99)), round(took[len(took)-1]), more)
}

func round(d time.Duration) time.Duration {
	if d < 10*time.Millisecond {
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(time.Millisecond)
}

// get reads an answer in JSON. The clock stops when the answer is there, before it is parsed. What is not found is no error: into stays as it is.
func get(ctx context.Context, url string, into any) (took time.Duration, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	took = time.Since(began)
	switch {
	case err != nil || response.StatusCode == http.StatusNotFound:
		return took, err
	case response.StatusCode != http.StatusOK:
		return took, fmt.Errorf("%s answers %s: %.200s", url, response.Status, body)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return took, errors.Join(fmt.Errorf("%s answers %.200q", url, body), err)
	}
	return took, nil
}
