package tuf

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/bulla-sign/bulla/algorithm"
)

// Document is one metadata file with the signatures that it has so far. What is signed never changes; signatures are
// added. A document that lacks some can be written to a file, carried to where a key is, signed there and carried back.
type Document struct {
	role    string
	version int64
	expires time.Time

	root    *rootContent        // of a root
	meta    map[string]fileMeta // of a snapshot or a timestamp, by file name
	targets *targetsContent     // of targets

	tree       *value // the signed part
	signed     []byte // as it was read, or as it is written
	payload    []byte // in canonical form
	signatures []signature
	raw        []byte // the file that it was read from, until a signature is added
}

type signature struct {
	keyID string
	sig   []byte
}

// ParseDocument reads a metadata file of any of the four roles. Its signatures are not checked, see [Document.Verify].
func ParseDocument(data []byte) (*Document, error) {
	d, err := parse(data, maxTargets)
	if err != nil {
		return nil, fmt.Errorf("metadata %w", err)
	}
	return d, nil
}

// parse reads a metadata file of at most limit bytes. Members that are not known are no fault (TUF specification, 4.1.1),
// and are signed like all others.
func parse(data []byte, limit int) (*Document, error) {
	file, err := parseJSON(data, limit)
	if err != nil {
		return nil, err
	}
	top := membersOf(file, "it")
	signed, list := top.take("signed", '{', true), top.take("signatures", '[', true)
	if top.err != nil {
		return nil, fmt.Errorf("is malformed: %w", top.err)
	}
	d, err := newDocument(signed, signed.raw)
	if err != nil {
		return nil, fmt.Errorf("is malformed: %w", err)
	}
	if err := d.readSignatures(list); err != nil {
		return nil, fmt.Errorf("is malformed: %w", err)
	}
	d.raw = data
	return d, nil
}

// newDocument reads the signed part of a document.
func newDocument(signed *value, raw []byte) (*Document, error) {
	d := &Document{tree: signed, signed: raw}
	m := membersOf(signed, "signed")
	d.header(m)
	if err := d.content(m); err != nil {
		return nil, err
	}
	var canonical bytes.Buffer
	signed.canonical(&canonical)
	d.payload = canonical.Bytes()
	return d, nil
}

// readSignatures reads the list of signatures. Two under one key ID are refused: the specification has each once, and
// clients differ in which of them they take.
func (d *Document) readSignatures(list *value) error {
	if len(list.kids) > maxKeys {
		return fmt.Errorf("it has %d signatures, the limit is %d", len(list.kids), maxKeys)
	}
	for i, v := range list.kids {
		m := membersOf(v, fmt.Sprintf("signatures[%d]", i))
		id := m.text("keyid")
		sig, err := hex.DecodeString(m.text("sig"))
		if err != nil {
			m.fail("sig", "is not hexadecimal")
		}
		if slices.ContainsFunc(d.signatures, func(s signature) bool { return s.keyID == id }) {
			m.fail("keyid", fmt.Sprintf("is %q, which has a signature already", id))
		}
		if m.err != nil {
			return m.err
		}
		d.signatures = append(d.signatures, signature{id, sig})
	}
	return nil
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
	list := &value{kind: '['}
	for _, s := range d.signatures {
		list.kids = append(list.kids, objectValue().set("keyid", textValue(s.keyID)).set("sig", textValue(hex.EncodeToString(s.sig))))
	}
	signatures, err := list.encode()
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", d.FileName(), err)
	}
	out := slices.Concat([]byte("{\n\"signatures\": "), signatures, []byte(",\n\"signed\": "), d.signed, []byte("\n}\n"))
	if len(out) > maxTargets || !jsontext.Value(out).IsValid() {
		return nil, fmt.Errorf("writing %s: it would have more than %d bytes", d.FileName(), maxTargets)
	}
	return out, nil
}

// Payload returns what a signature is over: the signed part in canonical JSON (TUF specification, 4.2.1).
func (d *Document) Payload() ([]byte, error) { return bytes.Clone(d.payload), nil }

// Sign adds the signature of a key on P-256, with SHA-256, or of an Ed25519 key, in place of one that the key made before.
func (d *Document) Sign(key crypto.Signer) error {
	var sig []byte
	var err error
	switch key.Public().(type) {
	case ed25519.PublicKey:
		sig, err = key.Sign(rand.Reader, d.payload, crypto.Hash(0))
	default: // which AddSignature refuses if it is not ECDSA
		digest := sha256.Sum256(d.payload)
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
	k, err := keyOf(pub)
	if err != nil {
		return err
	}
	pub, alg, err := k.parse()
	if err != nil {
		return err
	}
	if err := alg.Verify(pub, algorithm.Bytes(d.payload), sig); err != nil {
		return fmt.Errorf("the signature of %s by key %s does not verify", d.FileName(), k.id())
	}
	return d.put(signature{k.id(), sig})
}

// put adds a signature in place of one under the same ID. A document that would be too large with it stays as it was.
func (d *Document) put(sig signature) error {
	kept, raw := d.signatures, d.raw
	d.signatures = slices.DeleteFunc(slices.Clone(kept), func(s signature) bool { return s.keyID == sig.keyID })
	d.signatures, d.raw = append(d.signatures, sig), nil
	_, err := d.Encode()
	if err == nil && len(d.signatures) > maxKeys {
		err = fmt.Errorf("%s has %d signatures, the limit is %d", d.FileName(), len(d.signatures), maxKeys)
	}
	if err != nil {
		d.signatures, d.raw = kept, raw
	}
	return err
}

// Merge takes over the signatures of another copy of the same document: those by keys that one of the roots lists for its
// role, and that verify. Copies of different content are refused.
func (d *Document) Merge(other *Document, roots ...*Document) error {
	if !bytes.Equal(d.payload, other.payload) {
		return fmt.Errorf("%s: what the other copy is signed for differs", d.FileName())
	}
	for _, root := range roots {
		signed, _, _, err := other.Signatures(root)
		if err != nil {
			return err
		}
		for _, sig := range other.signatures {
			if !slices.Contains(signed, sig.keyID) {
				continue
			}
			if err := d.put(sig); err != nil {
				return err
			}
		}
	}
	return nil
}

// Verify checks that the keys that a root lists for the document's role have signed it, as many as the root demands.
func (d *Document) Verify(root *Document) error {
	if root.root == nil {
		return fmt.Errorf("%s is no root", root.FileName())
	}
	if err := checkSignatures(d, root.root.keys, root.root.roles[d.role]); err != nil {
		return fmt.Errorf("%s: %w", d.FileName(), err)
	}
	return nil
}

// errVersion says that metadata has another version than it must have.
var errVersion = errors.New("wrong version, a sign of a rollback")

// VerifySuccessor checks that a root may follow another: its version is the next one, and both demand the signatures that
// it has (TUF specification, 5.3.4 and 5.3.5).
func (d *Document) VerifySuccessor(previous *Document) error {
	if d.role != RootRole || previous.role != RootRole {
		return fmt.Errorf("%s does not follow %s", d.FileName(), previous.FileName())
	}
	if err := d.Verify(previous); err != nil {
		return fmt.Errorf("by the rules of %s: %w", previous.FileName(), err)
	}
	if d.version != previous.version+1 {
		return fmt.Errorf("%s does not follow %s: %w", d.FileName(), previous.FileName(), errVersion)
	}
	return d.Verify(d)
}

// Signatures lists, by their IDs, the keys that a root has for the document's role: those that have signed and those that
// have not; and says how many must.
func (d *Document) Signatures(root *Document) (signed, missing []string, threshold int, err error) {
	if root.root == nil {
		return nil, nil, 0, fmt.Errorf("%s is no root", root.FileName())
	}
	role := root.root.roles[d.role]
	for _, id := range role.ids {
		pub, alg, err := root.root.keys[id].parse() // no key has no type
		if err == nil && d.signedBy(id, pub, alg) {
			signed = append(signed, id)
		} else {
			missing = append(missing, id)
		}
	}
	return signed, missing, int(role.threshold), nil
}
