package annotate_test

import (
	"math"
	"strings"
	"testing"

	"github.com/gantry-platform/gantry/internal/policy/annotate"
)

func data() annotate.Data {
	return annotate.Data{Labels: map[string]string{"service": "loan", "instance": "10.0.0.1:8080"}, Value: 0.0734, Expected: 0.01}
}

func TestTexts(t *testing.T) {
	for text, want := range map[string]string{
		"plain":                                                 "plain",
		"{{ $labels.service }}":                                 "loan",
		"{{ .Labels.service }}":                                 "loan",
		"{{ $labels.nothing }}":                                 "",
		"{{ $value }}":                                          "0.0734",
		"{{ $value | humanize }}":                               "73.4m",
		"{{ humanize 123456 }}":                                 "123.5k",
		"{{ humanize1024 1048576 }}":                            "1Mi",
		"{{ $value | humanizePercentage }}":                     "7.34%",
		"{{ humanizeDuration 93784 }}":                          "1d 2h 3m 4s",
		"{{ humanizeDuration 0.25 }}":                           "250ms",
		"{{ humanizeTimestamp 1700000000 }}":                    "2023-11-14T22:13:20Z",
		`{{ printf "%.2f" $value }}`:                            "0.07",
		`{{ if gt $value $expected }}up{{ else }}down{{ end }}`: "up",
		`{{ reReplaceAll "l(.*)n" "$1" $labels.service }}`:      "oa",
		`{{ $labels.instance | stripPort }}`:                    "10.0.0.1",
		`{{ title "loan" }}{{ toUpper "x" }}`:                   "LoanX",
	} {
		parsed, err := annotate.Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, err := parsed.Execute(data()); err != nil || got != want {
			t.Errorf("%s gives %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, text := range []string{"{{", "{{ $labls.x }}", "{{ nothing 1 }}", "{{ range 1000000000 }}{{ end }}", `{{ define "x" }}{{ end }}`,
		`{{ if true }}{{ range 3 }}x{{ end }}{{ end }}`, `{{ template "text" . }}`, `{{ block "x" . }}{{ end }}`,
		strings.Repeat("x", annotate.MaxTemplate+1)} {
		if _, err := annotate.Parse(text); err == nil {
			t.Errorf("%.40q is taken", text)
		}
	}
}

func TestWhatATemplateMakesIsBounded(t *testing.T) {
	doubling := `{{ $x := "0123456789abcdef" }}` + strings.Repeat(`{{ $x = print $x $x }}`, 60)
	for _, text := range []string{doubling, `{{ printf "%999999d" 1 }}`, `{{ $x := printf "%8000d" 1 }}{{ $x }}{{ $x }}`,
		`{{ $x := printf "%1000s" "a" }}{{ reReplaceAll "" "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" $x }}`} {
		parsed, err := annotate.Parse(text)
		if err != nil {
			t.Fatalf("%.40s: %v", text, err)
		}
		if got, err := parsed.Execute(data()); err == nil {
			t.Errorf("%.40s gives %d bytes", text, len(got))
		}
	}
}

func FuzzTemplate(f *testing.F) {
	for _, text := range []string{"{{ $labels.service }} {{ $value | humanize }}", `{{ if gt $value 1.0 }}{{ printf "%x" $labels }}{{ end }}`, `{{ humanizeTimestamp $value }}`} {
		f.Add(text, 1.5)
	}
	f.Fuzz(func(t *testing.T, text string, value float64) {
		parsed, err := annotate.Parse(text)
		if err != nil {
			return
		}
		got, err := parsed.Execute(annotate.Data{Labels: map[string]string{"service": "loan"}, Value: value, Expected: math.NaN()})
		if err == nil && len(got) > annotate.MaxText {
			t.Fatalf("%d bytes", len(got))
		}
	})
}
