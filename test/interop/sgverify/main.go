// Command sgverify is the smallest client of sigstore-go there can be: it verifies one bundle of a blob, offline. The
// bench runs it beside bulla and cosign.
//
//	sgverify BUNDLE ROOT IDENTITY ISSUER FILE
package main

import (
	"fmt"
	"os"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
)

func main() {
	if len(os.Args) != 6 {
		fmt.Fprintln(os.Stderr, "usage: sgverify BUNDLE ROOT IDENTITY ISSUER FILE")
		os.Exit(2)
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("verified")
}

func run(args []string) error {
	b, err := bundle.LoadJSONFromPath(args[0])
	if err != nil {
		return err
	}
	trusted, err := root.NewTrustedRootFromPath(args[1])
	if err != nil {
		return err
	}
	verifier, err := verify.NewVerifier(trusted,
		verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1), verify.WithSignedCertificateTimestamps(1))
	if err != nil {
		return err
	}
	id, err := verify.NewShortCertificateIdentity(args[3], "", args[2], "")
	if err != nil {
		return err
	}
	file, err := os.Open(args[4])
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = verifier.Verify(b, verify.NewPolicy(verify.WithArtifact(file), verify.WithCertificateIdentity(id)))
	return err
}
