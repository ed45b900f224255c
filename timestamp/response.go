package timestamp

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// maxStatusTexts and maxStatusText bound what an authority may say about a refusal: entries, and bytes of each.
const (
	maxStatusTexts = 8
	maxStatusText  = 1 << 10
)

// Response is a TimeStampResp (RFC 3161 2.4.2).
type Response struct {
	// Status is the PKIStatus: 0 granted, 1 granted with modifications, 2 rejection, 3 waiting, 4 revocation warning,
	// 5 revocation.
	Status int
	// Text is what the authority says about the status, as it sent it.
	Text []string
	// Failure are the numbers of the PKIFailureInfo bits that are set.
	Failure []int
	// Token is the token; nil when none was granted.
	Token *Token
}

// StatusError is a response that grants no token.
type StatusError struct {
	// Response is what was read.
	Response *Response
}

// Error says the status, the reasons, and what the authority said.
func (e *StatusError) Error() string {
	names := [...]string{"granted", "granted with modifications", "rejection", "waiting", "revocation warning", "revocation"}
	var b strings.Builder
	b.WriteString("time-stamp response: the authority answered ")
	if s := e.Response.Status; s >= 0 && s < len(names) {
		b.WriteString(names[s])
	} else {
		fmt.Fprintf(&b, "status %d", s)
	}
	for _, bit := range e.Response.Failure {
		b.WriteString(", " + failureText(bit))
	}
	for _, text := range e.Response.Text {
		fmt.Fprintf(&b, ", %q", text)
	}
	return b.String()
}

// failureText explains a bit of PKIFailureInfo (RFC 3161 2.4.2).
func failureText(bit int) string {
	switch bit {
	case 0:
		return "unrecognised or unsupported algorithm"
	case 2:
		return "transaction not permitted or supported"
	case 5:
		return "the request has the wrong format"
	case 14:
		return "the authority's time source is not available"
	case 15:
		return "the requested policy is not supported"
	case 16:
		return "a requested extension is not supported"
	case 17:
		return "the additional information is not understood or not available"
	case 25:
		return "the authority failed"
	}
	return fmt.Sprintf("failure bit %d", bit)
}

// Granted returns the token, or a [*StatusError] when there is none.
func (r *Response) Granted() (*Token, error) {
	if r.Token == nil {
		return nil, &StatusError{Response: r}
	}
	return r.Token, nil
}

// isResponse tells a TimeStampResp, which begins with a sequence, from a ContentInfo, which begins with an identifier.
func isResponse(der []byte) bool {
	var s cryptobyte.String
	in := cryptobyte.String(der)
	return in.ReadASN1(&s, cbasn1.SEQUENCE) && s.PeekASN1Tag(cbasn1.SEQUENCE)
}

// ParseResponse reads a response, whether or not it grants a token. A status that grants comes with a token, any other
// without (RFC 3161 2.4.2).
func ParseResponse(der []byte) (*Response, error) {
	if len(der) > MaxTokenSize {
		return nil, fmt.Errorf("time-stamp response: %d bytes, the limit is %d", len(der), MaxTokenSize)
	}
	bad := errors.New("time-stamp response: not one DER TimeStampResp")
	var s, info, token cryptobyte.String
	in := cryptobyte.String(der)
	if !in.ReadASN1(&s, cbasn1.SEQUENCE) || !in.Empty() || !s.ReadASN1(&info, cbasn1.SEQUENCE) {
		return nil, bad
	}
	r := new(Response)
	if !r.parseStatus(&info) {
		return nil, errors.New("time-stamp response: malformed status")
	}
	granted := r.Status == 0 || r.Status == 1
	if s.Empty() {
		if granted {
			return nil, errors.New("time-stamp response: granted, but there is no token")
		}
		return r, nil
	}
	if !s.ReadASN1Element(&token, cbasn1.SEQUENCE) || !s.Empty() {
		return nil, bad
	}
	if !granted {
		return nil, fmt.Errorf("time-stamp response: status %d, yet there is a token", r.Status)
	}
	var err error
	r.Token, err = parseToken(token)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// parseStatus reads PKIStatusInfo.
func (r *Response) parseStatus(s *cryptobyte.String) bool {
	if !s.ReadASN1Integer(&r.Status) || r.Status < 0 {
		return false
	}
	var texts, text cryptobyte.String
	var present bool
	if !s.ReadOptionalASN1(&texts, &present, cbasn1.SEQUENCE) {
		return false
	}
	for !texts.Empty() {
		if len(r.Text) == maxStatusTexts || !texts.ReadASN1(&text, cbasn1.UTF8String) || len(text) > maxStatusText {
			return false
		}
		r.Text = append(r.Text, string(text))
	}
	if s.PeekASN1Tag(cbasn1.BIT_STRING) {
		var bits cryptobyte.String
		// At most 32 bits are defined; the first byte is the number of unused ones.
		if !s.ReadASN1(&bits, cbasn1.BIT_STRING) || len(bits) < 1 || len(bits) > 5 || bits[0] > 7 || len(bits) == 1 && bits[0] != 0 {
			return false
		}
		for i, b := range bits[1:] {
			for j := range 8 {
				if b&(0x80>>j) != 0 {
					r.Failure = append(r.Failure, 8*i+j)
				}
			}
		}
	}
	return s.Empty()
}
