package main

import (
	"crypto"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/internal/testenv/world"
)

// TestEvidenceScript runs every testdata/evidence/*.txt: the commands that make, show and list evidence. The scripts have
// what those of TestVerifyScript have, and
//
//	index VAR REPO:TAG N         push an index of N images; $VAR is its name by digest, $VAR0 that of the first image
func TestEvidenceScript(t *testing.T) {
	t.Parallel()
	vectors := testenv.Vectors(t)
	testscript.Run(t, watched(testscript.Params{
		Dir:           filepath.Join("testdata", "evidence"),
		UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(env *testscript.Env) error {
			env.Setenv("VECTORS", vectors)
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("HTTPS_PROXY", nowhere)
			env.Setenv("DOCKER_CONFIG", filepath.Join(env.WorkDir, "docker"))
			env.Setenv("TRUST", filepath.Join(env.WorkDir, "trust"))
			s := &stage{t: t, world: world.New(t), keys: map[string]crypto.Signer{}, made: map[string]*bundle.Bundle{}}
			env.Values[stageKey{}] = s
			return s.writeTrust(filepath.Join(env.WorkDir, "trust"))
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": runStatus, "sign": runSign, "registry": runRegistry, "image": runImage, "attach": runAttach,
			"fault": runFault, "plain": runPlain, "index": runIndex, "sbom": runSBOM,
		},
	}, "carry", "recursive"))
}

func runIndex(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: index VAR REPO:TAG N")
	}
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	index, images := on(ts).reg.PushIndex(on(ts).t, args[1], n)
	ts.Setenv(args[0], index)
	for i, name := range images {
		ts.Setenv(args[0]+strconv.Itoa(i), name)
	}
}
