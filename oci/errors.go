package oci

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// ErrImageNotFound says that the registry answered, as the specification lays down, that the image is not there.
var ErrImageNotFound = errors.New("image not found")

// UnknownError says that a registry gave no usable answer, so that nothing is known about what was asked for. It is
// different from an absent image or signature, and is worth an exit code of its own.
type UnknownError struct {
	Place  string // what was looked at: "image", "referrers API", "fallback tag", "signature tag", …
	Method string // HTTP method
	URL    string // without user, password, query and fragment
	Status int    // HTTP status; 0 when there was no answer
	Code   string // the registry's error code, such as TOOMANYREQUESTS; may be empty
	Detail string // what was wrong
	Hint   string // what to do about it; never empty
	Err    error  // the cause, for errors.Is with context errors; may be nil
	gone   bool   // it is listed, and the registry says that it does not have it
}

// Error names the place, the request, the answer and what to do.
func (e *UnknownError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: ", e.Place)
	if e.Method != "" {
		fmt.Fprintf(&b, "%s %s: ", e.Method, e.URL)
	}
	if e.Status != 0 {
		fmt.Fprintf(&b, "status %d %s", e.Status, http.StatusText(e.Status))
		if e.Code != "" {
			fmt.Fprintf(&b, " (%s)", e.Code)
		}
		if e.Detail != "" {
			b.WriteString(": ")
		}
	}
	b.WriteString(e.Detail)
	if e.Hint != "" {
		fmt.Fprintf(&b, " (%s)", e.Hint)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *UnknownError) Unwrap() error { return e.Err }

// LostError says that something was written to a tag that other writers replace as well, and that at the end it, or
// something that was there before, was not found in it.
type LostError struct {
	Tag      string   // the tag, with its repository
	Digest   string   // digest of what was to be attached; its manifest or layer is in the registry, but not listed
	Lost     []string // digests that were seen in the tag or put there, and are missing now
	Attempts int      // how often it was tried
	Err      error    // why the last attempt ended; may be nil
}

// Error names the tag and what is missing from it.
func (e *LostError) Error() string {
	text := fmt.Sprintf("%s does not list %s after %d attempts", e.Tag, strings.Join(e.Lost, ", "), e.Attempts)
	if e.Err != nil {
		return text + ": " + e.Err.Error()
	}
	return text + ": other writers keep replacing it, or the registry drops writes (run the same command again when they have finished)"
}

// Unwrap returns why the last attempt ended.
func (e *LostError) Unwrap() error { return e.Err }

// notFound is the registry's well-formed answer that something does not exist.
type notFound struct{ code, message string }

func (e *notFound) Error() string { return fmt.Sprintf("%s: %s", e.code, e.message) }

func isNotFound(err error) bool {
	var nf *notFound
	return errors.As(err, &nf)
}

// isGone says that something is listed, and the registry does not have it, for certain.
func isGone(err error) bool {
	var unknown *UnknownError
	return errors.As(err, &unknown) && unknown.gone
}

func isUnknown(err error) bool {
	var unknown *UnknownError
	return errors.As(err, &unknown)
}

// registryError is the body of an error answer, distribution-spec "Error Codes".
type registryError struct {
	Errors []struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"errors"`
}

// first returns the first code and message; ok is false when the body is not an error document.
func (r *registryError) parse(body []byte) (code, message string, ok bool) {
	if err := json.Unmarshal(body, r); err != nil || len(r.Errors) == 0 || r.Errors[0].Code == "" {
		return "", "", false
	}
	return printable(r.Errors[0].Code, 40), printable(r.Errors[0].Message, maxDetail), true
}

// absentCodes are the codes with which a 404 says that a name, a tag, a manifest or a blob does not exist. NOT_FOUND is not
// in the specification, but is what Harbor says in an otherwise well-formed document.
func absentCode(code string) bool {
	switch code {
	case "MANIFEST_UNKNOWN", "NAME_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN", "NOT_FOUND":
		return true
	}
	return false
}

// printable keeps text from a registry from controlling a terminal or flooding a log.
func printable(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || (r >= 0x80 && r < 0xa0) || r == '\u2028' || r == '\u2029' || (r >= 0x202a && r <= 0x202e) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return strings.TrimSpace(s)
}

// safeURL shows scheme, host and path only: queries of uploads and of redirects to storage carry signatures.
func safeURL(u *url.URL) string {
	if u == nil {
		return ""
	}
	clean := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	return clean.String()
}

// hint says what to do about an answer with this status.
func hint(status int) string {
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return "check the credentials for this registry: docker login, --registry-username and --registry-password, or --registry-token"
	case status == http.StatusTooManyRequests:
		return "the registry limits requests: wait, or log in"
	case status == http.StatusNotFound:
		return "the answer does not come from a registry as the specification describes it: check the address, and proxies on the way"
	case status >= 500:
		return "the registry or a proxy failed: try again later"
	}
	return "this is not a registry's regular answer: check the address, and proxies on the way"
}

// noToken is how the token transport's complaint about an answer begins.
const noToken = "no token in bearer response"

// transportError turns an error without an answer into an UnknownError, without the URL that package net/http puts into it.
func transportError(place, method string, u *url.URL, err error) error {
	unknown := &UnknownError{Place: place, Method: method, URL: safeURL(u), Err: err}
	var reg *transport.Error
	if errors.As(err, &reg) {
		unknown.Status = reg.StatusCode
		unknown.Hint = hint(reg.StatusCode)
		if reg.Request != nil {
			unknown.Method, unknown.URL = reg.Request.Method, safeURL(reg.Request.URL)
		}
		if len(reg.Errors) > 0 {
			unknown.Code, unknown.Detail = printable(string(reg.Errors[0].Code), 40), printable(reg.Errors[0].Message, maxDetail)
		}
		return unknown
	}
	cause := err
	for {
		var inner *url.Error
		if !errors.As(cause, &inner) {
			break
		}
		cause = inner.Err
	}
	unknown.Detail = printable(cause.Error(), maxDetail)
	if strings.HasPrefix(unknown.Detail, noToken) { // what follows is the whole answer, and may hold other secrets
		unknown.Detail = noToken + " of the token server"
	}
	unknown.Hint = "check that the registry can be reached"
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		unknown.Hint = "raise the timeout, or try again later"
	case errors.Is(err, context.Canceled):
		unknown.Hint = "it was cancelled"
	}
	return unknown
}
