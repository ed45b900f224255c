package oci

import (
	"io"
	"sync"
)

// lazyBody is the body of an upload that is opened when it is first read: the transport asks for one body after another
// when it has to send again, and each would be a download.
type lazyBody struct {
	open   func() (io.ReadCloser, error)
	failed *firstError
	inner  io.ReadCloser
}

func (b *lazyBody) Read(p []byte) (int, error) {
	if b.inner == nil {
		inner, err := b.open()
		if err != nil {
			b.failed.set(err)
			return 0, err
		}
		b.inner = inner
	}
	n, err := b.inner.Read(p)
	if err != nil && err != io.EOF {
		b.failed.set(err)
	}
	return n, err
}

func (b *lazyBody) Close() error {
	if b.inner == nil {
		return nil
	}
	return b.inner.Close()
}

// firstError keeps why a source failed, which the transport would report as a failure of the target.
type firstError struct {
	mu  sync.Mutex
	err error
}

func (f *firstError) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

func (f *firstError) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}
