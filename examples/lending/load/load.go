// Package load stands for the customers: it applies for loans at a steady rate, whatever the answers, and says what it sees.
package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/gantry-platform/gantry/examples/lending/portal"
	"github.com/gantry-platform/gantry/examples/lending/service"
	gantry "github.com/gantry-platform/gantry/sdk"
)

// Name is the service's name.
const Name = "load"

// maxUnderWay bounds applications under way. What is over it is not sent, and counts as failed: customers would see it so too.
const maxUnderWay = 1000

// Settings are what Config/load.yaml says.
type Settings struct {
	// Rate is applications a second, from 1 to 1000.
	Rate float64 `gantry:"rate"`
	// MinAmount and MaxAmount bound what customers ask for, in whole yuan.
	MinAmount int64 `gantry:"min-amount"`
	MaxAmount int64 `gantry:"max-amount"`
	// Timeout is a customer's patience.
	Timeout time.Duration `gantry:"timeout"`
}

// Defaults are in force where the configuration says nothing.
func Defaults() Settings {
	return Settings{Rate: 20, MinAmount: 1000, MaxAmount: 40_000, Timeout: 15 * time.Second}
}

// Validate implements [gantry.Validator].
func (s Settings) Validate() error {
	switch {
	case !(s.Rate >= 1 && s.Rate <= 1000):
		return fmt.Errorf("rate: %v is not from 1 to 1000 a second", s.Rate)
	case s.MinAmount < 1 || s.MinAmount > s.MaxAmount:
		return fmt.Errorf("min-amount %d, max-amount %d: from 1, the least first", s.MinAmount, s.MaxAmount)
	case s.Timeout <= 0:
		return fmt.Errorf("timeout: %s is not over 0s", s.Timeout)
	}
	return nil
}

// Result is how one application went.
type Result struct {
	Outcome service.Outcome
	Took    time.Duration
	// Answer is the portal's when the outcome is not failed, Err the reason when it is.
	Answer portal.Answer
	Err    error
}

var errOverload = fmt.Errorf("%d applications are under way already", maxUnderWay)

// Generate applies for loans until ctx ends, and then waits for those under way. Record gets each result, from many goroutines.
func Generate(ctx context.Context, binding *gantry.Binding[Settings], client portal.Client, record func(Result)) {
	pace := rate.NewLimiter(rate.Limit(binding.Get().Rate), 1)
	defer binding.OnChange(func(_, new Settings) { pace.SetLimit(rate.Limit(new.Rate)) })()
	// A change between Get and OnChange is not told.
	pace.SetLimit(rate.Limit(binding.Get().Rate))
	var running sync.WaitGroup
	defer running.Wait()
	slots := make(chan struct{}, maxUnderWay)
	for pace.Wait(ctx) == nil {
		select {
		case slots <- struct{}{}:
		default:
			record(Result{Outcome: service.Failed, Err: errOverload})
			continue
		}
		running.Go(func() {
			defer func() { <-slots }()
			// An application that is sent is waited for, also when the load ends.
			record(apply(context.WithoutCancel(ctx), binding.Get(), client))
		})
	}
}

func apply(ctx context.Context, settings Settings, client portal.Client) Result {
	ctx, cancel := context.WithTimeout(ctx, settings.Timeout)
	defer cancel()
	months := [...]int32{6, 12, 24, 36}
	channels := portal.Channels()
	began := time.Now()
	answer, err := client.Apply(ctx, portal.Application{
		Customer: fmt.Sprintf("c-%06d", rand.IntN(1_000_000)),
		Amount:   settings.MinAmount + rand.Int64N(settings.MaxAmount-settings.MinAmount+1),
		Months:   months[rand.IntN(len(months))],
		Channel:  channels[rand.IntN(len(channels))],
	})
	result := Result{Outcome: service.Success, Took: time.Since(began), Answer: answer, Err: err}
	switch {
	case err != nil:
		result.Outcome = service.Failed
	case answer.Outcome == portal.Refused:
		result.Outcome = service.Refused
	}
	return result
}

// ErrUnwell is in the error of [Run] when an application failed or no loan was granted.
var ErrUnwell = errors.New("the fleet is not well")

// Run generates load until ctx ends, and writes a line about it every so often and a summary at the end.
func Run(ctx context.Context, s *service.Service, out io.Writer, every time.Duration) error {
	settings, err := gantry.Bind(s.Client, "load.yaml", Defaults())
	if err != nil {
		return err
	}
	defer settings.Close()
	return s.RunWorker(ctx, func(ctx context.Context) error {
		tally := NewTally(time.Now())
		printing, stop := context.WithCancel(context.WithoutCancel(ctx))
		var printer sync.WaitGroup
		printer.Go(func() { print(printing, tally, out, every) })
		Generate(ctx, settings, portal.Client{HTTP: s.HTTP}, func(result Result) {
			s.Meter.Observe("apply", result.Outcome, time.Now().Add(-result.Took))
			tally.Add(result)
			if result.Err != nil {
				s.Logger.Warn("an application failed", "reason", result.Err)
			}
		})
		stop()
		printer.Wait()
		return tally.Conclude(out, time.Now())
	})
}

func print(ctx context.Context, tally *Tally, out io.Writer, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			fmt.Fprintf(out, "%s  %s\n", now.Format(time.TimeOnly), tally.Turn(now))
		case <-ctx.Done():
			return
		}
	}
}
