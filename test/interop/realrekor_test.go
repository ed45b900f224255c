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
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/tools/realsigstore"
)

// publicLike is an instance of ours as the authority, and the log that the public instance runs: Rekor v1 on Trillian on a
// database. As there, nothing is timestamped, and the log's word is what tells the time.
type publicLike struct {
	*stack
	url string
}

func startPublicLike(t *testing.T) *publicLike {
	t.Helper()
	sharedStamper(t) // before Rekor
	p := &publicLike{stack: &stack{instance: sharedInstance(t), dir: t.TempDir()}}
	log, err := realsigstore.TransparencyLogV1(p.dir, os.Stderr)
	if errors.Is(err, realsigstore.ErrNoDatabase) {
		needsDebian(t, "database", "mariadb-server-core", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Kill)
	p.url = log.URL
	ct := the(t, p.published(t).CTLogs())
	start := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	p.root, p.services = filepath.Join(p.dir, "trusted-root.json"), filepath.Join(p.dir, "signing-config.json")
	theWorld.bulla.run("trusted-root", "create", "--out", p.root,
		"--fulcio", fmt.Sprintf("url=%s,certificate-chain=%s,start-time=%s", p.URL, p.file(t, "chain.pem", get(t, p.URL+"/api/v1/rootCert")), start),
		"--ctfe", fmt.Sprintf("url=%s,public-key=%s,start-time=%s", ct.BaseURL, p.public(t, "ct", ct.PublicKey), start),
		"--rekor", fmt.Sprintf("url=%s,public-key=%s,start-time=%s", p.url, p.file(t, "log.pub", get(t, p.url+"/api/v1/log/publicKey")), start),
	).wantOK(t)
	theWorld.bulla.run("signing-config", "create", "--out", p.services,
		"--fulcio", fmt.Sprintf("url=%s,api-version=1,start-time=%s,operator=test", p.URL, start),
		"--rekor", fmt.Sprintf("url=%s,api-version=1,start-time=%s,operator=test", p.url, start), "--rekor-config", "EXACT:1",
		"--oidc-provider", fmt.Sprintf("url=%s,api-version=1,start-time=%s,operator=test", p.Issuer, start),
	).wantOK(t)
	return p
}

// TestRealRekor signs with bulla and with cosign into the log that the public instance runs, by certificate and by key, and
// has both verify it.
func TestRealRekor(t *testing.T) {
	t.Parallel()
	p := startPublicLike(t)
	programs := []*program{theWorld.bulla, theWorld.cosign}
	for _, signer := range programs {
		t.Run(signer.name+"/blob", func(t *testing.T) { p.blobs(t, signer, programs) })
		t.Run(signer.name+"/image", func(t *testing.T) { p.images(t, signer, programs) })
		t.Run(signer.name+"/key", func(t *testing.T) { p.twice(t, signer, programs) })
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
	signer.run("sign-blob", "--yes", "--key", key.private, "--new-bundle-format=false", "--use-signing-config=false", "--rekor-url", p.url,
		"--trusted-root", p.root, "--output-signature", signature, artifact).wantOK(t)
	online := []string{"verify-blob", "--key", key.public, "--signature", signature, "--trusted-root", p.root, "--rekor-url", p.url, "--log=online"}
	theWorld.bulla.run(append(online, artifact)...).wantOK(t)
	theWorld.bulla.run("verify-blob", "--key", key.public, "--signature", signature, "--trusted-root", p.root, artifact).wantRefused(t)
	query, err := json.Marshal(map[string]string{"hash": fmt.Sprintf("sha256:%x", sha256.Sum256(content))})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(p.url+"/api/v1/index/retrieve", "application/json", bytes.NewReader(query))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var ids []string
	if err := json.NewDecoder(resp.Body).Decode(&ids); err != nil || len(ids) != 1 {
		t.Errorf("the index has %v, %v", ids, err)
	}
	unsigned := filepath.Join(t.TempDir(), "other.txt")
	if err := os.WriteFile(unsigned, []byte("what was slipped in\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	theWorld.bulla.run(append(online, unsigned)...).wantRefused(t)
}
