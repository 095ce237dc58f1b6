// Package risk judges whether a customer can be trusted with a loan, from what the credit bureau knows.
package risk

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gantry-platform/gantry/examples/lending/api/lendingv1"
	"github.com/gantry-platform/gantry/examples/lending/bureau"
	"github.com/gantry-platform/gantry/examples/lending/service"
	"github.com/gantry-platform/gantry/examples/lending/store"
	"github.com/gantry-platform/gantry/examples/lending/telemetry"
	gantry "github.com/gantry-platform/gantry/sdk"
)

// Name is the service's name.
const Name = "risk"

// maxAttempts bounds how often the configuration may have the bureau asked for one report.
const maxAttempts = 10

// debtMonths is over how many months a customer is taken to pay back what is owed elsewhere.
const debtMonths = 24

// Settings are what Config/risk.yaml says.
type Settings struct {
	// MinScore is the least score that gets a loan; GradeB and GradeA are the least for better grades.
	MinScore int `gantry:"min-score"`
	GradeB   int `gantry:"grade-b"`
	GradeA   int `gantry:"grade-a"`
	// MaxBurden is the most of a month's income that may go into instalments: 0.6 is 60%.
	MaxBurden float64 `gantry:"max-burden"`
	// BureauAttempts is how often the bureau is asked for one report, each time for at most BureauTimeout.
	BureauAttempts int           `gantry:"bureau-attempts"`
	BureauTimeout  time.Duration `gantry:"bureau-timeout"`
}

// Defaults are in force where the configuration says nothing.
func Defaults() Settings {
	return Settings{MinScore: 450, GradeB: 580, GradeA: 680, MaxBurden: 0.6, BureauAttempts: 4, BureauTimeout: 2 * time.Second}
}

// Validate implements [gantry.Validator].
func (s Settings) Validate() error {
	switch {
	case s.MinScore < 0 || s.MinScore > s.GradeB || s.GradeB > s.GradeA:
		return fmt.Errorf("min-score %d, grade-b %d, grade-a %d: each must be at least the one before, and none negative", s.MinScore, s.GradeB, s.GradeA)
	case !(s.MaxBurden > 0 && s.MaxBurden <= 1):
		return fmt.Errorf("max-burden: %v is not over 0 and up to 1", s.MaxBurden)
	case s.BureauAttempts < 1 || s.BureauAttempts > maxAttempts:
		return fmt.Errorf("bureau-attempts: %d is not from 1 to %d", s.BureauAttempts, maxAttempts)
	case s.BureauTimeout <= 0:
		return fmt.Errorf("bureau-timeout: %s is not over 0s", s.BureauTimeout)
	}
	return nil
}

// Judge decides by a report. Refused is nil when the loan is approved.
func Judge(s Settings, application *lendingv1.Application, report bureau.Report) (grade lendingv1.Grade, refused *lendingv1.Refusal) {
	if report.Score < s.MinScore {
		return 0, &lendingv1.Refusal{Reason: "low_score", Message: fmt.Sprintf("the credit score %d is below %d", report.Score, s.MinScore)}
	}
	monthly := application.GetAmount()/int64(max(application.GetMonths(), 1)) + report.Debt/debtMonths
	if float64(monthly) > s.MaxBurden*float64(report.Income) {
		return 0, &lendingv1.Refusal{Reason: "high_burden", Message: fmt.Sprintf("instalments of about %d yuan a month are too much for an income of %d", monthly, report.Income)}
	}
	switch {
	case report.Score >= s.GradeA:
		return lendingv1.Grade_GRADE_A, nil
	case report.Score >= s.GradeB:
		return lendingv1.Grade_GRADE_B, nil
	default:
		return lendingv1.Grade_GRADE_C, nil
	}
}

// Run serves until ctx ends.
func Run(ctx context.Context, s *service.Service) error {
	settings, err := gantry.Bind(s.Client, "risk.yaml", Defaults())
	if err != nil {
		return err
	}
	defer settings.Close()
	server := s.NewGRPCServer()
	lendingv1.RegisterRiskServiceServer(server, NewServer(settings.Get, bureau.Client{HTTP: s.HTTP}, s.Meter))
	return s.RunGRPC(ctx, server)
}

// Bureau gives reports; [bureau.Client] is one.
type Bureau interface {
	Report(ctx context.Context, customer string) (report bureau.Report, known bool, err error)
}

type server struct {
	lendingv1.UnimplementedRiskServiceServer
	settings func() Settings
	bureau   Bureau
	meter    *service.Meter
	reports  *store.Cache[bureau.Report]
}

// reportLife is how long a report counts as today's: a customer who applies again at once is not asked for twice.
const reportLife = time.Minute

// NewServer makes the gRPC service.
func NewServer(settings func() Settings, from Bureau, meter *service.Meter) lendingv1.RiskServiceServer {
	return &server{settings: settings, bureau: from, meter: meter, reports: store.NewCache[bureau.Report]("report:", reportLife)}
}

// Assess implements [lendingv1.RiskServiceServer].
func (s *server) Assess(ctx context.Context, request *lendingv1.AssessRequest) (*lendingv1.AssessResponse, error) {
	began, outcome := time.Now(), service.Failed
	defer func() { s.meter.Observe("assess", outcome, began) }()
	// One look at the settings a request: they can change at any moment, and must not change in the middle of a decision.
	settings := s.settings()
	report, known, err := s.report(ctx, settings, request.GetApplication().GetCustomer())
	if err != nil {
		telemetry.Fail(ctx, "bureau_unavailable", err)
		return nil, err
	}
	if known {
		telemetry.Describe(ctx, attribute.Int("bureau.score", report.Score), attribute.Int64("customer.income", report.Income))
	}
	refused := &lendingv1.Refusal{Reason: "no_history", Message: "the credit bureau knows nothing of this customer"}
	var grade lendingv1.Grade
	if known {
		grade, refused = Judge(settings, request.GetApplication(), report)
	}
	if refused != nil {
		outcome = service.Refused
		telemetry.Refuse(ctx, refused.GetReason())
		return &lendingv1.AssessResponse{Outcome: &lendingv1.AssessResponse_Refused{Refused: refused}}, nil
	}
	outcome = service.Success
	telemetry.Describe(ctx, attribute.String("customer.grade", strings.TrimPrefix(grade.String(), "GRADE_")))
	return &lendingv1.AssessResponse{Outcome: &lendingv1.AssessResponse_Approved{Approved: grade}}, nil
}

// report is the bureau's, or one that it gave a moment ago.
func (s *server) report(ctx context.Context, settings Settings, customer string) (report bureau.Report, known bool, err error) {
	if report, known = s.reports.Get(ctx, customer); known {
		return report, true, nil
	}
	if report, known, err = s.ask(ctx, settings, customer); known {
		s.reports.Set(ctx, customer, report)
	}
	return report, known, err
}

// ask asks the bureau, more than once when it fails. It waits in no case longer than the caller does.
func (s *server) ask(ctx context.Context, settings Settings, customer string) (report bureau.Report, known bool, err error) {
	for i := range settings.BureauAttempts {
		telemetry.Describe(ctx, attribute.Int("bureau.attempts", i+1))
		attempt, cancel := context.WithTimeout(ctx, settings.BureauTimeout)
		report, known, err = s.bureau.Report(attempt, customer)
		cancel()
		if err == nil {
			return report, known, nil
		}
		if ctx.Err() != nil {
			return report, false, status.FromContextError(ctx.Err()).Err()
		}
	}
	return report, false, status.Errorf(codes.Unavailable, "the credit bureau does not answer: %v", err)
}
