package scrypt

import (
	"syscall"
	"unsafe"
)

// populateWrite is MADV_POPULATE_WRITE: prepare all pages for writing now. Kernels before 5.14 refuse it.
const populateWrite = 23

// allocate returns memory for n blocks, and what gives it back. It asks for large pages, and for all of them at once; what
// the system does not grant of that costs time only.
func allocate(n int) ([]block, func()) {
	raw, err := syscall.Mmap(-1, 0, n*int(unsafe.Sizeof(block{})), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return make([]block, n), func() {}
	}
	_ = syscall.Madvise(raw, syscall.MADV_HUGEPAGE)
	_ = syscall.Madvise(raw, populateWrite)
	release := func() { _ = syscall.Munmap(raw) } // which fails for what is not mapped only
	// Mapped memory begins at a page, and a block has neither pointers nor padding.
	return unsafe.Slice((*block)(unsafe.Pointer(unsafe.SliceData(raw))), n), release
}
