package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/evidence"
	"github.com/bulla-sign/bulla/trust"
)

// oldTrustedRootFlags are the flags with which cosign 2 described services: parallel lists, the n-th of each belonging
// to the n-th service.
type oldTrustedRootFlags struct {
	chains, fulcioURIs                           []string
	ctfeKeys, ctfeURLs, ctfeStarts, ctfeEnds     []string
	rekorKeys, rekorURLs, rekorStarts, rekorEnds []string
	tsaChains, tsaURIs                           []string
}

func (o *oldTrustedRootFlags) register(fs *pflag.FlagSet) {
	for _, f := range []struct {
		into        *[]string
		name, usage string
		instead     string
	}{
		{&o.chains, "certificate-chain", "certificates of a certificate authority, a `FILE`", "fulcio"},
		{&o.fulcioURIs, "fulcio-uri", "its `URL`", "fulcio"},
		{&o.ctfeKeys, "ctfe-key", "public key of a certificate transparency log, a `FILE`", "ctfe"},
		{&o.ctfeStarts, "ctfe-start-time", "the `TIME` from which it signs", "ctfe"},
		{&o.ctfeEnds, "ctfe-end-time", "the `TIME` until which it signs", "ctfe"},
		{&o.ctfeURLs, "ctfe-url", "its `URL`", "ctfe"},
		{&o.rekorKeys, "rekor-key", "public key of a transparency log, a `FILE[,ORIGIN]`", "rekor"},
		{&o.rekorStarts, "rekor-start-time", "the `TIME` from which it signs", "rekor"},
		{&o.rekorEnds, "rekor-end-time", "the `TIME` until which it signs", "rekor"},
		{&o.rekorURLs, "rekor-url", "its `URL`", "rekor"},
		{&o.tsaChains, "timestamp-certificate-chain", "certificates of a timestamp authority, a `FILE`", "tsa"},
		{&o.tsaURIs, "timestamp-uri", "its `URL`", "tsa"},
	} {
		fs.StringArrayVar(f.into, f.name, nil, f.usage)
		cli.Deprecate(fs, f.name, "use --"+f.instead+" instead")
	}
}

// check refuses old and new forms for one service together, and lists that are longer than the list they belong to:
// what is beyond would be ignored.
func (o *oldTrustedRootFlags) check(c *cli.Call) error {
	for _, service := range []struct {
		name string
		old  []string
		n    int
	}{
		{"fulcio", []string{"certificate-chain", "fulcio-uri"}, len(o.chains)},
		{"ctfe", []string{"ctfe-key", "ctfe-url", "ctfe-start-time", "ctfe-end-time"}, len(o.ctfeKeys)},
		{"rekor", []string{"rekor-key", "rekor-url", "rekor-start-time", "rekor-end-time"}, len(o.rekorKeys)},
		{"tsa", []string{"timestamp-certificate-chain", "timestamp-uri"}, len(o.tsaChains)},
	} {
		for _, flag := range service.old {
			switch more := len(*o.list(flag)) - service.n; {
			case c.Changed(flag) && c.Changed(service.name):
				return cli.Usagef("cannot use --%s and old %s flags at the same time", service.name, service.name)
			case more > 0 && c.Cosign:
				c.Warnf("--%s is given more often than --%s; the rest is not used", flag, service.old[0])
			case more > 0:
				return cli.Usagef("--%s is given more often than --%s, which it belongs to", flag, service.old[0]).
					WithHint("describe each service with --%s", service.name)
			}
		}
	}
	return nil
}

func (o *oldTrustedRootFlags) list(flag string) *[]string {
	return map[string]*[]string{
		"certificate-chain": &o.chains, "fulcio-uri": &o.fulcioURIs,
		"ctfe-key": &o.ctfeKeys, "ctfe-url": &o.ctfeURLs, "ctfe-start-time": &o.ctfeStarts, "ctfe-end-time": &o.ctfeEnds,
		"rekor-key": &o.rekorKeys, "rekor-url": &o.rekorURLs, "rekor-start-time": &o.rekorStarts, "rekor-end-time": &o.rekorEnds,
		"timestamp-certificate-chain": &o.tsaChains, "timestamp-uri": &o.tsaURIs,
	}[flag]
}

// collect adds the services that the old flags describe.
func (o *oldTrustedRootFlags) collect(ctx context.Context, parts *trust.Root) error {
	for i, file := range o.chains {
		if err := oldAuthority(ctx, &parts.CAs, file, nth(o.fulcioURIs, i), false); err != nil {
			return err
		}
	}
	for i, file := range o.tsaChains {
		if err := oldAuthority(ctx, &parts.TSAs, file, nth(o.tsaURIs, i), true); err != nil {
			return err
		}
	}
	for i, file := range o.ctfeKeys {
		times := [2]string{nth(o.ctfeStarts, i), nth(o.ctfeEnds, i)}
		log, err := oldLog(ctx, trust.NewCTLog, file, nth(o.ctfeURLs, i), times)
		if err != nil {
			return fmt.Errorf("--ctfe-key: %w", err)
		}
		parts.CTLogs = append(parts.CTLogs, log)
	}
	for i, file := range o.rekorKeys {
		times := [2]string{nth(o.rekorStarts, i), nth(o.rekorEnds, i)}
		log, err := oldLog(ctx, trust.NewLog, file, nth(o.rekorURLs, i), times)
		if err != nil {
			return fmt.Errorf("--rekor-key: %w", err)
		}
		parts.Logs = append(parts.Logs, log)
	}
	return nil
}

func nth(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return ""
}

func oldAuthority(ctx context.Context, into *[]trust.Authority, file, uri string, tsa bool) error {
	chain, err := evidence.Read(ctx, file)
	if err != nil {
		return err
	}
	// The old flags count from the root's beginning for both kinds.
	spec := trust.AuthoritySpec{URI: uri, ChainPEM: chain, Window: trust.Window{Start: notBefore(chain, false)}}
	a, err := newAuthority(spec, tsa)
	if err == nil && tsa && len(a.Chain) < 2 {
		err = fmt.Errorf("certificate chain must have at least two certificates")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	*into = append(*into, a)
	return nil
}

// oldLog makes a log. Only the transparency log's key is FILE,ORIGIN, but no file of either has a comma in its name.
func oldLog(ctx context.Context, build func(trust.LogSpec) (trust.Log, error), key, url string, times [2]string) (trust.Log, error) {
	file, origin, _ := strings.Cut(key, ",")
	w := trust.Window{Start: time.Unix(0, 0).UTC()}
	start, err := parseTime("start-time", times[0])
	if err != nil {
		return trust.Log{}, err
	}
	if !start.IsZero() {
		w.Start = start
	}
	if w.End, err = parseTime("end-time", times[1]); err != nil {
		return trust.Log{}, err
	}
	// A log without an address is allowed here: it is looked up by its ID.
	address := url
	if address == "" {
		address = "https://log.invalid"
	}
	log, err := logOfKey(ctx, file, trust.LogSpec{URL: address, Window: w, Origin: origin}, build)
	if err != nil {
		return trust.Log{}, err
	}
	log.BaseURL = url
	return log, nil
}
