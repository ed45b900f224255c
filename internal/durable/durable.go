// Package durable writes files that are either wholly there or not there at all, whatever happens meanwhile: another
// process reading, a full disk, a crash, a lost power supply. Everything that a command leaves behind goes through it.
package durable

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// WriteFile writes data to path, replacing a file that is there. Readers see the old content or the new, never a part.
// The file's permissions become mode under the process's umask. A symbolic link is followed, unless somebody
// else put it into a directory like /tmp; a device or a pipe (/dev/stdout) is written to as it is.
func WriteFile(path string, data []byte, mode fs.FileMode) error {
	return write(path, data, Options{Mode: mode, Replace: true})
}

// CreateFile is [WriteFile] for a file that must not exist yet: the error wraps [fs.ErrExist] if there is anything of
// that name, even if it appeared while the data was being written.
func CreateFile(path string, data []byte, mode fs.FileMode) error {
	return write(path, data, Options{Mode: mode})
}

// WriteVolatile is [WriteFile] with [Options.Volatile].
func WriteVolatile(path string, data []byte, mode fs.FileMode) error {
	return write(path, data, Options{Mode: mode, Replace: true, Volatile: true})
}

func write(path string, data []byte, opts Options) error {
	f, err := New(path, opts)
	if err != nil {
		return err
	}
	defer f.Discard()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Commit()
}

// Options says how a [File] comes into being.
type Options struct {
	Mode    fs.FileMode // permissions, under the process's umask
	Replace bool        // whether a file of that name may be replaced; if not, Commit fails with [fs.ErrExist]
	// Volatile is for what can be had again, such as a cache: readers still see the old content or the new, but nothing is
	// flushed, so that after a power failure the file may be empty or the old one.
	Volatile bool
}

// File is a file being written. It appears under its name when [File.Commit] succeeds, and never otherwise.
type File struct {
	f       *os.File
	path    string // where the content ends up, symbolic links resolved
	direct  bool   // a device or pipe: f is the thing itself
	replace bool
	keep    bool // flush it
}

// New starts writing the file that will be path.
func New(path string, opts Options) (*File, error) {
	path, direct, err := target(path, opts.Replace)
	if err != nil {
		return nil, err
	}
	if direct {
		// Behind /dev/stdout may be a file that others have written to and will go on writing to.
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return nil, err
		}
		return &File{f: f, path: path, direct: true}, nil
	}
	var random [8]byte
	rand.Read(random[:]) // never fails, by its contract
	// In the same directory, because a rename across file systems is a copy; and not named after path, which may have the
	// longest name that there is.
	temp := filepath.Join(filepath.Dir(path), ".bulla-"+hex.EncodeToString(random[:])+".tmp")
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, opts.Mode.Perm())
	if err != nil {
		return nil, named(err, path)
	}
	return &File{f: f, path: path, replace: opts.Replace, keep: !opts.Volatile}, nil
}

// maxLinks bounds a chain of symbolic links, as Linux does.
const maxLinks = 40

// target resolves path to what is to be written and says whether that is a device or pipe. Links are followed one by one
// because reading a link, unlike opening a file through it, is not subject to the kernel's own care (see [mayFollow]).
func target(path string, replace bool) (string, bool, error) {
	for n := range maxLinks {
		info, err := os.Lstat(path)
		if n == 0 && errors.Is(err, fs.ErrNotExist) {
			return path, false, nil
		}
		if err != nil {
			return "", false, err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			return settle(path, info, replace)
		}
		if err := mayFollow(path, info); err != nil {
			return "", false, &fs.PathError{Op: "follow", Path: path, Err: err}
		}
		// A link to an open file, such as /dev/stdout, says where that is only sometimes, and never stands for its name.
		if there, err := os.Stat(path); err == nil && !there.IsDir() && (!there.Mode().IsRegular() || isDescriptor(path)) {
			return path, true, nil
		}
		if path, err = behind(path); err != nil {
			return "", false, err
		}
	}
	return "", false, &fs.PathError{Op: "follow", Path: path, Err: errors.New("too many symbolic links")}
}

// behind returns what the link at path points to. Only the last element may be a link again.
func behind(path string) (string, error) {
	to, err := os.Readlink(path)
	if err != nil {
		return "", err
	}
	if !filepath.IsAbs(to) {
		to = folder(path) + to // not joined: "x/.." is not nothing where x is a link
	}
	dir, name := filepath.Split(to)
	if name == "" || name == "." || name == ".." {
		return filepath.EvalSymlinks(to) // a directory
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return "", err
	}
	return filepath.Join(dir, name), nil
}

// folder is the directory that path is in, with a separator at its end.
func folder(path string) string {
	if dir, _ := filepath.Split(path); dir != "" {
		return dir
	}
	return "." + string(filepath.Separator)
}

// settle says what to do about something that is there and is no link.
func settle(path string, info fs.FileInfo, replace bool) (string, bool, error) {
	switch {
	case info.IsDir():
		return "", false, &fs.PathError{Op: "write", Path: path, Err: errors.New("is a directory")}
	case !info.Mode().IsRegular():
		return path, true, nil
	case !replace:
		return "", false, &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	return path, false, nil
}

// isDescriptor says whether path names an open file of a process. What lies below /dev/shm is files like any others, in memory.
func isDescriptor(path string) bool {
	path = filepath.ToSlash(filepath.Clean(path))
	return strings.HasPrefix(path, "/dev/") && !strings.HasPrefix(path, "/dev/shm/") || strings.HasPrefix(path, "/proc/")
}

// Write adds data to the file.
func (f *File) Write(data []byte) (int, error) {
	n, err := f.f.Write(data)
	return n, named(err, f.path)
}

// Commit makes the file appear under its name and stay there: the data and the directory entry are on the disk when it
// returns nil. A commit that fails leaves nothing behind, except when only the last step did, the flush of the directory.
func (f *File) Commit() error {
	if f.f == nil {
		return errors.New("the file was already committed or discarded")
	}
	if f.direct {
		err := f.f.Close()
		f.f = nil
		return err
	}
	temp := f.f.Name()
	var err error
	if f.keep {
		err = f.f.Sync()
	}
	if err2 := f.f.Close(); err == nil {
		err = err2
	}
	f.f = nil
	if err == nil {
		err = f.place(temp)
	}
	if err != nil {
		os.Remove(temp)
		return named(err, f.path)
	}
	if !f.keep {
		return nil
	}
	return syncDir(filepath.Dir(f.path))
}

// place gives the finished temporary file its name.
func (f *File) place(temp string) error {
	if f.replace {
		return os.Rename(temp, f.path)
	}
	// A hard link, unlike a rename, fails if the name is taken.
	err := os.Link(temp, f.path)
	if errors.Is(err, fs.ErrExist) {
		return err
	}
	if err != nil { // a file system without hard links: reserve the name, then rename over our own empty file
		reserved, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		reserved.Close()
		if err := os.Rename(temp, f.path); err != nil {
			os.Remove(f.path)
			return err
		}
		return nil
	}
	return os.Remove(temp)
}

// Discard gives up a file that was not committed. After Commit it does nothing, so it can be deferred.
func (f *File) Discard() {
	if f.f == nil {
		return
	}
	temp := f.f.Name()
	f.f.Close()
	f.f = nil
	if !f.direct {
		os.Remove(temp)
	}
}

func syncDir(dir string) error {
	if runtime.GOOS == "windows" { // directories cannot be flushed there; NTFS journals the rename
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return nil // a directory one may write to but not read: the rename has happened all the same
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, fs.ErrInvalid) {
		return fmt.Errorf("flushing directory %s: %w", dir, err)
	}
	return nil
}

// named puts the name the caller knows into an error about the temporary file.
func named(err error, path string) error {
	var pe *fs.PathError
	var le *os.LinkError
	switch {
	case errors.As(err, &pe):
		return &fs.PathError{Op: "write", Path: path, Err: pe.Err}
	case errors.As(err, &le):
		return &fs.PathError{Op: "write", Path: path, Err: le.Err}
	}
	return err
}
