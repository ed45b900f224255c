// Package pipe reads what may keep its reader waiting: standard input, named pipes, and those that a shell makes of <(...).
// A read that waits for the other side cannot be interrupted by the operating system's means alone, and opening a named
// pipe waits for somebody to write. Here both end with a context.
package pipe

import (
	"context"
	"io"
	"os"
)

// maxChunk bounds what is read at once, and so what is held of a stream: large enough that handing it from one goroutine
// to the other does not show beside hashing it.
const maxChunk = 256 << 10

// Reader returns a reader of r that fails with ctx's error when ctx ends, also while r keeps it waiting. It asks r for no
// more than it is asked for itself, so that what was not read is left for others. After ctx has ended a read of r may still
// be going on, until the process ends: r must not be used any more. A reader that Reader made ends with the new ctx instead.
func Reader(ctx context.Context, r io.Reader) io.Reader {
	if attended, ok := r.(*reader); ok && attended.failed == nil {
		r = attended.from
	}
	return &reader{ctx: ctx, from: r}
}

type patience struct{}

// WithPatience returns ctx with the context that [Patience] returns, which may last longer.
func WithPatience(ctx, longer context.Context) context.Context {
	return context.WithValue(ctx, patience{}, longer)
}

// Patience returns what ends the reading of something whose length nobody knows, such as an artifact: what [WithPatience]
// was given, or else ctx itself.
func Patience(ctx context.Context) context.Context {
	if longer, ok := ctx.Value(patience{}).(context.Context); ok {
		return longer
	}
	return ctx
}

type reader struct {
	ctx    context.Context
	from   io.Reader
	buffer []byte // belongs to the goroutine that reads, also when nobody waits for it any more
	failed error
}

type result struct {
	n   int
	err error
}

func (r *reader) Read(p []byte) (int, error) {
	if r.failed == nil {
		r.failed = r.ctx.Err()
	}
	if r.failed != nil || len(p) == 0 {
		return 0, r.failed
	}
	want := min(len(p), maxChunk)
	if len(r.buffer) < want {
		r.buffer = make([]byte, want)
	}
	chunk, done := r.buffer[:want], make(chan result, 1)
	go func() {
		n, err := r.from.Read(chunk)
		done <- result{n, err}
	}()
	select {
	case got := <-done:
		return copy(p, chunk[:got.n]), got.err
	case <-r.ctx.Done():
		r.failed = r.ctx.Err()
		return 0, r.failed
	}
}

// Open opens a file for reading as [os.Open] does. What is neither a regular file nor a directory is opened and read until
// ctx ends; closing it does not end a read that is going on.
func Open(ctx context.Context, name string) (io.ReadCloser, error) {
	info, err := os.Stat(name)
	if err != nil || info.Mode().IsRegular() || info.IsDir() {
		return os.Open(name) // whose error is everybody's
	}
	type opened struct {
		file *os.File
		err  error
	}
	done := make(chan opened, 1)
	go func() {
		f, err := os.Open(name)
		done <- opened{f, err}
	}()
	select {
	case got := <-done:
		if got.err != nil {
			return nil, got.err
		}
		return file{Reader(ctx, got.file), got.file}, nil
	case <-ctx.Done():
		return nil, &os.PathError{Op: "open", Path: name, Err: ctx.Err()}
	}
}

type file struct {
	io.Reader
	io.Closer
}
