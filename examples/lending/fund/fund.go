// Package fund pays loans out, from the money of the lender's funding partner.
package fund

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/gantry-platform/gantry/examples/lending/service"
	"github.com/gantry-platform/gantry/examples/lending/store"
	"github.com/gantry-platform/gantry/examples/lending/telemetry"
	gantry "github.com/gantry-platform/gantry/sdk"
)

// Name is the service's name.
const Name = "fund"

// Settings are what Config/fund.yaml says.
type Settings struct {
	// MaxTransfer is the most that the partner pays for one loan, in whole yuan.
	MaxTransfer int64 `gantry:"max-transfer"`
}

// Defaults are in force where the configuration says nothing.
func Defaults() Settings { return Settings{MaxTransfer: 100_000} }

// Validate implements [gantry.Validator].
func (s Settings) Validate() error {
	if s.MaxTransfer < 0 {
		return fmt.Errorf("max-transfer: %d is negative", s.MaxTransfer)
	}
	return nil
}

// Transfer asks for a loan to be paid out.
type Transfer struct {
	Loan     string `json:"loan"`
	Customer string `json:"customer"`
	// Amount is in whole yuan.
	Amount int64 `json:"amount"`
}

// Receipt says that it was.
type Receipt struct {
	ID string `json:"id"`
}

// Run serves until ctx ends.
func Run(ctx context.Context, s *service.Service) error {
	settings, err := gantry.Bind(s.Client, "fund.yaml", Defaults())
	if err != nil {
		return err
	}
	defer settings.Close()
	return s.RunHTTP(ctx, NewHandler(settings.Get, s.Meter))
}

// NewHandler answers POST /transfers.
func NewHandler(settings func() Settings, meter *service.Meter) http.Handler {
	transfers := store.NewTable[paid]("transfers", "loan", "id, customer, amount", "$1, $2, $3, $4")
	mux := http.NewServeMux()
	mux.HandleFunc("POST /transfers", func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		meter.Observe("transfer", pay(w, r, settings(), transfers), began)
	})
	return mux
}

// paid is a transfer that was made.
type paid struct {
	transfer Transfer
	receipt  Receipt
}

func pay(w http.ResponseWriter, r *http.Request, settings Settings, transfers *store.Table[paid]) service.Outcome {
	var transfer Transfer
	err := service.Read(w, r, &transfer)
	if err == nil && (transfer.Loan == "" || transfer.Customer == "" || transfer.Amount <= 0) {
		err = fmt.Errorf("a transfer names a loan, a customer, and an amount over zero")
	}
	if err != nil {
		telemetry.Refuse(r.Context(), "bad_request")
		service.Reply(w, http.StatusBadRequest, service.Problem{Reason: "bad_request", Message: err.Error()})
		return service.Refused
	}
	telemetry.Describe(r.Context(), attribute.String("loan.id", transfer.Loan), attribute.String("customer.id", transfer.Customer),
		attribute.Int64("loan.amount", transfer.Amount), attribute.String("fund.partner", "partner-bank"))
	if transfer.Amount > settings.MaxTransfer {
		telemetry.Refuse(r.Context(), "over_partner_limit")
		service.Reply(w, http.StatusUnprocessableEntity, service.Problem{
			Reason: "over_partner_limit", Message: fmt.Sprintf("the funding partner pays at most %d yuan for one loan", settings.MaxTransfer)})
		return service.Refused
	}
	receipt, err := book(r.Context(), transfer, transfers)
	switch {
	case errors.Is(err, errOther):
		telemetry.Refuse(r.Context(), "already_paid")
		service.Reply(w, http.StatusUnprocessableEntity, service.Problem{Reason: "already_paid", Message: err.Error()})
		return service.Refused
	case err != nil:
		telemetry.Fail(r.Context(), "database_unavailable", err)
		service.Reply(w, http.StatusServiceUnavailable, service.Problem{Reason: "unavailable", Message: err.Error()})
		return service.Failed
	}
	telemetry.Describe(r.Context(), attribute.String("transfer.id", receipt.ID))
	service.Reply(w, http.StatusCreated, receipt)
	return service.Success
}

var errOther = errors.New("another transfer was made for this loan")

// book makes a transfer, or finds the one that was made for the loan: money is paid once.
func book(ctx context.Context, transfer Transfer, transfers *store.Table[paid]) (Receipt, error) {
	made := paid{transfer, Receipt{ID: "t-" + strings.ToLower(rand.Text()[:12])}}
	inserted, err := transfers.Insert(ctx, transfer.Loan, made)
	if err != nil || inserted {
		return made.receipt, err
	}
	before, _, err := transfers.Select(ctx, transfer.Loan)
	if err == nil && before.transfer != transfer {
		err = errOther
	}
	return before.receipt, err
}

// Client has loans paid out.
type Client struct {
	// HTTP finds the service by its name.
	HTTP *http.Client
}

// Pay has a loan paid out. When the business says no, refused says why. A request that may have arrived is not sent twice: money would be.
func (c Client) Pay(ctx context.Context, transfer Transfer) (receipt Receipt, refused *service.Problem, err error) {
	refused = &service.Problem{}
	status, err := service.Call(ctx, c.HTTP, http.MethodPost, "http://"+Name+"/transfers", transfer,
		map[int]any{http.StatusCreated: &receipt, http.StatusUnprocessableEntity: refused})
	if err != nil || status == http.StatusCreated {
		refused = nil
	}
	return receipt, refused, err
}
