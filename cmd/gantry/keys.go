package main

import (
	"context"

	"github.com/spf13/cobra"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func (c *cli) keysCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:     "keys",
		Short:   "Manage the keys that sensitive documents are sealed with",
		Example: `  gantry keys rotate`,
	}, c.keysRotateCommand())
}

func (c *cli) keysRotateCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Make a new data key and seal every sensitive version again",
		Long: `Make a new data key, seal every sensitive version again and retire the old keys. Services go on meanwhile.
When it is interrupted, run it again: it goes on where it was.`,
		Example: `  gantry keys rotate --yes`,
		Args:    arguments(0, 0),
		RunE: action(func(ctx context.Context, _ []string) error {
			r, err := c.connect()
			if err != nil {
				return err
			}
			if err := c.confirm(ctx, yes, "Make a new data key and seal every sensitive version again?"); err != nil {
				return err
			}
			stream, err := r.releases.RotateKeys(ctx, &gantryv1.RotateKeysRequest{})
			if err != nil {
				return err
			}
			defer stream.Close()
			last := &gantryv1.RotateKeysResponse{}
			for stream.Receive() {
				last = stream.Msg()
				c.progress("sealing", int(last.GetDone()), int(last.GetTotal()))
			}
			c.progress("sealing", int(last.GetTotal()), int(last.GetTotal()))
			if err := stream.Err(); err != nil {
				return err
			}
			return c.answer(last, func() error {
				return c.say("%s sealed again; the data key is %s", plural(int(last.GetDone()), "version", "versions"), dash(last.GetKeyId()))
			})
		}),
	}
	yesFlag(cmd, &yes)
	return cmd
}
