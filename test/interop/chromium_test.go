package interop

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// chromium is a headless browser, and the one page that it shows, driven by the DevTools protocol over a pair of pipes:
// messages are JSON objects, each ended by a zero byte.
type chromium struct {
	t       *testing.T
	in      *bufio.Reader
	out     *os.File
	session string
	last    int
}

// answer is a message from the browser: the result of a call, or an event, which has no ID.
type answer struct {
	ID     int
	Result json.RawMessage
	Error  *struct{ Message string }
}

// startChromium needs Debian's chromium. In CI its absence is a failure.
func startChromium(t *testing.T) *chromium {
	t.Helper()
	exe, err := exec.LookPath("chromium")
	if err != nil {
		needsDebian(t, "browser", "chromium", err)
	}
	toBrowser, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	in, fromBrowser, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-pipe",
		"--user-data-dir="+filepath.Join(t.TempDir(), "profile"), "about:blank")
	cmd.ExtraFiles = []*os.File{toBrowser, fromBrowser} // 3 and 4, as --remote-debugging-pipe has it
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = toBrowser.Close(), fromBrowser.Close() // the browser has them
	c := &chromium{t: t, in: bufio.NewReader(in), out: out}
	t.Cleanup(func() {
		if err := c.call("Browser.close", nil, nil); err != nil {
			_ = cmd.Process.Kill() // it may be gone
		}
		_ = cmd.Wait() // how it ends says nothing about the test
		_, _ = in.Close(), out.Close()
	})
	// A browser that hangs must not hang the test: the pipe is closed under it.
	timer := time.AfterFunc(runLimit, func() { _ = in.Close() })
	t.Cleanup(func() { timer.Stop() })
	return c
}

// call sends a message and decodes the result of its answer into result; events in between are passed over.
func (c *chromium) call(method string, params any, result any) error {
	c.last++
	message := map[string]any{"id": c.last, "method": method}
	if params != nil {
		message["params"] = params
	}
	if c.session != "" && !strings.HasPrefix(method, "Browser.") {
		message["sessionId"] = c.session
	}
	text, err := json.Marshal(message)
	if err != nil {
		return err
	}
	if _, err := c.out.Write(append(text, 0)); err != nil {
		return err
	}
	for {
		text, err := c.in.ReadBytes(0)
		if err != nil {
			return fmt.Errorf("%s: the browser does not answer: %w", method, err)
		}
		var got answer
		if err := json.Unmarshal(text[:len(text)-1], &got); err != nil {
			return err
		}
		switch {
		case got.ID != c.last:
		case got.Error != nil:
			return errors.New(method + ": " + got.Error.Message)
		case result != nil:
			return json.Unmarshal(got.Result, result)
		default:
			return nil
		}
	}
}

func (c *chromium) must(method string, params map[string]any, result any) {
	c.t.Helper()
	if err := c.call(method, params, result); err != nil {
		c.t.Fatal(err)
	}
}

// open shows a page.
func (c *chromium) open(address string) {
	c.t.Helper()
	var target struct{ TargetID string }
	c.must("Target.createTarget", map[string]any{"url": address}, &target)
	var attached struct{ SessionID string }
	c.must("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	c.session = attached.SessionID
}

// eval is the value of an expression in the page that is shown; nothing while the page changes.
func (c *chromium) eval(expression string) string {
	var got struct{ Result struct{ Value string } }
	if c.call("Runtime.evaluate", map[string]any{"expression": "String(" + expression + ")"}, &got) != nil {
		return "" // the page is being replaced
	}
	return got.Result.Value
}

// await waits until an expression is true in the page.
func (c *chromium) await(expression string) {
	c.t.Helper()
	for deadline := time.Now().Add(runLimit); c.eval(expression) != "true"; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("%s does not become true at %s:\n%s", expression, c.eval("location.href"), c.eval("document.body.innerText"))
		}
	}
}

// fill clicks into a field, as far as a program can, and types.
func (c *chromium) fill(selector, text string) {
	c.t.Helper()
	field := "document.querySelector(" + strconv.Quote(selector) + ")"
	c.await("document.readyState === 'complete' && " + field + " !== null")
	c.eval("(" + field + ".focus(), " + field + ".select())")
	c.must("Input.insertText", map[string]any{"text": text}, nil)
}

// press presses the Return key where the cursor is.
func (c *chromium) press() {
	c.t.Helper()
	for _, kind := range []string{"keyDown", "keyUp"} {
		c.must("Input.dispatchKeyEvent", map[string]any{
			"type": kind, "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r",
		}, nil)
	}
}

// TestChromium signs with bulla and with cosign, and a person signs in on the issuer's page in a real browser: first with
// a wrong password, and then with the right one. The browser obeys what the page forbids it, such as where forms may lead.
func TestChromium(t *testing.T) {
	t.Parallel()
	const password = "correct horse battery"
	in := adjusted(t, map[string]string{"  #users:": fmt.Sprintf("  users:\n    - email: %s\n      password-hash: %s", identity, bcrypted(t, password))})
	for _, p := range []*program{theWorld.bulla, theWorld.cosign} {
		t.Run(p.name, func(t *testing.T) {
			browser := startChromium(t)
			trusting := in.trusting(t, p)
			artifact, bundle := toSign(t)
			signing, page := trusting.signInBrowser(t, "sign-blob", "--yes", "--fulcio-auth-flow", "normal", "--bundle", bundle, artifact)
			browser.open(page)
			browser.fill("#email", identity)
			browser.fill("#password", "guessed")
			browser.press()
			browser.await("document.querySelector('#problem') !== null")
			browser.fill("#email", identity)
			browser.fill("#password", password)
			browser.press()
			signing.wantOK(t)
			browser.await("location.port !== " + strconv.Quote(portOf(t, in.URL))) // the page of the program itself
			verifiedBlob(t, in, trusting, artifact, bundle)
		})
	}
}
