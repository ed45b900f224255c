package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/durable"
	"github.com/bulla-sign/bulla/server/internal/instance"
	"github.com/bulla-sign/bulla/server/internal/keyring"
	"github.com/bulla-sign/bulla/server/tufrepo"
)

const (
	// maxDocument bounds a document of the TUF repository; one with every target takes some 10 KB.
	maxDocument  = 4 << 20
	documentMode = 0o644
)

func tufCommand() *cli.Command {
	return &cli.Command{
		Use: "tuf", Short: "Sign for the TUF repository with keys that are kept offline, and replace them", Group: "Keys",
		Long: `Sign for the TUF repository with keys that are kept offline, and replace them.

When the keys of root or targets are not with the server, what they have to sign waits: a new trusted root, for instance, which a rotation publishes. "tuf pending" takes it out, "tuf sign" signs it where the key is, "tuf import" brings it back, and what waited for it goes on.`,
		Commands: []*cli.Command{tufPendingCommand(), tufSignCommand(), tufImportCommand(), tufRekeyCommand()},
	}
}

func tufPendingCommand() *cli.Command {
	d := &deployment{}
	var out string
	return &cli.Command{
		Use: "pending [flags]", Short: "Take out what waits for signatures",
		Example: `bulla-server tuf pending --out /media/stick`,
		Flags: allFlags(d.register, func(fs *pflag.FlagSet) {
			fs.StringVar(&out, "out", ".", "write the documents to `DIR`")
		}),
		Run: func(ctx context.Context, c *cli.Call) error {
			if err := d.open(c); err != nil {
				return err
			}
			peer, err := publisher(ctx, d.dir.Path())
			if err != nil {
				return err
			}
			var documents [][]byte
			if err := peer.Call(ctx, instance.PathPending, instance.Nothing{}, &documents); err != nil {
				return err
			}
			if len(documents) == 0 {
				c.Infof("nothing waits for signatures")
			}
			for _, doc := range documents {
				name, err := documentName(doc)
				if err != nil {
					return err
				}
				path := filepath.Join(out, name)
				if err := durable.WriteFile(path, doc, documentMode); err != nil {
					return err
				}
				if _, err := fmt.Fprintln(c.Out, path); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// documentName is the file name for a document: its role and version.
func documentName(doc []byte) (string, error) {
	var d struct {
		Signed struct {
			Type    string `json:"_type"`
			Version int64  `json:"version"`
		} `json:"signed"`
	}
	if err := json.Unmarshal(doc, &d); err != nil {
		return "", cli.Errorf(cli.ExitInput, "a document of the TUF repository: %w", err)
	}
	if d.Signed.Type != "root" && d.Signed.Type != "targets" {
		return "", cli.Errorf(cli.ExitInput, "a document of the TUF repository is of the type %.20q, not root or targets", d.Signed.Type)
	}
	return fmt.Sprintf("%d.%s.json", d.Signed.Version, d.Signed.Type), nil
}

func tufSignCommand() *cli.Command {
	var key string
	return &cli.Command{
		Use: "sign [flags] FILE", Short: "Add a key's signature to a document, where the key is",
		Long:    `Add a key's signature to a document that "tuf pending" took out. It needs no server. Look at the document first: a targets document names the files that clients will trust, by their digests.`,
		Example: `bulla-server tuf sign --key /media/stick/tuf-targets.key 2.targets.json`,
		Args:    cobra.ExactArgs(1),
		Flags: func(fs *pflag.FlagSet) {
			fs.StringVar(&key, "key", "", "sign with this key, a `REFERENCE`; required")
		},
		Run: func(ctx context.Context, c *cli.Call) error {
			if key == "" {
				return cli.Usagef("--key is needed")
			}
			doc, err := readDocument(c.Args[0])
			if err != nil {
				return err
			}
			dir, err := os.Getwd()
			if err != nil {
				return err
			}
			signer, err := keyring.New(dir, c.KeyEnvironment()).Open(ctx, key)
			if err != nil {
				return cli.Errorf(cli.ExitInput, "%w", err)
			}
			signed, err := tufrepo.Sign(doc, signer)
			if err != nil {
				return cli.Errorf(cli.ExitInput, "%s: %w", c.Args[0], err)
			}
			return durable.WriteFile(c.Args[0], signed, documentMode)
		},
	}
}

func tufImportCommand() *cli.Command {
	d := &deployment{}
	return &cli.Command{
		Use: "import [flags] FILE", Short: "Bring back a document that was signed",
		Long:    `Bring back a document that "tuf sign" signed. Once it has enough signatures it is published, and a rotation that waited for it goes on.`,
		Example: `bulla-server tuf import 2.targets.json`,
		Args:    cobra.ExactArgs(1),
		Flags:   d.register,
		Run: func(ctx context.Context, c *cli.Call) error {
			doc, err := readDocument(c.Args[0])
			if err != nil {
				return err
			}
			if err := d.open(c); err != nil {
				return err
			}
			peer, err := publisher(ctx, d.dir.Path())
			if err != nil {
				return err
			}
			return peer.Call(ctx, instance.PathImport, doc, nil)
		},
	}
}

func readDocument(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // read only
	data, err := io.ReadAll(io.LimitReader(f, maxDocument+1))
	if err == nil && len(data) > maxDocument {
		err = cli.Errorf(cli.ExitInput, "%s is larger than %d bytes", path, maxDocument)
	}
	return data, err
}
