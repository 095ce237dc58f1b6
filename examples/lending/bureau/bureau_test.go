package bureau_test

import (
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"github.com/gantry-platform/gantry/examples/lending/bureau"
	"github.com/gantry-platform/gantry/examples/lending/service"
)

func TestLookup(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		customer := rapid.StringMatching(`[A-Za-z0-9-]{1,64}`).Draw(t, "customer")
		first, known := bureau.Lookup(customer)
		again, knownAgain := bureau.Lookup(customer)
		if first != again || known != knownAgain {
			t.Fatalf("%+v, then %+v", first, again)
		}
		if known && (first.Customer != customer || first.Score < 300 || first.Score > 850 || first.Income <= 0 || first.Debt < 0) {
			t.Fatalf("%+v", first)
		}
	})
}

func TestHandler(t *testing.T) {
	unknown := ""
	for i := 0; unknown == ""; i++ {
		if _, known := bureau.Lookup(string(rune('a' + i))); !known {
			unknown = string(rune('a' + i))
		}
	}
	for _, test := range []struct {
		name, customer string
		draw           float64
		want           int
	}{
		{"known", "li-lei", 0.5, http.StatusOK},
		{"unknown", unknown, 0.5, http.StatusNotFound},
		{"at the error rate", "li-lei", 0.25, http.StatusOK},
		{"below it", "li-lei", 0.24, http.StatusServiceUnavailable},
	} {
		t.Run(test.name, func(t *testing.T) {
			settings := func() bureau.Settings { return bureau.Settings{ErrorRate: 0.25} }
			handler := bureau.NewHandler(settings, func() float64 { return test.draw }, service.NewMeter(prometheus.NewRegistry()))
			recorder := httptest.NewRecorder()
			handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/reports/"+test.customer, nil))
			if recorder.Code != test.want {
				t.Fatalf("got %d %s, want %d", recorder.Code, recorder.Body, test.want)
			}
			var report bureau.Report
			if err := json.Unmarshal(recorder.Body.Bytes(), &report); err != nil {
				t.Fatal(err)
			}
			if want, _ := bureau.Lookup(test.customer); test.want == http.StatusOK && report != want {
				t.Errorf("got %+v, want %+v", report, want)
			}
		})
	}
}

func TestSettings(t *testing.T) {
	if err := bureau.Defaults().Validate(); err != nil {
		t.Error(err)
	}
	for _, bad := range []bureau.Settings{
		{Latency: -1}, {Latency: time.Hour}, {Jitter: -1}, {Jitter: time.Hour}, {ErrorRate: -0.1}, {ErrorRate: 1.1}, {ErrorRate: math.NaN()},
	} {
		if err := bad.Validate(); err == nil {
			t.Errorf("%+v is valid", bad)
		}
	}
}
