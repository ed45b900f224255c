package describe

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/bulla-sign/bulla/trust"
)

// maxListed bounds lists whose elements look alike: subjects, layers. What follows is counted.
const maxListed = 50

func when(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func fingerprint(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func base64Sum(data []byte) string {
	sum := sha256.Sum256(data)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// keyName says the type and size of a public key.
func keyName(pub crypto.PublicKey) string {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Curve.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA with %d bits", k.N.BitLen())
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return "of a kind that is not known"
}

// usages lists what a certificate says its key is for.
func usages(c *x509.Certificate) string {
	var out []string
	for _, u := range []struct {
		bit  x509.KeyUsage
		name string
	}{{x509.KeyUsageDigitalSignature, "digital signature"}, {x509.KeyUsageCertSign, "certificate signing"}, {x509.KeyUsageCRLSign, "CRL signing"}} {
		if c.KeyUsage&u.bit != 0 {
			out = append(out, u.name)
		}
	}
	for _, u := range c.ExtKeyUsage {
		switch u {
		case x509.ExtKeyUsageCodeSigning:
			out = append(out, "code signing")
		case x509.ExtKeyUsageTimeStamping:
			out = append(out, "time stamping")
		default:
			out = append(out, fmt.Sprintf("extended usage %d", u))
		}
	}
	for _, oid := range c.UnknownExtKeyUsage {
		out = append(out, "extended usage "+oid.String())
	}
	return strings.Join(out, ", ")
}

// logName writes a log's ID with the address of the known log that has it.
func (d *Describer) logName(id []byte, ct bool) string {
	name := hex.EncodeToString(id)
	if url := d.logURL(id, ct); url != "" {
		name += " (the ID of " + url + ")"
	}
	return name
}

// logURL returns the address of the known log with an ID, "" if there is none.
func (d *Describer) logURL(id []byte, ct bool) string {
	if d.Root == nil {
		return ""
	}
	logs := d.Root.Log(id)
	if ct {
		logs = d.Root.CTLog(id)
	}
	if len(logs) == 0 {
		return ""
	}
	return logs[0].BaseURL
}

// authorityName returns the address of the known authority that has a certificate with the key ID.
func (d *Describer) authorityName(keyID []byte) string {
	if url := d.authorityURL(keyID); url != "" {
		return "key " + hex.EncodeToString(keyID) + " (the ID of " + url + ")"
	}
	if len(keyID) == 0 {
		return ""
	}
	return "key " + hex.EncodeToString(keyID)
}

func (d *Describer) authorityURL(keyID []byte) string {
	if d.Root == nil || len(keyID) == 0 {
		return ""
	}
	has := func(c *x509.Certificate) bool { return slices.Equal(c.SubjectKeyId, keyID) }
	for i := range d.Root.CAs {
		if slices.ContainsFunc(d.Root.CAs[i].Chain, has) {
			return d.Root.CAs[i].URI
		}
	}
	return ""
}

// window writes a span of validity.
func window(w trust.Window) string {
	switch {
	case w.Start.IsZero() && w.End.IsZero():
		return "always"
	case w.End.IsZero():
		return "from " + when(w.Start)
	case w.Start.IsZero():
		return "until " + when(w.End)
	}
	return when(w.Start) + " to " + when(w.End)
}

func annotations(n *Node, m map[string]string) {
	if len(m) == 0 {
		return
	}
	below := n.add("Annotations", "")
	for _, name := range slices.Sorted(maps.Keys(m)) {
		below.add(name, m[name])
	}
}
