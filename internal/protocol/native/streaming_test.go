package native

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
)

// waited is how a stream that waits for something that never comes ended, and after how long.
func waited(t *testing.T, caller context.Context, allowed func() error) (time.Duration, error) {
	t.Helper()
	began := time.Now()
	s := wait(caller, allowed)
	defer s.Close()
	<-s.Done()
	return time.Since(began), s.why(s.Err())
}

func TestAWaitingStreamEndsWithItsRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		until := time.Now().Add(10*time.Second + time.Millisecond)
		took, err := waited(t, t.Context(), func() error {
			if time.Now().Before(until) {
				return nil
			}
			return fault.New(fault.Forbidden, "access.forbidden", "no more")
		})
		if !fault.Is(err, fault.Forbidden) || took > 10*time.Second+rightsInterval {
			t.Errorf("%v after %s", err, took)
		}
	})
}

func TestAWaitingStreamEndsWithTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leaving, leave := context.WithCancel(t.Context())
		time.AfterFunc(300*time.Millisecond, leave)
		took, err := waited(t, edge.WithLeaving(t.Context(), leaving), func() error { return nil })
		if !fault.Is(err, fault.Unavailable) || took != 300*time.Millisecond {
			t.Errorf("%v after %s", err, took)
		}
	})
}

func TestAWaitingStreamEndsWithItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		caller, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if took, err := waited(t, caller, func() error { return nil }); err != context.DeadlineExceeded || took != time.Minute {
			t.Errorf("%v after %s", err, took)
		}
	})
}

// The rights of a stream are all of those that it began with.
func TestUsesAskForEachRight(t *testing.T) {
	all := uses{{"default", mayRead}: {}, {"staging", mayServe}: {}}
	if err := all.allowed(access.NewContext(t.Context(), access.System("test"))); err != nil {
		t.Error(err)
	}
	if err := all.allowed(access.NewContext(t.Context(), access.Serving("test", "", "default"))); !fault.Is(err, fault.Forbidden) {
		t.Errorf("staging is not allowed: %v", err)
	}
}
