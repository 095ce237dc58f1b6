// Package portal is what customers see of the lender: an HTTP API in front of the loan service.
package portal

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gantry-platform/gantry/examples/lending/api/lendingv1"
	"github.com/gantry-platform/gantry/examples/lending/loan"
	"github.com/gantry-platform/gantry/examples/lending/service"
	gantry "github.com/gantry-platform/gantry/sdk"
)

// Name is the service's name.
const Name = "portal"

// Settings are what Config/portal.yaml says.
type Settings struct {
	// Timeout bounds a whole application, with everything behind the portal.
	Timeout time.Duration `gantry:"timeout"`
}

// Defaults are in force where the configuration says nothing.
func Defaults() Settings { return Settings{Timeout: 10 * time.Second} }

// Validate implements [gantry.Validator].
func (s Settings) Validate() error {
	if s.Timeout <= 0 {
		return fmt.Errorf("timeout: %s is not over 0s", s.Timeout)
	}
	return nil
}

// Application is what a customer sends.
type Application struct {
	Customer string `json:"customer"`
	// Amount is in whole yuan.
	Amount int64 `json:"amount"`
	Months int32 `json:"months"`
}

// Answer is what the customer gets: a loan, or the reason why not.
type Answer struct {
	// Outcome is "granted" or "refused".
	Outcome string `json:"outcome"`
	// Loan, Grade, AnnualRate and Instalment (yuan a month, such as "888.49") describe a loan that is granted.
	Loan       string  `json:"loan,omitempty"`
	Grade      string  `json:"grade,omitempty"`
	AnnualRate float64 `json:"annual_rate,omitempty"`
	Instalment string  `json:"instalment,omitempty"`
	// Reason and Message say why one is refused.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// DecidedBy is the instance of the loan service that decided.
	DecidedBy string `json:"decided_by"`
}

// The outcomes.
const (
	Granted = "granted"
	Refused = "refused"
)

// Run serves until ctx ends.
func Run(ctx context.Context, s *service.Service) error {
	settings, err := gantry.Bind(s.Client, "portal.yaml", Defaults())
	if err != nil {
		return err
	}
	defer settings.Close()
	conn, err := s.Dial(loan.Name)
	if err != nil {
		return err
	}
	return s.RunHTTP(ctx, NewHandler(settings.Get, lendingv1.NewLoanServiceClient(conn), s.Meter))
}

const welcome = `This is the portal of a small lender. Apply for a loan:

  curl -d '{"customer": "li-lei", "amount": 8000, "months": 12}' http://%s/loans
`

// NewHandler answers POST /loans: 201 for a loan, 422 for a refusal, 400 for what is no application, 5xx when it failed.
func NewHandler(settings func() Settings, loans lendingv1.LoanServiceClient, meter *service.Meter) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, fmt.Sprintf(welcome, r.Host))
	})
	mux.HandleFunc("POST /loans", func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		ctx, cancel := context.WithTimeout(r.Context(), settings().Timeout)
		defer cancel()
		meter.Observe("apply", apply(ctx, w, r, loans), began)
	})
	return mux
}

func apply(ctx context.Context, w http.ResponseWriter, r *http.Request, loans lendingv1.LoanServiceClient) service.Outcome {
	var application Application
	if err := service.Read(w, r, &application); err != nil {
		service.Reply(w, http.StatusBadRequest, service.Problem{Reason: "bad_request", Message: err.Error()})
		return service.Refused
	}
	decided, err := loans.Apply(ctx, &lendingv1.ApplyRequest{Application: &lendingv1.Application{
		Customer: application.Customer, Amount: application.Amount, Months: application.Months}})
	if err != nil {
		return fail(w, err)
	}
	answer := Answer{DecidedBy: decided.GetDecidedBy()}
	if refused := decided.GetRefused(); refused != nil {
		answer.Outcome, answer.Reason, answer.Message = Refused, refused.GetReason(), refused.GetMessage()
		service.Reply(w, http.StatusUnprocessableEntity, answer)
		return service.Refused
	}
	granted := decided.GetGranted()
	answer.Outcome, answer.Loan, answer.AnnualRate = Granted, granted.GetId(), granted.GetAnnualRate()
	answer.Grade = strings.TrimPrefix(granted.GetGrade().String(), "GRADE_")
	answer.Instalment = fmt.Sprintf("%d.%02d", granted.GetInstalment()/100, granted.GetInstalment()%100)
	service.Reply(w, http.StatusCreated, answer)
	return service.Success
}

// fail answers an error of the loan service.
func fail(w http.ResponseWriter, err error) service.Outcome {
	problem := service.Problem{Reason: "failed", Message: status.Convert(err).Message()}
	switch status.Code(err) {
	case codes.InvalidArgument:
		problem.Reason = "bad_request"
		service.Reply(w, http.StatusBadRequest, problem)
		return service.Refused
	case codes.DeadlineExceeded:
		problem.Reason = "timeout"
		service.Reply(w, http.StatusGatewayTimeout, problem)
	case codes.Unavailable:
		problem.Reason = "unavailable"
		service.Reply(w, http.StatusServiceUnavailable, problem)
	default:
		service.Reply(w, http.StatusBadGateway, problem)
	}
	return service.Failed
}

// Client applies for loans.
type Client struct {
	// HTTP finds the service by its name.
	HTTP *http.Client
}

// Apply applies for a loan. A refusal is an answer, not an error.
func (c Client) Apply(ctx context.Context, application Application) (answer Answer, err error) {
	_, err = service.Call(ctx, c.HTTP, http.MethodPost, "http://"+Name+"/loans", application,
		map[int]any{http.StatusCreated: &answer, http.StatusUnprocessableEntity: &answer})
	return answer, err
}
