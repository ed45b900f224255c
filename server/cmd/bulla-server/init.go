package main

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/durable"
	"github.com/bulla-sign/bulla/server/internal/config"
	"github.com/bulla-sign/bulla/server/internal/founding"
	"github.com/bulla-sign/bulla/server/internal/instance"
	"github.com/bulla-sign/bulla/server/internal/keyring"
	"github.com/bulla-sign/bulla/server/internal/state"
)

const (
	passwordName = "password"
	configMode   = 0o600
)

type initialise struct {
	dir, url, hostname, name string
	listen, metrics, lock    string
	provider                 string
	certificate, key         string
	services, keys, chains   []string
	generatePassword, login  bool
	output                   cli.Choice
}

func initCommand() *cli.Command {
	o := &initialise{}
	return &cli.Command{
		Use: "init [flags]", Short: "Make keys, certificates, the first trusted root and a configuration", Group: "Run",
		Long: `Make what a deployment starts from: the keys of all services, the certificates of the authorities, the first trusted root and signing config, the TUF repository that hands them out, and bulla-server.yaml, in which every key is explained.

Keys are encrypted files in DIR/keys unless --key names others. Those of the roles ca-root, tsa-root, tuf-root and tuf-targets are needed again only for rotations: take their files away and keep them offline.

The certificate authority and the timestamp authority get roots of their own, or with --chain certificates below roots that your organisation has: see "csr".

The password of key files is BULLA_PASSWORD, or is asked for. With --generate-password it is a random one in the file DIR/password, beside the keys that it protects: for development.

A log that was set back with its disk, or restored from an old backup, would sign a second history. It notices by what --lock holds, if that was not set back too: another disk, and in no backup. For less, give DIR/lock.

The public address is the name of the log for good: a change of the host name needs a new shard.`,
		Example: `bulla-server init --dir /var/lib/bulla --lock /srv/bulla-lock --hostname sigstore.example.com --listen 0.0.0.0:443 --tls-certificate tls.crt --tls-key tls.key
bulla-server init --dir dev --generate-password --development-login
bulla-server init --dir /var/lib/bulla --lock /srv/bulla-lock --hostname sigstore.example.com --key ca-root=/media/stick/root.key --key log=awskms:///alias/log`,
		Flags: o.register, Run: o.run,
	}
}

func (o *initialise) register(fs *pflag.FlagSet) {
	fs.StringVar(&o.dir, "dir", "", "make the deployment in `DIR`; required")
	fs.StringVar(&o.hostname, "hostname", "", "the public host `NAME`: the services are then at https://NAME")
	fs.StringVar(&o.url, "url", "", "the public `ADDRESS`, in place of --hostname (http://localhost:8080 if neither is given)")
	cli.Exclusive(fs, "hostname", "url")
	fs.StringVar(&o.name, "name", "", "the `ORGANISATION` in certificates; the host name if not given")
	fs.StringArrayVar(&o.keys, "key", nil, "use a key that exists, as `ROLE=REFERENCE`; repeatable. Roles: "+fmt.Sprint(founding.Roles()))
	fs.StringArrayVar(&o.chains, "chain", nil, "put the authority below a root that exists, with the signed chain, as `KIND=FILE`; repeatable. Kinds: ca, tsa (see csr)")
	fs.BoolVar(&o.generatePassword, "generate-password", false, "make a random password for the key files and keep it beside them")
	cli.Topic(fs, "Configuration", func(fs *pflag.FlagSet) {
		fs.StringVar(&o.listen, "listen", "127.0.0.1:8080", "the `ADDRESS` to answer at")
		fs.StringVar(&o.metrics, "metrics", "", "the `ADDRESS` of the metrics")
		fs.StringVar(&o.lock, "lock", "", "where the logs remember what they signed, a `DIR` on another disk; required unless the public address is this machine's")
		fs.StringVar(&o.certificate, "tls-certificate", "", "the server's certificate, a `FILE`")
		fs.StringVar(&o.key, "tls-key", "", "its key, a `FILE`")
		fs.StringSliceVar(&o.services, "services", nil, "the `SERVICES` that this process runs, separated by commas; all if not given")
		fs.StringVar(&o.provider, "oidc-issuer", "", "the `URL` of an identity provider in the place of the issuer: clients are sent there, and the authority takes its tokens")
		fs.BoolVar(&o.login, "development-login", false, "let the issuer give a token for any e-mail address to whoever asks")
	})
	cli.Output(fs, &o.output, "text", "text", "json")
}

// made is what init prints as JSON.
type made struct {
	Dir    string `json:"dir"`
	Config string `json:"config"`
	URL    string `json:"url"`
	instance.Anchors
}

func (o *initialise) run(ctx context.Context, c *cli.Call) error {
	if o.dir == "" {
		return cli.Usagef("--dir is needed")
	}
	if err := o.complete(); err != nil {
		return err
	}
	keys, err := parseKeys(o.keys)
	if err != nil {
		return err
	}
	chains, err := readChains(o.chains)
	if err != nil {
		return err
	}
	text, err := o.configuration()
	if err != nil {
		return cli.Usagef("%w", err)
	}
	dir, err := state.Prepare(o.dir)
	if err != nil {
		return err
	}
	env := c.KeyEnvironment()
	if o.generatePassword {
		if err := generatePassword(dir.Path(passwordName)); err != nil {
			return err
		}
		env = fromFile(env, dir.Path(passwordName))
	}
	f := &founding.Founder{Ring: keyring.New(dir.Path(), env), Keys: keys, Chains: chains, Provider: o.provider, Now: c.Now}
	anchors, err := found(ctx, f, dir, o.name, o.url)
	if err != nil {
		return err
	}
	path := dir.Path(configName)
	if err := durable.CreateFile(path, text, configMode); err != nil {
		return err
	}
	if o.output.String() == "json" {
		return c.PrintJSON(made{dir.Path(), path, o.url, anchors})
	}
	c.Infof("made %s: now \"bulla-server serve --config %s\"", dir.Path(), path)
	if !o.login && o.provider == "" && (len(o.services) == 0 || slices.Contains(o.services, string(config.ServiceIssuer))) {
		c.Infof("before that, say in the configuration under issuer who can sign in (users, or an upstream provider), or take issuer out of services and name other issuers under ca")
	}
	if !o.generatePassword && len(keys) == 0 {
		c.Infof("keep the keys %s in %s offline", offlineKeys(chains), dir.Path("keys"))
	}
	_, err = fmt.Fprintf(c.Out, "%s\n%s\n", initializeLine("cosign", o.url, anchors), initializeLine("bulla", o.url, anchors))
	return err
}

// offlineKeys are the roles whose keys are needed for rotations only.
func offlineKeys(chains map[state.Kind]string) string {
	var roles []string
	for _, r := range []struct {
		kind state.Kind
		role founding.Role
	}{{state.CA, founding.CARoot}, {state.TSA, founding.TSARoot}} {
		if chains[r.kind] == "" {
			roles = append(roles, string(r.role))
		}
	}
	return strings.Join(append(roles, string(founding.TUFRoot)), ", ") + " and " + string(founding.TUFTargets)
}

// found makes the state: keys, certificates and history, then the TUF repository.
func found(ctx context.Context, f *founding.Founder, dir *state.Dir, name, address string) (instance.Anchors, error) {
	h, err := f.Found(ctx, name, address)
	if err != nil {
		return instance.Anchors{}, err
	}
	return instance.Found(ctx, dir, f.Ring, h, f.Now)
}

// complete fills in what follows from other flags.
func (o *initialise) complete() error {
	switch {
	case o.hostname != "":
		o.url = "https://" + o.hostname
	case o.url == "":
		o.url = "http://localhost:8080"
	}
	if err := founding.CheckURL(o.url); err != nil {
		return cli.Usagef("%w", err)
	}
	u, err := url.Parse(o.url)
	if err != nil {
		return cli.Usagef("%w", err)
	}
	if o.name == "" {
		o.name = u.Hostname()
	}
	if err := o.completeProvider(); err != nil {
		return err
	}
	if o.lock == "" && o.keepsLog() && !config.Loopback(net.JoinHostPort(u.Hostname(), "0")) {
		return cli.Usagef("--lock is needed: a folder where the logs remember what they signed, on another disk than --dir and in no backup; %s keeps it with the state nevertheless",
			quote(filepath.Join(o.dir, "lock")))
	}
	return nil
}

// completeProvider leaves the issuer to somebody else, where that was asked for.
func (o *initialise) completeProvider() error {
	if o.provider == "" {
		return nil
	}
	if err := founding.CheckProvider(o.provider); err != nil {
		return cli.Usagef("--oidc-issuer: %w", err)
	}
	if o.login || slices.Contains(o.services, string(config.ServiceIssuer)) {
		return cli.Usagef("--oidc-issuer stands in the place of the issuer, so that --development-login and the service issuer have none")
	}
	if len(o.services) == 0 {
		for _, s := range config.Services() {
			if s != config.ServiceIssuer {
				o.services = append(o.services, string(s))
			}
		}
	}
	return nil
}

// keepsLog says whether the process runs a log.
func (o *initialise) keepsLog() bool {
	return len(o.services) == 0 || slices.Contains(o.services, string(config.ServiceLog)) || slices.Contains(o.services, string(config.ServiceCTLog))
}

func (o *initialise) configuration() ([]byte, error) {
	u, err := url.Parse(o.url)
	if err != nil {
		return nil, err
	}
	v := config.Values{
		URL: o.url, Listen: []string{o.listen}, Metrics: o.metrics, DevelopmentLogin: o.login,
		Services: config.Services(), Hosts: []string{u.Hostname()},
	}
	if o.generatePassword {
		v.PasswordFile = passwordName
	}
	if host, _, err := net.SplitHostPort(o.listen); err == nil && config.Loopback(o.listen) && !slices.Contains(v.Hosts, host) {
		v.Hosts = append(v.Hosts, host)
	}
	if len(o.services) > 0 {
		v.Services = nil
		for _, s := range o.services {
			v.Services = append(v.Services, config.Service(s))
		}
	}
	for _, p := range []struct {
		from string
		to   *string
	}{{o.certificate, &v.Certificate}, {o.key, &v.CertificateKey}, {o.lock, &v.Lock}} {
		if p.from == "" {
			continue
		}
		if *p.to, err = filepath.Abs(p.from); err != nil {
			return nil, err
		}
	}
	return config.Template(v)
}

// generatePassword makes a password file. One that is there was made by an init that did not come to its end.
func generatePassword(path string) error {
	if there, err := exists(path); err != nil || there {
		return err
	}
	return keyring.NewPasswordFile(path)
}

// initializeLine is the command that makes cosign or bulla trust a deployment.
func initializeLine(program, address string, a instance.Anchors) string {
	return fmt.Sprintf("%s initialize --mirror %s/tuf --root %s --root-checksum %s", program, address, quote(a.Root), a.RootSHA256)
}

// quote makes a path one word of a shell.
func quote(path string) string {
	for _, r := range path {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '/' || r == '.' || r == '-' || r == '_') {
			return "'" + replaceQuotes(path) + "'"
		}
	}
	return path
}
