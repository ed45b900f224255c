package interop

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/tools/toolcache"
)

// identity is who signs in these tests; the development login gives a token for any address.
const identity = "alice@example.com"

// startServices bounds how long the services may take to be ready. They need a second; CI may be busy.
const startServices = time.Minute

// instance is a whole signing service: bulla-server in one process, on loopback.
type instance struct {
	URL        string `json:"url"`
	Issuer     string `json:"issuer"`
	Token      string `json:"token"`
	Mirror     string `json:"mirror"`
	Root       string `json:"root"`
	RootSHA256 string `json:"rootSha256"`
	Cosign     string `json:"cosign"`
	Bulla      string `json:"bulla"`

	server *exec.Cmd
}

var theServer struct {
	once sync.Once
	exe  string
	err  error
}

// bullaServer builds the services' program once.
func bullaServer(t *testing.T) string {
	t.Helper()
	theServer.once.Do(func() {
		theServer.exe, theServer.err = buildServer(theWorld.dir)
	})
	if theServer.err != nil {
		t.Fatal(theServer.err)
	}
	return theServer.exe
}

func buildServer(dir string) (string, error) {
	wing, err := filepath.Abs("../../server")
	if err != nil {
		return "", err
	}
	exe := filepath.Join(dir, "bulla-server")
	cmd := exec.Command("go", "build", "-trimpath", "-o", exe, "./cmd/bulla-server")
	cmd.Dir = wing
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("bulla-server does not build: %w\n%s", err, out)
	}
	return exe, nil
}

var theInstance struct {
	once sync.Once
	*instance
	err error
}

// sharedInstance is one instance for all tests that only sign and verify.
func sharedInstance(t *testing.T) *instance {
	t.Helper()
	exe := bullaServer(t)
	theInstance.once.Do(func() {
		theInstance.instance, theInstance.err = startInstance(exe, "--ephemeral")
		if theInstance.err == nil {
			theWorld.atEnd(theInstance.stop)
		}
	})
	if theInstance.err != nil {
		t.Fatal(theInstance.err)
	}
	return theInstance.instance
}

// startInstance runs `bulla-server up` and returns when it says that everything answers.
func startInstance(exe string, flags ...string) (*instance, error) {
	log, err := os.CreateTemp(theWorld.dir, "services-*.log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(exe, append([]string{"up", "--output", "json"}, flags...)...)
	cmd.Dir = theWorld.dir
	cmd.Env = append(os.Environ(), "TMPDIR="+theWorld.dir)
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	in := &instance{server: cmd}
	said := make(chan error, 1)
	go func() { said <- json.NewDecoder(bufio.NewReader(out)).Decode(in) }()
	select {
	case err = <-said:
	case <-time.After(startServices):
		err = fmt.Errorf("not ready after %s", startServices)
	}
	if err != nil {
		in.stop()
		words, _ := os.ReadFile(log.Name()) // what there is helps
		return nil, fmt.Errorf("bulla-server up: %w\n%s", err, words)
	}
	return in, nil
}

func (in *instance) stop() {
	_ = in.server.Process.Signal(os.Interrupt) // already gone is as good
	_ = in.server.Wait()                       // how it ends is another test's matter
}

// token returns a file with a fresh identity token.
func (in *instance) token(t *testing.T, who string) string {
	t.Helper()
	resp, err := http.PostForm(in.Token, url.Values{"email": {who}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Token string `json:"id_token"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Token == "" {
		t.Fatalf("no token for %s: %s", who, body)
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(answer.Token), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// trusting returns a program that has been pointed at the instance, with a folder of its own for what it keeps.
func (in *instance) trusting(t *testing.T, p *program) *program {
	t.Helper()
	q := p.with("TUF_ROOT=" + filepath.Join(t.TempDir(), "tuf"))
	q.run("initialize", "--mirror", in.Mirror, "--root", in.Root, "--root-checksum", in.RootSHA256).wantOK(t)
	return q
}

var theGoPeer struct {
	sync.Once
	err error
}

// goPeer is the program around sigstore-go, built once.
func goPeer() string { return filepath.Join(theWorld.dir, "sgclient") }

// peers are other libraries, each behind a small program with the same arguments: sigstore-go and sigstore-js.
func (in *instance) peers(t *testing.T) map[string]*program {
	t.Helper()
	theGoPeer.Do(func() {
		cmd := exec.Command("go", "build", "-trimpath", "-o", goPeer(), "./sgclient")
		cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			theGoPeer.err = fmt.Errorf("sgclient: %w\n%s", err, out)
		}
	})
	if theGoPeer.err != nil {
		t.Fatal(theGoPeer.err)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("sigstore-js needs Node 20, which is not here: ", err)
	}
	packages, err := toolcache.NodePackages("js", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*program{
		"sigstore-go": {name: "sigstore-go", exe: goPeer(), world: theWorld},
		"sigstore-js": {name: "sigstore-js", exe: node, world: theWorld, env: []string{
			"NODE_PATH=" + filepath.Join(packages, "node_modules"), "NO_PROXY=localhost,127.0.0.1",
		}},
	}
}
