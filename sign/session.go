package sign

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/keys"
)

// Identity is what a certificate authority is shown: a token of an identity provider, and the string in it that the
// authority wants signed, to prove that the token's holder has the key.
type Identity struct {
	Token     string
	Challenge string // e-mail address, or else the subject
}

// Certifier gets certificates for the bearers of identity tokens.
type Certifier interface {
	// Certify returns the DER certificate of the key and those above it, the key's first.
	Certify(ctx context.Context, id Identity, key Signer) ([][]byte, error)
}

// Session signs with an identity: it holds a key that nobody keeps and the certificate for it. One certificate serves as
// many signatures as its life allows; then a new key and a new certificate take over. It is safe for concurrent use.
type Session struct {
	// Authority certifies the keys.
	Authority Certifier
	// Identity returns a token that is valid now. It is asked once for each certificate.
	Identity func(ctx context.Context) (Identity, error)
	// Key, when set, is certified in place of keys made for the purpose (--issue-certificate).
	Key Signer
	// Now is the present time; nil takes the system's clock.
	Now func() time.Time

	mu     sync.Mutex
	signer Signer
	chain  [][]byte
	last   time.Time // until when the certificate is used for another signature
	until  time.Time // when it ends
}

// margin is the life that a certificate must have left to sign once more: signing, a timestamp and its retries have to
// happen in it. Fulcio's certificates live for ten minutes. Of those that live for less, a share is enough, or there would be
// one for each signature.
const (
	margin      = 2 * time.Minute
	marginShare = 4
)

// lastUse is until when a certificate is used.
func lastUse(leaf *x509.Certificate) time.Time {
	return leaf.NotAfter.Add(-min(margin, leaf.NotAfter.Sub(leaf.NotBefore)/marginShare))
}

// Prepare gives the options the session's key, so that it is known how they will sign; nothing is asked for yet. It refuses
// options whose signatures nobody could date, see [ErrUntimed].
func (s *Session) Prepare(o *Options) error {
	if err := o.timed(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.signer == nil {
		key, err := s.key()
		if err != nil {
			return err
		}
		s.signer = key
	}
	o.Signer = s.signer
	return nil
}

// ErrEnding says that a certificate has ended, or ends before a signature could be made and time-stamped.
var ErrEnding = errors.New("it is too late to sign with the certificate")

// Resume goes on with a key and its certificate of an earlier session: DER, the key's own first. They are used as long as
// they live; what comes after is made anew. What does not live long enough for a signature is refused with [ErrEnding], and
// the session is as it was.
func (s *Session) Resume(key Signer, chain [][]byte) error {
	if len(chain) == 0 {
		return errors.New("there is no certificate")
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return fmt.Errorf("the certificate: %w", err)
	}
	der, err := algorithm.MarshalPublicKey(key.Public())
	if err != nil {
		return err
	}
	if string(der) != string(leaf.RawSubjectPublicKeyInfo) {
		return ErrOtherKey
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now().After(lastUse(leaf)) {
		return fmt.Errorf("%w: it ends at %s", ErrEnding, leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	s.signer, s.chain, s.last, s.until = key, chain, lastUse(leaf), leaf.NotAfter
	return nil
}

// Use makes the options sign as the session's identity. It gets a certificate if there is none that lives long enough.
func (s *Session) Use(ctx context.Context, o *Options) error {
	if err := o.timed(); err != nil {
		return err // before a certificate is asked for, which makes the identity public
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now().After(s.last) {
		if err := s.renew(ctx); err != nil {
			return err
		}
	}
	o.Signer, o.Certificates, o.ShortLived = s.signer, s.chain, true
	return nil
}

func (s *Session) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

func (s *Session) renew(ctx context.Context) error {
	id, err := s.Identity(ctx)
	if err != nil {
		return err
	}
	key := s.signer
	if key == nil || len(s.chain) > 0 { // one key for each certificate
		if key, err = s.key(); err != nil {
			return err
		}
	}
	chain, err := s.Authority.Certify(ctx, id, key)
	if err != nil {
		return err
	}
	if len(chain) == 0 {
		return errors.New("the certificate authority returned no certificate")
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return fmt.Errorf("the new certificate: %w", err)
	}
	if at := s.now(); at.After(leaf.NotAfter) {
		return fmt.Errorf("the new certificate expired at %s, and it is %s here: is the clock right?", leaf.NotAfter.UTC().Format(time.RFC3339), at.UTC().Format(time.RFC3339))
	}
	s.signer, s.chain, s.last, s.until = key, chain, lastUse(leaf), leaf.NotAfter
	return nil
}

func (s *Session) key() (Signer, error) {
	if s.Key != nil {
		return s.Key, nil
	}
	return ephemeral()
}

// Certificate returns the DER of the certificate in use, nil when there is none yet, and when it ends.
func (s *Session) Certificate() ([]byte, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.chain) == 0 {
		return nil, time.Time{}
	}
	return s.chain[0], s.until
}

// ephemeral makes a key that lives in memory only. P-256 is the one kind that every certificate authority, log and
// verifier of the field takes.
func ephemeral() (Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return keys.FromSigner(key)
}

// ErrUntimed says that nothing would tell later when a short-lived certificate was used.
var ErrUntimed = errors.New("a certificate that lives for minutes needs a witness of the time: a timestamp, or a log that states when it took the entry")

// Timekeeper is implemented by loggers that say whether their entries state the time (Rekor v1). A logger that does not
// implement it is taken for one whose entries do not.
type Timekeeper interface {
	StatesTime() bool
}

// timed refuses to sign with a short-lived certificate where no service states the time.
func (o *Options) timed() error {
	if len(o.Timestampers) > 0 {
		return nil
	}
	for _, l := range o.Loggers {
		if k, ok := l.(Timekeeper); ok && k.StatesTime() {
			return nil
		}
	}
	return ErrUntimed
}
