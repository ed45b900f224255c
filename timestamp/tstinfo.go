package timestamp

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// maxAccuracy bounds the stated accuracy, so that it fits a duration; a clock that is off by more says nothing.
const maxAccuracy = 10 * 365 * 24 * 60 * 60 // seconds

// parseTSTInfo reads TSTInfo (RFC 3161 2.4.2) into t.
func (t *Token) parseTSTInfo(der []byte) error {
	var s cryptobyte.String
	in := cryptobyte.String(der)
	if !in.ReadASN1(&s, cbasn1.SEQUENCE) || !in.Empty() {
		return errors.New("not one DER sequence")
	}
	if !readVersion1(&s) {
		return errors.New("version is not 1")
	}
	if !s.ReadASN1ObjectIdentifier(&t.Policy) {
		return errors.New("malformed policy")
	}
	var err error
	if t.HashAlgorithm, t.Imprint, err = readImprint(&s); err != nil {
		return err
	}
	var ok bool
	if t.SerialNumber, ok = readInteger(&s); !ok {
		return errors.New("malformed serial number")
	}
	var genTime cryptobyte.String
	if !s.ReadASN1(&genTime, cbasn1.GeneralizedTime) {
		return errors.New("genTime is missing")
	}
	if t.ClaimedTime, err = parseGeneralizedTime(string(genTime)); err != nil {
		return fmt.Errorf("genTime: %w", err)
	}
	return t.parseOptional(&s)
}

// parseOptional reads what may follow genTime.
func (t *Token) parseOptional(s *cryptobyte.String) error {
	var err error
	if t.Accuracy, err = readAccuracy(s); err != nil {
		return err
	}
	if !readFlag(s, &t.Ordering) {
		return errors.New("malformed ordering")
	}
	if s.PeekASN1Tag(cbasn1.INTEGER) {
		var ok bool
		if t.Nonce, ok = readInteger(s); !ok {
			return errors.New("malformed nonce")
		}
	}
	var name, element, exts cryptobyte.String
	var present bool
	if !s.ReadOptionalASN1(&name, &present, tag0.Constructed()) {
		return errors.New("malformed tsa")
	}
	if present {
		var tag cbasn1.Tag
		if !name.ReadAnyASN1Element(&element, &tag) || !name.Empty() {
			return errors.New("malformed tsa")
		}
		t.tsaName = element
	}
	if !s.ReadOptionalASN1(&exts, &present, tag1.Constructed()) || present && exts.Empty() {
		return errors.New("malformed extensions")
	}
	if err := readExtensions(exts); err != nil {
		return err
	}
	if !s.Empty() {
		return errors.New("unknown field at the end")
	}
	return nil
}

// readAccuracy reads the optional Accuracy: seconds, thousandths [0] and millionths [1], the last two 1 to 999.
func readAccuracy(s *cryptobyte.String) (time.Duration, error) {
	bad := errors.New("malformed accuracy")
	var acc cryptobyte.String
	var present bool
	if !s.ReadOptionalASN1(&acc, &present, cbasn1.SEQUENCE) {
		return 0, bad
	}
	if !present {
		return 0, nil
	}
	var sec, milli, micro int64
	if acc.PeekASN1Tag(cbasn1.INTEGER) && !acc.ReadASN1Integer(&sec) {
		return 0, bad
	}
	if acc.PeekASN1Tag(tag0) && (!acc.ReadASN1Int64WithTag(&milli, tag0) || milli < 1 || milli > 999) {
		return 0, bad
	}
	if acc.PeekASN1Tag(tag1) && (!acc.ReadASN1Int64WithTag(&micro, tag1) || micro < 1 || micro > 999) {
		return 0, bad
	}
	if !acc.Empty() || sec < 0 || sec > maxAccuracy {
		return 0, bad
	}
	return time.Duration(sec)*time.Second + time.Duration(milli)*time.Millisecond + time.Duration(micro)*time.Microsecond, nil
}
