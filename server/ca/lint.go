package ca

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"maps"

	"github.com/bulla-sign/bulla/identity"
)

// lint reads a certificate that is about to be signed as others will read it, and compares it with the profile (Fulcio's
// certificate specification) and with what the draft wanted. It works on the bytes, so that a mistake in writing them is
// found before they are signed; a violation is a defect of this program and no fault of the client.
func lint(cert *identity.Certificate, d *draft, last asn1.ObjectIdentifier) error {
	err := lintFields(cert.X509, d)
	if err == nil {
		err = lintValidity(cert.X509, d)
	}
	if err == nil {
		err = lintNames(cert, d)
	}
	if err == nil {
		err = lintExtensions(cert.X509, d, last)
	}
	if err != nil {
		return fmt.Errorf("lint: %w", err)
	}
	return nil
}

func lintFields(cert *x509.Certificate, d *draft) error {
	switch {
	case cert.Version != 3:
		return fmt.Errorf("version %d, not 3", cert.Version)
	case cert.SerialNumber.Sign() <= 0 || cert.SerialNumber.BitLen() > 159 || cert.SerialNumber.Cmp(d.serial) != 0:
		return errors.New("the serial number is not a positive one of at most 20 octets")
	case !bytes.Equal(cert.RawIssuer, d.issuer.RawSubject):
		return errors.New("the issuer is not the issuing certificate's subject")
	case !bytes.Equal(cert.RawSubject, []byte{0x30, 0}):
		return errors.New("the subject is not empty")
	case !bytes.Equal(cert.RawSubjectPublicKeyInfo, d.spki):
		return errors.New("the public key is not the requested one")
	case cert.BasicConstraintsValid || cert.IsCA:
		return errors.New("it has basic constraints")
	case cert.KeyUsage != x509.KeyUsageDigitalSignature:
		return errors.New("the key usage is not digital signature alone")
	case len(cert.ExtKeyUsage) != 1 || cert.ExtKeyUsage[0] != x509.ExtKeyUsageCodeSigning || len(cert.UnknownExtKeyUsage) > 0:
		return errors.New("the extended key usage is not code signing alone")
	case len(cert.SubjectKeyId) != 20:
		return errors.New("the subject key identifier does not have 20 octets")
	case !bytes.Equal(cert.AuthorityKeyId, d.issuer.SubjectKeyId):
		return errors.New("the authority key identifier is not the issuing certificate's")
	}
	return nil
}

func lintValidity(cert *x509.Certificate, d *draft) error {
	length := cert.NotAfter.Sub(cert.NotBefore)
	switch {
	case !cert.NotBefore.Equal(d.notBefore) || !cert.NotAfter.Equal(d.notAfter):
		return errors.New("the validity is not the intended one")
	case length <= 0 || length > Lifetime:
		return fmt.Errorf("it is valid for %s, not for at most %s", length, Lifetime)
	case cert.NotBefore.Before(d.issuer.NotBefore) || cert.NotAfter.After(d.issuer.NotAfter):
		return errors.New("it is valid outside of the issuing certificate's time")
	}
	return nil
}

// lintNames checks the one name and the claims, as the package that verifiers use has read them.
func lintNames(read *identity.Certificate, d *draft) error {
	cert := read.X509
	if len(read.SANs) != 1 || read.SANs[0] != d.san {
		return fmt.Errorf("the names are %v, not %v alone", read.SANs, d.san)
	}
	if len(cert.EmailAddresses)+len(cert.URIs) > 1 || len(cert.DNSNames)+len(cert.IPAddresses) > 0 {
		return errors.New("it has more than one name")
	}
	if !maps.Equal(read.Extensions, d.extensions) {
		return errors.New("the claims are not those of the token")
	}
	if read.Issuer == "" {
		return errors.New("it does not name the issuer of the identity")
	}
	return nil
}

// lintExtensions checks which extensions there are, their order, and which are critical.
func lintExtensions(cert *x509.Certificate, d *draft, last asn1.ObjectIdentifier) error {
	want := []struct {
		oid      asn1.ObjectIdentifier
		critical bool
	}{{oidKeyUsage, true}, {oidExtKeyUsage, false}, {oidSubjectKey, false}, {oidIssuerKey, false}, {oidSAN, true}}
	if len(cert.Extensions) < len(want) {
		return errors.New("extensions are missing")
	}
	for i, w := range want {
		if ext := cert.Extensions[i]; !ext.Id.Equal(w.oid) || ext.Critical != w.critical {
			return fmt.Errorf("extension %d is %s (critical: %t), not %s (critical: %t)", i, ext.Id, ext.Critical, w.oid, w.critical)
		}
	}
	rest := cert.Extensions[len(want):]
	if last != nil {
		if len(rest) == 0 {
			return errors.New("extensions are missing")
		}
		end := rest[len(rest)-1]
		if rest = rest[:len(rest)-1]; !end.Id.Equal(last) || end.Critical != last.Equal(oidPoison) {
			return fmt.Errorf("the last extension is %s (critical: %t), not %s", end.Id, end.Critical, last)
		}
	}
	return lintClaims(rest, len(d.extensions))
}

// lintClaims checks that what remains are Fulcio's extensions in the order of their numbers.
func lintClaims(rest []pkix.Extension, count int) error {
	number := 0
	for _, ext := range rest {
		n := len(arcFulcio)
		if len(ext.Id) != n+1 || !ext.Id[:n].Equal(arcFulcio) || ext.Critical {
			return fmt.Errorf("extension %s (critical: %t) is not of the profile", ext.Id, ext.Critical)
		}
		if ext.Id[n] <= number {
			return fmt.Errorf("extension %s is out of order", ext.Id)
		}
		number = ext.Id[n]
	}
	if len(rest) != count {
		return fmt.Errorf("%d extensions for %d claims", len(rest), count)
	}
	return nil
}
