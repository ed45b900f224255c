package monitor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/bulla-sign/bulla/server/internal/treelog"
	"github.com/bulla-sign/bulla/tlog"
)

const (
	// requestTime bounds one request with its answer: bundles of some megabytes over a slow line.
	requestTime = 60 * time.Second
	// maxRekorBundle bounds a bundle: 256 entries of 64 KiB behind their lengths (C2SP tlog-tiles).
	maxRekorBundle = tlog.TileWidth * (2 + 1<<16)
	// maxCTBundle bounds that of a CT log: its certificates have no bound in the specification; logs of code-signing
	// certificates have some 3 KiB, twice, and ours takes 256 KiB at most.
	maxCTBundle = tlog.TileWidth * 2 * (256 << 10)
	// retries and maxWait bound how often, and for how long, a log that is busy is asked again within one look at it.
	retries = 5
	maxWait = 10 * time.Second
	// maxTiles bounds the tiles that are held: those around one entry, of eight levels at most, and of the one before.
	maxTiles = 64
)

// errMissing means that the log answered with 404.
var errMissing = errors.New("404")

// newClient makes a client that goes where it is told and nowhere else.
func newClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxResponseHeaderBytes = 64 << 10
	transport.ResponseHeaderTimeout = 30 * time.Second
	transport.MaxIdleConnsPerHost = 2
	return &http.Client{
		Transport:     transport,
		Timeout:       requestTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// source reads one log.
type source struct {
	client *http.Client
	base   string
	kind   Kind
	tiles  map[tlog.Tile][]byte
	got    func(bytes int)
}

// get reads what lies at a path. A log that asks for patience gets it, within bounds.
func (s *source) get(ctx context.Context, path string, limit int64) ([]byte, error) {
	for try := 0; ; try++ {
		data, wait, err := s.once(ctx, path, limit)
		if err == nil || wait == 0 || try == retries {
			return data, err
		}
		timer := time.NewTimer(min(wait, maxWait))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, err
		}
	}
}

// once is one request. wait is not zero when it may be repeated after that time.
func (s *source) once(ctx context.Context, path string, limit int64) (data []byte, wait time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+path, nil)
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("User-Agent", "bulla-monitor")
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return nil, retryAfter(resp), fmt.Errorf("%s: %s", req.URL, resp.Status)
	case http.StatusNotFound:
		return nil, 0, fmt.Errorf("%s: %w", req.URL, errMissing)
	default:
		return nil, 0, fmt.Errorf("%s: %s", req.URL, resp.Status)
	}
	data, err = io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", req.URL, err)
	}
	if int64(len(data)) > limit {
		return nil, 0, fmt.Errorf("%s: more than %d bytes", req.URL, limit)
	}
	s.got(len(data))
	return data, 0, nil
}

// retryAfter reads the header; without one, or with a date, it is a second.
func retryAfter(resp *http.Response) time.Duration {
	if n, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 16); err == nil && n > 0 {
		return time.Duration(n) * time.Second
	}
	return time.Second
}

// tile returns a hash tile: a [tlog.TileReader] once the context is bound.
func (s *source) tile(ctx context.Context) tlog.TileReader {
	return func(t tlog.Tile) ([]byte, error) {
		if data, ok := s.tiles[t]; ok {
			return data, nil
		}
		data, err := s.get(ctx, t.Path(), tlog.TileWidth*tlog.HashSize)
		if errors.Is(err, errMissing) && t.Width < tlog.TileWidth {
			// A partial tile may be gone once the full one is there (C2SP tlog-tiles, "Pruning").
			full := tlog.Tile{Level: t.Level, Index: t.Index, Width: tlog.TileWidth}
			if data, err = s.get(ctx, full.Path(), tlog.TileWidth*tlog.HashSize); err == nil {
				data = data[:min(len(data), t.Width*tlog.HashSize)]
			}
		}
		if err != nil {
			return nil, err
		}
		if len(data) != t.Width*tlog.HashSize {
			return nil, &alarm{Tiles, fmt.Errorf("%s has %d bytes, want %d", t.Path(), len(data), t.Width*tlog.HashSize)}
		}
		if len(s.tiles) >= maxTiles || s.tiles == nil {
			s.tiles = make(map[tlog.Tile][]byte)
		}
		s.tiles[t] = data
		return data, nil
	}
}

// bundle returns the first entries of a bundle, as many as width says.
func (s *source) bundle(ctx context.Context, index int64, width int) ([][]byte, error) {
	tile := tlog.Tile{Index: index, Width: width}
	data, err := s.get(ctx, s.bundlePath(tile), s.maxBundle())
	if errors.Is(err, errMissing) && width < tlog.TileWidth {
		tile.Width = tlog.TileWidth
		data, err = s.get(ctx, s.bundlePath(tile), s.maxBundle())
	}
	if err != nil {
		return nil, err
	}
	entries, err := s.kind.layout().Split(data)
	if err != nil {
		return nil, &alarm{Tiles, fmt.Errorf("%s: %w", s.bundlePath(tile), err)}
	}
	if len(entries) != tile.Width {
		return nil, &alarm{Tiles, fmt.Errorf("%s has %d entries", s.bundlePath(tile), len(entries))}
	}
	return entries[:width], nil
}

func (s *source) bundlePath(t tlog.Tile) string {
	if s.kind == CT {
		return "tile/data/" + strings.TrimPrefix(t.EntriesPath(), "tile/entries/")
	}
	return t.EntriesPath()
}

func (s *source) maxBundle() int64 {
	if s.kind == CT {
		return maxCTBundle
	}
	return maxRekorBundle
}

// layout is how the log writes its entries.
func (k Kind) layout() treelog.Layout {
	if k == CT {
		return treelog.CT
	}
	return treelog.Entries
}
