package monitor

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/bulla-sign/bulla/internal/durable"
)

const (
	// stateVersion is that of the file's form.
	stateVersion = 1
	// maxState bounds the file: two checkpoints of a fork and the last findings.
	maxState = 8 << 20
	// maxFindings is how many findings are kept to be shown. All are logged and counted.
	maxFindings = 100
)

// state is what is kept of a log. The file is replaced as a whole and synced before anything of it counts.
type state struct {
	Version int `json:"version"`
	// Origin and Key say whose state it is; Key is the SHA-256 of the public key.
	Origin string `json:"origin"`
	Key    string `json:"key"`
	// Head is the latest checkpoint that continues all before, empty when there was none yet.
	Head string `json:"head"`
	// Grown is when the tree was last seen to grow.
	Grown time.Time `json:"grown"`
	// Read is the number of entries that were read and compared, and Frontier belongs to it.
	Read     int64    `json:"read"`
	Frontier []string `json:"frontier"`
	// Forked is the proof of a fork, which stays until a person removes it.
	Forked *forked `json:"forked,omitempty"`
	// Found are the last findings, the latest last.
	Found []Finding `json:"found"`
}

// forked are two checkpoints of the log of which neither continues the other.
type forked struct {
	Seen   time.Time `json:"seen"`
	First  string    `json:"first"`
	Second string    `json:"second"`
}

// Finding is an entry that something of the watch list applies to.
type Finding struct {
	Log   string `json:"log"`
	Watch string `json:"watch"`
	// Index is the entry's place in the log, from 0.
	Index int64 `json:"index"`
	// Seen is when the monitor read the entry.
	Seen time.Time `json:"seen"`
	// Subjects and Issuer are what the certificate says; empty for a bare key.
	Subjects []string `json:"subjects,omitempty"`
	Issuer   string   `json:"issuer,omitempty"`
	// Signed is the name of who signed the certificate, as the certificate has it.
	Signed string `json:"signed,omitempty"`
	// Key is the SHA-256 of the public key in hexadecimal digits.
	Key string `json:"key"`
}

// load reads the state file. A log that has none begins from the start; a file that cannot be understood is an error,
// since beginning anew would forget what the log had promised.
func load(path string, l Log) (state, error) {
	sum, err := keyHash(l.Key)
	if err != nil {
		return state{}, err
	}
	fresh := state{Version: stateVersion, Origin: l.Origin, Key: hex.EncodeToString(sum[:])}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fresh, nil
	}
	if err != nil {
		return state{}, err
	}
	defer f.Close()
	s, err := decodeState(f)
	switch {
	case err != nil:
		return state{}, fmt.Errorf("%s: %w", path, err)
	case s.Origin != fresh.Origin || s.Key != fresh.Key:
		return state{}, fmt.Errorf("%s is about the log %q with the key %s, and %q with the key %s is to be watched: "+
			"give another log another name", path, s.Origin, s.Key, fresh.Origin, fresh.Key)
	}
	return s, nil
}

func decodeState(r io.Reader) (state, error) {
	var s state
	limited := &io.LimitedReader{R: r, N: maxState + 1}
	d := json.NewDecoder(limited)
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return s, fmt.Errorf("state: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) || limited.N == 0 {
		return s, fmt.Errorf("state: something follows the document, or it has more than %d bytes", maxState)
	}
	if s.Version != stateVersion {
		return s, fmt.Errorf("state: version %d, want %d", s.Version, stateVersion)
	}
	if len(s.Found) > maxFindings {
		return s, fmt.Errorf("state: %d findings, at most %d are kept", len(s.Found), maxFindings)
	}
	return s, nil
}

func (s *state) save(path string) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return durable.WriteFile(path, append(data, '\n'), 0o600)
}

// maxSubjects and maxText bound what a certificate can write into the log lines and the state.
const (
	maxSubjects = 8
	maxText     = 1024
)

func (s signature) finding(log, watch string, index int64, seen time.Time) Finding {
	f := Finding{Log: log, Watch: watch, Index: index, Seen: seen.UTC().Truncate(time.Second), Key: hex.EncodeToString(s.key[:])}
	if s.cert == nil {
		return f
	}
	for _, san := range s.cert.SANs[:min(len(s.cert.SANs), maxSubjects)] {
		f.Subjects = append(f.Subjects, cut(san.Value))
	}
	f.Issuer, f.Signed = cut(s.cert.Issuer), cut(s.cert.X509.Issuer.String())
	return f
}

func cut(s string) string {
	if len(s) > maxText {
		return strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return s
}
