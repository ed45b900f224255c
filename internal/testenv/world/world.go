package world

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/trust"
)

// object is a JSON object.
type object map[string]any

func b64(data []byte) string { return base64.StdEncoding.EncodeToString(data) }

// World is one of everything.
type World struct {
	CA    *mint.CA
	CTLog *mint.CTLog
	V1    *mint.Log
	V2    *mint.Log
	TSA   *testenv.TSA
}

// New makes a world with fresh keys. Its parts may be replaced or changed before they are used.
func New(t testing.TB) *World {
	t.Helper()
	return &World{
		CA:    mint.NewCA(t, mint.CAOptions{}),
		CTLog: mint.NewCTLog(t, nil),
		V1:    mint.NewLogV1(t, mint.LogOptions{}),
		V2:    mint.NewLogV2(t, mint.LogOptions{}),
		TSA:   testenv.NewTSA(t, testenv.TSAOptions{}),
	}
}

// RootJSON returns the world's trusted root as JSON (dev.sigstore.trustroot.v1.TrustedRoot, v0.1). All windows begin a
// year before [mint.Epoch] and are open.
func (w *World) RootJSON(t testing.TB) []byte {
	t.Helper()
	start := object{"start": mint.Epoch.AddDate(-1, 0, 0).Format(time.RFC3339)}
	log := func(url string, id []byte, details string, spki []byte) object {
		return object{
			"baseUrl": url, "hashAlgorithm": "SHA2_256", "logId": object{"keyId": b64(id)},
			"publicKey": object{"rawBytes": b64(spki), "keyDetails": details, "validFor": start},
		}
	}
	authority := func(name, uri string, chain []*x509.Certificate) object {
		var certs []object
		for _, c := range chain {
			certs = append(certs, object{"rawBytes": b64(c.Raw)})
		}
		return object{
			"subject": object{"organization": "bulla test", "commonName": name}, "uri": uri,
			"certChain": object{"certificates": certs}, "validFor": start,
		}
	}
	transparency := func(l *mint.Log) object {
		pub := l.Key.Public()
		return log(l.URL, l.ID(t), mint.KeyDetails(t, pub), mint.SPKI(t, pub))
	}
	ctID, ctKey := w.CTLog.ID(t), w.CTLog.Key.Public()
	root, err := json.MarshalIndent(object{
		"mediaType":              "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
		"tlogs":                  []object{transparency(w.V1), transparency(w.V2)},
		"ctlogs":                 []object{log(w.CTLog.URL, ctID[:], mint.KeyDetails(t, ctKey), mint.SPKI(t, ctKey))},
		"certificateAuthorities": []object{authority("ca", "https://fulcio.bulla.test", w.CA.Chain())},
		"timestampAuthorities":   []object{authority("tsa", "https://tsa.bulla.test/api/v1/timestamp", w.TSA.Chain())},
	}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// Stamp returns a timestamp of the world's authority over the message, DER of a TimeStampResp.
func (w *World) Stamp(t testing.TB, message []byte, at time.Time) []byte {
	t.Helper()
	token, err := w.TSA.Stamp(message, at)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// Name describes a specification in the names of subtests: "cert/statement/v2+tsa/PKIX_ECDSA_P256_SHA_256".
func (s Spec) Name() string {
	parts := []string{s.Signer.String(), s.Content.String(), s.Log.String(), s.details().String()}
	if s.Timestamp {
		parts[2] += "+tsa"
	}
	if s.Version != 0 {
		parts = append(parts, s.Version.String())
	}
	return strings.Join(parts, "/")
}

// Root returns the world's trusted root as the program reads it.
func (w *World) Root(t testing.TB) *trust.Root {
	t.Helper()
	root, err := trust.DecodeRoot(w.RootJSON(t))
	if err != nil {
		t.Fatal(err)
	}
	return root
}
