// Package fund pays loans out, from the money of the lender's funding partner.
package fund

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gantry-platform/gantry/examples/lending/service"
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
	mux := http.NewServeMux()
	mux.HandleFunc("POST /transfers", func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		meter.Observe("transfer", pay(w, r, settings()), began)
	})
	return mux
}

func pay(w http.ResponseWriter, r *http.Request, settings Settings) service.Outcome {
	var transfer Transfer
	err := service.Read(w, r, &transfer)
	if err == nil && (transfer.Loan == "" || transfer.Customer == "" || transfer.Amount <= 0) {
		err = fmt.Errorf("a transfer names a loan, a customer, and an amount over zero")
	}
	if err != nil {
		service.Reply(w, http.StatusBadRequest, service.Problem{Reason: "bad_request", Message: err.Error()})
		return service.Refused
	}
	if transfer.Amount > settings.MaxTransfer {
		service.Reply(w, http.StatusUnprocessableEntity, service.Problem{
			Reason: "over_partner_limit", Message: fmt.Sprintf("the funding partner pays at most %d yuan for one loan", settings.MaxTransfer)})
		return service.Refused
	}
	service.Reply(w, http.StatusCreated, Receipt{ID: "t-" + strings.ToLower(rand.Text()[:12])})
	return service.Success
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
