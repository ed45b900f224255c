package sign_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/testenv/world"
	"github.com/bulla-sign/bulla/sign"
)

// meeting is an authority that answers when another one has been asked as well.
type meeting struct {
	stamper sign.Timestamper
	arrived chan<- struct{}
	other   <-chan struct{}
}

func (m meeting) Timestamp(ctx context.Context, signature []byte) ([]byte, error) {
	close(m.arrived)
	select {
	case <-m.other:
		return m.stamper.Timestamp(ctx, signature)
	case <-time.After(time.Minute):
		return nil, errors.New("nobody else was asked meanwhile")
	}
}

// failing is an authority that does not answer.
type failing string

func (f failing) Timestamp(context.Context, []byte) ([]byte, error) {
	return nil, errors.New(string(f))
}

// Services of one kind are asked at the same time, and what they say keeps their order.
func TestSeveralAtOnce(t *testing.T) {
	w, clock := world.New(t), func() time.Time { return now }
	a, b := make(chan struct{}), make(chan struct{})
	o := sign.Options{Signer: signer(t, algorithm.ECDSAP256SHA256), Clock: clock, Timestampers: []sign.Timestamper{
		meeting{stamping{t, w, clock}, a, b}, meeting{stamping{t, w, clock}, b, a},
	}}
	made, err := sign.Blob(t.Context(), algorithm.Bytes(artifact), o)
	if err != nil || len(made.Material.Timestamps) != 2 {
		t.Fatalf("%v", err)
	}
	// All of them are needed, and each that fails is told, in one line.
	o.Timestampers = []sign.Timestamper{stamping{t, w, clock}, failing("the second is away"), failing("the third is away")}
	made, err = sign.Blob(t.Context(), algorithm.Bytes(artifact), o)
	if made != nil || err == nil || !strings.Contains(err.Error(), "the second is away; the third is away") {
		t.Errorf("%v, %v", made, err)
	}
}
