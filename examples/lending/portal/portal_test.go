package portal_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gantry-platform/gantry/examples/lending/api/lendingv1"
	"github.com/gantry-platform/gantry/examples/lending/portal"
	"github.com/gantry-platform/gantry/examples/lending/service"
)

// desk answers every application alike.
type desk struct {
	response *lendingv1.ApplyResponse
	err      error
	asked    *lendingv1.Application
}

func (d *desk) Apply(_ context.Context, request *lendingv1.ApplyRequest, _ ...grpc.CallOption) (*lendingv1.ApplyResponse, error) {
	d.asked = request.GetApplication()
	return d.response, d.err
}

const application = `{"customer": "li-lei", "amount": 8000, "months": 12}`

func post(t *testing.T, d *desk, body string) (int, portal.Answer, *prometheus.Registry) {
	t.Helper()
	registry := prometheus.NewRegistry()
	recorder := httptest.NewRecorder()
	portal.NewHandler(portal.Defaults, d, service.NewMeter(registry)).
		ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, "/loans", strings.NewReader(body)))
	var answer portal.Answer
	if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil {
		t.Fatalf("%v: %s", err, recorder.Body)
	}
	return recorder.Code, answer, registry
}

func counted(t *testing.T, registry *prometheus.Registry, outcome string) {
	t.Helper()
	want := `# HELP lending_requests_total Requests by operation and outcome: success, refused by the business, or failed.
# TYPE lending_requests_total counter
lending_requests_total{operation="apply",outcome="` + outcome + `"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "lending_requests_total"); err != nil {
		t.Error(err)
	}
}

// order is the number of an application, which is never the same.
func order(t *testing.T, answer portal.Answer) string {
	t.Helper()
	if len(answer.Order) != 14 || !strings.HasPrefix(answer.Order, "o-") {
		t.Errorf("the order is %q", answer.Order)
	}
	return answer.Order
}

func TestGranted(t *testing.T) {
	d := &desk{response: &lendingv1.ApplyResponse{DecidedBy: "loan-1", Outcome: &lendingv1.ApplyResponse_Granted{
		Granted: &lendingv1.Loan{Id: "l-1", Grade: lendingv1.Grade_GRADE_B, AnnualRate: 0.16, Instalment: 70_005}}}}
	code, answer, registry := post(t, d, application)
	want := portal.Answer{Outcome: portal.Granted, Loan: "l-1", Grade: "B", AnnualRate: 0.16, Instalment: "700.05", DecidedBy: "loan-1"}
	want.Order = order(t, answer)
	if diff := cmp.Diff(want, answer); code != http.StatusCreated || diff != "" {
		t.Errorf("%d\n%s", code, diff)
	}
	if d.asked.GetCustomer() != "li-lei" || d.asked.GetAmount() != 8000 || d.asked.GetMonths() != 12 {
		t.Errorf("asked for %v", d.asked)
	}
	counted(t, registry, "success")
}

func TestRefused(t *testing.T) {
	d := &desk{response: &lendingv1.ApplyResponse{DecidedBy: "loan-1", Outcome: &lendingv1.ApplyResponse_Refused{
		Refused: &lendingv1.Refusal{Reason: "low_score", Message: "no"}}}}
	code, answer, registry := post(t, d, application)
	want := portal.Answer{Outcome: portal.Refused, Reason: "low_score", Message: "no", DecidedBy: "loan-1"}
	want.Order = order(t, answer)
	if diff := cmp.Diff(want, answer); code != http.StatusUnprocessableEntity || diff != "" {
		t.Errorf("%d\n%s", code, diff)
	}
	counted(t, registry, "refused")
}

func TestErrors(t *testing.T) {
	for _, test := range []struct {
		code    codes.Code
		want    int
		reason  string
		outcome string
	}{
		{codes.InvalidArgument, http.StatusBadRequest, "bad_request", "refused"},
		{codes.DeadlineExceeded, http.StatusGatewayTimeout, "timeout", "failed"},
		{codes.Unavailable, http.StatusServiceUnavailable, "unavailable", "failed"},
		{codes.Internal, http.StatusBadGateway, "failed", "failed"},
	} {
		code, answer, registry := post(t, &desk{err: status.Error(test.code, "why")}, application)
		if code != test.want || answer.Reason != test.reason || answer.Message != "why" {
			t.Errorf("%s gave %d %+v", test.code, code, answer)
		}
		counted(t, registry, test.outcome)
	}
	for _, body := range []string{"", "no", `{"customer": 1}`, `{"customer": "c", "sum": 1}`, `{"months": 1e99}`, `{"customer": "c", "channel": "pigeon"}`, application + application} {
		d := &desk{}
		if code, answer, _ := post(t, d, body); code != http.StatusBadRequest || answer.Message == "" || d.asked != nil {
			t.Errorf("%q gave %d %+v, and the loan service was asked for %v", body, code, answer, d.asked)
		}
	}
}
