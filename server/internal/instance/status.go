package instance

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/bulla-sign/bulla/internal/cli/buildinfo"
	"github.com/bulla-sign/bulla/server/internal/config"
	"github.com/bulla-sign/bulla/server/internal/rotation"
	"github.com/bulla-sign/bulla/server/internal/state"
	"github.com/bulla-sign/bulla/server/monitor"
)

// Status is what status prints.
type Status struct {
	Running  bool             `json:"running"`
	Version  string           `json:"version"`
	Started  *time.Time       `json:"started,omitempty"`
	URL      string           `json:"url"`
	Revision uint64           `json:"revision"` // of the state that is followed
	Services []config.Service `json:"services,omitempty"`
	Ready    bool             `json:"ready"`
	Failing  []string         `json:"failing,omitempty"`
	Reasons  []string         `json:"reasons,omitempty"` // why, and what to do; for operators alone
	Keys     []KeyStatus      `json:"keys"`
	Logs     []LogStatus      `json:"logs,omitempty"`
	// Watched is what the monitor knows of each log, where this process runs it.
	Watched []monitor.Status `json:"watched,omitempty"`
	// Witnessed says that the process runs the transparency log, with witnesses.
	Witnessed bool `json:"witnessed,omitempty"`
	// Rotations are those under way.
	Rotations []rotation.Progress `json:"rotations,omitempty"`
}

// KeyStatus is an instance of the history, as people want to see it.
type KeyStatus struct {
	Kind  state.Kind  `json:"kind"`
	Name  string      `json:"name"`
	Phase state.Phase `json:"phase"`
	Key   string      `json:"key"`       // reference
	ID    string      `json:"keySha256"` // hexadecimal, of the public key's PKIX form
	Start time.Time   `json:"start"`
	End   *time.Time  `json:"end,omitempty"`
	// Expires is when the first certificate of the chain ends; nil without a chain.
	Expires *time.Time `json:"expires,omitempty"`
}

// LogStatus is the size of a log.
type LogStatus struct {
	Name string `json:"name"`
	Size uint64 `json:"size"`
}

// sized is a log.
type sized interface {
	Head() (size uint64, root [32]byte, ok bool)
}

// Describe returns what the history alone says.
func Describe(h *state.History) Status {
	s := Status{Version: buildinfo.Read().Version, URL: h.URL, Revision: h.Revision}
	for _, kind := range state.Kinds() {
		for i := range h.Instances[kind] {
			s.Keys = append(s.Keys, describe(kind, &h.Instances[kind][i]))
		}
		if p := rotation.Of(h, kind); p != nil {
			s.Rotations = append(s.Rotations, *p)
		}
	}
	return s
}

func describe(kind state.Kind, of *state.Instance) KeyStatus {
	k := KeyStatus{Kind: kind, Name: of.Name, Phase: of.Phase, Key: of.Key, Start: of.Start, End: of.End}
	if key, err := of.PublicKey(); err == nil {
		if der, err := x509.MarshalPKIXPublicKey(key); err == nil {
			sum := sha256.Sum256(der)
			k.ID = hex.EncodeToString(sum[:])
		}
	}
	if chain, err := of.Certificates(); err == nil && len(chain) > 0 {
		first := slices.MinFunc(chain, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
		k.Expires = &first.NotAfter
	}
	return k
}

// Status returns what the process knows about itself.
func (in *Instance) Status(ctx context.Context) (Status, error) {
	s := Describe(in.History())
	s.Running, s.Started, s.Services = true, &in.started, in.File.Services
	s.Witnessed = in.File.Runs(config.ServiceLog) && in.File.Log.Witnesses != ""
	failing, reason := in.health.Failing(ctx)
	s.Failing, s.Ready = failing, len(failing) == 0
	if reason != nil {
		s.Reasons = strings.Split(reason.Error(), "\n")
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, m := range in.mounts {
		if log, ok := m.service.(sized); ok {
			size, _, _ := log.Head()
			s.Logs = append(s.Logs, LogStatus{m.name, size})
		}
		if watching, ok := m.service.(*monitor.Monitor); ok {
			s.Watched = watching.Status()
		}
	}
	slices.SortFunc(s.Logs, func(a, b LogStatus) int { return strings.Compare(a.Name, b.Name) })
	return s, nil
}
