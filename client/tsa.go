package client

import (
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"net/http"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/timestamp"
	"github.com/bulla-sign/bulla/trust"
)

// TSA is a timestamp authority over HTTP (RFC 3161 3.4).
type TSA struct{ s *service }

// tsaTimeout: authorities answer in tens of milliseconds, far ones in a second.
const tsaTimeout = 15 * time.Second

// NewTSA returns the authority whose full address, path included, is given.
func NewTSA(address string, o Options) (*TSA, error) {
	s, err := newService("timestamp authority", address, o, tsaTimeout)
	if err != nil {
		return nil, err
	}
	s.base = address // a slash at its end may matter
	return &TSA{s}, nil
}

// Timestamp gets a token over the bytes: the DER of the whole TimeStampResp. The token repeats the request's nonce and
// carries its signer's certificate. It implements [sign.Timestamper].
func (t *TSA) Timestamp(ctx context.Context, signature []byte) ([]byte, error) {
	message := algorithm.Bytes(signature)
	query, err := timestamp.NewRequest(message, crypto.SHA256, rand.Reader)
	if err != nil {
		return nil, err
	}
	query.Certificates = true // verifiers may know only the root of a foreign authority
	der, err := query.Marshal()
	if err != nil {
		return nil, err
	}
	r := &request{
		asked: "a timestamp", method: http.MethodPost, url: t.s.base, contentType: "application/timestamp-query",
		accept: "application/timestamp-reply", body: der, limit: timestamp.MaxTokenSize, said: statusMessage,
	}
	a, err := t.s.do(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := checkStamp(a.body, query, message, t.s.Root); err != nil {
		return nil, t.s.fail(r, a, err)
	}
	return a.body, nil
}

// checkStamp holds an answer against the request, and under the trusted root where there is one that names authorities.
func checkStamp(der []byte, query *timestamp.Request, message algorithm.Message, root *trust.Root) error {
	response, err := timestamp.ParseResponse(der)
	if err != nil {
		return wrong("the answer is not a timestamp: %w (it begins with %s)", err, beginning(der))
	}
	token, err := response.Granted()
	if err != nil {
		return &cause{ErrRefused, errors.New(printable(err.Error()))}
	}
	if err := query.Check(token); err != nil {
		return wrong("the token does not answer the request: %w", err)
	}
	if root == nil || len(root.TSAs) == 0 {
		return nil
	}
	var last error
	for i := range root.TSAs {
		tsa := &root.TSAs[i]
		authority, err := timestamp.NewAuthority(tsa.Chain)
		if err != nil {
			last = err
			continue
		}
		authority.Start, authority.End, authority.Linked = tsa.Window.Start, tsa.Window.End, tsa.Linked()
		if _, err = token.Verify(message, authority); err == nil {
			return nil
		}
		if last == nil || !errors.Is(err, timestamp.ErrOtherSigner) {
			last = err
		}
	}
	return wrong("the token is not of an authority of the trusted root: %w", last)
}
