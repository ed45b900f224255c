//go:build unix

package durable

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

var errForeignLink = errors.New("the link is somebody else's, in a directory that everybody may write to")

// mayFollow refuses a symbolic link that somebody planted where everybody may: in a sticky directory that is writable for
// all, such as /tmp, a link is followed only if it belongs to us or to the directory's owner. That is Linux's rule
// (fs.protected_symlinks, proc_sys_fs(5)), which holds for opening and not for reading a link.
func mayFollow(path string, link fs.FileInfo) error {
	dir, err := os.Stat(folder(path))
	if err != nil {
		return err
	}
	if dir.Mode()&fs.ModeSticky == 0 || dir.Mode().Perm()&0o002 == 0 {
		return nil
	}
	owner, ok := link.Sys().(*syscall.Stat_t)
	above, ok2 := dir.Sys().(*syscall.Stat_t)
	if !ok || !ok2 || (int(owner.Uid) != os.Geteuid() && owner.Uid != above.Uid) {
		return errForeignLink
	}
	return nil
}

// Own says whether a file belongs to the user as whom the program runs. info is that of [os.Stat] or [os.Lstat].
func Own(info fs.FileInfo) bool {
	owner, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(owner.Uid) == os.Geteuid()
}
