// Package bureau stands for a credit bureau: a third party that is slow and fails now and then. How slow and how often is
// configuration, so that a bad day of the bureau can be tried.
package bureau

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/gantry-platform/gantry/examples/lending/service"
	"github.com/gantry-platform/gantry/examples/lending/telemetry"
	gantry "github.com/gantry-platform/gantry/sdk"
)

// Name is the service's name.
const Name = "bureau"

// Settings are what Config/bureau.yaml says.
type Settings struct {
	// Latency is how long each answer takes at least; Jitter is the most that chance adds.
	Latency time.Duration `gantry:"latency"`
	Jitter  time.Duration `gantry:"jitter"`
	// ErrorRate is the share of requests that fail: 0.01 is one in a hundred.
	ErrorRate float64 `gantry:"error-rate"`
}

// Defaults are in force where the configuration says nothing.
func Defaults() Settings {
	return Settings{Latency: 15 * time.Millisecond, Jitter: 25 * time.Millisecond, ErrorRate: 0.01}
}

// Validate implements [gantry.Validator].
func (s Settings) Validate() error {
	const longest = 10 * time.Second
	switch {
	case s.Latency < 0 || s.Latency > longest:
		return fmt.Errorf("latency: %s is not from 0s to %s", s.Latency, longest)
	case s.Jitter < 0 || s.Jitter > longest:
		return fmt.Errorf("jitter: %s is not from 0s to %s", s.Jitter, longest)
	case !(s.ErrorRate >= 0 && s.ErrorRate <= 1):
		return fmt.Errorf("error-rate: %v is not from 0 to 1", s.ErrorRate)
	}
	return nil
}

// Report is what the bureau knows of a customer.
type Report struct {
	Customer string `json:"customer"`
	// Score is from 300 to 850; more is better.
	Score int `json:"score"`
	// Income is a month's, Debt is all that is owed, in whole yuan.
	Income int64 `json:"income"`
	Debt   int64 `json:"debt"`
}

// Lookup makes up a customer's report, the same each time: most are in the middle, and one customer in a hundred is unknown.
func Lookup(customer string) (report Report, known bool) {
	hash := fnv.New64a()
	hash.Write([]byte(customer))
	seed := hash.Sum64()
	draw := rand.New(rand.NewPCG(seed, seed>>32))
	if draw.IntN(100) == 0 {
		return Report{}, false
	}
	income := 4000 + draw.Int64N(20_000)
	return Report{
		Customer: customer, Score: 300 + (draw.IntN(551)+draw.IntN(551))/2, Income: income, Debt: draw.Int64N(4 * income),
	}, true
}

// Run serves until ctx ends.
func Run(ctx context.Context, s *service.Service) error {
	settings, err := gantry.Bind(s.Client, "bureau.yaml", Defaults())
	if err != nil {
		return err
	}
	defer settings.Close()
	return s.RunHTTP(ctx, NewHandler(settings.Get, rand.Float64, s.Meter))
}

// NewHandler answers GET /reports/{customer}. Draw gives random numbers from 0 to below 1.
func NewHandler(settings func() Settings, draw func() float64, meter *service.Meter) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /reports/{customer}", func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		outcome := answer(w, r, settings(), draw)
		meter.Observe("report", outcome, began)
	})
	return mux
}

var errBusy = errors.New("the bureau is busy; try again")

func answer(w http.ResponseWriter, r *http.Request, settings Settings, draw func() float64) service.Outcome {
	delay := time.NewTimer(settings.Latency + time.Duration(draw()*float64(settings.Jitter)))
	defer delay.Stop()
	select {
	case <-delay.C:
	case <-r.Context().Done():
		return service.Failed
	}
	if draw() < settings.ErrorRate {
		telemetry.Fail(r.Context(), "bureau_busy", errBusy)
		service.Reply(w, http.StatusServiceUnavailable, service.Problem{Reason: "bureau_busy", Message: errBusy.Error()})
		return service.Failed
	}
	report, known := Lookup(r.PathValue("customer"))
	if !known {
		telemetry.Refuse(r.Context(), "unknown_customer")
		service.Reply(w, http.StatusNotFound, service.Problem{Reason: "unknown_customer", Message: "nothing is known of this customer"})
		return service.Refused
	}
	telemetry.Describe(r.Context(), attribute.Int("bureau.score", report.Score))
	service.Reply(w, http.StatusOK, report)
	return service.Success
}

// Client asks the bureau.
type Client struct {
	// HTTP finds the service by its name.
	HTTP *http.Client
}

// Report asks for a customer's report. An unknown customer is no error.
func (c Client) Report(ctx context.Context, customer string) (report Report, known bool, err error) {
	var unknown service.Problem
	status, err := service.Call(ctx, c.HTTP, http.MethodGet, "http://"+Name+"/reports/"+url.PathEscape(customer), nil,
		map[int]any{http.StatusOK: &report, http.StatusNotFound: &unknown})
	if err != nil {
		return Report{}, false, err
	}
	return report, status == http.StatusOK, nil
}
