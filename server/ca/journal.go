package ca

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// FileJournal is a [Journal] in a file: a line of JSON for each intent, on the disk before the certificate is signed. With
// it, a certificate that a monitor finds in the CT log and that is not in the journal was not made by this service, whoever
// holds its key. One flush of the disk serves all requests that wait for it.
type FileJournal struct {
	file *os.File
	size int64 // of what is known to be on the disk; owned by write

	mu      sync.Mutex
	pending *batch // the next one to be written; nil: none
	writing bool
	broken  error // after a failed flush nobody knows what is on the disk
}

// batch is what one flush makes durable.
type batch struct {
	lines []byte
	done  chan struct{}
	err   error
}

// maxLine bounds a line when the file is read; lines have 300 bytes.
const maxLine = 4 << 10

// OpenJournal opens the journal at path, or makes it. A last line that is cut off, as a crash leaves it, belongs to a
// certificate that was not signed; it is ended, and stays. Any other damage is an error.
func OpenJournal(path string) (*FileJournal, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j := &FileJournal{file: file}
	err = j.check()
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err == nil {
		j.size, err = file.Seek(0, io.SeekEnd)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("journal %s: %w", path, err), file.Close())
	}
	return j, nil
}

// syncDir makes sure that a new file is still there after a crash.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// check reads the journal and ends a cut-off line.
func (j *FileJournal) check() error {
	r := bufio.NewReaderSize(j.file, maxLine)
	for n := 1; ; n++ {
		line, err := r.ReadSlice('\n')
		if err == nil {
			// A cut-off line that an earlier start has ended is no JSON; what matters is that no line hides in another.
			if len(line) > 1 && line[0] != '{' {
				return fmt.Errorf("line %d is not one of a journal", n)
			}
			continue
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			return fmt.Errorf("line %d is longer than %d bytes", n, maxLine)
		}
		if len(line) == 0 {
			return j.file.Sync()
		}
		if _, err := j.file.WriteString("\n"); err != nil {
			return err
		}
		return j.file.Sync()
	}
}

// Record implements [Journal].
func (j *FileJournal) Record(ctx context.Context, intent Intent) error {
	line, err := json.Marshal(intent)
	if err != nil {
		return err
	}
	j.mu.Lock()
	if j.broken != nil {
		defer j.mu.Unlock()
		return j.broken
	}
	if j.pending == nil {
		j.pending = &batch{done: make(chan struct{})}
	}
	mine := j.pending
	mine.lines = append(append(mine.lines, line...), '\n')
	if !j.writing {
		j.writing = true
		go j.write()
	}
	j.mu.Unlock()
	select {
	case <-mine.done:
		return mine.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// write flushes batch after batch until none is waiting.
func (j *FileJournal) write() {
	for {
		j.mu.Lock()
		b := j.pending
		j.pending = nil
		if b == nil {
			j.writing = false
			j.mu.Unlock()
			return
		}
		b.err = j.broken
		j.mu.Unlock()
		if b.err == nil {
			b.err = j.flush(b.lines)
		}
		close(b.done)
	}
}

// noRoom says that a disk is full, or what the process may have of it. That passes, and nothing is in doubt.
func noRoom(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// retryNoRoom is when a client may come again that met a full disk: somebody must make room first.
const retryNoRoom = 30 * time.Second

// unrecorded is the answer when an intent is not in the journal.
func unrecorded(err error) error {
	err = fmt.Errorf("journal: %w", err)
	if noRoom(err) {
		return &refusal{kind: unavailable, message: "the certificate could not be recorded now, try again later", retry: retryNoRoom, cause: err}
	}
	return err
}

// flush appends lines and has them on the disk. For what did not fit on the disk nothing was promised: it is taken back,
// and the next lines may fit. After any other failure nobody knows what is there, and the journal takes nothing more.
func (j *FileJournal) flush(lines []byte) error {
	_, err := j.file.Write(lines)
	switch {
	case err == nil:
		if err = j.file.Sync(); err == nil {
			j.size += int64(len(lines))
			return nil
		}
	case noRoom(err):
		if cut := j.file.Truncate(j.size); cut == nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	err = fmt.Errorf("journal: %w; check the disk, then restart", err)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.broken = err
	return err
}

// Ready says whether the journal takes lines.
func (j *FileJournal) Ready(context.Context) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.broken
}

// Close closes the file, after requests have ended.
func (j *FileJournal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken == nil {
		j.broken = errors.New("journal: closed")
	}
	return j.file.Close()
}
