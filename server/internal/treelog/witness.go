package treelog

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/transparency-dev/tessera"
)

// maxWitnessAnswer bounds a witness's answer in bytes: a size, or a few signature lines.
const maxWitnessAnswer = 64 << 10

// judgeWitnesses asks every witness what it knows of this log (C2SP tlog-witness). A witness that has cosigned a larger
// tree, or another one, is as good a reason not to write as the lock store. One that does not answer is none.
func (l *Log) judgeWitnesses(ctx context.Context) error {
	if len(l.cfg.Witnesses) == 0 {
		return nil
	}
	group, err := tessera.NewWitnessGroupFromPolicy(l.cfg.Witnesses)
	if err != nil {
		return fmt.Errorf("witness policy: %w", err)
	}
	head, ok := l.gate.last()
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, l.cfg.WitnessTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for url := range group.Endpoints() {
		wg.Go(func() {
			err := l.askWitness(ctx, url, head)
			switch {
			case errors.Is(err, ErrForked):
				l.refuse(fmt.Errorf("%w; %s", err, l.cfg.whatToDo()))
			case err != nil:
				l.cfg.Log.Warn("a witness could not be asked what it knows", "log", l.cfg.Origin, "error", err)
			}
		})
	}
	wg.Wait()
	return nil
}

// askWitness offers the last checkpoint as if the witness knew nothing, which it answers with what it knows, and then as
// an extension of that.
func (l *Log) askWitness(ctx context.Context, url string, head Head) error {
	answer, err := l.offer(ctx, url, head, 0, nil)
	if err != nil || answer.status == http.StatusOK {
		return err
	}
	known, isSize := answer.size()
	if !isSize {
		return fmt.Errorf("witness %s: status %d", url, answer.status)
	}
	if known > head.Size {
		return fmt.Errorf("%w: the witness %s has cosigned %d entries, the last checkpoint signed here has %d", ErrForked, url,
			known, head.Size)
	}
	if known == 0 {
		return nil
	}
	proof, err := l.files.consistency(ctx, known, head.Size)
	if err != nil {
		return err
	}
	if answer, err = l.offer(ctx, url, head, known, proof); err != nil {
		return err
	}
	switch answer.status {
	case http.StatusOK:
		return nil
	case http.StatusConflict, http.StatusUnprocessableEntity:
		if now, isSize := answer.size(); isSize && now != known {
			return fmt.Errorf("witness %s: somebody else has it cosign this log: it knew %d entries, now %d", url, known, now)
		}
		return fmt.Errorf("%w: the witness %s has cosigned another tree of %d entries", ErrForked, url, known)
	}
	return fmt.Errorf("witness %s: status %d", url, answer.status)
}

type witnessAnswer struct {
	status int
	media  string
	body   string
}

// size is what a witness says it has cosigned.
func (a witnessAnswer) size() (uint64, bool) {
	if a.status != http.StatusConflict || a.media != "text/x.tlog.size" {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(a.body), 10, 63)
	return n, err == nil
}

func (l *Log) offer(ctx context.Context, url string, head Head, old uint64, proof [][]byte) (witnessAnswer, error) {
	var body strings.Builder
	fmt.Fprintf(&body, "old %d\n", old)
	for _, p := range proof {
		body.WriteString(base64.StdEncoding.EncodeToString(p) + "\n")
	}
	body.WriteString("\n" + string(head.Checkpoint))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body.String()))
	if err != nil {
		return witnessAnswer{}, err
	}
	resp, err := l.cfg.HTTPClient.Do(req)
	if err != nil {
		return witnessAnswer{}, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxWitnessAnswer))
	return witnessAnswer{resp.StatusCode, resp.Header.Get("Content-Type"), string(answer)}, err
}
