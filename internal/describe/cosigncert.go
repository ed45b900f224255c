package describe

import (
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/bulla-sign/bulla/identity"
)

// cosignLabel returns cosign's name of a Fulcio extension, which is ours but for two.
func cosignLabel(e identity.Extension) string {
	switch e.Name {
	case identity.NameIssuer:
		return "OIDC Issuer"
	case identity.NameIssuerV2:
		return "Issuer (V2)"
	}
	return e.Label
}

func (d *Describer) cosignCertificate(n *Node, der []byte) {
	id, err := identity.ParseCertificate(der)
	if err != nil {
		n.addf("Error", "parsing certificate: %v", err)
		return
	}
	c := id.X509
	n.add("Signature Algorithm", c.SignatureAlgorithm.String())
	n.some("Subject", c.Subject.String())
	issuer := &Node{Label: "Issuer"}
	issuer.some("Common Name", c.Issuer.CommonName)
	issuer.some("Organization", first(c.Issuer.Organization))
	issuer.some("Country", first(c.Issuer.Country))
	if len(issuer.Items) > 0 {
		n.Items = append(n.Items, issuer)
	}
	validity := n.add("Validity", "")
	validity.add("Not Before", c.NotBefore.Format(time.RFC3339))
	validity.add("Not After", c.NotAfter.Format(time.RFC3339))
	cosignKey(n.add("Subject Public Key Info", ""), c.PublicKey)
	d.cosignExtensions(n.add("Extensions", ""), id)
	n.add("Signature", present(c.Signature))
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

func (d *Describer) cosignExtensions(n *Node, id *identity.Certificate) {
	c := id.X509
	if c.Subject.CommonName != "" || len(c.EmailAddresses) > 0 || len(c.URIs) > 0 {
		names := n.add("Identity (Subject Alternative Name)", "")
		names.some("Common Name", c.Subject.CommonName)
		for _, email := range c.EmailAddresses {
			names.add("Email", email)
		}
		for _, uri := range c.URIs {
			names.add("URI", uri.String())
		}
	}
	n.some("Key Usage", cosignUsage(c.KeyUsage))
	n.some("Extended Key Usage", cosignExtendedUsage(c.ExtKeyUsage))
	var unknown []string
	for _, oid := range c.UnknownExtKeyUsage {
		unknown = append(unknown, oid.String())
	}
	n.some("Unknown Extended Key Usage", joined(unknown))
	n.some("Subject Key ID", hex.EncodeToString(c.SubjectKeyId))
	if url := d.authorityURL(c.AuthorityKeyId); url != "" {
		n.add("Authority URL", url)
	} else {
		n.some("Authority Key ID", hex.EncodeToString(c.AuthorityKeyId))
	}
	for _, ext := range c.Extensions {
		switch oid := ext.Id.String(); oid {
		case "2.5.29.14", "2.5.29.15", "2.5.29.17", "2.5.29.35", "2.5.29.37":
			// Shown above: key IDs, usages and names.
		case "1.3.6.1.4.1.11129.2.4.2":
			d.cosignSCTs(n, id)
		default:
			if known, ok := identity.LookupExtension(oid); ok {
				n.add(cosignLabel(known), id.Extensions[known.Name])
			} else {
				n.addf("OID: "+oid, "(Critical: %t) [%d bytes]", ext.Critical, len(ext.Value))
			}
		}
	}
}

func (d *Describer) cosignSCTs(n *Node, id *identity.Certificate) {
	scts, err := id.EmbeddedSCTs()
	if err != nil {
		return
	}
	list := n.addf("Signed Certificate Timestamps", "%d", len(scts))
	for i, s := range scts {
		below := list.add(fmt.Sprintf("Signed Certificate Timestamp [%d]", i), "")
		below.add("Version", "v1")
		if url := d.logURL(s.LogID[:], true); url != "" {
			below.add("Log URL", url)
		} else {
			below.add("Log ID", hex.EncodeToString(s.LogID[:]))
		}
		below.add("Timestamp", when(s.Timestamp))
		extensions := "none"
		if len(s.Extensions) > 0 {
			extensions = fmt.Sprintf("%d bytes", len(s.Extensions))
		}
		below.add("Extensions", extensions)
		below.add("Signature", present(s.Signature))
	}
}

func cosignUsage(u x509.KeyUsage) string {
	names := []string{
		"Digital Signature", "Content Commitment", "Key Encipherment", "Data Encipherment", "Key Agreement", "Cert Sign",
		"CRL Sign", "Encipher Only", "Decipher Only",
	} // in the order of the bits (RFC 5280 4.2.1.3)
	var out []string
	for bit, name := range names {
		if u&(1<<bit) != 0 {
			out = append(out, name)
		}
	}
	return joined(out)
}

func cosignExtendedUsage(list []x509.ExtKeyUsage) string {
	names := map[x509.ExtKeyUsage]string{
		x509.ExtKeyUsageAny: "Any", x509.ExtKeyUsageServerAuth: "Server Auth", x509.ExtKeyUsageClientAuth: "Client Auth",
		x509.ExtKeyUsageCodeSigning: "Code Signing", x509.ExtKeyUsageEmailProtection: "Email Protection",
		x509.ExtKeyUsageIPSECEndSystem: "IPSEC End System", x509.ExtKeyUsageIPSECTunnel: "IPSEC Tunnel",
		x509.ExtKeyUsageIPSECUser: "IPSEC User", x509.ExtKeyUsageTimeStamping: "Time Stamping",
		x509.ExtKeyUsageOCSPSigning: "OCSP Signing",
	}
	var out []string
	for _, u := range list {
		if name, ok := names[u]; ok {
			out = append(out, name)
		}
	}
	return joined(out)
}
