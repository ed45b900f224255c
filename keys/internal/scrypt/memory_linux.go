package scrypt

import (
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// populateWrite is MADV_POPULATE_WRITE: prepare all pages for writing now. Kernels before 5.14 refuse it.
const populateWrite = 23

// step is how much is prepared at once, in bytes: a large page of most systems.
const step = 2 << 20

// allocate returns memory for n blocks, and what gives it back. It asks for large pages, and for those that come next while
// the first are filled; what the system does not grant of that costs time only.
func allocate(n int) ([]block, func()) {
	raw, err := syscall.Mmap(-1, 0, n*int(unsafe.Sizeof(block{})), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return make([]block, n), func() {}
	}
	_ = syscall.Madvise(raw, syscall.MADV_HUGEPAGE)
	var prepared sync.WaitGroup
	var done atomic.Bool
	prepared.Go(func() {
		for at := 0; at < len(raw) && !done.Load(); at += step {
			if syscall.Madvise(raw[at:min(at+step, len(raw))], populateWrite) != nil {
				return
			}
		}
	})
	release := func() {
		done.Store(true)
		prepared.Wait()
		_ = syscall.Munmap(raw) // which fails for what is not mapped only
	}
	// Mapped memory begins at a page, and a block has neither pointers nor padding.
	return unsafe.Slice((*block)(unsafe.Pointer(unsafe.SliceData(raw))), n), release
}
