package interop

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/mod/sumdb/note"

	"github.com/bulla-sign/bulla/internal/tools/process"
	"github.com/bulla-sign/bulla/internal/tools/toolcache"
)

// realWitness is litewitness, a witness by others (C2SP tlog-witness): a process, a database of the logs that it knows, and
// an agent that has its key.
type realWitness struct {
	dir, addr, agent, key string
	name                  string // its verifier key, once it has said it
	server                *process.Server
}

func newWitness(t *testing.T) *realWitness {
	t.Helper()
	ports, err := process.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	sockets, err := os.MkdirTemp("", "agent-") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(sockets) })
	w := &realWitness{
		dir: t.TempDir(), addr: fmt.Sprintf("127.0.0.1:%d", ports[0]), agent: filepath.Join(sockets, "s"), key: ssh.FingerprintSHA256(signer.PublicKey()),
	}
	keyring := agent.NewKeyring()
	if err := keyring.Add(agent.AddedKey{PrivateKey: &private}); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", w.agent)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed at the end of the test
			}
			go func() { _ = agent.ServeAgent(keyring, conn) }() // ends with its client
		}
	}()
	w.start(t)
	t.Cleanup(func() { w.server.Kill() })
	return w
}

// start starts it, or starts it again, at the same address and with all that it knows.
func (w *realWitness) start(t *testing.T) {
	t.Helper()
	exe, err := toolcache.Path("litewitness", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	w.server, err = process.Start(0, func([]int) (process.Spec, error) {
		return process.Spec{
			Path: exe, Dir: w.dir, Ready: "http://" + w.addr + "/",
			Args: []string{"-name", "witness.test", "-db", filepath.Join(w.dir, "witness.db"), "-ssh-agent", w.agent, "-key", w.key, "-listen", w.addr},
		}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	said := regexp.MustCompile(`vkey="?(witness\.test\+[0-9a-f]+\+[A-Za-z0-9+/=]+)`).FindStringSubmatch(w.server.Output())
	if said == nil {
		t.Fatalf("the witness does not say its key: %s", w.server.Output())
	}
	w.name = said[1]
}

// know tells the witness of a log that has no entries yet. Its own program for that cannot be built from its module alone,
// so the two rows are written into its database.
func (w *realWitness) know(t *testing.T, origin, verifier string) {
	t.Helper()
	script := `import base64, hashlib, sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("INSERT INTO log (origin, tree_size, tree_hash) VALUES (?, 0, ?)", (sys.argv[2], base64.b64encode(hashlib.sha256().digest()).decode()))
db.execute("INSERT INTO key (origin, key) VALUES (?, ?)", sys.argv[2:4])
db.commit()`
	out, err := exec.Command("python3", "-c", script, filepath.Join(w.dir, "witness.db"), origin, verifier).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// TestRealWitness has a witness by others cosign the log: every entry that bulla and cosign are given rests on a checkpoint
// with its signature, which changes nothing for who verifies. While the witness is away nothing is acknowledged and nothing
// is signed; when it is back all goes on.
func TestRealWitness(t *testing.T) {
	t.Parallel()
	w := newWitness(t)
	var verifier note.Verifier
	d := founded(t, func(in *instance) {
		origin, _, _ := strings.Cut(string(get(t, in.URL+"/checkpoint")), "\n")
		key, err := note.NewEd25519VerifierKey(origin, the(t, in.published(t).RekorLogs()).PublicKey.(ed25519.PublicKey))
		if err != nil {
			t.Fatal(err)
		}
		if verifier, err = note.NewVerifier(key); err != nil {
			t.Fatal(err)
		}
		w.know(t, origin, key)
	})
	policy := filepath.Join(w.dir, "witnesses.policy")
	if err := os.WriteFile(policy, []byte(fmt.Sprintf("witness w %s http://%s\nquorum w\n", w.name, w.addr)), 0o600); err != nil {
		t.Fatal(err)
	}
	in := d.adjust(t, map[string]string{"  #witnesses: witnesses.policy": "  witnesses: " + policy})
	cosigner, err := fnote.NewVerifierForCosignatureV1(w.name)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(p *program) (result, string, string) {
		artifact, bundle := toSign(t)
		return p.run("sign-blob", "--yes", "--timeout", "15s", "--identity-token", in.token(t, identity), "--bundle", bundle, artifact), artifact, bundle
	}
	programs := []*program{in.trusting(t, theWorld.bulla), in.trusting(t, theWorld.cosign)}
	for _, signer := range programs {
		signed, artifact, bundle := sign(signer)
		signed.wantOK(t)
		checkpoint := checkpointOf(t, bundle)
		opened, err := note.Open([]byte(checkpoint), note.VerifierList(verifier, cosigner))
		if err != nil || len(opened.Sigs) != 2 {
			t.Errorf("the checkpoint is not signed by the log and the witness: %v\n%s", err, checkpoint)
		}
		for _, p := range programs {
			verifiedBlob(t, in, p, artifact, bundle)
		}
	}
	w.server.Kill()
	refused, _, bundle := sign(programs[0])
	if refused.wantRefusedByService(t); exists(bundle) {
		t.Errorf("a bundle was written: %s", refused)
	}
	w.start(t)
	for deadline := time.Now().Add(runLimit); ; time.Sleep(100 * time.Millisecond) {
		if resp, err := http.Get(in.URL + "/readyz"); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				break
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("the log does not go on when its witness is back")
		}
	}
	signed, artifact, bundle := sign(programs[0])
	signed.wantOK(t)
	verifiedBlob(t, in, programs[1], artifact, bundle)
}

// wantRefusedByService: it is unknown whether it will be, and said.
func (r result) wantRefusedByService(t *testing.T) {
	t.Helper()
	if r.code != 20 {
		t.Errorf("should end with 20: %s", r)
	}
}

func checkpointOf(t *testing.T, bundle string) string {
	t.Helper()
	var made struct {
		VerificationMaterial struct {
			TlogEntries []struct {
				InclusionProof struct{ Checkpoint struct{ Envelope string } }
			}
		}
	}
	if err := json.Unmarshal([]byte(readFile(t, bundle)), &made); err != nil || len(made.VerificationMaterial.TlogEntries) != 1 {
		t.Fatalf("%v: %s", err, readFile(t, bundle))
	}
	return made.VerificationMaterial.TlogEntries[0].InclusionProof.Checkpoint.Envelope
}
