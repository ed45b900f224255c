package main

import (
	"bufio"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/server/internal/control"
	"github.com/bulla-sign/bulla/server/internal/instance"
	"github.com/bulla-sign/bulla/server/internal/rotation"
)

// soon is how long before its end something is pointed out.
const soon = 60 * 24 * time.Hour

func statusCommand() *cli.Command {
	d := &deployment{}
	var output cli.Choice
	return &cli.Command{
		Use: "status [flags]", Short: "Show what runs, which keys are in use and when they end", Group: "Run",
		Long: `Show the running processes of a deployment, whether they are ready, the keys and certificates with the times in which they are trusted, rotations under way, the sizes of the logs, and what the monitor found in them (all of it with -o json, under watched).

The exit status is 1 when a process is not ready. When none runs, what the state says is shown, and the exit status is 0.`,
		Example: `bulla-server status --config bulla-server.yaml
bulla-server status -o json | jq .keys`,
		Flags: allFlags(d.register, func(fs *pflag.FlagSet) { cli.Output(fs, &output, "text", "text", "json") }),
		Run: func(ctx context.Context, c *cli.Call) error {
			if err := d.open(c); err != nil {
				return err
			}
			all, err := statuses(ctx, d)
			if err != nil {
				return err
			}
			c.JSONLines = len(all) > 1
			for i := range all {
				if output.String() == "json" {
					err = c.PrintJSON(&all[i])
				} else {
					err = printStatus(c, &all[i])
				}
				if err != nil {
					return err
				}
			}
			for _, s := range all {
				if s.Running && !s.Ready {
					return fmt.Errorf("not ready: %s", strings.Join(s.Failing, ", "))
				}
			}
			return nil
		},
	}
}

// statuses asks the running processes; if there are none, the state speaks.
func statuses(ctx context.Context, d *deployment) ([]instance.Status, error) {
	peers, err := control.Peers(d.dir.Path())
	if err != nil {
		return nil, err
	}
	var out []instance.Status
	for _, p := range peers {
		var s instance.Status
		if err := p.Call(ctx, instance.PathStatus, instance.Nothing{}, &s); err != nil {
			return nil, cli.Errorf(cli.ExitUnknown, "%w", err)
		}
		out = append(out, s)
	}
	if len(out) > 0 {
		return out, nil
	}
	h, err := d.dir.Load()
	if err != nil {
		return nil, err
	}
	return []instance.Status{instance.Describe(h)}, nil
}

func printStatus(c *cli.Call, s *instance.Status) error {
	out := bufio.NewWriter(c.Out)
	now := c.Now()
	switch {
	case !s.Running:
		fmt.Fprintf(out, "%s: not running\n", s.URL)
	case s.Ready:
		fmt.Fprintf(out, "%s: ready, version %s, up %s, services %v\n", s.URL, s.Version, now.Sub(*s.Started).Truncate(time.Second), s.Services)
	default:
		fmt.Fprintf(out, "%s: NOT READY: %s\n", s.URL, strings.Join(s.Failing, ", "))
		for _, r := range s.Reasons {
			fmt.Fprintf(out, "  %s\n", r)
		}
	}
	fmt.Fprintf(out, "\n%-8s %-8s %-9s %-20s %-20s %s\n", "KIND", "NAME", "PHASE", "TRUSTED FROM", "UNTIL", "CERTIFICATE ENDS")
	for _, k := range s.Keys {
		end, expires := "-", "-"
		if k.End != nil {
			end = k.End.Format(time.RFC3339)
		}
		if k.Expires != nil {
			expires = k.Expires.Format(time.RFC3339)
			if k.Expires.Sub(now) < soon && k.End == nil {
				expires += fmt.Sprintf("  SOON: bulla-server rotate %s", k.Kind)
			}
		}
		fmt.Fprintf(out, "%-8s %-8s %-9s %-20s %-20s %s\n", k.Kind, k.Name, k.Phase, k.Start.Format(time.RFC3339), end, expires)
	}
	for _, l := range s.Logs {
		fmt.Fprintf(out, "\n%s: %d entries", l.Name, l.Size)
	}
	if len(s.Logs) > 0 {
		fmt.Fprintln(out)
	}
	for i := range s.Watched {
		w := &s.Watched[i]
		fmt.Fprintf(out, "\nmonitor of %s: %d of %d entries read, %d findings", w.Name, w.Read, w.Size, len(w.Found))
		for _, a := range w.Alarms {
			fmt.Fprintf(out, "\n  ALARM %s since %s: %s", a.Alarm, a.Since.Format(time.RFC3339), a.Text)
		}
	}
	if len(s.Watched) > 0 {
		fmt.Fprintln(out)
	}
	for i := range s.Rotations {
		fmt.Fprintf(out, "\n%s\n", describeProgress(&s.Rotations[i]))
	}
	return out.Flush()
}

// describeProgress says in a sentence where a rotation is.
func describeProgress(p *rotation.Progress) string {
	what := map[rotation.Step]string{
		rotation.Publish:  "the new key is made; the trusted root does not have it yet",
		rotation.Switch:   "the trusted root has the new key; the service still uses the old one",
		rotation.Announce: "the service uses the new key; the signing config does not say so yet",
		rotation.Close:    "the new key is in use; the old key's window is still open",
		rotation.Done:     "done, that one is in use",
	}[p.Step]
	if p.NotBefore != nil {
		what += ", until " + p.NotBefore.Format(time.RFC3339)
	}
	return fmt.Sprintf("rotation of %s to %s: %s", p.Kind, p.Next, what)
}
