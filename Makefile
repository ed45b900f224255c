# Twelve targets:
#
#   build          bin/bulla and bin/bulla-server, static, stripped, version stamped
#   test           everything that needs no network but the Go modules (RACE=1: with the race detector)
#   demo           a private Sigstore and a real registry on loopback: sign with an identity, verify, see a tampered image refused
#   bench          the figures, side by side with cosign, sigstore-go and Sigstore's own servers
#   fuzz           every fuzz target for FUZZTIME (10s)
#   lint           formatting, vet, staticcheck, errcheck
#   interop        against cosign, sigstore-go, sigstore-js, Sigstore's own servers and real registries
#   conformance    the conformance vectors of ../shared, through a test client
#   soak           the long forms: the differential test, every round between the programs, a log of 100,000 entries with
#                  every proof checked, the server killed at every point, fuzzing (hours are welcome: SOAK=200000
#                  ENTRIES=1000000 FUZZTIME=5m)
#   refresh-trust  takes trusted_root.json and root.json out of the folder FROM into trust/publicgood
#   docs           man pages and command reference into dist/
#   clean          removes bin/ and dist/

SHELL   := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

# A workspace would lift the versions of one module to those of another; see docs/design/one-path.md.
export GOWORK := off

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
STAMP    := github.com/bulla-sign/bulla/internal/cli/buildinfo
# The date is the commit's, so that the same commit gives the same bytes.
LDFLAGS  := -s -w -X $(STAMP).version=$(VERSION) \
	-X $(STAMP).commit=$(shell git rev-parse HEAD 2>/dev/null) \
	-X $(STAMP).treeState=$(shell test -z "$$(git status --porcelain 2>/dev/null)" && echo clean || echo dirty) \
	-X $(STAMP).date=$(shell TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2>/dev/null)
FUZZTIME ?= 10s
SOAK     ?= 50000
ENTRIES  ?= 100000
# Packages tested at once: more than processors, since many wait, for programs, disks and clocks.
ATONCE   ?= 4
# Every module in the tree, found rather than listed, so that none is forgotten. WITHOUT leaves one out, or, as ./DIR, a
# package out of the second run.
MODULES  := $(filter-out $(WITHOUT),$(sort $(patsubst ./%,%,$(shell find . -name go.mod -not -path '*/testdata/*' -printf '%h\n'))))
TOOL     := go run ./internal/tools/tool

.PHONY: build test demo bench fuzz lint interop conformance soak refresh-trust docs clean

build:
	mkdir -p bin
	CGO_ENABLED=0 go build -trimpath -ldflags "$(LDFLAGS)" -o bin/ ./cmd/...
	cd server && CGO_ENABLED=0 go build -trimpath -ldflags "$(LDFLAGS)" -o ../bin/ ./cmd/...

# scrypt is there to be slow; watched by the race detector it is ten times slower and takes most of the suite's time. It
# shares nothing with anybody, so it is left out.
# A watched program waits a second before it ends, for reports from its last breath; the scripts start hundreds.
export GORACE ?= atexit_sleep_ms=10
RACEFLAGS := -race -gcflags=golang.org/x/crypto/scrypt=-race=false -gcflags=github.com/bulla-sign/bulla/keys/internal/scrypt=-race=false

# The modules below test/ run other programs, whose code the test cache does not watch and the race detector does not see.
# What tests leave out where the detector watches is done in a second run without it, of those tests alone.
# go test would run a part of vet again for every package and pass: make lint runs all of it.
test:
	for m in $(MODULES); do \
		echo "--- go test in $$m"; \
		case $$m in test/*) flags='-count=1 -timeout 60m' ;; *) flags='$(if $(RACE),$(RACEFLAGS)) -timeout 40m -p $(ATONCE)' ;; esac; \
		(cd $$m && go test -vet=off $$flags ./...); \
		case $$m in test/*) continue ;; esac; \
		again='$(if $(RACE),yes)'; [ -z "$$again" ] || again=$$(go run ./internal/tools/unwatched $$m $(filter ./%,$(WITHOUT))); \
		[ -z "$$again" ] || { echo "--- without the race detector"; (cd $$m && BULLA_UNWATCHED=1 go test -vet=off -timeout 40m -p $(ATONCE) $$again); }; \
	done

demo: build
	go run ./internal/tools/demo -bulla bin/bulla

bench: build
	go run ./test/bench -bulla bin/bulla

fuzz:
	go run ./internal/tools/fuzz -time $(FUZZTIME)

lint:
	.ci/lint $(MODULES)

interop:
	cd test/interop && go test -count=1 -timeout 60m -parallel 4 -v ./... | $(CURDIR)/.ci/brief

conformance:
	.ci/conformance

soak:
	cd test/interop && BULLA_SOAK=$(SOAK) go test -count=1 -timeout 0 -run 'Differential|TestRoundTrips|TestKilled|TestRealFaults|TestRealRekorFaults' -v ./...
	cd server && BULLA_SOAK=$(ENTRIES) go test -count=1 -timeout 0 -run 'Soak|TestLoad' -v ./internal/treelog ./log
	BULLA_SOAK=1 go test -count=1 -timeout 0 -v ./test/crash
	BULLA_SOAK=1 go test -count=1 -timeout 0 -run 'TestKilledAnywhere|TestWritersAreProcesses|TestFaultTable|TestFaultsOfErrands' -v ./cmd/bulla
	BULLA_WRITERS=64 go test $(RACEFLAGS) -count=1 -timeout 0 -run TestConcurrentWriters -v ./oci
	go run ./internal/tools/fuzz -time $(FUZZTIME)

refresh-trust:
	go run ./trust/publicgood/refresh -from "$(or $(FROM),$(error FROM=DIR is needed: a folder with trusted_root.json and root.json))"

docs: build
	go run ./internal/tools/gendocs -out dist -program bin/bulla

clean:
	rm -rf bin dist
