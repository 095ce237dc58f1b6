package loan

import (
	"fmt"
	"math"
	"regexp"
	"time"

	"github.com/gantry-platform/gantry/examples/lending/api/lendingv1"
)

// Settings are what Config/loan.yaml says.
type Settings struct {
	// MinAmount and MaxAmount are the least and the most of one loan, in whole yuan.
	MinAmount int64 `gantry:"min-amount"`
	MaxAmount int64 `gantry:"max-amount"`
	// MinMonths and MaxMonths are how long it may run.
	MinMonths int32 `gantry:"min-months"`
	MaxMonths int32 `gantry:"max-months"`
	// Rates are the interest a year by grade: 0.16 is 16%.
	Rates Rates `gantry:"rates"`
	// Timeout bounds the asking of each other service.
	Timeout time.Duration `gantry:"timeout"`
}

// Rates are the interest a year by grade.
type Rates struct {
	A float64 `gantry:"a"`
	B float64 `gantry:"b"`
	C float64 `gantry:"c"`
}

const (
	// maxRate is the most interest that the law lets a lender ask for.
	maxRate = 0.24
	// hugeAmount and hugeMonths keep the arithmetic of instalments exact, far above any consumer's loan.
	hugeAmount = 1_000_000_000
	hugeMonths = 600
)

// Defaults are in force where the configuration says nothing.
func Defaults() Settings {
	return Settings{
		MinAmount: 500, MaxAmount: 50_000, MinMonths: 3, MaxMonths: 36, Rates: Rates{A: 0.10, B: 0.16, C: 0.24}, Timeout: 8 * time.Second,
	}
}

// Validate implements [gantry.Validator].
func (s Settings) Validate() error {
	switch {
	case s.MinAmount < 1 || s.MinAmount > s.MaxAmount || s.MaxAmount > hugeAmount:
		return fmt.Errorf("min-amount %d, max-amount %d: from 1 to %d, the least first", s.MinAmount, s.MaxAmount, hugeAmount)
	case s.MinMonths < 1 || s.MinMonths > s.MaxMonths || s.MaxMonths > hugeMonths:
		return fmt.Errorf("min-months %d, max-months %d: from 1 to %d, the least first", s.MinMonths, s.MaxMonths, hugeMonths)
	case s.Timeout <= 0:
		return fmt.Errorf("timeout: %s is not over 0s", s.Timeout)
	}
	for _, rate := range []float64{s.Rates.A, s.Rates.B, s.Rates.C} {
		if !(rate >= 0 && rate <= maxRate) {
			return fmt.Errorf("rates: %v is not from 0 to %v", rate, maxRate)
		}
	}
	return nil
}

// rate is the interest a year of a grade.
func (s Settings) rate(grade lendingv1.Grade) float64 {
	switch grade {
	case lendingv1.Grade_GRADE_A:
		return s.Rates.A
	case lendingv1.Grade_GRADE_B:
		return s.Rates.B
	default:
		return s.Rates.C
	}
}

var customerName = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)

// Sensible finds applications that make no sense whatever the limits are.
func Sensible(application *lendingv1.Application) error {
	switch {
	case !customerName.MatchString(application.GetCustomer()):
		return fmt.Errorf("customer: %.70q is not 1 to 64 letters, digits and '-'", application.GetCustomer())
	case application.GetAmount() < 1 || application.GetAmount() > hugeAmount:
		return fmt.Errorf("amount: %d is not from 1 to %d yuan", application.GetAmount(), hugeAmount)
	case application.GetMonths() < 1 || application.GetMonths() > hugeMonths:
		return fmt.Errorf("months: %d is not from 1 to %d", application.GetMonths(), hugeMonths)
	}
	return nil
}

// Refuse checks a sensible application against the limits. Nil: it is within them.
func Refuse(s Settings, application *lendingv1.Application) *lendingv1.Refusal {
	no := func(reason, format string, limit any) *lendingv1.Refusal {
		return &lendingv1.Refusal{Reason: reason, Message: fmt.Sprintf(format, limit)}
	}
	switch {
	case application.GetAmount() < s.MinAmount:
		return no("under_limit", "a loan is at least %d yuan", s.MinAmount)
	case application.GetAmount() > s.MaxAmount:
		return no("over_limit", "a loan is at most %d yuan", s.MaxAmount)
	case application.GetMonths() < s.MinMonths:
		return no("too_short", "a loan runs at least %d months", s.MinMonths)
	case application.GetMonths() > s.MaxMonths:
		return no("too_long", "a loan runs at most %d months", s.MaxMonths)
	}
	return nil
}

// Instalment is what is due each month, in fen, for equal payments at the end of each month: the amount times r / (1 - (1+r)^-months) with r a
// twelfth of the annual rate, rounded up, so that the last payment is never the largest.
func Instalment(amount int64, months int32, annualRate float64) int64 {
	fen := float64(amount) * 100
	// Below this, a year's interest on the largest loan is under a fen.
	const none = 1e-12
	if annualRate < none {
		return int64(math.Ceil(fen / float64(months)))
	}
	r := annualRate / 12
	// Expm1 and Log1p keep the digits that 1 - (1+r)^-n loses for small r; a millionth of a fen over is rounding, and not owed.
	return int64(math.Ceil(fen*r/-math.Expm1(-float64(months)*math.Log1p(r)) - 1e-6))
}
