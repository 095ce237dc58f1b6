package alert_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/gantry-platform/gantry/internal/state/statetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, statetest.LeakOptions()...) }
