package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bulla-sign/bulla/client"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/cli/buildinfo"
	"github.com/bulla-sign/bulla/internal/config"
	"github.com/bulla-sign/bulla/internal/trustsource"
	"github.com/bulla-sign/bulla/sign"
	"github.com/bulla-sign/bulla/trust"
)

// plan is which services are called for a signature. What is empty is not called.
type plan struct {
	ca, issuer string
	noIssuer   error           // why there is none
	logs       []trust.Service // address and API version
	tsas       []string
	// eligible are the addresses of the logs of which logs were chosen, at random perhaps, and others may be the next time.
	eligible []string
}

// asksAny says whether any service is called.
func (p *plan) asksAny() bool { return p.ca != "" || len(p.logs) > 0 || len(p.tsas) > 0 }

// logNames are the addresses of the logs, for messages.
func (p *plan) logNames() string {
	var out []string
	for _, l := range p.logs {
		out = append(out, l.URL)
	}
	return strings.Join(out, " and ")
}

// mayUse sets the logs of which some are chosen.
func (p *plan) mayUse(logs []trust.Service) {
	for _, l := range logs {
		p.eligible = append(p.eligible, l.URL)
	}
	slices.Sort(p.eligible)
}

// maxSigningConfig bounds the file: the public instance's has 1 KiB.
const maxSigningConfig = 1 << 20

// plan chooses the services: those of the signing config that is given or was initialized, or those that single flags name.
func (s *signing) plan(ctx context.Context, c *cli.Call, source *trustsource.Source) (*plan, error) {
	if !s.configured() {
		return s.planByFlags(), nil
	}
	if s.SigningConfig != "" {
		data, err := readFileUpTo(ctx, s.SigningConfig, maxSigningConfig)
		if err != nil {
			return nil, err
		}
		cfg, err := trust.DecodeSigningConfig(data)
		if err != nil {
			return nil, cli.Errorf(cli.ExitInput, "signing config %s: %w", s.SigningConfig, err)
		}
		if err := s.checkConfig(c, cfg); err != nil {
			return nil, err
		}
		return s.choose(c, cfg, "signing config "+s.SigningConfig)
	}
	from := "signing config of the initialized instance"
	if source.Assumed() {
		if !s.identified() {
			// With a key nobody has to be identified, so nobody has said that anything is to become public.
			return nil, nothingSaid(c)
		}
		from = "signing config of the public-good instance"
	}
	cfg, err := signingConfigFrom(ctx, c, source)
	if err != nil {
		return nil, inputError(err)
	}
	return s.choose(c, cfg, from)
}

// nothingSaid is the error of a signature with a key of which nobody has said where it is to be logged.
func nothingSaid(c *cli.Call) error {
	const what = "nothing says which transparency log is to hold this signature"
	if c.Cosign { // which prints no hints
		return cli.Usagef(what+": give --signing-config (%s signing-config create), initialize an instance (%s initialize), or say --log=none", c.Name, c.Name)
	}
	return cli.Usagef(what).
		WithHint("initialize an instance (%s initialize), give --signing-config, or say --log=none; verifiers then need --log=none too", c.Name)
}

// planByFlags is what cosign's single flags name; where they name nothing, the public instance.
func (s *signing) planByFlags() *plan {
	p := &plan{}
	if s.identified() {
		p.ca, p.issuer = s.Fulcio.URL, s.OIDC.Issuer
	}
	if !s.unlogged() {
		version := uint32(1)
		if s.rekorVersion.String() == "2" {
			version = 2
		}
		p.logs = []trust.Service{{URL: s.RekorURL, MajorAPIVersion: version}}
		p.mayUse(p.logs)
	}
	if s.TSAClient.URL != "" {
		p.tsas = []string{s.TSAClient.URL}
	}
	return p
}

// checkConfig refuses a signing config that contradicts what the flags say about the log.
func (s *signing) checkConfig(c *cli.Call, cfg *trust.SigningConfig) error {
	none := s.log.String() == "none"
	switch {
	case none && len(cfg.Logs) > 0:
		p := plan{logs: cfg.Logs}
		return cli.Usagef("--log=none contradicts the signing config %s, which names the transparency log %s", s.SigningConfig, p.logNames()).
			WithHint("leave --signing-config out, or give one without log services (%s signing-config create)", c.Name)
	case len(cfg.Logs) == 0 && c.Changed("log") && !none:
		return cli.Usagef("--log=%s contradicts the signing config %s, which names no transparency log", s.log.String(), s.SigningConfig)
	}
	return nil
}

// choose takes services from a signing config.
func (s *signing) choose(c *cli.Call, cfg *trust.SigningConfig, from string) (*plan, error) {
	wrap := func(what string, err error) error {
		return cli.Errorf(cli.ExitInput, "%s: %s: %w", from, what, err)
	}
	by := trust.Choosing{Now: c.Now(), Versions: []uint32{1}, Pick: rand.IntN}
	p := &plan{}
	if s.identified() {
		ca, err := by.One(cfg.CAs)
		if err != nil {
			return nil, wrap("certificate authorities", err)
		}
		p.ca = ca.URL
		// With a token at hand no provider has to be asked.
		issuer, err := by.One(cfg.OIDC)
		p.issuer = issuer.URL
		if err != nil {
			p.noIssuer = fmt.Errorf("%s: identity providers: %w", from, err)
		}
	}
	tsas, err := by.Several(cfg.TSAs, cfg.TSAConfig)
	if err != nil {
		return nil, wrap("timestamp authorities", err)
	}
	for _, t := range tsas {
		p.tsas = append(p.tsas, t.URL)
	}
	if s.unlogged() {
		return p, nil
	}
	if !s.older() { // whose formats have a place for what logs of version 1 sign, and for nothing else
		by.Versions = []uint32{1, 2}
	}
	if p.logs, err = by.Several(cfg.Logs, cfg.LogConfig); err != nil {
		return nil, wrap("transparency logs", err)
	}
	if len(cfg.Logs) > 0 {
		all, err := by.Several(cfg.Logs, trust.Selection{Selector: trust.SelectAll})
		if err != nil {
			return nil, wrap("transparency logs", err)
		}
		p.mayUse(all)
	}
	return p, nil
}

// connect makes the clients of the services, and the trusted root that they and the signature are checked with: the one that
// verifiers will use.
func (s *signing) connect(ctx context.Context, c *cli.Call, source *trustsource.Source, p *plan, o *sign.Options) error {
	if s.TrustedRoot == "" && !s.trusting.named() && !p.asksAny() {
		root, err := s.trusting.revoking(ctx, c, source)
		if root != nil { // by which verifiers will judge the key, and not a certificate, which may be of anybody's authority
			keyOnly := *root
			keyOnly.CAs = nil
			o.Root = &keyOnly
		}
		return err
	}
	if c.Net.Offline() && p.asksAny() {
		return cli.Usagef("--offline was given, and signing this way asks services").
			WithHint("sign with --key and a signing config that names none (signing-config create --help)")
	}
	with, err := s.clientOptions(ctx, c, source)
	if err != nil {
		return err
	}
	o.Root = with.Root
	for _, l := range p.logs {
		logger, err := openLog(l, with)
		if err != nil {
			return cli.Usagef("%w", err)
		}
		o.Loggers = append(o.Loggers, logger)
	}
	if err := s.connectTSAs(ctx, c, p, with, o); err != nil {
		return err
	}
	if p.ca == "" {
		return nil
	}
	ca, err := client.NewCA(p.ca, with)
	if err != nil {
		return cli.Usagef("%w", err)
	}
	if readable(p.ca) {
		c.Warnf("the certificate authority %s is asked without TLS: the identity token could be read on the way", p.ca)
	}
	s.session = &sign.Session{Authority: &shown{ca}, Identity: s.identity(c, p, with.Transport), Now: c.Now}
	if s.session.Key = s.loggingIn; s.Key != "" {
		s.session.Key = o.Signer
	}
	if err := s.resume(ctx, c, p); err != nil {
		return err
	}
	return s.session.Prepare(o)
}

// clientOptions are what all services are called with, among them the trusted root.
func (s *signing) clientOptions(ctx context.Context, c *cli.Call, source *trustsource.Source) (client.Options, error) {
	from := config.Trust{
		TrustedRoot: s.TrustedRoot, LookupEnv: s.trusting.lookupEnv(c),
		Default: func() (*trust.Root, error) { return s.trusting.root(ctx, c, source) },
	}
	if names := from.Variables(); len(names) > 0 {
		c.Warnf("what is trusted comes from the environment: %s", strings.Join(names, ", "))
	}
	root, err := from.Load(ctx)
	if err != nil {
		return client.Options{}, inputError(err)
	}
	with := client.Options{
		Root: root, Transport: c.Net.Guard(client.NewTransport(nil)), UserAgent: buildinfo.UserAgent("bulla"), Now: c.Now,
		Notify: new(retries).teller(c),
	}
	with.Patience = s.perseverance()
	return with, nil
}

// retries are what services are asked again for. Many signatures that are made at the same time meet the same failure, which is
// told once.
type retries struct {
	mu    sync.Mutex
	quiet map[string]time.Time // by address: until when nothing more is told of it
}

func (r *retries) teller(c *cli.Call) func(client.Retry) {
	return func(again client.Retry) {
		r.mu.Lock()
		defer r.mu.Unlock()
		now := c.Now()
		if now.Before(r.quiet[again.URL]) {
			return
		}
		if r.quiet == nil {
			r.quiet = map[string]time.Time{}
		}
		r.quiet[again.URL] = now.Add(again.Pause)
		c.Infof("%v; trying again in %s", again.Err, again.Pause.Round(100*time.Millisecond))
	}
}

func openLog(l trust.Service, with client.Options) (sign.Logger, error) {
	if l.MajorAPIVersion == 2 {
		return client.NewLogV2(l.URL, with)
	}
	return client.NewLogV1(l.URL, with)
}

func (s *signing) connectTSAs(ctx context.Context, c *cli.Call, p *plan, with client.Options, o *sign.Options) error {
	settings, err := s.timestampTLS(ctx)
	if err != nil {
		return err
	}
	if settings != nil {
		with.Transport = c.Net.Guard(client.NewTransport(settings))
	}
	for _, address := range p.tsas {
		tsa, err := client.NewTSA(address, with)
		if err != nil {
			return cli.Usagef("%w", err)
		}
		o.Timestampers = append(o.Timestampers, tsa)
	}
	return nil
}

// readable says whether what is sent to an address leaves this computer in the clear.
func readable(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" {
		return false
	}
	host := u.Hostname()
	return host != "localhost" && !strings.HasPrefix(host, "127.") && host != "::1"
}
