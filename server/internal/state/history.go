package state

import (
	"bytes"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"time"

	"github.com/bulla-sign/bulla/trust"
)

// Kind is a kind of service that has keys of its own.
type Kind string

// The kinds. TUF has no entry in the trusted root, and neither has Issuer: their keys are found through TUF's own chain of
// roots and through the issuer's key set.
const (
	CA     Kind = "ca"
	CTLog  Kind = "ctlog"
	Log    Kind = "log"
	TSA    Kind = "tsa"
	Issuer Kind = "issuer"
	TUF    Kind = "tuf"
)

// Kinds returns all kinds in the order in which they are shown.
func Kinds() []Kind { return []Kind{CA, CTLog, Log, TSA, Issuer, TUF} }

// Phase is where an instance is in its life.
type Phase string

// The phases, in the order in which an instance passes through them.
const (
	Next     Phase = "next"     // made and, once published, trusted; not used yet
	Active   Phase = "active"   // the one that is used
	Retiring Phase = "retiring" // replaced, still trusted without an end
	Closed   Phase = "closed"   // replaced, and its window has an end
)

// Instance is one service with one key: a shard of a log, an authority with its chain.
type Instance struct {
	Name     string     `json:"name"`
	Phase    Phase      `json:"phase"`
	Key      string     `json:"key"`                // reference of the private key, see package keyring
	Public   string     `json:"public"`             // its public half, PEM
	Chain    string     `json:"chain,omitempty"`    // PEM: CA intermediate, …, root; TSA leaf, …, root
	Anchor   string     `json:"anchor,omitempty"`   // reference of the key of the chain's root; empty when that is somebody else's
	URL      string     `json:"url"`                // as the trusted root and the signing config name it
	Origin   string     `json:"origin,omitempty"`   // of a log: the key name in its checkpoints
	External bool       `json:"external,omitempty"` // of an issuer: it is somebody else's, and the key here is used for nothing
	Start    time.Time  `json:"start"`              // from when it is trusted
	Switched *time.Time `json:"switched,omitempty"`
	End      *time.Time `json:"end,omitempty"` // until when it is trusted
}

// Rotation is a rotation that has begun. Each field is set by the step that it is named after, so that the first one
// missing is what comes next.
type Rotation struct {
	Next      string     `json:"next"` // name of the new instance
	Made      time.Time  `json:"made"`
	Published *time.Time `json:"published,omitempty"` // the trusted root that has the new instance is out
	SwitchAt  *time.Time `json:"switchAt,omitempty"`  // not before
	Switched  *time.Time `json:"switched,omitempty"`
	Announced *time.Time `json:"announced,omitempty"` // the signing config after the switch is out
	CloseAt   *time.Time `json:"closeAt,omitempty"`   // not before
	Closed    *time.Time `json:"closed,omitempty"`    // the old window has an end
}

// KeyRef is a key that is opened only when it is needed.
type KeyRef struct {
	Key    string `json:"key"`    // reference
	Public string `json:"public"` // PEM
}

// PublicKey returns the public half.
func (k *KeyRef) PublicKey() (crypto.PublicKey, error) { return decodePublic([]byte(k.Public)) }

// History is everything that is in state.json.
type History struct {
	Version   int                 `json:"version"`
	Revision  uint64              `json:"revision"` // counts the changes
	Name      string              `json:"name"`     // organisation in the subjects of certificates
	URL       string              `json:"url"`      // public address of the services, without a slash at its end
	Created   time.Time           `json:"created"`
	Instances map[Kind][]Instance `json:"instances"`
	TUFKeys   TUFKeys             `json:"tufKeys"`
	Rotations map[Kind]*Rotation  `json:"rotations,omitempty"`
}

const (
	version = 1
	// maxHistory bounds state.json: an instance is about 3 KB, so that this is a rotation a day for thirty years.
	maxHistory = 32 << 20
)

var namePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// Decode reads a history and checks it. An unknown field is an error: it was written by a newer version, which this one
// must not overwrite.
func Decode(data []byte) (*History, error) {
	if len(data) > maxHistory {
		return nil, fmt.Errorf("the state is larger than %d bytes", maxHistory)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var h History
	if err := dec.Decode(&h); err != nil {
		return nil, fmt.Errorf("reading the state: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("reading the state: there is something after it")
	}
	if err := h.Check(); err != nil {
		return nil, err
	}
	return &h, nil
}

// Encode checks the history and writes it.
func (h *History) Encode() ([]byte, error) {
	if err := h.Check(); err != nil {
		return nil, err
	}
	data, err := json.MarshalIndent(h, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(data, '\n'), nil
}

// Check returns the first thing that is wrong with the history.
func (h *History) Check() error {
	if h.Version != version {
		return fmt.Errorf("the state has version %d, and this program knows version %d", h.Version, version)
	}
	if h.URL == "" {
		return errors.New("the state names no url")
	}
	for kind, instances := range h.Instances {
		if !slices.Contains(Kinds(), kind) {
			return fmt.Errorf("the state has instances of an unknown kind %q", kind)
		}
		if err := checkInstances(instances); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
	}
	for kind, r := range h.Rotations {
		if r == nil || h.Find(kind, r.Next) == nil {
			return fmt.Errorf("%s: the state has a rotation to an instance that it does not have", kind)
		}
	}
	return nil
}

func checkInstances(instances []Instance) error {
	active, seen := 0, make(map[string]bool)
	for i := range instances {
		in := &instances[i]
		if !namePattern.MatchString(in.Name) || seen[in.Name] {
			return fmt.Errorf("instance %d has the name %q, which is not lower-case letters, digits and dashes, or is there twice", i, in.Name)
		}
		seen[in.Name] = true
		if err := in.check(); err != nil {
			return fmt.Errorf("instance %s: %w", in.Name, err)
		}
		if in.Phase == Active {
			active++
		}
		if i > 0 && in.Start.Before(instances[i-1].Start) {
			return fmt.Errorf("instance %s starts before the one ahead of it", in.Name)
		}
	}
	if active != 1 {
		return fmt.Errorf("%d instances are active, and it must be one", active)
	}
	return nil
}

func (in *Instance) check() error {
	switch {
	case !slices.Contains([]Phase{Next, Active, Retiring, Closed}, in.Phase):
		return fmt.Errorf("unknown phase %q", in.Phase)
	case in.Start.IsZero():
		return errors.New("it has no start")
	case (in.Phase == Closed) != (in.End != nil):
		return fmt.Errorf("an instance has an end if and only if it is closed, and this one is %s", in.Phase)
	case in.End != nil && in.End.Before(in.Start):
		return errors.New("its end lies before its start")
	case in.Key == "":
		return errors.New("it names no key")
	}
	_, err := in.PublicKey()
	return err
}

// PublicKey returns the instance's public key.
func (in *Instance) PublicKey() (crypto.PublicKey, error) {
	return decodePublic([]byte(in.Public))
}

// Window returns when the instance is trusted.
func (in *Instance) Window() trust.Window {
	w := trust.Window{Start: in.Start}
	if in.End != nil {
		w.End = *in.End
	}
	return w
}

// Find returns the instance with the name, nil if there is none. It points into the history.
func (h *History) Find(kind Kind, name string) *Instance {
	for i := range h.Instances[kind] {
		if h.Instances[kind][i].Name == name {
			return &h.Instances[kind][i]
		}
	}
	return nil
}

// Active returns the instance that is used, nil if the deployment has no such service. It points into the history.
func (h *History) Active(kind Kind) *Instance {
	for i := range h.Instances[kind] {
		if h.Instances[kind][i].Phase == Active {
			return &h.Instances[kind][i]
		}
	}
	return nil
}

// NextName returns the name for a new instance of a kind: the year and how many there have been, "2026-1".
func (h *History) NextName(kind Kind, now time.Time) string {
	return fmt.Sprintf("%d-%d", now.UTC().Year(), len(h.Instances[kind])+1)
}
