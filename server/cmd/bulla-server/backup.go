package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/server/internal/backup"
	"github.com/bulla-sign/bulla/server/internal/upkeep"
)

func backupCommand() *cli.Command {
	d := &deployment{}
	var output cli.Choice
	return &cli.Command{
		Use: "backup [flags] FILE", Short: "Copy the state into a file, while the server runs", Group: "Data", NoTimeout: true,
		Long: `Copy the state, the encrypted keys, the TUF repository, the logs and the configuration into a new file, a tar archive, while the server runs. Each log is copied as it was at one moment.

Two things are left out on purpose: the password file, which would open the keys, and the lock store, which must know more than a backup does.

A log that is restored from a backup and has signed more since may not go on: keep the log's own directory on storage that does not lose what was synced, and use backups for the rest.`,
		Example: `bulla-server backup --config bulla-server.yaml /backup/bulla-$(date +%F).tar`,
		Args:    cobra.ExactArgs(1),
		Flags:   allFlags(d.register, func(fs *pflag.FlagSet) { cli.Output(fs, &output, "text", "text", "json") }),
		Run: func(ctx context.Context, c *cli.Call) error {
			if err := d.open(c); err != nil {
				return err
			}
			m, err := backup.Create(c.Args[0], func(w io.Writer) (*backup.Manifest, error) {
				return upkeep.Backup(ctx, w, d.dir, c.Now)
			})
			if err != nil {
				return fmt.Errorf("backup to %s: %w", c.Args[0], err)
			}
			if output.String() == "json" {
				return c.PrintJSON(m)
			}
			_, err = fmt.Fprintf(c.Out, "%s: %d files of revision %d\n", c.Args[0], m.Files, m.Revision)
			return err
		},
	}
}

func restoreCommand() *cli.Command {
	var o upkeep.RestoreOptions
	var output cli.Choice
	return &cli.Command{
		Use: "restore [flags] FILE", Short: "Bring a backup back", Group: "Data", NoTimeout: true,
		Long: `Bring a backup back as the directory DIR, which must not exist or be empty. It appears when all of it is there and checked.

A log that has signed more than the backup has, as the lock store knows, is refused: going on from there would be a second history. Find the newer directory. If it is lost, --older-logs restores the log as far as the backup goes; it then takes no entries, and "bulla-server rotate log --now" begins a new shard. What was logged after the backup still verifies offline.

The password file is not part of a backup: put it back, or set BULLA_PASSWORD.`,
		Example: `bulla-server restore --dir /var/lib/bulla /backup/bulla-2026-11-25.tar`,
		Args:    cobra.ExactArgs(1),
		Flags: func(fs *pflag.FlagSet) {
			fs.StringVar(&o.Dir, "dir", "", "restore to `DIR`; required")
			fs.StringVar(&o.Lock, "lock", "", "the lock store, a `DIR`, where it is not where the configuration in the backup says")
			fs.BoolVar(&o.OlderLogs, "older-logs", false, "accept logs that end before what the lock store knows; they are read only then")
			cli.Output(fs, &output, "text", "text", "json")
		},
		Run: func(ctx context.Context, c *cli.Call) error {
			if o.Dir == "" {
				return cli.Usagef("--dir is needed")
			}
			f, err := os.Open(c.Args[0])
			if err != nil {
				return err
			}
			defer func() { _ = f.Close() }() // read only
			got, err := upkeep.Restore(ctx, f, o)
			if errors.Is(err, upkeep.ErrOlderLog) {
				return cli.Errorf(cli.ExitInput, "%w", err).
					WithHint("restore a newer copy of the log; if there is none, --older-logs restores it for reading")
			}
			if err != nil {
				return cli.Errorf(cli.ExitInput, "%w", err)
			}
			if output.String() == "json" {
				return c.PrintJSON(got)
			}
			if len(got.NoLock) > 0 {
				c.Warnf("no lock store knows of %s: it will take no entries until the lock store is back, or adopts it (adopt-lock in the configuration)", strings.Join(got.NoLock, ", "))
			}
			if len(got.Older) > 0 {
				c.Warnf("read only from now on: %s; begin new shards with \"%s rotate ctlog --now\" and \"%s rotate log --now\"", strings.Join(got.Older, ", "), c.Name, c.Name)
			}
			_, err = fmt.Fprintf(c.Out, "%s: %d files of %s\n", o.Dir, got.Manifest.Files, got.Manifest.Created.Format("2006-01-02 15:04:05 MST"))
			return err
		},
	}
}

func fsckCommand() *cli.Command {
	d := &deployment{}
	var output cli.Choice
	return &cli.Command{
		Use: "fsck [flags]", Short: "Check every piece of a deployment against the others", Group: "Data", NoTimeout: true,
		Long: `Check that every key opens and is the one that the state has, that certificates and trusted root follow from it, that the TUF repository leads a client from its first root to them, and that of every log each entry is in the tree, the tree is what was signed, and the lock store agrees. Nothing is changed; a server may run meanwhile.

The exit status is 22 when something is wrong.`,
		Example: `bulla-server fsck --config bulla-server.yaml`,
		Flags:   allFlags(d.register, func(fs *pflag.FlagSet) { cli.Output(fs, &output, "text", "text", "json") }),
		Run: func(ctx context.Context, c *cli.Call) error {
			if err := d.open(c); err != nil {
				return err
			}
			findings, err := upkeep.Check(ctx, upkeep.Deployment{File: d.file, Dir: d.dir, Ring: d.ring, Now: c.Now})
			if err != nil {
				return err
			}
			if output.String() == "json" {
				if err := c.PrintJSON(findings); err != nil {
					return err
				}
			}
			wrong := 0
			out := bufio.NewWriter(c.Out)
			for _, f := range findings {
				if f.Error != "" {
					wrong++
				}
				if output.String() == "text" {
					fmt.Fprintln(out, describeFinding(f))
				}
			}
			if err := out.Flush(); err != nil {
				return err
			}
			if wrong > 0 {
				return cli.Errorf(cli.ExitInput, "%d of %d checks failed", wrong, len(findings))
			}
			return nil
		},
	}
}

func describeFinding(f upkeep.Finding) string {
	switch {
	case f.Error != "":
		return fmt.Sprintf("WRONG %s: %s", f.Part, f.Error)
	case f.Note != "":
		return fmt.Sprintf("ok    %s: %s", f.Part, f.Note)
	}
	return "ok    " + f.Part
}
