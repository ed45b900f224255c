package toolcache

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
)

// Debian is a program that Debian builds, at a version that no source of ours would build any more.
type Debian struct {
	Package string
	Version string // exact
	Program string // where the package has the program
	Why     string
}

// debian is the table of them: programs that need no libraries but those that every Debian has, and no installation.
func debian() []Debian {
	return []Debian{
		{
			Package: "docker-registry", Version: "2.8.2+ds1-1", Program: "usr/bin/docker-registry",
			Why: "the registry of the years before the distribution specification 1.1, as many still run it",
		},
	}
}

// DebianNames lists their packages in alphabetical order.
func DebianNames() []string {
	var names []string
	for _, d := range debian() {
		names = append(names, d.Package)
	}
	sort.Strings(names)
	return names
}

// DebianPath returns the path of the program of the named package. Where it is missing the package is downloaded with
// apt-get and unpacked into the cache: nothing is installed, no service is started, no right is needed. Any number of
// processes may ask at once. The error says so where the machine has no apt-get or has no list of packages.
func DebianPath(name string, log io.Writer) (string, error) {
	for _, d := range debian() {
		if d.Package == name {
			dir, err := Dir()
			if err != nil {
				return "", err
			}
			return d.path(dir, log)
		}
	}
	return "", fmt.Errorf("no Debian package %q; known are %s", name, strings.Join(DebianNames(), ", "))
}

func (d Debian) path(dir string, log io.Writer) (string, error) {
	home := filepath.Join(dir, "debian-"+d.Package+"-"+d.Version)
	exe := filepath.Join(home, filepath.FromSlash(d.Program))
	if isFile(exe) {
		return exe, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(home + ".lock")
	if err != nil {
		return "", fmt.Errorf("waiting for another download of %s: %w", d.Package, err)
	}
	defer unlock()
	if isFile(exe) { // another process unpacked it while this one waited
		return exe, nil
	}
	_, _ = fmt.Fprintf(log, "downloading Debian's %s %s (once)\n", d.Package, d.Version)
	return exe, d.unpack(home)
}

// unpack downloads and unpacks into a temporary folder beside home and renames that.
func (d Debian) unpack(home string) error {
	tmp, err := os.MkdirTemp(filepath.Dir(home), "downloading-"+d.Package+"-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(tmp) }() // nothing is left there once it was renamed
	if err := quietly(tmp, "apt-get", "download", "-qq", d.Package+"="+d.Version); err != nil {
		return fmt.Errorf("downloading Debian's %s (apt-get update may be needed first): %w", d.Package, err)
	}
	files, err := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if err != nil || len(files) != 1 {
		return fmt.Errorf("apt-get download %s=%s left the files %v", d.Package, d.Version, files)
	}
	content := filepath.Join(tmp, "content")
	if err := quietly(tmp, "dpkg-deb", "--extract", files[0], content); err != nil {
		return err
	}
	if !isFile(filepath.Join(content, filepath.FromSlash(d.Program))) {
		return fmt.Errorf("debian's %s %s has no %s", d.Package, d.Version, d.Program)
	}
	if err := os.RemoveAll(home); err != nil {
		return err
	}
	return os.Rename(content, home)
}

// quietly runs a program whose words are of interest only when it fails.
func quietly(dir, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, tail(out.String()))
	}
	return nil
}
