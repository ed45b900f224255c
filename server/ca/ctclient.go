package ca

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// Limits of the client.
const (
	// maxLogAnswer bounds a log's answer, which has less than 1 kB.
	maxLogAnswer = 64 << 10
	// maxLogAttempts bounds how often a precertificate is submitted when the log is busy; logs answer the second time with
	// the same timestamp or another, both of which are good.
	maxLogAttempts = 3
	// maxLogWait bounds the pause between two attempts, whatever the log asks for: a client is waiting.
	maxLogWait = 5 * time.Second
)

// LogClient submits precertificates to a CT log over HTTP (RFC 6962 4.2).
type LogClient struct {
	endpoint string
	http     *http.Client
}

// NewLogClient makes a client for the log at base: the URL below which /ct/v1/add-pre-chain lies. The HTTP client may be
// nil; redirects are not followed, whichever is used.
func NewLogClient(base string, client *http.Client) (*LogClient, error) {
	u, err := url.Parse(base)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("CT log: %q is not a URL of scheme, host and path", base)
	}
	if client == nil {
		client = http.DefaultClient
	}
	own := *client
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &LogClient{endpoint: strings.TrimSuffix(base, "/") + "/ct/v1/add-pre-chain", http: &own}, nil
}

// AddPreChain implements [CT].
func (c *LogClient) AddPreChain(ctx context.Context, chain [][]byte) (timestamp, signed []byte, err error) {
	timestamp, err = c.addPreChain(ctx, chain)
	return timestamp, nil, err
}

func (c *LogClient) addPreChain(ctx context.Context, chain [][]byte) ([]byte, error) {
	body, err := json.Marshal(struct {
		Chain [][]byte `json:"chain"`
	}{chain})
	if err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		sct, wait, err := c.submit(ctx, body)
		if err == nil {
			return sct, nil
		}
		if wait == 0 || attempt == maxLogAttempts {
			return nil, fmt.Errorf("CT log %s: %w", c.endpoint, err)
		}
		timer := time.NewTimer(min(wait, maxLogWait))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("CT log %s: %w (%w)", c.endpoint, err, ctx.Err())
		}
	}
}

// submit makes one attempt. With an error, wait says after which time another is worth it; 0: never.
func (c *LogClient) submit(ctx context.Context, body []byte) (sct []byte, wait time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Content-Type", typeJSON)
	res, err := c.http.Do(req)
	if err != nil {
		return nil, 100 * time.Millisecond, err
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(res.Body, maxLogAnswer+1))
	if err != nil {
		return nil, 100 * time.Millisecond, err
	}
	switch {
	case res.StatusCode == http.StatusTooManyRequests || res.StatusCode >= 500:
		return nil, retryAfter(res.Header), fmt.Errorf("status %d", res.StatusCode)
	case res.StatusCode != http.StatusOK:
		return nil, 0, fmt.Errorf("status %d: %.200q", res.StatusCode, data)
	case len(data) > maxLogAnswer:
		return nil, 0, errors.New("the answer is too long")
	}
	sct, err = encodeSCT(data)
	return sct, 0, err
}

// retryAfter reads the header of that name in seconds.
func retryAfter(h http.Header) time.Duration {
	if n, err := strconv.Atoi(h.Get("Retry-After")); err == nil && n > 0 && n < 3600 {
		return time.Duration(n) * time.Second
	}
	return 200 * time.Millisecond
}

// encodeSCT turns a log's answer (RFC 6962 4.1) into the TLS encoding of the SCT. Whether the SCT is any good is seen when
// its signature is checked.
func encodeSCT(data []byte) ([]byte, error) {
	var answer struct {
		Version    *uint8 `json:"sct_version"`
		ID         []byte `json:"id"`
		Timestamp  uint64 `json:"timestamp"`
		Extensions string `json:"extensions"`
		Signature  []byte `json:"signature"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return nil, errors.New("the answer is not an SCT in JSON")
	}
	if answer.Version == nil || *answer.Version != 0 || len(answer.ID) != 32 || len(answer.Signature) < 4 {
		return nil, errors.New("the answer is not an SCT of version 1")
	}
	extensions, err := base64.StdEncoding.DecodeString(answer.Extensions)
	if err != nil {
		return nil, errors.New("the SCT's extensions are not base64")
	}
	var b cryptobyte.Builder
	b.AddUint8(*answer.Version)
	b.AddBytes(answer.ID)
	b.AddUint64(answer.Timestamp)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(extensions) })
	b.AddBytes(answer.Signature)
	return b.Bytes()
}
