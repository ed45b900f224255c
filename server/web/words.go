package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/internal/report"
	"github.com/bulla-sign/bulla/tlog"
)

// fact is a line of a description.
type fact struct{ Label, Value string }

// listed is an entry in a list.
type listed struct {
	Index   int64
	Href    string   // of its page
	Who     []string // names in the certificate, or the key's digest
	Issuer  string
	Digest  string // shortened
	Time    string // from when the certificate is valid; "" for a key
	Kind    string
	Strange string // why it cannot be read
}

// list reads an entry as far as a list shows it.
func list(index int64, body []byte) listed {
	l := listed{Index: index}
	b, err := tlog.ParseBody(body)
	if err != nil {
		l.Strange = clean(err.Error())
		return l
	}
	l.Kind = b.Kind + " " + b.Version
	if len(b.Digests) > 0 {
		l.Digest = algorithm.HashName(b.Digests[0].Hash) + ":" + hex.EncodeToString(b.Digests[0].Sum[:min(8, len(b.Digests[0].Sum))]) + "…"
	}
	s := b.Signatures[0]
	if s.Certificate == nil {
		l.Who = []string{"key " + keyDigest(s.PublicKey)[:len("sha256:")+16] + "…"}
		return l
	}
	cert, err := identity.ParseCertificate(s.Certificate)
	if err != nil {
		l.Strange = clean(err.Error())
		return l
	}
	for _, san := range cert.SANs[:min(len(cert.SANs), maxNames)] {
		l.Who = append(l.Who, clean(san.Value))
	}
	l.Issuer, l.Time = clean(cert.Issuer), moment(cert.X509.NotBefore)
	return l
}

// signer is who an entry says has signed: a certificate or a key.
type signer struct {
	Title   string
	Facts   []fact
	PEM     string
	Strange string
}

func signers(b *tlog.Body) (out []signer) {
	for _, s := range b.Signatures {
		out = append(out, describeSigner(s))
	}
	return out
}

func describeSigner(s tlog.BodySignature) signer {
	if s.Certificate == nil {
		return signer{Title: "Public key", Facts: []fact{{"Digest", keyDigest(s.PublicKey)}, {"Algorithm", s.Details.String()}}, PEM: block("PUBLIC KEY", s.PublicKey)}
	}
	out := signer{Title: "Certificate", PEM: block("CERTIFICATE", s.Certificate)}
	cert, err := identity.ParseCertificate(s.Certificate)
	if err != nil {
		out.Strange = clean(err.Error())
		return out
	}
	for _, line := range cert.Describe() {
		out.Facts = append(out.Facts, fact{clean(line.Label), clean(line.Value)})
	}
	out.Facts = append(out.Facts, fact{"Key digest", keyDigest(cert.X509.RawSubjectPublicKeyInfo)})
	scts, err := cert.EmbeddedSCTs()
	if err != nil {
		out.Strange = clean(err.Error())
	}
	for _, sct := range scts {
		out.Facts = append(out.Facts, fact{"Logged in CT log", hex.EncodeToString(sct.LogID[:]) + ", as it says at " + moment(sct.Timestamp)})
	}
	return out
}

func subjectFacts(b *tlog.Body) (out []fact) {
	out = append(out, fact{"Kind", b.Kind + " " + b.Version})
	for _, d := range b.Digests {
		out = append(out, fact{"Signed digest", algorithm.HashName(d.Hash) + ":" + hex.EncodeToString(d.Sum)})
	}
	for _, s := range b.Signatures {
		if s.Signature != nil {
			out = append(out, fact{"Signature", base64.StdEncoding.EncodeToString(s.Signature)})
		}
	}
	return out
}

// indent writes the JSON of a body that was parsed, and so is not nested deeply, for people.
func indent(body []byte) string {
	var out bytes.Buffer
	if err := json.Indent(&out, body, "", "  "); err != nil {
		return cleanLines(string(body))
	}
	return cleanLines(out.String())
}

// clean spells out what cannot be seen or would turn the direction of writing; escaping for HTML is the templates' part.
func clean(s string) string { return report.Clean(s) }

func cleanLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = clean(l)
	}
	return strings.Join(lines, "\n")
}

func keyDigest(spki []byte) string {
	sum := sha256.Sum256(spki)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func block(kind string, der []byte) string {
	var out strings.Builder
	fmt.Fprintf(&out, "-----BEGIN %s-----\n", kind)
	text := base64.StdEncoding.EncodeToString(der)
	for len(text) > 64 {
		out.WriteString(text[:64] + "\n")
		text = text[64:]
	}
	fmt.Fprintf(&out, "%s\n-----END %s-----\n", text, kind)
	return out.String()
}

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// count writes a number with its digits in groups.
func count(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}
