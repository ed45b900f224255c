package monitor

import (
	"errors"
	"time"
)

// Alarm names what can be wrong with a log. It is a label of metrics.
type Alarm string

// The alarms.
const (
	// Fork: the log has signed two trees of which neither continues the other.
	Fork Alarm = "fork"
	// Rollback: the log shows a smaller tree than it did before.
	Rollback Alarm = "rollback"
	// Signature: what lies in the place of the checkpoint is not one, or not signed by the log's key.
	Signature Alarm = "signature"
	// Tiles: what the log serves is not what it signed.
	Tiles Alarm = "tiles"
	// Stall: nothing new has come for longer than the log may be silent.
	Stall Alarm = "stall"
	// Unreachable: the log has not been read for a while.
	Unreachable Alarm = "unreachable"
	// Storage: the monitor cannot keep what it has seen.
	Storage Alarm = "storage"
)

var alarms = []Alarm{Fork, Rollback, Signature, Tiles, Stall, Unreachable, Storage}

// unreachableAfter is how long a log may be away before that is an alarm: a restart takes less.
const unreachableAfter = 30 * time.Second

// alarm is an error that raises one.
type alarm struct {
	kind Alarm
	err  error
}

func (a *alarm) Error() string { return a.err.Error() }

func (a *alarm) Unwrap() error { return a.err }

// Raised is an alarm that goes on.
type Raised struct {
	Alarm Alarm     `json:"alarm"`
	Since time.Time `json:"since"`
	Text  string    `json:"text"`
}

// kindOf says which alarm an error raises. What is no alarm of its own is trouble in reaching the log.
func kindOf(err error) Alarm {
	if a, ok := errors.AsType[*alarm](err); ok {
		return a.kind
	}
	return Unreachable
}
