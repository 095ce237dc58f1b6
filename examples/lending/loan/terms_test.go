package loan_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/gantry-platform/gantry/examples/lending/api/lendingv1"
	"github.com/gantry-platform/gantry/examples/lending/loan"
)

func TestRefuse(t *testing.T) {
	for _, test := range []struct {
		name   string
		amount int64
		months int32
		want   string
	}{
		{"least", 500, 3, ""},
		{"most", 50_000, 36, ""},
		{"under", 499, 12, "under_limit"},
		{"over", 50_001, 12, "over_limit"},
		{"short", 8000, 2, "too_short"},
		{"long", 8000, 37, "too_long"},
	} {
		t.Run(test.name, func(t *testing.T) {
			refused := loan.Refuse(loan.Defaults(), &lendingv1.Application{Customer: "c", Amount: test.amount, Months: test.months})
			if refused.GetReason() != test.want || (refused != nil && refused.GetMessage() == "") {
				t.Errorf("got %v, want %q", refused, test.want)
			}
		})
	}
}

func TestSensible(t *testing.T) {
	good := &lendingv1.Application{Customer: "li-lei", Amount: 1, Months: 1}
	if err := loan.Sensible(good); err != nil {
		t.Error(err)
	}
	for _, bad := range []*lendingv1.Application{
		nil, {}, {Amount: 1, Months: 1}, {Customer: "li lei", Amount: 1, Months: 1}, {Customer: "../c", Amount: 1, Months: 1},
		{Customer: "c", Amount: 0, Months: 1}, {Customer: "c", Amount: -5, Months: 1}, {Customer: "c", Amount: math.MaxInt64, Months: 1},
		{Customer: "c", Amount: 1, Months: 0}, {Customer: "c", Amount: 1, Months: math.MaxInt32},
	} {
		if err := loan.Sensible(bad); err == nil {
			t.Errorf("%v makes sense", bad)
		}
	}
}

func TestInstalment(t *testing.T) {
	for _, test := range []struct {
		amount int64
		months int32
		rate   float64
		want   int64
	}{
		{1200, 12, 0, 100_00},
		{1000, 3, 0, 333_34},
		{1000, 1, 0.12, 1010_00},
		// The textbook's: 10,000 at 1% a month for 12 months is 888.4879 a month.
		{10_000, 12, 0.12, 888_49},
		{50_000, 36, 0.24, 1961_65},
	} {
		if got := loan.Instalment(test.amount, test.months, test.rate); got != test.want {
			t.Errorf("%d yuan, %d months, %v: got %d fen, want %d", test.amount, test.months, test.rate, got, test.want)
		}
	}
}

// The instalments pay the loan back, and one fen less would not.
func TestInstalmentPaysBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		amount, months := rapid.Int64Range(1, 1_000_000).Draw(t, "amount"), rapid.Int32Range(1, 120).Draw(t, "months")
		rate := rapid.Float64Range(0, 0.24).Draw(t, "rate")
		instalment := loan.Instalment(amount, months, rate)
		owed := func(instalment int64) float64 {
			left := float64(amount) * 100
			for range months {
				left = left*(1+rate/12) - float64(instalment)
			}
			return left
		}
		// A thousandth of a fen is rounding.
		if left := owed(instalment); left > 1e-3 {
			t.Fatalf("%d fen leave %v owed", instalment, left)
		}
		if left := owed(instalment - 1); left < -1e-3 {
			t.Fatalf("%d fen are more than is needed: one fen less leaves %v", instalment, left)
		}
	})
}

func TestSettings(t *testing.T) {
	if err := loan.Defaults().Validate(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*loan.Settings){
		"negative limit":  func(s *loan.Settings) { s.MaxAmount = -1 },
		"limits crossed":  func(s *loan.Settings) { s.MinAmount = s.MaxAmount + 1 },
		"no months":       func(s *loan.Settings) { s.MinMonths = 0 },
		"unlawful rate":   func(s *loan.Settings) { s.Rates.C = 0.25 },
		"negative rate":   func(s *loan.Settings) { s.Rates.A = -0.01 },
		"no number":       func(s *loan.Settings) { s.Rates.B = math.NaN() },
		"without timeout": func(s *loan.Settings) { s.Timeout = 0 },
	} {
		settings := loan.Defaults()
		change(&settings)
		if err := settings.Validate(); err == nil {
			t.Errorf("%s: %+v is valid", name, settings)
		}
	}
}
