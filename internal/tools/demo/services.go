package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	// answerLimit bounds what the services answer in the demo: tokens and a few log entries.
	answerLimit = 1 << 20
	askTime     = 10 * time.Second
	endTime     = 30 * time.Second // a clean end takes less than one
)

// services is what `bulla up --output json` says, and the process.
type services struct {
	URL        string `json:"url"`
	Issuer     string `json:"issuer"`
	Token      string `json:"token"`
	Mirror     string `json:"mirror"`
	Root       string `json:"root"`
	RootSHA256 string `json:"rootSha256"`

	cmd *exec.Cmd
}

// up starts the services and returns when they answer.
func (s *show) up() (*services, error) {
	fmt.Println("$ bulla up --ephemeral &")
	began := time.Now()
	// Not bound to the context: it is told to end as an operator would tell it.
	cmd := exec.Command(s.exe, "up", "--ephemeral", "--output", "json")
	cmd.Dir, cmd.Env, cmd.Stderr = s.dir, s.env, os.Stdout
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	up := &services{cmd: cmd}
	if err := json.NewDecoder(out).Decode(up); err != nil {
		return nil, errors.Join(fmt.Errorf("bulla up: %w", err), cmd.Process.Kill(), cmd.Wait())
	}
	fmt.Printf("all of it is ready after %d ms, at %s\n", time.Since(began).Milliseconds(), up.URL)
	return up, nil
}

// down ends the services, and sees that they end well.
func (s *show) down(up *services) error {
	step("Down: the services, the registry and all files are gone")
	if err := up.cmd.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	timer := time.AfterFunc(endTime, func() { _ = up.cmd.Process.Kill() }) // Wait then says so
	defer timer.Stop()
	if err := up.cmd.Wait(); err != nil {
		return fmt.Errorf("bulla up did not end well: %w", err)
	}
	return nil
}

// token writes an identity token to a file.
func (s *show) token(up *services, file string) error {
	fmt.Printf("$ curl --data email=%s %s | jq -r .id_token > %s\n", who, up.Token, file)
	body, err := s.ask(http.MethodPost, up.Token, url.Values{"email": {who}}.Encode())
	if err != nil {
		return err
	}
	var answer struct {
		Token string `json:"id_token"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.dir, file), []byte(answer.Token), 0o600)
}

// indexed bounds the wait for the search index, which follows the log by less than a second.
const indexed = 10 * time.Second

// lookAtLog finds the signature in the log by who made it.
func (s *show) lookAtLog(up *services) error {
	step("What the transparency log has of it, found by who signed; a browser sees it at " + up.URL + "/ui/log")
	address := up.URL + "/api/v2/search?email=" + url.QueryEscape(who)
	fmt.Printf("$ curl '%s'\n", address)
	var body []byte
	var answer struct{ Entries []json.RawMessage }
	for end := time.Now().Add(indexed); len(answer.Entries) == 0 && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		var err error
		if body, err = s.ask(http.MethodGet, address, ""); err != nil {
			return err
		}
		if err := json.Unmarshal(body, &answer); err != nil {
			return err
		}
	}
	if len(answer.Entries) != 1 {
		return fmt.Errorf("the log has %d entries of %s, must be one: %s", len(answer.Entries), who, body)
	}
	shown, err := json.MarshalIndent(answer.Entries[0], "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Printf("%s\n", shown)
	return err
}

// ask asks one of the services.
func (s *show) ask(method, address, form string) ([]byte, error) {
	req, err := http.NewRequestWithContext(s.ctx, method, address, strings.NewReader(form))
	if err != nil {
		return nil, err
	}
	if form != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := (&http.Client{Timeout: askTime}).Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // read to its end
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %s: %s", address, resp.Status, body)
	}
	return body, err
}
