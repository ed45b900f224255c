package main

import (
	"errors"
	"os"
	"path/filepath"
	"sync"

	"github.com/bulla-sign/bulla/internal/cli"
)

// probeSize is what a file of evidence, or of the spool, takes at least, in bytes.
const probeSize = 4 << 10

// probe makes sure that files can be put into a directory.
func probe(dir string) error {
	f, err := os.CreateTemp(dir, ".probe-")
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, probeSize))
	return errors.Join(err, f.Close(), os.Remove(f.Name()))
}

// outputs are the directories that a run writes evidence into. Each is tried before the first signature for it is made: what
// could not be written would be public, and lost. It is safe for concurrent use.
type outputs struct{ tried sync.Map } // *triedDir

type triedDir struct {
	once sync.Once
	err  error
}

// ready tries the directories of files, of which empty names are none. What is there and is no file, such as a terminal, is
// written to as it is.
func (o *outputs) ready(files ...string) error {
	for _, file := range files {
		if file == "" {
			continue
		}
		info, err := os.Stat(file)
		switch {
		case err == nil && info.IsDir():
			return cli.Errorf(cli.ExitIO, "nothing was signed: the output %s is a directory", file)
		case err == nil && !info.Mode().IsRegular():
			continue
		}
		v, _ := o.tried.LoadOrStore(filepath.Dir(file), new(triedDir))
		dir := v.(*triedDir)
		dir.once.Do(func() { dir.err = probe(filepath.Dir(file)) })
		if dir.err != nil {
			return cli.Errorf(cli.ExitIO, "nothing was signed: %s could not be written: %w", file, dir.err)
		}
	}
	return nil
}
