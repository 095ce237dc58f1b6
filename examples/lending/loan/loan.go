// Package loan decides on applications: limits first, then the customer's risk, then the money.
package loan

import (
	"context"
	"crypto/rand"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gantry-platform/gantry/examples/lending/api/lendingv1"
	"github.com/gantry-platform/gantry/examples/lending/fund"
	"github.com/gantry-platform/gantry/examples/lending/risk"
	"github.com/gantry-platform/gantry/examples/lending/service"
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
	server := service.NewGRPCServer()
	lendingv1.RegisterLoanServiceServer(server,
		NewServer(s.Name(), settings.Get, lendingv1.NewRiskServiceClient(conn), fund.Client{HTTP: s.HTTP}, s.Meter))
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
}

// NewServer makes the gRPC service. Name is what its answers say who decided.
func NewServer(name string, settings func() Settings, risk lendingv1.RiskServiceClient, fund Fund, meter *service.Meter) lendingv1.LoanServiceServer {
	return &server{name: name, settings: settings, risk: risk, fund: fund, meter: meter}
}

// Apply implements [lendingv1.LoanServiceServer].
func (s *server) Apply(ctx context.Context, request *lendingv1.ApplyRequest) (*lendingv1.ApplyResponse, error) {
	began, outcome := time.Now(), service.Failed
	defer func() { s.meter.Observe("apply", outcome, began) }()
	application := request.GetApplication()
	if err := Sensible(application); err != nil {
		outcome = service.Refused
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	// One look at the settings a request: they can change at any moment, and must not change in the middle of a decision.
	granted, refused, err := s.decide(ctx, s.settings(), application)
	switch {
	case err != nil:
		return nil, err
	case refused != nil:
		outcome = service.Refused
		return &lendingv1.ApplyResponse{DecidedBy: s.name, Outcome: &lendingv1.ApplyResponse_Refused{Refused: refused}}, nil
	default:
		outcome = service.Success
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
