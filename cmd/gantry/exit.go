package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gantry-platform/gantry/internal/fault"
)

// Exit codes. They are part of the interface: scripts depend on them.
const (
	exitDone        = 0
	exitFailed      = 1
	exitInvalid     = 2
	exitNotFound    = 3
	exitConflict    = 4
	exitForbidden   = 5
	exitUnavailable = 6
	// exitDifferent is not diff's own 1, so that a failure is never taken for a difference.
	exitDifferent = 7
	// exitIncomplete tells a migration that left something behind, which its report names, from one that failed.
	exitIncomplete  = 8
	exitInterrupted = 130
)

// exitStatus is an error that says all in its exit code: nothing is printed for it.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// exitCodeOf is the exit code of a class of errors.
func exitCodeOf(code fault.Code) int {
	switch code {
	case fault.Invalid, fault.TooLarge:
		return exitInvalid
	case fault.NotFound:
		return exitNotFound
	case fault.AlreadyExists, fault.Conflict, fault.Precondition:
		return exitConflict
	case fault.Unauthenticated, fault.Forbidden:
		return exitForbidden
	case fault.Exhausted, fault.Unavailable, fault.DeadlineExceeded:
		return exitUnavailable
	default:
		return exitFailed
	}
}

// exitCodesTopic is "gantry help exit-codes".
func exitCodesTopic() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "What the exit codes mean",
		Long: `Every command ends with one of these codes.

    0  done
    1  failed: a defect or the machine's trouble, or the question was answered with no
    2  wrong usage or invalid input: an unknown flag, a document that breaks its schema
    3  not found
    4  conflict: somebody changed it meanwhile (--expect, --expect-revision), it exists
       already, or its state does not allow it
    5  not signed in, or not allowed
    6  unavailable (no server, no quorum), overloaded, or out of time: later it may work
    7  gantry diff found differences (0: none)
    8  gantry migrate did not take everything; its report says what and why
  130  interrupted

Of several documents the first that failed decides.`,
	}
}
