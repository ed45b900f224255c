// Command sgclient drives sigstore-go for the interoperability tests: it signs and verifies with whatever the TUF
// repository of an instance says. Its arguments are those of js/peer.js, which drives sigstore-js.
//
//	sgclient sign   -mirror URL -root FILE -cache DIR -token FILE -in FILE [-type PAYLOADTYPE] -out FILE
//	sgclient verify -mirror URL -root FILE -cache DIR -bundle FILE [-in FILE] -identity WHO -issuer URL
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"github.com/sigstore/sigstore-go/pkg/tuf"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"google.golang.org/protobuf/encoding/protojson"
)

// callLimit bounds a call of a service; everything is on loopback.
const callLimit = 30 * time.Second

type options struct {
	mirror, root, cache         string
	token, in, payloadType, out string
	bundle, identity, issuer    string
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "sgclient:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("sign or verify?")
	}
	var o options
	fs := flag.NewFlagSet(args[0], flag.ContinueOnError)
	for name, value := range map[string]*string{
		"mirror": &o.mirror, "root": &o.root, "cache": &o.cache, "token": &o.token, "in": &o.in, "type": &o.payloadType,
		"out": &o.out, "bundle": &o.bundle, "identity": &o.identity, "issuer": &o.issuer,
	} {
		fs.StringVar(value, name, "", "")
	}
	if err := fs.Parse(args[1:]); err != nil {
		return err
	}
	client, err := o.repository()
	if err != nil {
		return err
	}
	switch args[0] {
	case "sign":
		return o.sign(client)
	case "verify":
		return o.verify(client)
	}
	return fmt.Errorf("no command %s", args[0])
}

func (o *options) repository() (*tuf.Client, error) {
	first, err := os.ReadFile(o.root)
	if err != nil {
		return nil, err
	}
	return tuf.New(tuf.DefaultOptions().WithRepositoryBaseURL(o.mirror).WithRoot(first).WithCachePath(o.cache))
}

func (o *options) sign(client *tuf.Client) error {
	trusted, err := root.GetTrustedRoot(client)
	if err != nil {
		return err
	}
	opts := sign.BundleOptions{TrustedRoot: trusted}
	if err := o.services(client, &opts); err != nil {
		return err
	}
	data, err := os.ReadFile(o.in)
	if err != nil {
		return err
	}
	var content sign.Content = &sign.PlainData{Data: data}
	if o.payloadType != "" {
		content = &sign.DSSEData{Data: data, PayloadType: o.payloadType}
	}
	pair, err := sign.NewEphemeralKeypair(nil)
	if err != nil {
		return err
	}
	made, err := sign.Bundle(content, pair, opts)
	if err != nil {
		return err
	}
	text, err := protojson.Marshal(made)
	if err != nil {
		return err
	}
	return os.WriteFile(o.out, text, 0o600)
}

// services takes those that the signing config names, chosen by sigstore-go's own rules.
func (o *options) services(client *tuf.Client, opts *sign.BundleOptions) error {
	config, err := root.GetSigningConfig(client)
	if err != nil {
		return err
	}
	now := time.Now()
	ca, err := root.SelectService(config.FulcioCertificateAuthorityURLs(), sign.FulcioAPIVersions, now)
	if err != nil {
		return err
	}
	token, err := os.ReadFile(o.token)
	if err != nil {
		return err
	}
	opts.CertificateProvider = sign.NewFulcio(&sign.FulcioOptions{BaseURL: ca.URL, Timeout: callLimit})
	opts.CertificateProviderOptions = &sign.CertificateProviderOptions{IDToken: strings.TrimSpace(string(token))}
	authorities, err := root.SelectServices(config.TimestampAuthorityURLs(), config.TimestampAuthorityURLsConfig(), sign.TimestampAuthorityAPIVersions, now)
	if err != nil {
		return err
	}
	for _, a := range authorities {
		opts.TimestampAuthorities = append(opts.TimestampAuthorities, sign.NewTimestampAuthority(&sign.TimestampAuthorityOptions{URL: a.URL, Timeout: callLimit}))
	}
	logs, err := root.SelectServices(config.RekorLogURLs(), config.RekorLogURLsConfig(), sign.RekorAPIVersions, now)
	if err != nil {
		return err
	}
	for _, l := range logs {
		opts.TransparencyLogs = append(opts.TransparencyLogs, sign.NewRekor(&sign.RekorOptions{BaseURL: l.URL, Timeout: callLimit, Version: l.MajorAPIVersion}))
	}
	return nil
}

func (o *options) verify(client *tuf.Client) error {
	trusted, err := root.GetTrustedRoot(client)
	if err != nil {
		return err
	}
	b, err := bundle.LoadJSONFromPath(o.bundle)
	if err != nil {
		return err
	}
	verifier, err := verify.NewVerifier(trusted,
		verify.WithTransparencyLog(1), verify.WithSignedTimestamps(1), verify.WithSignedCertificateTimestamps(1))
	if err != nil {
		return err
	}
	who, err := verify.NewShortCertificateIdentity(o.issuer, "", o.identity, "")
	if err != nil {
		return err
	}
	artifact := verify.WithoutArtifactUnsafe()
	if o.in != "" {
		file, err := os.Open(o.in)
		if err != nil {
			return err
		}
		defer file.Close()
		artifact = verify.WithArtifact(file)
	}
	_, err = verifier.Verify(b, verify.NewPolicy(artifact, verify.WithCertificateIdentity(who)))
	return err
}
