package interop

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/bulla-sign/bulla/internal/tools/realsigstore"
)

// publicLike is what the public instance is made of: Fulcio, and Rekor v1 on Trillian on a database. As there, nothing is
// timestamped unless it is asked for, and the log's word is what tells the time.
type publicLike struct {
	*stack
}

var thePublicLike struct {
	once sync.Once
	*publicLike
	err error
}

// sharedPublicLike is one for all tests that only sign and verify.
func sharedPublicLike(t *testing.T) *publicLike {
	t.Helper()
	of := sharedStack(t)
	thePublicLike.once.Do(func() { thePublicLike.publicLike, thePublicLike.err = startPublicLike(t, of) })
	if errors.Is(thePublicLike.err, realsigstore.ErrNoDatabase) {
		needsDebian(t, "database", "mariadb-server-core", thePublicLike.err)
	}
	if thePublicLike.err != nil || thePublicLike.publicLike == nil {
		t.Fatal("the log did not start: ", thePublicLike.err)
	}
	return thePublicLike.publicLike
}

func startPublicLike(t *testing.T, of *stack) (*publicLike, error) {
	t.Helper()
	dir, err := os.MkdirTemp(theWorld.dir, "public-")
	if err != nil {
		return nil, err
	}
	log, err := realsigstore.TransparencyLogV1(dir, os.Stderr)
	if err != nil {
		return nil, err
	}
	theWorld.atEnd(log.Kill)
	mine := *of
	p := &publicLike{stack: &mine}
	p.dir, p.stamped, p.logAt = dir, false, log.URL
	p.trustWith(t, fmt.Sprintf("url=%s,public-key=%s,start-time=%s", p.logAt, p.file(t, "log.pub", get(t, p.logAt+"/api/v1/log/publicKey")), began()))
	p.services = filepath.Join(p.dir, "signing-config.json")
	p.configure(t, p.services, places{CA: p.fulcio.URL, Log: p.logAt, Version: 1})
	return p, nil
}

// TestRealRekor signs with bulla and with cosign by the servers that the public instance runs: everything that can be signed,
// in the bundle and in the older formats, by certificate and by key; and has both verify it.
func TestRealRekor(t *testing.T) {
	t.Parallel()
	p := sharedPublicLike(t)
	programs := []*program{theWorld.bulla, theWorld.cosign}
	for _, signer := range programs {
		for _, d := range append(deeds(), olderDeeds()...) {
			t.Run(signer.name+"/"+d.name, func(t *testing.T) { p.everybody(t, signer, d) })
		}
		t.Run(signer.name+"/twice", func(t *testing.T) { p.twice(t, signer, programs) })
		t.Run(signer.name+"/detached", func(t *testing.T) { p.found(t, signer) })
	}
}

// v1Entry is what a bundle says of an entry of such a log.
type v1Entry struct {
	LogIndex, IntegratedTime string
	InclusionPromise         *struct{ SignedEntryTimestamp string }
	InclusionProof           *struct{ Checkpoint struct{ Envelope string } }
}

// twice signs the same file twice with a key whose signatures are the same each time: the log has the second one already
// and says so with 409, which is no error for bulla: both bundles have the one entry.
func (p *publicLike) twice(t *testing.T, signer *program, verifiers []*program) {
	rsa := algorithms()[3]
	key, other := theWorld.key(t, signer, rsa, "twice-"+signer.name), theWorld.key(t, signer, rsa, "stranger")
	artifact, first := toSign(t)
	second := first + ".again"
	var entries []v1Entry
	for _, bundle := range []string{first, second} {
		signed := signer.run(join([]string{"sign-blob", "--key", key.private, "--bundle", bundle}, p.with(), []string{artifact})...)
		if signer == theWorld.cosign && bundle == second { // cosign 3.1.3 takes the log's word for a failure
			if signed.code == 0 || !strings.Contains(signed.stderr, "[409]") {
				t.Errorf("cosign knows an entry that is there now: take the exception out: %s", signed)
			}
			return
		}
		signed.wantOK(t)
		var made struct {
			VerificationMaterial struct{ TlogEntries []v1Entry }
		}
		if err := json.Unmarshal([]byte(readFile(t, bundle)), &made); err != nil {
			t.Fatal(err)
		}
		if len(made.VerificationMaterial.TlogEntries) != 1 {
			t.Fatalf("%d entries: %s", len(made.VerificationMaterial.TlogEntries), readFile(t, bundle))
		}
		entry := made.VerificationMaterial.TlogEntries[0]
		if entry.InclusionPromise == nil || entry.InclusionProof == nil || !strings.HasPrefix(entry.InclusionProof.Checkpoint.Envelope, "localhost - ") {
			t.Errorf("the entry has no promise or no proof: %s", readFile(t, bundle))
		}
		entries = append(entries, entry)
		for _, v := range verifiers {
			verify := func(public, root string) result {
				return v.run("verify-blob", "--key", public, "--bundle", bundle, "--trusted-root", root, artifact)
			}
			verify(key.public, p.root).wantOK(t)
			verify(other.public, p.root).wantRefused(t)
			verify(key.public, theWorld.trustedRoot()).wantRefused(t)
		}
	}
	if entries[0].LogIndex != entries[1].LogIndex || entries[0].IntegratedTime != entries[1].IntegratedTime {
		t.Errorf("the second signature is another entry: %v, then %v", entries[0], entries[1])
	}
}

// found signs in the form that keeps nothing of the log's word: a signature alone. The log is asked for it; and it has the
// file's digest in its index.
func (p *publicLike) found(t *testing.T, signer *program) {
	key := theWorld.key(t, signer, algorithms()[0], "found")
	artifact, signature := toSign(t)
	content := []byte("found by " + signer.name + "\n")
	if err := os.WriteFile(artifact, content, 0o600); err != nil {
		t.Fatal(err)
	}
	signer.run("sign-blob", "--yes", "--key", key.private, "--new-bundle-format=false", "--use-signing-config=false", "--rekor-url", p.logAt,
		"--trusted-root", p.root, "--output-signature", signature, artifact).wantOK(t)
	online := []string{"verify-blob", "--key", key.public, "--signature", signature, "--trusted-root", p.root, "--rekor-url", p.logAt, "--log=online"}
	theWorld.bulla.run(append(online, artifact)...).wantOK(t)
	theWorld.bulla.run("verify-blob", "--key", key.public, "--signature", signature, "--trusted-root", p.root, artifact).wantRefused(t)
	if ids := p.indexed(t, content); len(ids) != 1 {
		t.Errorf("the index has %v", ids)
	}
	unsigned := filepath.Join(t.TempDir(), "other.txt")
	if err := os.WriteFile(unsigned, []byte("what was slipped in\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	theWorld.bulla.run(append(online, unsigned)...).wantRefused(t)
}

// indexed asks the log's index for the entries about content.
func (p *publicLike) indexed(t *testing.T, content []byte) []string {
	t.Helper()
	query, err := json.Marshal(map[string]string{"hash": fmt.Sprintf("sha256:%x", sha256.Sum256(content))})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(p.logAt+"/api/v1/index/retrieve", "application/json", bytes.NewReader(query))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var ids []string
	if err := json.NewDecoder(resp.Body).Decode(&ids); err != nil {
		t.Fatal(err)
	}
	return ids
}
