package tsa

import (
	"crypto"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"mime"
	"net/http"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/protojson"
	"github.com/bulla-sign/bulla/timestamp"
)

const (
	// maxDER is the largest request in DER: what timestamp.ParseRequest reads. An imprint, a policy and a nonce need 150
	// bytes (GHSA-4qg8-fj49-pxjh: an object identifier of megabytes made its reader allocate many times that).
	maxDER = 4 << 10
	// maxJSON is the largest request in JSON: the limit of Sigstore's authority. Reading a long decimal nonce takes time
	// that grows with the square of its length.
	maxJSON = 1 << 10
	// maxNonce is the largest nonce in bytes: what timestamp.ParseRequest reads. Clients send 8 to 32.
	maxNonce = 64
)

// The formats of a request, which are also the values of a metric's label.
const (
	formatDER  = "der"
	formatJSON = "json"
	formatNone = "unknown"
)

// refusal is an error that is the client's fault.
type refusal struct {
	status int // of HTTP
	err    error
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

func refuse(status int, format string, args ...any) *refusal {
	return &refusal{status: status, err: fmt.Errorf(format, args...)}
}

// request is what is asked for, whatever it was written in.
type request struct {
	hash         crypto.Hash
	imprint      []byte // DER MessageImprint, as it came: RFC 3161 2.4.2 wants "the same value" in the token
	nonce        *big.Int
	certificates bool
}

// reader reads requests to an authority of one policy.
type reader struct {
	policy asn1.ObjectIdentifier
}

// format says what a request is written in, by its media type, and how large it may be.
func format(contentType string) (name string, limit int, err error) {
	media := contentType
	if media != "application/timestamp-query" && media != "application/json" {
		if media, _, err = mime.ParseMediaType(contentType); err != nil {
			return formatNone, 0, refuse(http.StatusUnsupportedMediaType, "content type %s: %v", protojson.Quote(contentType), err)
		}
	}
	switch media {
	case "application/timestamp-query":
		return formatDER, maxDER, nil
	case "application/json":
		return formatJSON, maxJSON, nil
	}
	return formatNone, 0, refuse(http.StatusUnsupportedMediaType,
		"content type %s is neither application/timestamp-query nor application/json", protojson.Quote(media))
}

// read reads a request in a format that the function format returned. Errors are of the type *refusal.
func (rd reader) read(format string, body []byte) (*request, error) {
	if format == formatJSON {
		return rd.readJSON(body)
	}
	return rd.readDER(body)
}

// readDER reads a TimeStampReq (RFC 3161 2.4.1).
func (rd reader) readDER(der []byte) (*request, error) {
	parsed, err := timestamp.ParseRequest(der)
	if err != nil {
		return nil, &refusal{http.StatusBadRequest, err}
	}
	if parsed.Policy != nil && !parsed.Policy.Equal(rd.policy) {
		return nil, rd.refusePolicy(parsed.Policy.String())
	}
	r := &request{hash: parsed.HashAlgorithm, nonce: parsed.Nonce, certificates: parsed.Certificates}
	if r.imprint = rawImprint(der); r.imprint == nil {
		return nil, refuse(http.StatusBadRequest, "time-stamp request: malformed message imprint")
	}
	return r, nil
}

// rawImprint returns the element messageImprint of a TimeStampReq.
func rawImprint(der []byte) []byte {
	in := cryptobyte.String(der)
	var s, imprint cryptobyte.String
	if !in.ReadASN1(&s, cbasn1.SEQUENCE) || !s.SkipASN1(cbasn1.INTEGER) || !s.ReadASN1Element(&imprint, cbasn1.SEQUENCE) {
		return nil
	}
	return imprint
}

func (rd reader) refusePolicy(got string) error {
	return refuse(http.StatusBadRequest, "time-stamp request: policy %s is not accepted, this authority's is %s", protojson.Quote(got), rd.policy)
}

// jsonRequest is the request that Sigstore's authority takes beside the one of RFC 3161.
type jsonRequest struct {
	artifactHash  []byte
	hashAlgorithm string
	nonce         []byte // the number as it was written
	certificates  bool
	policy        string
}

var jsonFields = []protojson.Field[jsonRequest]{
	{Name: "artifactHash", Read: func(d *protojson.Decoder, r *jsonRequest) error { return d.Bytes(&r.artifactHash) }},
	{Name: "hashAlgorithm", Read: func(d *protojson.Decoder, r *jsonRequest) error { return d.String(&r.hashAlgorithm) }},
	{Name: "nonce", Read: func(d *protojson.Decoder, r *jsonRequest) error { return d.Raw(&r.nonce) }},
	{Name: "certificates", Read: func(d *protojson.Decoder, r *jsonRequest) error { return d.Bool(&r.certificates) }},
	{Name: "tsaPolicyOID", Read: func(d *protojson.Decoder, r *jsonRequest) error { return d.String(&r.policy) }},
}

func (rd reader) readJSON(body []byte) (*request, error) {
	var j jsonRequest
	if err := protojson.Unmarshal(body, protojson.Limits{Bytes: maxJSON, Depth: 1}, jsonFields, &j); err != nil {
		return nil, refuse(http.StatusBadRequest, "time-stamp request: %w", err)
	}
	h, _ := algorithm.Hash(strings.ToLower(j.hashAlgorithm))
	oid, ok := hashOIDs[h]
	if !ok {
		return nil, refuse(http.StatusBadRequest, "time-stamp request: hashAlgorithm: %s is not sha256, sha384 or sha512", protojson.Quote(j.hashAlgorithm))
	}
	if len(j.artifactHash) != h.Size() {
		return nil, refuse(http.StatusBadRequest, "time-stamp request: artifactHash: %d bytes, %s has %d", len(j.artifactHash), h, h.Size())
	}
	// A policy is compared as text, so that nothing has to be made of the number of a hostile one.
	if j.policy != "" && j.policy != rd.policy.String() {
		return nil, rd.refusePolicy(j.policy)
	}
	r := &request{hash: h, certificates: j.certificates}
	var err error
	if len(j.nonce) > 0 {
		if r.nonce, err = readNonce(string(j.nonce)); err != nil {
			return nil, refuse(http.StatusBadRequest, "time-stamp request: nonce: %w", err)
		}
	}
	if r.imprint, err = imprint(oid, j.artifactHash); err != nil {
		return nil, refuse(http.StatusBadRequest, "time-stamp request: %w", err)
	}
	return r, nil
}

// readNonce reads a JSON number that is an integer, written without fraction and exponent.
func readNonce(number string) (*big.Int, error) {
	const maxDigits = 155 // of maxNonce bytes and a sign
	if len(number) > maxDigits+1 {
		return nil, fmt.Errorf("%d digits, the limit is %d", len(number), maxDigits)
	}
	for i, c := range number {
		if (c < '0' || c > '9') && (c != '-' || i > 0) {
			return nil, fmt.Errorf("%s is not an integer", protojson.Quote(number))
		}
	}
	n, ok := new(big.Int).SetString(number, 10)
	if !ok {
		return nil, fmt.Errorf("%s is not an integer", protojson.Quote(number))
	}
	if n.BitLen() >= 8*maxNonce {
		return nil, fmt.Errorf("it needs more than %d bytes", maxNonce)
	}
	return n, nil
}

// imprint writes a MessageImprint (RFC 3161 2.4.1), the hash's parameters left out as RFC 5754 2 asks.
func imprint(oid string, sum []byte) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addAlgorithm(b, oid, false)
		b.AddASN1OctetString(sum)
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, errors.New("message imprint cannot be written")
	}
	return der, nil
}
