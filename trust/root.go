package trust

import (
	"bytes"
	"cmp"
	"slices"
	"time"
)

// Media types of a trusted root. The first is the one that every client reads, and the one that [Root.Encode] writes;
// the others name the same message.
const (
	RootMediaType = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"

	rootMediaTypeV01 = "application/vnd.dev.sigstore.trustedroot.v0.1+json"
	rootMediaTypeV02 = "application/vnd.dev.sigstore.trustedroot.v0.2+json"
)

// Root is everything that a verification trusts. Lists may hold instances that are no longer used, or not yet: each has
// its window.
type Root struct {
	Logs   []Log
	CTLogs []Log
	CAs    []Authority
	TSAs   []Authority
	Keys   []Key // not part of the file
	// Revocations are what was withdrawn; not part of the file. Revocable says that they were looked for where the root
	// came from, and that there are no others.
	Revocations []Revocation
	Revocable   bool
	Source      Source
}

// Source says where a root came from, for reports.
type Source struct {
	Name     string    // "public-good, embedded", or a file name; set by whoever read it
	SHA256   [32]byte  // of the bytes it was decoded from
	Date     time.Time // of a root that ships with the program; zero otherwise
	Embedded bool
}

// NewRoot makes a root of its parts: it sorts each list, the oldest first, as the specification asks, and returns what a
// reader of the encoded root gets. Keys and Source are kept.
func NewRoot(parts Root) (*Root, error) {
	sorted := Root{
		Logs:   slices.Clone(parts.Logs),
		CTLogs: slices.Clone(parts.CTLogs),
		CAs:    slices.Clone(parts.CAs),
		TSAs:   slices.Clone(parts.TSAs),
	}
	older := func(a, b Window) int { return a.Start.Compare(b.Start) }
	for _, logs := range [][]Log{sorted.Logs, sorted.CTLogs} {
		slices.SortStableFunc(logs, func(a, b Log) int {
			return cmp.Or(older(a.Window, b.Window), cmp.Compare(a.BaseURL, b.BaseURL))
		})
	}
	for _, authorities := range [][]Authority{sorted.CAs, sorted.TSAs} {
		slices.SortStableFunc(authorities, func(a, b Authority) int {
			return cmp.Or(older(a.Window, b.Window), cmp.Compare(a.URI, b.URI))
		})
	}
	data, err := sorted.Encode()
	if err != nil {
		return nil, err
	}
	r, err := DecodeRoot(data)
	if err != nil {
		return nil, err
	}
	r.Keys, r.Source.Name = parts.Keys, parts.Source.Name
	r.Revocations, r.Revocable = parts.Revocations, parts.Revocable
	return r, nil
}

// Log returns the transparency logs with the given ID (logId.keyId of a bundle's entry). Several may share one: an ID
// made of the key alone does not tell two logs of one key apart. They may be unusable, see [Log.Usable].
func (r *Root) Log(id []byte) []*Log { return logsByID(r.Logs, id) }

// CTLog returns the CT logs with the given ID (RFC 6962, 3.2), as [Root.Log] does.
func (r *Root) CTLog(id []byte) []*Log { return logsByID(r.CTLogs, id) }

// LogHint returns the transparency logs whose signatures in checkpoints carry the given key ID (C2SP signed-note). Four
// bytes are a hint, no more: the signature decides.
func (r *Root) LogHint(hint uint32) []*Log {
	var found []*Log
	for i := range r.Logs {
		if h, ok := r.Logs[i].Hint(); ok && h == hint {
			found = append(found, &r.Logs[i])
		}
	}
	return found
}

func logsByID(logs []Log, id []byte) []*Log {
	if len(id) == 0 {
		return nil
	}
	var found []*Log
	for i := range logs {
		if bytes.Equal(logs[i].ID, id) {
			found = append(found, &logs[i])
		}
	}
	return found
}

// Key returns the managed keys with the given hint. A hint is not authenticated: the caller tries all keys if none fits.
func (r *Root) Key(hint string) []*Key {
	var found []*Key
	for i := range r.Keys {
		if hint != "" && r.Keys[i].Hint == hint {
			found = append(found, &r.Keys[i])
		}
	}
	return found
}
