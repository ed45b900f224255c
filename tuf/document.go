package tuf

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// The top-level roles (TUF specification, 2.1).
const (
	RootRole      = metadata.ROOT
	TargetsRole   = metadata.TARGETS
	SnapshotRole  = metadata.SNAPSHOT
	TimestampRole = metadata.TIMESTAMP
)

// Document is one metadata file with the signatures that it has so far. What is signed never changes; signatures are
// added. A document that lacks some can be written to a file, carried to where a key is, signed there and carried back.
type Document struct {
	role    string
	version int64
	expires time.Time
	content content
	raw     []byte // the file that it was read from, until a signature is added
}

// content is metadata of one type.
type content interface {
	payload() ([]byte, error)
	encode() ([]byte, error)
	signatures() *[]metadata.Signature
	verifiedBy(root *metadata.Metadata[metadata.RootType], role string) error
}

type typed[T metadata.Roles] struct{ *metadata.Metadata[T] }

func (t typed[T]) payload() ([]byte, error)          { return cjson.EncodeCanonical(t.Signed) }
func (t typed[T]) encode() ([]byte, error)           { return t.ToBytes(true) }
func (t typed[T]) signatures() *[]metadata.Signature { return &t.Signatures }

func (t typed[T]) verifiedBy(root *metadata.Metadata[metadata.RootType], role string) error {
	return guarded(func() error { return root.VerifyDelegate(role, t.Metadata) })
}

// ParseDocument reads a metadata file of any of the four roles. Its signatures are not checked, see [Document.Verify].
func ParseDocument(data []byte) (*Document, error) {
	if err := vet(data, maxTargets); err != nil {
		return nil, fmt.Errorf("metadata %w", err)
	}
	var errs []error
	for _, parse := range []func([]byte) (*Document, error){parseRoot, parseTargets, parseSnapshot, parseTimestamp} {
		var d *Document
		err := guarded(func() (err error) { d, err = parse(data); return err })
		if err == nil {
			return d, nil
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("metadata is of none of the four roles: %w", errors.Join(errs...))
}

func parseRoot(data []byte) (*Document, error) {
	m, err := metadata.Root(time.Time{}).FromBytes(data)
	if err != nil {
		return nil, err
	}
	return parsed(&Document{RootRole, m.Signed.Version, m.Signed.Expires, typed[metadata.RootType]{m}, data})
}

func parseTargets(data []byte) (*Document, error) {
	m, err := metadata.Targets(time.Time{}).FromBytes(data)
	if err != nil {
		return nil, err
	}
	return parsed(&Document{TargetsRole, m.Signed.Version, m.Signed.Expires, typed[metadata.TargetsType]{m}, data})
}

func parseSnapshot(data []byte) (*Document, error) {
	m, err := metadata.Snapshot(time.Time{}).FromBytes(data)
	if err != nil {
		return nil, err
	}
	return parsed(&Document{SnapshotRole, m.Signed.Version, m.Signed.Expires, typed[metadata.SnapshotType]{m}, data})
}

func parseTimestamp(data []byte) (*Document, error) {
	m, err := metadata.Timestamp(time.Time{}).FromBytes(data)
	if err != nil {
		return nil, err
	}
	return parsed(&Document{TimestampRole, m.Signed.Version, m.Signed.Expires, typed[metadata.TimestampType]{m}, data})
}

// parsed refuses what lacks a part that every document has: it would be written as null.
func parsed(d *Document) (*Document, error) {
	if err := checkHeader(d.version, d.expires); err != nil {
		return nil, fmt.Errorf("%s: %w", d.role, err)
	}
	if sigs := d.content.signatures(); *sigs == nil {
		*sigs = []metadata.Signature{}
	}
	written, err := d.content.encode()
	if err == nil {
		err = vet(written, maxTargets)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: written again it %w", d.role, err)
	}
	return d, nil
}

// Role returns "root", "targets", "snapshot" or "timestamp".
func (d *Document) Role() string { return d.role }

// Version returns the metadata's version, from 1.
func (d *Document) Version() int64 { return d.version }

// Expires returns the time after which clients refuse the metadata.
func (d *Document) Expires() time.Time { return d.expires }

// FileName returns the name that clients look for: N.ROLE.json, and timestamp.json for the timestamp, which has none.
func (d *Document) FileName() string {
	if d.role == TimestampRole {
		return "timestamp.json"
	}
	return strconv.FormatInt(d.version, 10) + "." + d.role + ".json"
}

// Encode returns the file's content: what is signed, and the signatures.
func (d *Document) Encode() ([]byte, error) {
	if d.raw != nil {
		return bytes.Clone(d.raw), nil
	}
	data, err := d.content.encode()
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", d.FileName(), err)
	}
	return append(data, '\n'), nil
}

// Payload returns what a signature is over: the signed part in canonical JSON (TUF specification, 4.2.1).
func (d *Document) Payload() ([]byte, error) {
	data, err := d.content.payload()
	if err != nil {
		return nil, fmt.Errorf("canonical form of %s: %w", d.FileName(), err)
	}
	return data, nil
}

// Sign adds the signature of a key on P-256, with SHA-256, or of an Ed25519 key, in place of one that the key made before.
func (d *Document) Sign(key crypto.Signer) error {
	payload, err := d.Payload()
	if err != nil {
		return err
	}
	var sig []byte
	switch key.Public().(type) {
	case ed25519.PublicKey:
		sig, err = key.Sign(rand.Reader, payload, crypto.Hash(0))
	default: // which AddSignature refuses if it is not ECDSA
		digest := sha256.Sum256(payload)
		sig, err = key.Sign(rand.Reader, digest[:], crypto.SHA256)
	}
	if err != nil {
		return fmt.Errorf("signing %s: %w", d.FileName(), err)
	}
	return d.AddSignature(key.Public(), sig)
}

// AddSignature adds a signature over [Document.Payload] that was made elsewhere: ASN.1 as ECDSA signers return it, or the 64
// bytes of Ed25519. One that does not verify is refused.
func (d *Document) AddSignature(pub crypto.PublicKey, sig []byte) error {
	id, err := KeyID(pub)
	if err != nil {
		return err
	}
	payload, err := d.Payload()
	if err != nil {
		return err
	}
	if !verifies(pub, payload, sig) {
		return fmt.Errorf("the signature of %s by key %s does not verify", d.FileName(), id)
	}
	d.put(metadata.Signature{KeyID: id, Signature: sig})
	return nil
}

func (d *Document) put(sig metadata.Signature) {
	all := d.content.signatures()
	*all = slices.DeleteFunc(*all, func(s metadata.Signature) bool { return s.KeyID == sig.KeyID })
	*all = append(*all, sig)
	d.raw = nil
}

func verifies(pub crypto.PublicKey, payload, sig []byte) bool {
	switch pub := pub.(type) {
	case *ecdsa.PublicKey:
		digest := sha256.Sum256(payload)
		return ecdsa.VerifyASN1(pub, digest[:], sig)
	case ed25519.PublicKey:
		return len(pub) == ed25519.PublicKeySize && ed25519.Verify(pub, payload, sig)
	}
	return false
}

// Merge takes over the signatures of another copy of the same document: those by keys that one of the roots lists for its
// role, and that verify. Copies of different content are refused.
func (d *Document) Merge(other *Document, roots ...*Document) error {
	ours, err := d.Payload()
	if err != nil {
		return err
	}
	theirs, err := other.Payload()
	if err != nil {
		return err
	}
	if string(ours) != string(theirs) {
		return fmt.Errorf("%s: what the other copy is signed for differs", d.FileName())
	}
	for _, root := range roots {
		signed, _, _, err := other.Signatures(root)
		if err != nil {
			return err
		}
		for _, sig := range *other.content.signatures() {
			if slices.Contains(signed, sig.KeyID) {
				d.put(sig)
			}
		}
	}
	return nil
}

// Verify checks that the keys that a root lists for the document's role have signed it, as many as the root demands.
func (d *Document) Verify(root *Document) error {
	r, ok := root.content.(typed[metadata.RootType])
	if !ok {
		return fmt.Errorf("%s is no root", root.FileName())
	}
	if err := d.content.verifiedBy(r.Metadata, d.role); err != nil {
		return fmt.Errorf("%s: %w", d.FileName(), worded(err))
	}
	return nil
}

// VerifySuccessor checks that a root may follow another: its version is the next one, and both demand the signatures that
// it has (TUF specification, 5.3.4 and 5.3.5).
func (d *Document) VerifySuccessor(previous *Document) error {
	if d.role != RootRole || previous.role != RootRole || d.version != previous.version+1 {
		return fmt.Errorf("%s does not follow %s", d.FileName(), previous.FileName())
	}
	if err := d.Verify(previous); err != nil {
		return fmt.Errorf("by the rules of %s: %w", previous.FileName(), err)
	}
	return d.Verify(d)
}

// Signatures lists, by their IDs, the keys that a root has for the document's role: those that have signed and those that
// have not; and says how many must.
func (d *Document) Signatures(root *Document) (signed, missing []string, threshold int, err error) {
	r, ok := root.content.(typed[metadata.RootType])
	if !ok {
		return nil, nil, 0, fmt.Errorf("%s is no root", root.FileName())
	}
	payload, err := d.Payload()
	if err != nil {
		return nil, nil, 0, err
	}
	role := r.Signed.Roles[d.role]
	if role == nil {
		return nil, nil, 0, fmt.Errorf("%s has no role %s", root.FileName(), d.role)
	}
	for _, id := range role.KeyIDs {
		if d.signedBy(id, r.Signed.Keys[id], payload) {
			signed = append(signed, id)
		} else {
			missing = append(missing, id)
		}
	}
	return signed, missing, role.Threshold, nil
}

// signedBy says that the document has a signature under a key ID that verifies by the key.
func (d *Document) signedBy(id string, key *metadata.Key, payload []byte) bool {
	if key == nil {
		return false
	}
	pub, err := key.ToPublicKey()
	return err == nil && slices.ContainsFunc(*d.content.signatures(), func(s metadata.Signature) bool {
		return s.KeyID == id && verifies(pub, payload, s.Signature)
	})
}

// KeyID returns the ID of a public key (TUF specification, 4.2.2). Other keys than ECDSA on P-256 and Ed25519 are refused:
// some clients know no others.
func KeyID(pub crypto.PublicKey) (string, error) {
	k, err := keyOf(pub)
	if err != nil {
		return "", err
	}
	return k.ID()
}

func keyOf(pub crypto.PublicKey) (*metadata.Key, error) {
	switch p := pub.(type) {
	case *ecdsa.PublicKey:
		if p.Curve != elliptic.P256() {
			return nil, fmt.Errorf("a key on %s cannot sign metadata: use P-256 or Ed25519", p.Curve.Params().Name)
		}
	case ed25519.PublicKey:
		if len(p) != ed25519.PublicKeySize {
			return nil, errors.New("an Ed25519 key has the wrong length")
		}
	default:
		return nil, fmt.Errorf("a key of type %T cannot sign metadata: use ECDSA on P-256 or Ed25519", pub)
	}
	return metadata.KeyFromPublicKey(pub)
}
