package oidc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"time"
)

// GitHub Actions: a job with the permission id-token: write gets an address to ask and a token to ask with.
func lookGitHub(e *Environment) (string, bool) {
	return "the variables ACTIONS_ID_TOKEN_REQUEST_URL and ACTIONS_ID_TOKEN_REQUEST_TOKEN (permission id-token: write)",
		e.env("ACTIONS_ID_TOKEN_REQUEST_URL") != "" && e.env("ACTIONS_ID_TOKEN_REQUEST_TOKEN") != ""
}

func lacksGitHub(e *Environment) string {
	if e.env("GITHUB_ACTIONS") != "true" {
		return ""
	}
	return "this is a GitHub Actions job that may not have a token: give it permissions: {id-token: write} (a pull request from a fork gets none)"
}

func getGitHub(ctx context.Context, e *Environment) (string, error) {
	u, err := url.Parse(e.env("ACTIONS_ID_TOKEN_REQUEST_URL"))
	if err != nil {
		return "", errors.New("ACTIONS_ID_TOKEN_REQUEST_URL is not a URL")
	}
	if err := private(u.String()); err != nil {
		return "", fmt.Errorf("ACTIONS_ID_TOKEN_REQUEST_URL: %w", err)
	}
	q := u.Query()
	q.Set("audience", e.audience())
	u.RawQuery = q.Encode()
	var answer struct {
		Value string `json:"value"`
	}
	err = e.fetch().do(ctx, call{method: http.MethodGet, url: u.String(), header: map[string]string{
		"Authorization": "Bearer " + e.env("ACTIONS_ID_TOKEN_REQUEST_TOKEN"),
	}}, &answer)
	if err == nil && answer.Value == "" {
		err = errors.New("the answer holds no token")
	}
	return answer.Value, err
}

// Buildkite: the agent's API gives a job's token.
func lookBuildkite(e *Environment) (string, bool) {
	return "the variables BUILDKITE_AGENT_ACCESS_TOKEN and BUILDKITE_JOB_ID",
		e.env("BUILDKITE_AGENT_ACCESS_TOKEN") != "" && e.env("BUILDKITE_JOB_ID") != ""
}

func lacksBuildkite(e *Environment) string {
	if e.env("BUILDKITE") != "true" {
		return ""
	}
	return "this is a Buildkite job that was not handed its agent's access: pass BUILDKITE_AGENT_ACCESS_TOKEN and BUILDKITE_JOB_ID on, into a container too"
}

func getBuildkite(ctx context.Context, e *Environment) (string, error) {
	base := e.env("BUILDKITE_AGENT_ENDPOINT")
	if base == "" {
		base = "https://agent.buildkite.com/v3"
	}
	if err := private(base); err != nil {
		return "", fmt.Errorf("BUILDKITE_AGENT_ENDPOINT: %w", err)
	}
	address, err := url.JoinPath(base, "jobs", url.PathEscape(e.env("BUILDKITE_JOB_ID")), "oidc", "tokens")
	if err != nil {
		return "", errors.New("BUILDKITE_AGENT_ENDPOINT is not a URL")
	}
	body, err := json.Marshal(map[string]string{"audience": e.audience()})
	if err != nil {
		return "", err
	}
	var answer struct {
		Token string `json:"token"`
	}
	err = e.fetch().do(ctx, call{
		method: http.MethodPost, url: address, body: string(body), contentType: "application/json",
		header: map[string]string{"Authorization": "Token " + e.env("BUILDKITE_AGENT_ACCESS_TOKEN")},
	}, &answer)
	if err == nil && answer.Token == "" {
		err = errors.New("the answer holds no token")
	}
	return answer.Token, err
}

// CircleCI: the token in the job's variables is for the organisation only; its program gets one for an audience.
func lookCircleCI(e *Environment) (string, bool) {
	_, err := exec.LookPath("circleci")
	return "the variable CIRCLECI and the program circleci", e.env("CIRCLECI") == "true" && err == nil
}

func lacksCircleCI(e *Environment) string {
	if e.env("CIRCLECI") != "true" {
		return ""
	}
	return "this is a CircleCI job without the program circleci, which gets its tokens: it is not on PATH"
}

func getCircleCI(ctx context.Context, e *Environment) (string, error) {
	claims, err := json.Marshal(map[string]string{"aud": e.audience()})
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "circleci", "run", "oidc", "get", "--claims", string(claims))
	cmd.WaitDelay = time.Second // for what it started and left behind, which may hold its output open
	out, stderr := &limited{most: MaxToken + 1}, &limited{most: 1024}
	cmd.Stdout, cmd.Stderr = out, stderr
	// That something else still had its output when it ended well is no failure: what it said is whole.
	if err := cmd.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return "", fmt.Errorf("circleci run oidc get: %w: %s", err, clean(stderr.String()))
	}
	return out.String(), nil
}

// limited keeps the beginning of what is written.
type limited struct {
	bytes.Buffer
	most int
}

func (l *limited) Write(p []byte) (int, error) {
	if room := l.most - l.Len(); room > 0 {
		l.Buffer.Write(p[:min(len(p), room)])
	}
	return len(p), nil
}
