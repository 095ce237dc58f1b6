package risk_test

import (
	"context"
	"errors"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gantry-platform/gantry/examples/lending/api/lendingv1"
	"github.com/gantry-platform/gantry/examples/lending/bureau"
	"github.com/gantry-platform/gantry/examples/lending/risk"
	"github.com/gantry-platform/gantry/examples/lending/service"
)

func TestJudge(t *testing.T) {
	application := &lendingv1.Application{Customer: "c", Amount: 12_000, Months: 12}
	for _, test := range []struct {
		name   string
		report bureau.Report
		grade  lendingv1.Grade
		reason string
	}{
		{"best", bureau.Report{Score: 680, Income: 10_000}, lendingv1.Grade_GRADE_A, ""},
		{"good", bureau.Report{Score: 679, Income: 10_000}, lendingv1.Grade_GRADE_B, ""},
		{"fair", bureau.Report{Score: 579, Income: 10_000}, lendingv1.Grade_GRADE_C, ""},
		{"least", bureau.Report{Score: 450, Income: 10_000}, lendingv1.Grade_GRADE_C, ""},
		{"poor", bureau.Report{Score: 449, Income: 10_000}, 0, "low_score"},
		{"at the burden", bureau.Report{Score: 700, Income: 10_000, Debt: 120_000}, lendingv1.Grade_GRADE_A, ""},
		{"over it", bureau.Report{Score: 700, Income: 10_000, Debt: 120_024}, 0, "high_burden"},
		{"without income", bureau.Report{Score: 700}, 0, "high_burden"},
	} {
		t.Run(test.name, func(t *testing.T) {
			grade, refused := risk.Judge(risk.Defaults(), application, test.report)
			if grade != test.grade || refused.GetReason() != test.reason {
				t.Errorf("got %v, %v", grade, refused)
			}
		})
	}
}

// flaky is a bureau that fails a number of times first.
type flaky struct {
	failures int
	asked    int
	known    bool
}

func (f *flaky) Report(context.Context, string) (bureau.Report, bool, error) {
	f.asked++
	if f.asked <= f.failures {
		return bureau.Report{}, false, errors.New("busy")
	}
	return bureau.Report{Score: 700, Income: 100_000}, f.known, nil
}

func TestAssessAsksAgain(t *testing.T) {
	settings := risk.Defaults()
	request := &lendingv1.AssessRequest{Application: &lendingv1.Application{Customer: "c", Amount: 1000, Months: 12}}
	for _, test := range []struct {
		name   string
		bureau flaky
		asked  int
		code   codes.Code
		reason string
	}{
		{"at once", flaky{known: true}, 1, codes.OK, ""},
		{"unknown", flaky{}, 1, codes.OK, "no_history"},
		{"at the last attempt", flaky{failures: settings.BureauAttempts - 1, known: true}, settings.BureauAttempts, codes.OK, ""},
		{"never", flaky{failures: 100}, settings.BureauAttempts, codes.Unavailable, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := risk.NewServer(risk.Defaults, &test.bureau, service.NewMeter(prometheus.NewRegistry()))
			response, err := server.Assess(t.Context(), request)
			if status.Code(err) != test.code || response.GetRefused().GetReason() != test.reason || test.bureau.asked != test.asked {
				t.Errorf("asked %d times: %v, %v", test.bureau.asked, response, err)
			}
			if approved := response.GetApproved(); (approved == lendingv1.Grade_GRADE_A) != (test.code == codes.OK && test.reason == "") {
				t.Errorf("approved: %v", approved)
			}
		})
	}
	t.Run("caller gone", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		never := &flaky{failures: 100}
		_, err := risk.NewServer(risk.Defaults, never, service.NewMeter(prometheus.NewRegistry())).Assess(ctx, request)
		if status.Code(err) != codes.Canceled || never.asked != 1 {
			t.Errorf("asked %d times: %v", never.asked, err)
		}
	})
}

func TestSettings(t *testing.T) {
	if err := risk.Defaults().Validate(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*risk.Settings){
		"grades crossed": func(s *risk.Settings) { s.GradeA = s.GradeB - 1 },
		"negative score": func(s *risk.Settings) { s.MinScore = -1 },
		"no burden":      func(s *risk.Settings) { s.MaxBurden = 0 },
		"no attempt":     func(s *risk.Settings) { s.BureauAttempts = 0 },
		"a storm":        func(s *risk.Settings) { s.BureauAttempts = 1000 },
		"no timeout":     func(s *risk.Settings) { s.BureauTimeout = 0 },
	} {
		settings := risk.Defaults()
		change(&settings)
		if err := settings.Validate(); err == nil {
			t.Errorf("%s: %+v is valid", name, settings)
		}
	}
}
