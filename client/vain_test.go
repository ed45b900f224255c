package client_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/client"
	"github.com/bulla-sign/bulla/internal/testenv/services"
)

// A service that was waited for in vain is not waited for again by the same client until it answers; after some calls its
// errors say that the others need not be made.
func TestPatienceIsHadOnce(t *testing.T) {
	s := services.New(t)
	const path = "/api/v1/timestamp"
	asked := func() int { return s.Count("POST", path) }
	o := options(t, s)
	o.Patience = 2 * time.Second
	tsa, err := client.NewTSA(s.TSA, o)
	if err != nil {
		t.Fatal(err)
	}
	call := func() error {
		_, err := tsa.Timestamp(context.Background(), []byte("a signature"))
		return err
	}

	s.Fail(services.Fault{Path: path, Status: 503, Times: -1})
	if err := call(); !errors.Is(err, client.ErrUnavailable) || errors.Is(err, client.ErrDown) || asked() < 2 {
		t.Fatalf("the first, asked %d times: %v", asked(), err)
	}
	down := 0
	for i := 2; i <= 10; i++ {
		before := asked()
		err := call()
		if !errors.Is(err, client.ErrUnavailable) || asked() != before+1 {
			t.Errorf("call %d: %v, asked %d times", i, err, asked()-before)
		}
		if errors.Is(err, client.ErrDown) {
			down++
		} else if down > 0 {
			t.Errorf("call %d: not down any more: %v", i, err)
		}
	}
	if down != 3 {
		t.Errorf("%d of ten calls say that it is down, want the last three", down)
	}

	// A caller who goes away, or an answer that says no, is not the service's silence.
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := tsa.Timestamp(gone, []byte("x")); errors.Is(err, client.ErrDown) {
		t.Errorf("the caller went away: %v", err)
	}
	s.Heal()
	s.Fail(services.Fault{Path: path, Status: 400})
	if err := call(); !errors.Is(err, client.ErrRefused) {
		t.Errorf("refused: %v", err)
	}
	// Which was an answer, so that there is patience again.
	s.Fail(services.Fault{Path: path, Status: 503, Times: 2})
	if err := call(); err != nil {
		t.Errorf("back: %v", err)
	}
}

// Little time is used for one more attempt, not for as many as fit, and who ended the call is told.
func TestLittleTime(t *testing.T) {
	s := services.New(t)
	const path = "/api/v1/timestamp"
	s.Fail(services.Fault{Path: path, Status: 503, Times: -1})
	o := options(t, s)
	o.Pause = time.Hour
	tsa, err := client.NewTSA(s.TSA, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if _, err := tsa.Timestamp(ctx, []byte("x")); !errors.Is(err, client.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) || s.Count("POST", path) > 2 {
		t.Errorf("asked %d times: %v", s.Count("POST", path), err)
	}
	for want, end := range map[string]func(context.Context) (context.Context, context.CancelFunc){
		"no answer yet; interrupted": func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			s.Fail(services.Fault{Path: path, Slow: 10 * time.Minute, Before: cancel})
			return ctx, cancel
		},
		"no answer yet; and time is up": func(ctx context.Context) (context.Context, context.CancelFunc) {
			s.Fail(services.Fault{Path: path, Slow: 10 * time.Minute})
			return context.WithTimeout(ctx, time.Second)
		},
	} {
		s.Heal()
		ctx, cancel := end(context.Background())
		if _, err := tsa.Timestamp(ctx, []byte("x")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		cancel()
	}
}

// A service without TLS at an address that says https will not have it in a moment either.
func TestSchemeMismatch(t *testing.T) {
	s := services.New(t)
	tsa, err := client.NewTSA(strings.Replace(s.TSA, "http:", "https:", 1), options(t, s))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tsa.Timestamp(context.Background(), []byte("x")); !errors.Is(err, client.ErrUnavailable) || strings.Contains(err.Error(), "tried") {
		t.Error(err)
	}
}
