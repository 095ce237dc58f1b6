package fund_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gantry-platform/gantry/examples/lending/fund"
	"github.com/gantry-platform/gantry/examples/lending/service"
)

func TestHandler(t *testing.T) {
	handler := fund.NewHandler(fund.Defaults, service.NewMeter(prometheus.NewRegistry()))
	for _, test := range []struct {
		name, body string
		want       int
		says       string
	}{
		{"paid", `{"loan": "l-1", "customer": "c", "amount": 100000}`, http.StatusCreated, `"id":"t-`},
		{"over the limit", `{"loan": "l-1", "customer": "c", "amount": 100001}`, http.StatusUnprocessableEntity, "over_partner_limit"},
		{"negative", `{"loan": "l-1", "customer": "c", "amount": -1}`, http.StatusBadRequest, "bad_request"},
		{"nobody", `{"loan": "l-1", "amount": 1}`, http.StatusBadRequest, "bad_request"},
		{"no number", `{"loan": "l-1", "customer": "c", "amount": "all"}`, http.StatusBadRequest, "amount"},
		{"unknown field", `{"loan": "l-1", "customer": "c", "amount": 1, "to": "me"}`, http.StatusBadRequest, "to"},
		{"two", `{"loan": "l-1", "customer": "c", "amount": 1} {}`, http.StatusBadRequest, "goes on"},
		{"nothing", ``, http.StatusBadRequest, "bad_request"},
		{"too much", `{"loan": "` + strings.Repeat("l", 20_000) + `"}`, http.StatusBadRequest, "too large"},
	} {
		t.Run(test.name, func(t *testing.T) {
			recorder := httptest.NewRecorder()
			handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, "/transfers", strings.NewReader(test.body)))
			if recorder.Code != test.want || !strings.Contains(recorder.Body.String(), test.says) {
				t.Errorf("got %d %s, want %d saying %q", recorder.Code, recorder.Body, test.want, test.says)
			}
		})
	}
}
