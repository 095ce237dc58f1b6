// Package loan decides on applications: limits first, then the customer's risk, then the money.
package loan

import (
	"context"
	"crypto/rand"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gantry-platform/gantry/examples/lending/api/lendingv1"
	"github.com/gantry-platform/gantry/examples/lending/fund"
	"github.com/gantry-platform/gantry/examples/lending/risk"
	"github.com/gantry-platform/gantry/examples/lending/service"
	"github.com/gantry-platform/gantry/examples/lending/store"
	"github.com/gantry-platform/gantry/examples/lending/telemetry"
	gantry "github.com/gantry-platform/gantry/sdk"
)

// Name is the service's name.
const Name = "loan"

// Run serves until ctx ends.
func Run(ctx context.Context, s *service.Service) error {
	settings, err := gantry.Bind(s.Client, "loan.yaml", Defaults())
	if err != nil {
		return err
	}
	defer settings.Close()
	defer settings.OnChange(func(old, new Settings) {
		s.Logger.Info("the limits have changed", "max-amount", new.MaxAmount, "before", old.MaxAmount)
	})()
	conn, err := s.Dial(risk.Name)
	if err != nil {
		return err
	}
	server := s.NewGRPCServer()
	lendingv1.RegisterLoanServiceServer(server,
		NewServer(s.Name(), settings.Get, lendingv1.NewRiskServiceClient(conn), fund.Client{HTTP: s.HTTP}, s.Meter, s.Client.Event))
	return s.RunGRPC(ctx, server)
}

// Fund pays loans out; [fund.Client] is one.
type Fund interface {
	Pay(ctx context.Context, transfer fund.Transfer) (receipt fund.Receipt, refused *service.Problem, err error)
}

type server struct {
	lendingv1.UnimplementedLoanServiceServer
	name     string
	settings func() Settings
	risk     lendingv1.RiskServiceClient
	fund     Fund
	meter    *service.Meter
	book     *store.Table[*lendingv1.Loan]
	tell     Tell
}

// Tell says that something happened in the business; the method Event of [gantry.Client] does.
type Tell func(ctx context.Context, topic string, fields ...gantry.Field)

// NewServer makes the gRPC service. Name is what its answers say who decided.
func NewServer(name string, settings func() Settings, risk lendingv1.RiskServiceClient, fund Fund, meter *service.Meter, tell Tell) lendingv1.LoanServiceServer {
	return &server{name: name, settings: settings, risk: risk, fund: fund, meter: meter, tell: tell,
		book: store.NewTable[*lendingv1.Loan]("loans", "id", "customer, grade, annual_rate, instalment, amount, months", "$1, $2, $3, $4, $5, $6, $7")}
}

// Apply implements [lendingv1.LoanServiceServer].
func (s *server) Apply(ctx context.Context, request *lendingv1.ApplyRequest) (*lendingv1.ApplyResponse, error) {
	began, outcome := time.Now(), service.Failed
	defer func() { s.meter.Observe("apply", outcome, began) }()
	application := request.GetApplication()
	if err := Sensible(application); err != nil {
		outcome = service.Refused
		telemetry.Refuse(ctx, "bad_request")
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	telemetry.Describe(ctx, attribute.String("customer.id", application.GetCustomer()), attribute.Int64("loan.amount", application.GetAmount()),
		attribute.Int64("loan.months", int64(application.GetMonths())))
	// One look at the settings a request: they can change at any moment, and must not change in the middle of a decision.
	granted, refused, err := s.decide(ctx, s.settings(), application)
	switch {
	case err != nil:
		telemetry.Fail(ctx, "decision_failed", err)
		return nil, err
	case refused != nil:
		outcome = service.Refused
		telemetry.Refuse(ctx, refused.GetReason())
		s.tell(ctx, "loan.refused", gantry.Refused(), gantry.Text("order", telemetry.Order(ctx)), gantry.Text("reason", refused.GetReason()),
			gantry.Int("amount", application.GetAmount()))
		return &lendingv1.ApplyResponse{DecidedBy: s.name, Outcome: &lendingv1.ApplyResponse_Refused{Refused: refused}}, nil
	default:
		outcome = service.Success
		telemetry.Describe(ctx, attribute.String("loan.id", granted.GetId()), attribute.Float64("loan.annual_rate", granted.GetAnnualRate()),
			attribute.String("customer.grade", strings.TrimPrefix(granted.GetGrade().String(), "GRADE_")))
		s.tell(ctx, "loan.granted", gantry.Text("order", telemetry.Order(ctx)), gantry.Text("loan", granted.GetId()), gantry.Int("amount", application.GetAmount()),
			gantry.Int("months", int64(application.GetMonths())), gantry.Text("grade", strings.TrimPrefix(granted.GetGrade().String(), "GRADE_")), gantry.Number("annual_rate", granted.GetAnnualRate()))
		return &lendingv1.ApplyResponse{DecidedBy: s.name, Outcome: &lendingv1.ApplyResponse_Granted{Granted: granted}}, nil
	}
}

func (s *server) decide(ctx context.Context, settings Settings, application *lendingv1.Application) (*lendingv1.Loan, *lendingv1.Refusal, error) {
	if refused := Refuse(settings, application); refused != nil {
		return nil, refused, nil
	}
	grade, refused, err := s.assess(ctx, settings, application)
	if err != nil || refused != nil {
		return nil, refused, err
	}
	rate := settings.rate(grade)
	granted := &lendingv1.Loan{
		Id: "l-" + strings.ToLower(rand.Text()[:12]), Grade: grade, AnnualRate: rate,
		Instalment: Instalment(application.GetAmount(), application.GetMonths(), rate),
	}
	if _, err := s.book.Insert(ctx, granted.GetId(), granted); err != nil {
		return nil, nil, status.FromContextError(err).Err()
	}
	pay, cancel := context.WithTimeout(ctx, settings.Timeout)
	defer cancel()
	_, problem, err := s.fund.Pay(pay, fund.Transfer{Loan: granted.GetId(), Customer: application.GetCustomer(), Amount: application.GetAmount()})
	switch {
	case pay.Err() != nil && err != nil:
		return nil, nil, status.Errorf(status.FromContextError(pay.Err()).Code(), "the fund does not answer: %v", err)
	case err != nil:
		return nil, nil, status.Errorf(codes.Unavailable, "the fund does not answer: %v", err)
	case problem != nil:
		return nil, &lendingv1.Refusal{Reason: problem.Reason, Message: problem.Message}, nil
	}
	return granted, nil, nil
}

func (s *server) assess(ctx context.Context, settings Settings, application *lendingv1.Application) (lendingv1.Grade, *lendingv1.Refusal, error) {
	ctx, cancel := context.WithTimeout(ctx, settings.Timeout)
	defer cancel()
	assessed, err := s.risk.Assess(ctx, &lendingv1.AssessRequest{Application: application})
	if err != nil {
		return 0, nil, err
	}
	return assessed.GetApproved(), assessed.GetRefused(), nil
}
