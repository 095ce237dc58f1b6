// Package portal is what customers see of the lender: an HTTP API in front of the loan service.
package portal

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gantry-platform/gantry/examples/lending/api/lendingv1"
	"github.com/gantry-platform/gantry/examples/lending/loan"
	"github.com/gantry-platform/gantry/examples/lending/service"
	"github.com/gantry-platform/gantry/examples/lending/telemetry"
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
	// Channel is where the customer came from: "app", "web" or "partner". Default: "web".
	Channel string `json:"channel,omitempty"`
}

// Channels are where customers come from.
func Channels() []string { return []string{"app", "web", "partner"} }

// Answer is what the customer gets: a loan, or the reason why not.
type Answer struct {
	// Order is the number of the application, granted or not.
	Order string `json:"order"`
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
	err := service.Read(w, r, &application)
	if err == nil {
		err = application.check()
	}
	if err != nil {
		service.Reply(w, http.StatusBadRequest, service.Problem{Reason: "bad_request", Message: err.Error()})
		telemetry.Refuse(ctx, "bad_request")
		return service.Refused
	}
	order := "o-" + strings.ToLower(rand.Text()[:12])
	ctx = telemetry.WithOrder(ctx, order)
	telemetry.Describe(ctx, application.attributes()...)
	decided, err := loans.Apply(ctx, &lendingv1.ApplyRequest{Application: &lendingv1.Application{
		Customer: application.Customer, Amount: application.Amount, Months: application.Months}})
	if err != nil {
		return fail(ctx, w, err)
	}
	answer := Answer{Order: order, DecidedBy: decided.GetDecidedBy()}
	telemetry.Describe(ctx, attribute.String("decision.by", answer.DecidedBy))
	if refused := decided.GetRefused(); refused != nil {
		answer.Outcome, answer.Reason, answer.Message = Refused, refused.GetReason(), refused.GetMessage()
		telemetry.Refuse(ctx, answer.Reason)
		service.Reply(w, http.StatusUnprocessableEntity, answer)
		return service.Refused
	}
	granted := decided.GetGranted()
	answer.Outcome, answer.Loan, answer.AnnualRate = Granted, granted.GetId(), granted.GetAnnualRate()
	answer.Grade = strings.TrimPrefix(granted.GetGrade().String(), "GRADE_")
	answer.Instalment = fmt.Sprintf("%d.%02d", granted.GetInstalment()/100, granted.GetInstalment()%100)
	telemetry.Describe(ctx, attribute.String("loan.id", answer.Loan), attribute.String("customer.grade", answer.Grade),
		attribute.Float64("loan.annual_rate", answer.AnnualRate))
	service.Reply(w, http.StatusCreated, answer)
	return service.Success
}

// check refuses what the loan service does not look at.
func (a Application) check() error {
	if a.Channel != "" && !slices.Contains(Channels(), a.Channel) {
		return fmt.Errorf("channel: %.40q is none of %s", a.Channel, strings.Join(Channels(), ", "))
	}
	return nil
}

// attributes are what people search applications by. A customer's words are cut: this service has not looked at them yet.
func (a Application) attributes() []attribute.KeyValue {
	const longest = 64
	customer := a.Customer
	if len(customer) > longest {
		customer = strings.ToValidUTF8(customer[:longest], "")
	}
	channel := a.Channel
	if channel == "" {
		channel = "web"
	}
	product := "instalment"
	if a.Months <= 12 && a.Amount <= 5000 {
		product = "instant"
	}
	return []attribute.KeyValue{attribute.String("customer.id", customer), attribute.Int64("loan.amount", a.Amount),
		attribute.Int64("loan.months", int64(a.Months)), attribute.String("loan.product", product), attribute.String("channel", channel)}
}

// fail answers an error of the loan service.
func fail(ctx context.Context, w http.ResponseWriter, err error) service.Outcome {
	problem := service.Problem{Reason: "failed", Message: status.Convert(err).Message()}
	switch status.Code(err) {
	case codes.InvalidArgument:
		problem.Reason = "bad_request"
		telemetry.Refuse(ctx, problem.Reason)
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
	telemetry.Fail(ctx, problem.Reason, err)
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
