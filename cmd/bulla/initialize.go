package main

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/cli/buildinfo"
	"github.com/bulla-sign/bulla/internal/trustsource"
	"github.com/bulla-sign/bulla/tuf"
)

// maxTUFRoot bounds a root.json: the public instance's has 6 kB.
const maxTUFRoot = 256 << 10

type initialize struct {
	mirror, root, checksum string
	staging                bool
	output                 cli.Choice
}

func initializeCommand() *cli.Command {
	o := &initialize{}
	return &cli.Command{
		Use: "initialize [flags]", Short: "Trust what a TUF repository publishes", Group: "Trust", BindEnv: true,
		Long: `Trust what a TUF repository publishes: the certificate authorities, logs and timestamp authorities that signatures are verified with, and the services that signing calls. From then on every command uses it, and refreshes it when the network allows. cosign and bulla share what is initialized, in $TUF_ROOT or ~/.sigstore/root.

Trust begins with a root.json that you have reason to believe in: a file, or a URL, whose content --root-checksum fixes. Without --mirror it is Sigstore's public-good instance, whose root.json is built in.

Nothing is changed unless the repository was read and verified to its end.`,
		Example: `# a Sigstore of one's own
bulla initialize --mirror https://sigstore.example.com/tuf --root root.json

# the public-good instance
bulla initialize`,
		Args:  cobra.NoArgs,
		Flags: o.register,
		Run:   o.run,
	}
}

func (o *initialize) register(fs *pflag.FlagSet) {
	fs.StringVar(&o.mirror, "mirror", trustsource.PublicMirror, "`URL` of the repository")
	fs.StringVar(&o.root, "root", "", "root.json to begin with, as a `FILE` or URL")
	fs.StringVar(&o.checksum, "root-checksum", "", "what --root must have, as the `DIGEST` in hex: SHA-256, or sha512: and a SHA-512")
	fs.BoolVar(&o.staging, "staging", false, "trust the instance on which Sigstore tries things out")
	cli.ChangesTrust(fs, "mirror", "root", "root-checksum", "staging")
	cli.Output(fs, &o.output, "text", "text", "json")
}

func (o *initialize) run(ctx context.Context, c *cli.Call) error {
	if err := o.check(c); err != nil {
		return err
	}
	home := tuf.Home(c.LookupEnv)
	if home == "" {
		return cli.Usagef("there is no home directory to keep what is trusted in").WithHint("name a directory in TUF_ROOT")
	}
	root, err := o.readRoot(ctx, c)
	if err != nil {
		return err
	}
	done := c.Progress("reading %s", o.mirror)
	t, err := tuf.Initialize(ctx, tuf.Config{
		Mirror: o.mirror, Root: root, Home: home, HTTP: &http.Client{Transport: c.Net.Transport()}, UserAgent: buildinfo.UserAgent("bulla"), Now: c.Now,
	})
	done()
	if err != nil {
		return inputError(fmt.Errorf("nothing was changed: %w", err))
	}
	return o.print(c, "", home, t)
}

// check refuses flags that contradict each other or would have no effect.
func (o *initialize) check(c *cli.Call) error {
	if o.staging {
		for _, name := range []string{"mirror", "root", "root-checksum"} {
			if c.Changed(name) {
				return cli.Usagef("--staging names the repository and its root; it cannot be given with --%s", name)
			}
		}
		o.mirror = trustsource.StagingMirror
	}
	if _, err := tuf.CacheName(o.mirror); err != nil {
		return cli.Usagef("%w", err)
	}
	switch {
	case c.Changed("root-checksum") && o.root == "":
		return cli.Usagef("--root-checksum is the checksum of what --root names, which was not given")
	case c.Changed("root") && o.root == "":
		return cli.Usagef("--root has no value")
	case c.Changed("root-checksum") && o.checksum == "":
		return cli.Usagef("--root-checksum has no value")
	}
	for _, name := range []string{"TUF_MIRROR", "TUF_ROOT_JSON"} {
		if value, _ := c.LookupEnv(name); value != "" {
			c.Warnf("%s is set, and goes before what is initialized", name)
		}
	}
	return nil
}

// readRoot returns the root that trust begins with.
func (o *initialize) readRoot(ctx context.Context, c *cli.Call) ([]byte, error) {
	if o.root == "" {
		if root := trustsource.BuiltIn(o.mirror); root != nil {
			return root, nil
		}
		return nil, cli.Usagef("--root is needed: no root.json of %s is built in", o.mirror).
			WithHint("get the root.json from whoever runs the repository, in a way that you trust")
	}
	var data []byte
	var err error
	if where, isURL := rootURL(o.root); isURL {
		if data, err = fetchRoot(ctx, c, o.root); err == nil && o.checksum == "" && !isLoopback(where) {
			c.Warnf("root.json was fetched and taken on trust; fix it with --root-checksum %x if that is what its publisher says", sha256.Sum256(data))
		}
	} else {
		data, err = readFileUpTo(ctx, o.root, maxTUFRoot)
	}
	if err != nil {
		return nil, inputError(err)
	}
	if err := checkSum(data, o.checksum); err != nil {
		return nil, err
	}
	return data, nil
}

func rootURL(name string) (*url.URL, bool) {
	u, err := url.Parse(name)
	return u, err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

// isLoopback says that a URL leads to this machine: there is nobody between.
func isLoopback(u *url.URL) bool {
	host := u.Hostname()
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

// fetchRoot reads a root.json from the network. Redirects stay on the host that the user named.
func fetchRoot(ctx context.Context, c *cli.Call, at string) ([]byte, error) {
	client := &http.Client{Transport: c.Net.Transport(), Timeout: 30 * time.Second, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if first := via[0].URL; r.URL.Host != first.Host || r.URL.Scheme != first.Scheme || len(via) > 4 {
			return fmt.Errorf("redirect to %s", r.URL.Redacted())
		}
		return nil
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", buildinfo.UserAgent("bulla"))
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("root.json: %w: %w", tuf.ErrNoAnswer, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("root.json: %w: %s: status %d", tuf.ErrNoAnswer, req.URL.Redacted(), resp.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxTUFRoot+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("root.json: %w: %s: %w", tuf.ErrNoAnswer, req.URL.Redacted(), err)
	case len(data) > maxTUFRoot:
		return nil, fmt.Errorf("root.json: %s has more than %d bytes", req.URL.Redacted(), maxTUFRoot)
	}
	return data, nil
}

// checkSum compares a root with the digest that the user gave, if any: hex in either case, SHA-256 unless sha512: stands
// before it.
func checkSum(data []byte, want string) error {
	if want == "" {
		return nil
	}
	name, digits, ok := strings.Cut(want, ":")
	if !ok {
		name, digits = "sha256", want
	}
	var sum []byte
	switch strings.ToLower(name) {
	case "sha256":
		s := sha256.Sum256(data)
		sum = s[:]
	case "sha512":
		s := sha512.Sum512(data)
		sum = s[:]
	}
	given, err := hex.DecodeString(digits)
	if err != nil || len(given) != len(sum) || sum == nil {
		return cli.Usagef("--root-checksum %q is no SHA-256 and no sha512: with a SHA-512, in hex", want)
	}
	if subtle.ConstantTimeCompare(given, sum) != 1 {
		return cli.Errorf(cli.ExitInput, "nothing was changed: root.json has the checksum %x, not the one given", sum)
	}
	return nil
}

// trustSummary is what a repository was found to publish.
type trustSummary struct {
	Mirror        string          `json:"mirror"`
	Directory     string          `json:"directory"`
	Roles         []roleSummary   `json:"roles"`
	TrustedRoot   rootSummary     `json:"trustedRoot"`
	SigningConfig *serviceSummary `json:"signingConfig,omitempty"`
}

type roleSummary struct {
	Name    string    `json:"name"`
	Version int64     `json:"version"`
	Expires time.Time `json:"expires"`
}

type rootSummary struct {
	SHA256                 string   `json:"sha256"`
	CertificateAuthorities []string `json:"certificateAuthorities"`
	CTLogs                 []string `json:"ctLogs"`
	TransparencyLogs       []string `json:"transparencyLogs"`
	TimestampAuthorities   []string `json:"timestampAuthorities"`
}

type serviceSummary struct {
	CertificateAuthorities []string `json:"certificateAuthorities"`
	IdentityProviders      []string `json:"identityProviders"`
	TransparencyLogs       []string `json:"transparencyLogs"`
	TimestampAuthorities   []string `json:"timestampAuthorities"`
}

// summarize lists what is trusted. A signing config that cannot be used is no obstacle to verifying, and warned of.
func summarize(c *cli.Call, home string, t *tuf.Trust) trustSummary {
	s := trustSummary{Mirror: t.Mirror, Directory: home, TrustedRoot: rootSummary{
		SHA256:                 hex.EncodeToString(t.Root.Source.SHA256[:]),
		CertificateAuthorities: distinctAuthorities(t.Root.CAs), TimestampAuthorities: distinctAuthorities(t.Root.TSAs),
		CTLogs: distinctLogs(t.Root.CTLogs), TransparencyLogs: distinctLogs(t.Root.Logs),
	}}
	for _, r := range t.Roles {
		s.Roles = append(s.Roles, roleSummary(r))
	}
	cfg, err := t.SigningConfig()
	if err != nil {
		c.Warnf("signing with an identity needs --signing-config: %v", err)
		return s
	}
	s.SigningConfig = &serviceSummary{
		CertificateAuthorities: distinctServices(cfg.CAs), IdentityProviders: distinctServices(cfg.OIDC),
		TransparencyLogs: distinctServices(cfg.Logs), TimestampAuthorities: distinctServices(cfg.TSAs),
	}
	return s
}
