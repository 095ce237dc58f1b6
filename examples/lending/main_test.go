package main

import (
	"context"
	"strings"
	"testing"
)

func TestUsage(t *testing.T) {
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{nil, 2, "Usage: lending SERVICE"},
		{[]string{"help"}, 0, "Usage: lending SERVICE"},
		{[]string{"load", "-h"}, 0, "-every"},
		{[]string{"bank"}, 2, `"bank" is not a service`},
		{[]string{"loan", "-nonsense"}, 2, "-nonsense"},
		{[]string{"loan", "risk"}, 2, "Usage"},
		{[]string{"load", "-every", "0s"}, 2, "Usage"},
		{[]string{"fund", "-metrics-listen", "nowhere"}, 1, "metrics: listen tcp"},
	} {
		var out, errOut strings.Builder
		if code := run(context.Background(), test.args, &out, &errOut); code != test.code || !strings.Contains(errOut.String(), test.says) {
			t.Errorf("%v: %d\n%s", test.args, code, errOut.String())
		}
	}
}
