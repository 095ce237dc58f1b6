package release_test

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/release"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func subjects(ids ...string) []release.Subject {
	all := make([]release.Subject, len(ids))
	for i, id := range ids {
		all[i] = instance(id, nil)
	}
	return all
}

func crowd(n int) []release.Subject {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("10.0.%d.%d:8080", i/256, i%256)
	}
	return subjects(ids...)
}

func ids(subjects []release.Subject) []string {
	var out []string
	for _, s := range subjects {
		out = append(out, s.InstanceID)
	}
	return out
}

func TestCohortsMatch(t *testing.T) {
	r := open(t, release.Options{})
	ctx := asSystem(t)
	publish(t, r, release.Draft{Ref: config("c"), Content: []byte("x")})
	subject := release.SubjectOf(&gantryv1.Subject{InstanceId: "i", Address: "10.1.2.3:8080", Labels: map[string]string{"zone": "a", "lane": "blue"}})
	for name, c := range map[string]struct {
		cohort *gantryv1.Cohort
		match  bool
	}{
		"one label":              {&gantryv1.Cohort{Labels: map[string]string{"zone": "a"}}, true},
		"all labels":             {&gantryv1.Cohort{Labels: map[string]string{"zone": "a", "lane": "blue"}}, true},
		"one label wrong":        {&gantryv1.Cohort{Labels: map[string]string{"zone": "a", "lane": "red"}}, false},
		"a label it lacks":       {&gantryv1.Cohort{Labels: map[string]string{"x": ""}}, false},
		"address":                {&gantryv1.Cohort{Addresses: []string{"10.9.9.9", "10.1.2.3"}}, true},
		"range":                  {&gantryv1.Cohort{Addresses: []string{"10.1.0.0/16"}}, true},
		"another range":          {&gantryv1.Cohort{Addresses: []string{"10.2.0.0/16"}}, false},
		"mapped address":         {&gantryv1.Cohort{Addresses: []string{"::ffff:10.1.2.3"}}, true},
		"mapped range":           {&gantryv1.Cohort{Addresses: []string{"::ffff:10.1.0.0/112"}}, true},
		"everyone by percentage": {percent(100), true},
		"label but not address":  {&gantryv1.Cohort{Labels: map[string]string{"zone": "a"}, Addresses: []string{"10.2.0.0/16"}}, false},
		"label and percentage":   {&gantryv1.Cohort{Labels: map[string]string{"zone": "a"}, Percent: pointer(100.0)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			chosen, err := r.Preview(ctx, config("c"), c.cohort, slices.Values([]release.Subject{subject}))
			if err != nil || (len(chosen) == 1) != c.match {
				t.Errorf("chosen %v, %v", ids(chosen), err)
			}
		})
	}
	if subject.Address != netip.MustParseAddr("10.1.2.3") {
		t.Errorf("the subject's address is %v", subject.Address)
	}
}

func TestCohortsAreRefused(t *testing.T) {
	r := open(t, release.Options{})
	ctx := asSystem(t)
	publish(t, r, release.Draft{Ref: config("c"), Content: []byte("x")})
	for name, c := range map[string]struct {
		cohort *gantryv1.Cohort
		reason string
		field  string
	}{
		"empty":            {&gantryv1.Cohort{}, "cohort.empty", "cohort"},
		"host name":        {&gantryv1.Cohort{Addresses: []string{"10.0.0.1", "loan.internal"}}, "cohort.address_invalid", "cohort.addresses[1]"},
		"bad range":        {&gantryv1.Cohort{Addresses: []string{"10.0.0.0/33"}}, "cohort.address_invalid", "cohort.addresses[0]"},
		"zone":             {&gantryv1.Cohort{Addresses: []string{"fe80::1%eth0"}}, "cohort.address_invalid", "cohort.addresses[0]"},
		"both families":    {&gantryv1.Cohort{Addresses: []string{"::ffff:0.0.0.0/90"}}, "cohort.address_invalid", "cohort.addresses[0]"},
		"nothing":          {percent(0), "cohort.percent_invalid", "cohort.percent"},
		"more than all":    {percent(100.5), "cohort.percent_invalid", "cohort.percent"},
		"no number":        {percent(math.NaN()), "cohort.percent_invalid", "cohort.percent"},
		"empty label":      {&gantryv1.Cohort{Labels: map[string]string{"": "x"}}, "cohort.label_invalid", `cohort.labels[""]`},
		"long label":       {&gantryv1.Cohort{Labels: map[string]string{"k": strings.Repeat("x", 513)}}, "cohort.label_invalid", `cohort.labels["k"]`},
		"too many ranges":  {&gantryv1.Cohort{Addresses: make([]string, release.MaxCohortAddresses+1)}, "cohort.too_large", "cohort.addresses"},
		"a range unparsed": {&gantryv1.Cohort{Addresses: []string{""}}, "cohort.address_invalid", "cohort.addresses[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.Release(ctx, release.Step{Ref: config("c")}, 0, c.cohort)
			f, ok := fault.As(err)
			if !ok || f.Reason != c.reason || f.Field != c.field || f.Hint == "" {
				t.Errorf("got %+v", err)
			}
		})
	}
}

// A wider percentage contains the narrower one, whatever else the cohort asks for, and the same
// question has the same answer.
func TestAWiderStageContainsTheNarrower(t *testing.T) {
	r := open(t, release.Options{})
	ctx := asSystem(t)
	publish(t, r, release.Draft{Ref: config("c"), Content: []byte("x")})
	rapid.Check(t, func(t *rapid.T) {
		narrow := rapid.Float64Range(0.01, 99).Draw(t, "narrow")
		wide := rapid.Float64Range(narrow, 100).Draw(t, "wide")
		all := subjects(rapid.SliceOfN(rapid.StringN(1, 40, 200), 1, 60).Draw(t, "ids")...)
		preview := func(p float64) []string {
			chosen, err := r.Preview(ctx, config("c"), percent(p), slices.Values(all))
			if err != nil {
				t.Fatal(err)
			}
			return ids(chosen)
		}
		few, many := preview(narrow), preview(wide)
		for _, id := range few {
			if !slices.Contains(many, id) {
				t.Fatalf("%q is in %v%% but not in %v%%", id, narrow, wide)
			}
		}
		if !slices.Equal(few, preview(narrow)) {
			t.Fatal("the same cohort chooses differently")
		}
	})
}

// The share is near the percentage, and different rollouts choose different instances. The bound is six standard
// deviations of a fair draw; the hash is fixed, so the test cannot fail by chance.
func TestPercentagesAreFair(t *testing.T) {
	r := open(t, release.Options{})
	ctx := asSystem(t)
	all := crowd(20_000)
	chosenBy := map[string][]string{}
	for _, document := range []string{"a", "b"} {
		publish(t, r, release.Draft{Ref: config(document), Content: []byte("x")})
		for _, p := range []float64{1, 10, 50} {
			chosen, err := r.Preview(ctx, config(document), percent(p), slices.Values(all))
			if err != nil {
				t.Fatal(err)
			}
			n, share := float64(len(all)), p/100
			if off := math.Abs(float64(len(chosen)) - n*share); off > 6*math.Sqrt(n*share*(1-share)) {
				t.Errorf("%v%% of %d chose %d", p, len(all), len(chosen))
			}
			chosenBy[document] = ids(chosen)
		}
	}
	both := 0
	in := map[string]bool{}
	for _, id := range chosenBy["a"] {
		in[id] = true
	}
	for _, id := range chosenBy["b"] {
		if in[id] {
			both++
		}
	}
	if share := float64(both) / float64(len(all)); share < 0.2 || share > 0.3 {
		t.Errorf("two rollouts of one half share %.2f of the instances, not a quarter", share)
	}
}

// What a preview shows is what the release then does, also in later stages.
func TestPreviewTellsTheTruth(t *testing.T) {
	r := open(t, release.Options{})
	ctx := asSystem(t)
	ref := config("c")
	released(t, r, ref, "old")
	publish(t, r, release.Draft{Ref: ref, Content: []byte("new")})
	all := crowd(200)
	for _, p := range []float64{5, 30, 80} {
		chosen, err := r.Preview(ctx, ref, percent(p), slices.Values(all))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Release(ctx, release.Step{Ref: ref}, 2, percent(p)); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range all {
			if content(t, r, ref, s) == "new" {
				got = append(got, s.InstanceID)
			}
		}
		if !slices.Equal(got, ids(chosen)) {
			t.Fatalf("at %v%%: shown %d, chosen %d", p, len(chosen), len(got))
		}
	}
}
