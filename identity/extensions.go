package identity

import (
	"encoding/asn1"
	"fmt"
	"slices"
	"sync"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Encoding says how the value of a Fulcio extension is written.
type Encoding int

// The encodings that occur in the table. Numbers .1 to .6 predate the rule that an extension's value is DER.
const (
	EncodingRaw       Encoding = iota + 1 // the bytes of the string themselves
	EncodingUTF8                          // a DER UTF8String
	EncodingOtherName                     // no extension of its own: the type of an otherName in the SAN
)

// Extension is a row of the table of 1.3.6.1.4.1.57264.1.N.
type Extension struct {
	Number   int      // N
	OID      string   // dotted, complete
	Name     string   // key in [Certificate.Extensions], in JSON output and in policies
	Flag     string   // command line flag that demands an exact value, without dashes; "" where there is none
	Label    string   // for people
	Encoding Encoding // of the value
}

// Names in the table that code refers to.
const (
	NameIssuer    = "oidcIssuer"   // .1, raw
	NameIssuerV2  = "oidcIssuerV2" // .8, DER
	nameOtherName = "otherNameSAN" // .7
)

// arc is 1.3.6.1.4.1.57264.1, below which all extensions of the table lie.
const arc = "1.3.6.1.4.1.57264.1"

// Extensions returns the table of Fulcio's certificate extensions in the order of their numbers (Fulcio's
// docs/oid-info.md). The names of .1 to .6 are those of cosign's JSON output. The slice belongs to the caller.
func Extensions() []Extension { return slices.Clone(extensionTable()) }

// extensionTable is the table itself. Every certificate that is read asks it for each of its extensions.
var extensionTable = sync.OnceValue(func() []Extension {
	row := func(n int, name, flag, label string, enc Encoding) Extension {
		return Extension{Number: n, OID: fmt.Sprintf("%s.%d", arc, n), Name: name, Flag: flag, Label: label, Encoding: enc}
	}
	return []Extension{
		row(1, NameIssuer, "certificate-oidc-issuer", "Issuer (older form)", EncodingRaw),
		row(2, "githubWorkflowTrigger", "certificate-github-workflow-trigger", "GitHub Workflow Trigger", EncodingRaw),
		row(3, "githubWorkflowSha", "certificate-github-workflow-sha", "GitHub Workflow SHA", EncodingRaw),
		row(4, "githubWorkflowName", "certificate-github-workflow-name", "GitHub Workflow Name", EncodingRaw),
		row(5, "githubWorkflowRepository", "certificate-github-workflow-repository", "GitHub Workflow Repository", EncodingRaw),
		row(6, "githubWorkflowRef", "certificate-github-workflow-ref", "GitHub Workflow Ref", EncodingRaw),
		row(7, nameOtherName, "", "OtherName SAN", EncodingOtherName),
		row(8, NameIssuerV2, "certificate-oidc-issuer", "Issuer", EncodingUTF8),
		row(9, "buildSignerURI", "", "Build Signer URI", EncodingUTF8),
		row(10, "buildSignerDigest", "", "Build Signer Digest", EncodingUTF8),
		row(11, "runnerEnvironment", "", "Runner Environment", EncodingUTF8),
		row(12, "sourceRepositoryURI", "", "Source Repository URI", EncodingUTF8),
		row(13, "sourceRepositoryDigest", "", "Source Repository Digest", EncodingUTF8),
		row(14, "sourceRepositoryRef", "", "Source Repository Ref", EncodingUTF8),
		row(15, "sourceRepositoryIdentifier", "", "Source Repository Identifier", EncodingUTF8),
		row(16, "sourceRepositoryOwnerURI", "", "Source Repository Owner URI", EncodingUTF8),
		row(17, "sourceRepositoryOwnerIdentifier", "", "Source Repository Owner Identifier", EncodingUTF8),
		row(18, "buildConfigURI", "", "Build Config URI", EncodingUTF8),
		row(19, "buildConfigDigest", "", "Build Config Digest", EncodingUTF8),
		row(20, "buildTrigger", "", "Build Trigger", EncodingUTF8),
		row(21, "runInvocationURI", "", "Run Invocation URI", EncodingUTF8),
		row(22, "sourceRepositoryVisibilityAtSigning", "", "Source Repository Visibility At Signing", EncodingUTF8),
		row(23, "deploymentEnvironment", "", "Deployment Environment", EncodingUTF8),
		row(24, "tokenSubject", "", "Token Subject", EncodingUTF8),
	}
})

// LookupExtension finds a row by its Name, its dotted OID, or its flag. A flag that stands for two rows (the issuer)
// finds the newer one.
func LookupExtension(key string) (Extension, bool) {
	var found Extension
	for _, e := range extensionTable() {
		if e.Name == key || e.OID == key {
			return e, true
		}
		if e.Flag != "" && e.Flag == key {
			found = e
		}
	}
	return found, found.Number != 0
}

// extensionByID finds the row of a certificate extension. The number .7 is no extension of a certificate, so it is
// not found here.
func extensionByID(id asn1.ObjectIdentifier) (Extension, bool) {
	above := asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1} // arc
	if len(id) != len(above)+1 || !id[:len(above)].Equal(above) {
		return Extension{}, false
	}
	table := extensionTable()
	for i := range table {
		if table[i].Number == id[len(above)] && table[i].Encoding != EncodingOtherName {
			return table[i], true
		}
	}
	return Extension{}, false
}

// EncodeValue writes a value as the row's extension carries it (the reverse of reading a certificate), for those who
// issue certificates.
func (e Extension) EncodeValue(value string) ([]byte, error) {
	if !utf8.ValidString(value) {
		return nil, fmt.Errorf("extension %s (%s): the value is not UTF-8", e.OID, e.Name)
	}
	switch e.Encoding {
	case EncodingRaw:
		return []byte(value), nil
	case EncodingUTF8:
		var b cryptobyte.Builder
		b.AddASN1(cbasn1.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(value)) })
		return b.Bytes()
	}
	return nil, fmt.Errorf("extension %s (%s) is not a certificate extension", e.OID, e.Name)
}

// decodeValue reads the value of the row's extension.
func (e Extension) decodeValue(der []byte) (string, error) {
	if len(der) > maxValueSize {
		return "", fmt.Errorf("the value has %d bytes, more than %d", len(der), maxValueSize)
	}
	value := der
	if e.Encoding == EncodingUTF8 {
		input := cryptobyte.String(der)
		var inner cryptobyte.String
		if !input.ReadASN1(&inner, cbasn1.UTF8String) || !input.Empty() {
			return "", fmt.Errorf("the value is not one DER UTF8String")
		}
		value = inner
	}
	if !utf8.Valid(value) {
		return "", fmt.Errorf("the value is not UTF-8")
	}
	return string(value), nil
}
