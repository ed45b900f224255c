package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/bulla-sign/bulla/internal/testenv"
)

func TestMain(m *testing.M) {
	testenv.AtOnce(4) // scripts and faults wait, for services and for what is asked again after a while
	program := func() { os.Exit(run()) }
	testscript.Main(m, map[string]func(){"bulla": program, "cosign": program})
}

// watched leaves, under the race detector, those scripts of p in which the program does several things at once. All of them
// run without the detector: it makes each of the hundreds of processes five times slower.
func watched(p testscript.Params, names ...string) testscript.Params {
	if testenv.RaceDetector {
		for _, name := range names {
			p.Files = append(p.Files, filepath.Join(p.Dir, name+".txt"))
		}
		p.Dir = ""
	}
	return p
}

// TestScript runs every testdata/script/*.txt. There, bulla and cosign are the program called by those names, $VECTORS is
// the directory of shared test vectors, and $KMS holds the key store program for testkms:// keys.
func TestScript(t *testing.T) {
	t.Parallel()
	vectors := testenv.Vectors(t)
	kms := testenv.KMSPlugIn(t, "testkms")
	testenv.Unwatched(t)
	testscript.Run(t, testscript.Params{
		Dir:           filepath.Join("testdata", "script"),
		UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(env *testscript.Env) error {
			env.Setenv("VECTORS", vectors)
			env.Setenv("KMS", kms)
			env.Setenv("BULLA_TESTKMS_DIR", env.WorkDir)
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("HTTPS_PROXY", nowhere)
			env.Setenv("DOCKER_CONFIG", filepath.Join(env.WorkDir, "docker"))
			return nil
		},
	})
}
