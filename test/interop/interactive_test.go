package interop

import (
	"bufio"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestDeviceFlow signs with cosign and with bulla without a browser on the machine: the program prints an address, and
// somebody signs in there.
func TestDeviceFlow(t *testing.T) {
	t.Parallel()
	in := sharedInstance(t)
	for _, p := range []*program{theWorld.cosign, theWorld.bulla} {
		t.Run(p.name, func(t *testing.T) {
			trusting := in.trusting(t, p)
			artifact, bundle := toSign(t)
			call := trusting.start(t, "sign-blob", "--yes", "--fulcio-auth-flow", "device", "--bundle", bundle, artifact)
			page := call.await(regexp.MustCompile(`https?://localhost:\d+/\S*device\S*user_code=[A-Z0-9-]+`))
			person := newPerson(t)
			person.submit(person.get(page), "user_code", nil)
			person.signIn()
			call.wantOK(t)
			verifiedBlob(t, in, trusting, artifact, bundle)
		})
	}
}

// TestBrowserFlow signs with a browser on the same machine; it is opened with xdg-open, as everywhere on Linux.
func TestBrowserFlow(t *testing.T) {
	t.Parallel()
	in := sharedInstance(t)
	for _, p := range []*program{theWorld.cosign, theWorld.bulla} {
		t.Run(p.name, func(t *testing.T) {
			trusting := in.trusting(t, p)
			artifact, bundle := toSign(t)
			call, page := trusting.signInBrowser(t, "sign-blob", "--yes", "--fulcio-auth-flow", "normal", "--bundle", bundle, artifact)
			person := newPerson(t)
			person.get(page)
			person.signIn() // ends with a page of the program itself, where the browser is sent back to
			call.wantOK(t)
			verifiedBlob(t, in, trusting, artifact, bundle)
		})
	}
}

// signInBrowser starts a command that opens a browser, and returns the address of the page that it opens.
func (p *program) signInBrowser(t *testing.T, args ...string) (*running, string) {
	t.Helper()
	bin, opened := t.TempDir(), filepath.Join(t.TempDir(), "opened")
	script := "#!/bin/sh\nprintf '%s' \"$1\" > '" + opened + ".part' && mv '" + opened + ".part' '" + opened + "'\n"
	if err := os.WriteFile(filepath.Join(bin, "xdg-open"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	call := p.with("PATH="+bin+":"+os.Getenv("PATH"), "BROWSER="+filepath.Join(bin, "xdg-open")).start(t, args...)
	var page []byte
	for deadline := time.Now().Add(runLimit); len(page) == 0; time.Sleep(20 * time.Millisecond) {
		page, _ = os.ReadFile(opened) // not there yet is empty
		if call.ended() || time.Now().After(deadline) {
			t.Fatalf("no page was opened: %s", call.words())
		}
	}
	return call, string(page)
}

func toSign(t *testing.T) (artifact, bundle string) {
	t.Helper()
	artifact = filepath.Join(t.TempDir(), "artifact.txt")
	if err := os.WriteFile(artifact, []byte("what was shipped\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return artifact, filepath.Join(t.TempDir(), "artifact.sigstore.json")
}

func verifiedBlob(t *testing.T, in *instance, p *program, artifact, bundle string) {
	t.Helper()
	p.run("verify-blob", "--bundle", bundle, "--certificate-identity", identity, "--certificate-oidc-issuer", in.Issuer, artifact).wantOK(t)
}

// running is a call of a program that waits for somebody.
type running struct {
	t    *testing.T
	cmd  *exec.Cmd
	out  *lines
	done chan struct{}
	err  error
}

// lines collects what a program says, for somebody who waits for a word.
type lines struct {
	text chan string
	all  strings.Builder
}

// start calls the program with the environment of run and does not wait.
func (p *program) start(t *testing.T, args ...string) *running {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := p.command(args...)
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close() // the program has it
	c := &running{t: t, cmd: cmd, out: &lines{text: make(chan string, 1000)}, done: make(chan struct{})}
	go func() {
		defer close(c.out.text)
		s := bufio.NewScanner(r)
		for s.Scan() {
			c.out.text <- s.Text()
		}
		_ = r.Close()
	}()
	go func() {
		c.err = cmd.Wait()
		close(c.done)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // already gone is as good
		<-c.done
	})
	return c
}

// await returns what the program says that fits.
func (c *running) await(what *regexp.Regexp) string {
	c.t.Helper()
	timeout := time.After(runLimit)
	for {
		select {
		case line, ok := <-c.out.text:
			if !ok {
				c.t.Fatalf("it ended without saying %s:\n%s", what, c.out.all.String())
			}
			c.out.all.WriteString(line + "\n")
			if found := what.FindString(line); found != "" {
				return found
			}
		case <-timeout:
			c.t.Fatalf("it does not say %s:\n%s", what, c.out.all.String())
		}
	}
}

func (c *running) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

func (c *running) words() string {
	for {
		select {
		case line, ok := <-c.out.text:
			if !ok {
				return c.out.all.String()
			}
			c.out.all.WriteString(line + "\n")
		default:
			return c.out.all.String()
		}
	}
}

func (c *running) wantOK(t *testing.T) {
	t.Helper()
	select {
	case <-c.done:
	case <-time.After(runLimit):
		t.Fatalf("it does not end:\n%s", c.words())
	}
	if c.err != nil {
		t.Fatalf("%v\n%s", c.err, c.words())
	}
}

// person reads pages and fills in forms, without scripts, as the pages allow.
type person struct {
	t    *testing.T
	c    *http.Client
	at   *url.URL // of the page that is shown
	page string
}

func newPerson(t *testing.T) *person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &person{t: t, c: &http.Client{Jar: jar, Timeout: 30 * time.Second}}
}

func (p *person) get(address string) string {
	p.t.Helper()
	resp, err := p.c.Get(address)
	return p.show(resp, err)
}

func (p *person) show(resp *http.Response, err error) string {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil || resp.StatusCode != http.StatusOK {
		p.t.Fatalf("%s: %s %v\n%s", resp.Request.URL, resp.Status, err, body)
	}
	p.at, p.page = resp.Request.URL, string(body)
	return p.page
}

// signIn uses the development login of the page that is shown.
func (p *person) signIn() { p.submit(p.page, "development", url.Values{"email": {identity}}) }

var (
	formTag = regexp.MustCompile(`(?s)<form\b([^>]*)>(.*?)</form>`)
	input   = regexp.MustCompile(`<input\b([^>]*)>`)
	attr    = regexp.MustCompile(`([a-z-]+)="([^"]*)"`)
)

// submit sends the form that has the given text in it, with what it holds and with what is filled in.
func (p *person) submit(page, mark string, fill url.Values) {
	p.t.Helper()
	for _, form := range formTag.FindAllStringSubmatch(page, -1) {
		if !strings.Contains(form[2], mark) {
			continue
		}
		values := url.Values{}
		for _, field := range input.FindAllStringSubmatch(form[2], -1) {
			a := attributes(field[1])
			values.Set(a["name"], a["value"])
		}
		for name := range fill {
			values.Set(name, fill.Get(name))
		}
		to, err := p.at.Parse(attributes(form[1])["action"])
		if err != nil {
			p.t.Fatal(err)
		}
		req, err := http.NewRequest(http.MethodPost, to.String(), strings.NewReader(values.Encode()))
		if err != nil {
			p.t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", p.at.Scheme+"://"+p.at.Host)
		resp, err := p.c.Do(req)
		p.show(resp, err)
		return
	}
	p.t.Fatalf("%s has no form with %q:\n%s", p.at, mark, page)
}

func attributes(tag string) map[string]string {
	out := map[string]string{}
	for _, m := range attr.FindAllStringSubmatch(tag, -1) {
		out[m[1]] = html.UnescapeString(m[2])
	}
	return out
}
