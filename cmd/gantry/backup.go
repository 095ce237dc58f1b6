package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/server"
	"github.com/gantry-platform/gantry/internal/state"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// backupCommand is "gantry backup".
func (c *cli) backupCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Take a consistent copy of the whole state",
		Long: `Take a consistent copy of the whole state while the server runs: documents with their history, users and tokens,
instances, audit log. Sensitive documents stay sealed in it: keep the root key (--root-key-file, the cluster secret, or root.key of the data
folder) elsewhere, since a restored server needs it.`,
		Example: `  gantry backup gantry-2026-11-23.backup`,
		Args:    arguments(1, 1),
		RunE: action(func(ctx context.Context, args []string) error {
			if _, err := os.Stat(args[0]); err == nil && !force {
				return fault.New(fault.AlreadyExists, "cli.file_exists", "%s exists", args[0]).Hinted("choose another name, or use --force")
			}
			return c.backup(ctx, args[0])
		}),
	}
	cmd.Flags().BoolVar(&force, "force", false, "overwrite the file")
	return cmd
}

// backup writes beside the file and renames, so that a broken transfer leaves no half of a backup under its name.
func (c *cli) backup(ctx context.Context, path string) error {
	to, err := c.connect()
	if err != nil {
		return err
	}
	file, err := os.OpenFile(path+".part", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fileFault(err)
	}
	defer os.Remove(path + ".part")
	defer file.Close()
	stream, err := to.cluster.Backup(ctx, &gantryv1.BackupRequest{})
	if err != nil {
		return err
	}
	defer stream.Close()
	sum := sha256.New()
	var checksum string
	var bytes uint64
	for stream.Receive() {
		message := stream.Msg()
		if _, err := io.MultiWriter(file, sum).Write(message.Chunk); err != nil {
			return fileFault(err)
		}
		bytes, checksum = message.SentBytes, message.Checksum
		c.progress("backup: bytes", int(bytes), 0)
	}
	if err := stream.Err(); err != nil {
		return err
	}
	if checksum == "" || checksum != hex.EncodeToString(sum.Sum(nil)) {
		return fault.New(fault.Unavailable, "backup.cut_off", "the backup did not arrive whole").Hinted("try again")
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return fileFault(err)
	}
	if err := os.Rename(path+".part", path); err != nil {
		return fileFault(err)
	}
	return c.say("%s: %d bytes, sha256 %s", path, bytes, checksum)
}

// restoreCommand is "gantry restore".
func (c *cli) restoreCommand() *cobra.Command {
	var from, file string
	defaults := &server.Settings{}
	settings := defaults.Bind()
	cmd := &cobra.Command{
		Use:   "restore --from FILE",
		Short: "Fill an empty state from a backup",
		Long: `Fill an empty state from a backup: a new data folder (--data), or an empty prefix of an external etcd
(--etcd-endpoints, --etcd-prefix). The file is read to its end and checked first. Start the server on it afterwards; for a cluster,
restore the first node, start it with the cluster secret, and let the others --join.

The server needs the root key that sealed the sensitive documents.`,
		Example: `  gantry restore --from gantry-2026-11-23.backup --data /var/lib/gantry
  gantry restore --from gantry-2026-11-23.backup --etcd-endpoints http://127.0.0.1:2379`,
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if from == "" {
				return usage(cmd, "--from is missing")
			}
			loaded, err := server.Load(file, c.env, cmd.Flags())
			if err != nil {
				return err
			}
			return c.restore(cmd.Context(), from, loaded)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&from, "from", "", "`file` that gantry backup wrote")
	flags.StringVar(&file, "config", "", "`file` with the server's settings in YAML (GANTRY_CONFIG)")
	for _, setting := range settings {
		setting.AddFlag(flags)
	}
	return cmd
}

func (c *cli) restore(ctx context.Context, from string, settings *server.Settings) error {
	file, err := os.Open(from)
	if err != nil {
		return fileFault(err)
	}
	defer file.Close()
	total, err := state.ReadBackup(file, func(string, []byte) error { return ctx.Err() })
	if err != nil {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return fileFault(err)
	}
	records, err := server.Restore(ctx, settings, file, c.errOut, func(done int) { c.progress("restore: records", done, total) })
	if err != nil {
		return err
	}
	where := settings.Data
	if len(settings.EtcdEndpoints) > 0 {
		where = fmt.Sprint(settings.EtcdEndpoints, " under ", settings.EtcdPrefix)
	}
	return c.say("restored %d records into %s", records, where)
}
