package testenv

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // G505: the older form of the signing-certificate attribute
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// TSAInfo is TSTInfo (RFC 3161 2.4.2).
type TSAInfo struct {
	Version    int
	Policy     asn1.ObjectIdentifier
	Imprint    TSAImprint
	Serial     *big.Int
	Time       asn1.RawValue
	Accuracy   asn1.RawValue `asn1:"optional"`
	Ordering   bool          `asn1:"optional"`
	Nonce      *big.Int      `asn1:"optional"`
	Name       asn1.RawValue `asn1:"optional"`
	Extensions asn1.RawValue `asn1:"optional"`
}

// TSAImprint is MessageImprint.
type TSAImprint struct {
	Algorithm pkix.AlgorithmIdentifier
	Sum       []byte
}

// TSASignedData is SignedData (RFC 5652 5.1).
type TSASignedData struct {
	Version      int
	Digests      []pkix.AlgorithmIdentifier `asn1:"set"`
	Content      TSAContent
	Certificates asn1.RawValue `asn1:"optional"`
	Signers      []TSASigner   `asn1:"set"`
}

// TSAContent is EncapsulatedContentInfo.
type TSAContent struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue
}

// TSASigner is SignerInfo (RFC 5652 5.3).
type TSASigner struct {
	Version    int
	ID         asn1.RawValue
	Digest     pkix.AlgorithmIdentifier
	Attributes asn1.RawValue
	Algorithm  pkix.AlgorithmIdentifier
	Signature  []byte
	Unsigned   asn1.RawValue `asn1:"optional"`
}

// TSAToken says how a token differs from the usual one. The hooks run in the order of the fields.
type TSAToken struct {
	Hash  crypto.Hash // of imprint, content and certificate; SHA-256 when 0
	ESSv1 bool        // name the certificate by SHA-1 (ESSCertID) instead of ESSCertIDv2
	KeyID bool        // name the signer by its subject key identifier
	PSS   bool        // RSASSA-PSS instead of PKCS #1 v1.5
	Embed [][]byte    // DER of the certificates that travel with the token, in this order

	Info       func(*TSAInfo)                // before it is encoded
	Attributes func(attrs [][]byte) [][]byte // before they are sorted and signed; each is the DER of an Attribute
	Unsorted   bool                          // leave the attributes in the order of the hook
	Signed     func(*TSASignedData)          // after signing
}

// Stamp returns a TimeStampResp with a token over the message, without embedded certificates.
func (a *TSA) Stamp(message []byte, at time.Time) ([]byte, error) {
	return a.StampWith(message, at, TSAToken{})
}

// StampWith is Stamp for a token that differs from the usual one.
func (a *TSA) StampWith(message []byte, at time.Time, o TSAToken) ([]byte, error) {
	if o.Hash == 0 {
		o.Hash = crypto.SHA256
		if _, ok := a.key.(ed25519.PrivateKey); ok {
			o.Hash = crypto.SHA512
		}
	}
	content, err := o.info(a.Leaf, message, at)
	if err != nil {
		return nil, err
	}
	attrs, err := o.attributes(a.Leaf, content, at)
	if err != nil {
		return nil, err
	}
	signer := TSASigner{Version: 1, Digest: hashAlgorithm(o.Hash)}
	signer.Attributes = asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: attrs}
	if signer.ID.FullBytes, err = asn1.Marshal(struct {
		Issuer asn1.RawValue
		Serial *big.Int
	}{asn1.RawValue{FullBytes: a.Leaf.RawIssuer}, a.Leaf.SerialNumber}); err != nil {
		return nil, err
	}
	if o.KeyID {
		signer.Version = 3
		signer.ID = asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, Bytes: a.Leaf.SubjectKeyId}
	}
	set, err := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: attrs})
	if err != nil {
		return nil, err
	}
	if signer.Algorithm, signer.Signature, err = o.sign(a.key, set); err != nil {
		return nil, err
	}
	sd := TSASignedData{Version: 3, Digests: []pkix.AlgorithmIdentifier{hashAlgorithm(o.Hash)}, Signers: []TSASigner{signer}}
	sd.Content = TSAContent{Type: smime(1, 4), Content: TSAOctets(content)}
	if len(o.Embed) > 0 {
		sd.Certificates = asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: bytes.Join(o.Embed, nil)}
	}
	if o.Signed != nil {
		o.Signed(&sd)
	}
	return tsaResponse(sd)
}

// TSAOctets is [0] EXPLICIT OCTET STRING, the shape of a signed content.
func TSAOctets(content []byte) asn1.RawValue {
	der, err := asn1.Marshal(content)
	if err != nil {
		panic(err) // a byte string
	}
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: der}
}

func tsaResponse(sd TSASignedData) ([]byte, error) {
	signed, err := asn1.Marshal(sd)
	if err != nil {
		return nil, err
	}
	type contentInfo struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue
	}
	return asn1.Marshal(struct {
		Status struct{ Status int }
		Token  contentInfo
	}{Token: contentInfo{
		Type:    asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2},
		Content: asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: signed},
	}})
}

func (o *TSAToken) info(leaf *x509.Certificate, message []byte, at time.Time) ([]byte, error) {
	at = at.UTC()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 159))
	if err != nil {
		return nil, err
	}
	name := asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 4, IsCompound: true, Bytes: leaf.RawSubject}
	nameDER, err := asn1.Marshal(name)
	if err != nil {
		return nil, err
	}
	info := TSAInfo{
		Version:  1,
		Policy:   asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2},
		Imprint:  TSAImprint{hashAlgorithm(o.Hash), hashSum(o.Hash, message)},
		Serial:   serial,
		Time:     asn1.RawValue{Tag: asn1.TagGeneralizedTime, Bytes: []byte(at.Format("20060102150405.999999999Z"))},
		Accuracy: asn1.RawValue{FullBytes: []byte{0x30, 3, 2, 1, 1}}, // one second
		Name:     asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: nameDER},
	}
	if o.Info != nil {
		o.Info(&info)
	}
	return asn1.Marshal(info)
}

func (o *TSAToken) attributes(leaf *x509.Certificate, content []byte, at time.Time) ([]byte, error) {
	type essCertIDv2 struct {
		Algorithm pkix.AlgorithmIdentifier `asn1:"optional"`
		Sum       []byte
	}
	id := essCertIDv2{Sum: hashSum(o.Hash, leaf.Raw)}
	if o.Hash != crypto.SHA256 { // SHA-256 is the default and left out
		id.Algorithm = hashAlgorithm(o.Hash)
	}
	ess := TSAAttribute(smime(2, 47), []any{[]any{id}})
	if o.ESSv1 {
		sum := sha1.Sum(leaf.Raw) //nolint:gosec // G401: see the import
		ess = TSAAttribute(smime(2, 12), []any{[]any{struct{ Sum []byte }{sum[:]}}})
	}
	attrs := [][]byte{
		TSAAttribute(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}, smime(1, 4)),
		TSAAttribute(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}, hashSum(o.Hash, content)),
		TSAAttribute(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 5}, at.UTC()),
		ess,
	}
	if o.Attributes != nil {
		attrs = o.Attributes(attrs)
	}
	if !o.Unsorted {
		slices.SortFunc(attrs, bytes.Compare)
	}
	return bytes.Join(attrs, nil), nil
}

// TSAAttribute is the DER of an Attribute with the given values (RFC 5652 5.3).
func TSAAttribute(oid asn1.ObjectIdentifier, values ...any) []byte {
	var set []byte
	for _, v := range values {
		der, err := asn1.Marshal(v)
		if err != nil {
			panic(err) // values of a test
		}
		set = append(set, der...)
	}
	der, err := asn1.Marshal(struct {
		Type   asn1.ObjectIdentifier
		Values asn1.RawValue
	}{oid, asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: set}})
	if err != nil {
		panic(err)
	}
	return der
}

func (o *TSAToken) sign(key crypto.Signer, data []byte) (alg pkix.AlgorithmIdentifier, sig []byte, err error) {
	n := map[crypto.Hash]int{crypto.SHA256: 0, crypto.SHA384: 1, crypto.SHA512: 2}[o.Hash]
	sum := hashSum(o.Hash, data)
	switch key.Public().(type) {
	case *ecdsa.PublicKey:
		alg.Algorithm = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2 + n}
		sig, err = key.Sign(rand.Reader, sum, o.Hash)
	case ed25519.PublicKey:
		alg.Algorithm = asn1.ObjectIdentifier{1, 3, 101, 112}
		sig, err = key.Sign(rand.Reader, data, crypto.Hash(0))
	case *rsa.PublicKey:
		if o.PSS {
			alg.Algorithm = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
			alg.Parameters.FullBytes = pssParameters(o.Hash)
			sig, err = key.Sign(rand.Reader, sum, &rsa.PSSOptions{SaltLength: o.Hash.Size(), Hash: o.Hash})
			break
		}
		alg = pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11 + n}, Parameters: asn1.NullRawValue}
		sig, err = key.Sign(rand.Reader, sum, o.Hash)
	default:
		err = fmt.Errorf("no signature algorithm for %T", key)
	}
	return alg, sig, err
}

func pssParameters(h crypto.Hash) []byte {
	type mask struct {
		Algorithm asn1.ObjectIdentifier
		Hash      pkix.AlgorithmIdentifier
	}
	der, err := asn1.Marshal(struct {
		Hash pkix.AlgorithmIdentifier `asn1:"explicit,tag:0"`
		Mask mask                     `asn1:"explicit,tag:1"`
		Salt int                      `asn1:"explicit,tag:2"`
	}{hashAlgorithm(h), mask{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}, hashAlgorithm(h)}, h.Size()})
	if err != nil {
		panic(err)
	}
	return der
}

// smime is 1.2.840.113549.1.9.16.arc.n.
func smime(arc, n int) asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, arc, n}
}

func hashAlgorithm(h crypto.Hash) pkix.AlgorithmIdentifier {
	n := map[crypto.Hash]int{crypto.SHA256: 1, crypto.SHA384: 2, crypto.SHA512: 3}[h]
	return pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, n}}
}

func hashSum(h crypto.Hash, data []byte) []byte {
	w := h.New()
	w.Write(data)
	return w.Sum(nil)
}
