package tlog

import (
	"crypto"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
)

// SETPayload returns the bytes that a signed entry timestamp covers: the canonical JSON (RFC 8785) of body, integratedTime,
// logID and logIndex. All values are numbers, base64 and hexadecimal digits, so that no character needs escaping.
func SETPayload(e *Entry) ([]byte, error) {
	switch {
	case len(e.Body) == 0:
		return nil, errors.New("signed entry timestamp: entry has no body")
	case len(e.Body) > MaxBodySize:
		return nil, fmt.Errorf("signed entry timestamp: entry body has %d bytes, more than %d", len(e.Body), MaxBodySize)
	case len(e.LogID) != HashSize:
		return nil, fmt.Errorf("signed entry timestamp: log ID has %d bytes, want %d", len(e.LogID), HashSize)
	}
	// Canonical JSON writes numbers as doubles, exact only up to 2^53 (RFC 8785 3.2.2.3).
	const most = 1 << 53
	if e.IntegratedTime < 0 || e.IntegratedTime > most {
		return nil, fmt.Errorf("signed entry timestamp: integrated time %d is outside 0 to 2^53", e.IntegratedTime)
	}
	if e.LogIndex < 0 || e.LogIndex > most {
		return nil, fmt.Errorf("signed entry timestamp: log index %d is outside 0 to 2^53", e.LogIndex)
	}
	b := make([]byte, 0, base64.StdEncoding.EncodedLen(len(e.Body))+160)
	b = append(b, `{"body":"`...)
	b = base64.StdEncoding.AppendEncode(b, e.Body)
	b = append(b, `","integratedTime":`...)
	b = strconv.AppendInt(b, e.IntegratedTime, 10)
	b = append(b, `,"logID":"`...)
	b = hex.AppendEncode(b, e.LogID)
	b = append(b, `","logIndex":`...)
	b = strconv.AppendInt(b, e.LogIndex, 10)
	return append(b, '}'), nil
}

// VerifySET checks the signed entry timestamp of a Rekor v1 entry under the log's key: the log's promise that it holds the
// body since the integrated time.
func VerifySET(e *Entry, pub crypto.PublicKey) error {
	if len(e.Promise) == 0 {
		return errors.New("signed entry timestamp: entry has none")
	}
	payload, err := SETPayload(e)
	if err != nil {
		return err
	}
	if e.IntegratedTime == 0 {
		return errors.New("signed entry timestamp: entry has no integrated time")
	}
	if err := verifyLogSignature(pub, payload, e.Promise); err != nil {
		return fmt.Errorf("signed entry timestamp: %w", err)
	}
	return nil
}
