package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/describe"
	"github.com/bulla-sign/bulla/oidc"
	"github.com/bulla-sign/bulla/sign"
)

// finding is one place of --explain.
type finding struct {
	Source string `json:"source"`
	Looked string `json:"lookedFor"`
	Found  bool   `json:"found"`
	Used   bool   `json:"used"` // it is the first that is there
	// PassedOver says which flag keeps it from being asked.
	PassedOver string `json:"passedOver,omitempty"`
	// Identity and what follows it are of a token or a session that is at hand without asking anybody.
	Identity string     `json:"identity,omitempty"`
	Issuer   string     `json:"issuer,omitempty"`
	Audience []string   `json:"audience,omitempty"`
	Until    *time.Time `json:"until,omitempty"`
	// Problem says why what is there will not do, Lacks what is missing where something could be there.
	Problem string `json:"problem,omitempty"`
	Lacks   string `json:"lacks,omitempty"`
}

// findings lists what is looked for, in order: what a flag gives, the kept session, the surroundings, a person.
func (o *identityLogin) findings(ctx context.Context, c *cli.Call) ([]finding, error) {
	given := finding{Source: "flag", Looked: "--identity-token", Found: o.IdentityToken != ""}
	if given.Found {
		token, err := oidc.FromFlag(ctx, o.IdentityToken)
		o.about(c, &given, token, err)
	}
	kept, err := o.findSession(ctx, c)
	if err != nil {
		return nil, err
	}
	out := []finding{given, kept}
	only := ""
	if o.Provider != "" {
		if only, err = oidc.Name(o.Provider); err != nil {
			return nil, cli.Usagef("--oidc-provider: %w", err)
		}
	}
	for _, f := range oidc.Look(ctx, o.surroundings(c, nil)) {
		place := finding{Source: f.Name, Looked: f.Looked, Found: f.Found, Lacks: f.Lacks}
		if f.Found {
			o.about(c, &place, f.Token, f.Err)
		}
		switch {
		case o.DisableAmbient:
			place.PassedOver = "--oidc-disable-ambient-providers"
		case only != "" && only != f.Name:
			place.PassedOver = "--oidc-provider"
		}
		out = append(out, place)
	}
	out = append(out, o.flows(c, only)...)
	for i := range out {
		if out[i].Found && out[i].PassedOver == "" {
			out[i].Used = true
			break
		}
	}
	return out, nil
}

// findSession looks for the session of "login", which serves commands that sign.
func (o *identityLogin) findSession(ctx context.Context, c *cli.Call) (finding, error) {
	path, err := sessionPath(c)
	if err != nil {
		return finding{Source: "session", Looked: "a file below XDG_RUNTIME_DIR, XDG_CACHE_HOME or HOME, none of which is set"}, nil
	}
	f := finding{Source: "session", Looked: "the file " + path + ", which \"login\" writes"}
	if flag := chooser(c); flag != "" {
		f.PassedOver = "--" + flag
	}
	kept, err := readSession(ctx, c)
	if err != nil || kept == nil {
		return f, err
	}
	key, err := kept.signer()
	if err != nil {
		return f, err
	}
	who := kept.shown(path)
	f.Identity, f.Issuer, f.Until = who.Identity, who.Issuer, &who.Until
	switch err := (&sign.Session{Now: c.Now}).Resume(key, kept.Chain); {
	case errors.Is(err, sign.ErrEnding):
		f.Problem = "it is over"
	case err != nil:
		return f, err
	default:
		f.Found = true
	}
	return f, nil
}

// about adds what a token says. What is there and is no token stays the one that is used, and fails.
func (o *identityLogin) about(c *cli.Call, f *finding, token *oidc.Token, err error) {
	switch {
	case err != nil:
		f.Problem = err.Error()
		return
	case token == nil:
		return
	}
	f.Identity, f.Issuer, f.Audience = token.Who(), token.Issuer, token.Audience
	if !token.Expires.IsZero() {
		f.Until = &token.Expires
	}
	if _, err = token.Challenge(); err == nil {
		err = token.Check(c.Now(), "")
	}
	switch {
	case err != nil:
		f.Problem = err.Error()
	case !slices.Contains(token.Audience, o.ClientID):
		f.Problem = fmt.Sprintf("it is not for %q, which most authorities want (--oidc-client-id)", o.ClientID)
	}
}

// flows are the ways to log in, of which the flags and the terminal allow one.
func (o *identityLogin) flows(c *cli.Call, only string) []finding {
	asked := o.AuthFlow.String()
	out := []finding{
		{Source: "browser", Looked: "a terminal, to log in from", Found: asked == "normal" || asked == "" && c.IsTerminal(c.In)},
		{Source: "device", Looked: "--fulcio-auth-flow=device, to log in elsewhere", Found: asked == "device"},
		{Source: "client-credentials", Looked: "--fulcio-auth-flow=client_credentials, with a secret of the client's own", Found: asked == "client_credentials"},
	}
	for i := range out {
		switch {
		case only != "":
			out[i].PassedOver = "--oidc-provider"
		case asked != "" && !out[i].Found:
			out[i].PassedOver = "--fulcio-auth-flow"
		}
	}
	return out
}

func (o *identityLogin) runExplain(ctx context.Context, c *cli.Call) error {
	list, err := o.findings(ctx, c)
	if err != nil {
		return err
	}
	if o.output.String() == "json" {
		return c.PrintJSON(list)
	}
	w := tabwriter.NewWriter(c.Out, 0, 0, 2, ' ', 0)
	for i, f := range list {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\n", i+1, f.Source, f.state(), f.Looked)
		for _, line := range f.details() {
			fmt.Fprintf(w, "\t\t\t  %s\n", describe.Printable(line))
		}
	}
	return w.Flush()
}

func (f *finding) state() string {
	switch {
	case f.PassedOver != "":
		return "not asked: " + f.PassedOver
	case f.Used:
		return "there: used"
	case f.Found:
		return "there"
	}
	return "not there"
}

func (f *finding) details() []string {
	var out []string
	if f.Identity != "" {
		text := f.Identity + " of " + f.Issuer
		if len(f.Audience) > 0 {
			text += ", for " + strings.Join(f.Audience, ", ")
		}
		if f.Until != nil {
			text += ", until " + f.Until.UTC().Format(time.RFC3339)
		}
		out = append(out, text)
	}
	if f.Problem != "" {
		out = append(out, "but "+f.Problem)
	}
	if f.Lacks != "" {
		out = append(out, f.Lacks)
	}
	return out
}
