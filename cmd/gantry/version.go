package main

import (
	"context"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker (-X main.version=v1.2.3) and never changed.
var version = "devel"

// build says what this binary was made of. The fields come from what the Go command writes into it.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Time     string `json:"time,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func thisBuild() build {
	b := build{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if version == "devel" {
		// "go install" of a released module knows its version by itself.
		b.Version = first(info.Main.Version, b.Version)
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			b.Revision = setting.Value
		case "vcs.time":
			b.Time = setting.Value
		case "vcs.modified":
			b.Modified = setting.Value == "true"
		}
	}
	return b
}

func (c *cli) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the version of this program",
		Example: `  gantry version
  gantry version -o json`,
		Args: arguments(0, 0),
		RunE: action(func(context.Context, []string) error {
			b := thisBuild()
			if c.flags.output.machine() {
				return c.answerValue(b)
			}
			return c.say("gantry %s (%s, %s)", b.Version, b.Go, b.Platform)
		}),
	}
}
