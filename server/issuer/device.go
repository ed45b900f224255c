package issuer

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	deviceLifetime        = 10 * time.Minute
	defaultDeviceInterval = 5 * time.Second
	maxDevices            = 10000
	userCodeLength        = 8
	// userCodeLetters have no vowels, so that no words appear, and nothing that is mistaken for something else (RFC 8628 6.1).
	userCodeLetters = "BCDFGHJKLMNPQRSTVWXZ"
)

// device is a device that waits for somebody to sign in elsewhere (RFC 8628).
type device struct {
	client    *client
	scope     string
	challenge string // of PKCE, S256; "" when the device sent none
	userCode  string
	expires   time.Time

	mu      sync.Mutex
	polled  time.Time
	decided bool
	who     *person // nil: denied
}

// devices finds devices by either code. A device is remembered for longer than it may wait, to be told that it is too late.
type devices struct {
	byDevice *tickets[*device]
	byUser   *tickets[*device]
}

func newDevices() *devices {
	return &devices{newTickets[*device](maxDevices, 2*deviceLifetime), newTickets[*device](maxDevices, deviceLifetime)}
}

// add makes the codes of a device.
func (d *devices) add(now time.Time, dev *device) (code string, err error) {
	dev.expires = now.Add(deviceLifetime)
	for range 10 { // of 20^8 codes 10,000 are in use at most: twice in a row does not happen
		dev.userCode = newUserCode()
		if err = d.byUser.put(now, dev.userCode, dev); !errors.Is(err, errTaken) {
			break
		}
	}
	if err != nil {
		return "", err
	}
	code = randomString()
	if err = d.byDevice.put(now, code, dev); err != nil {
		d.byUser.take(now, dev.userCode)
	}
	return code, err
}

// waiting is the device that waits for the code to be entered, nil when there is none.
func (d *devices) waiting(now time.Time, userCode string) *device {
	dev, _ := d.byUser.get(now, userCode)
	return dev
}

// decide ends the waiting, once: with a person, or with nil for a denial.
func (d *devices) decide(now time.Time, userCode string, who *person) bool {
	dev, ok := d.byUser.take(now, userCode)
	if !ok {
		return false
	}
	dev.mu.Lock()
	defer dev.mu.Unlock()
	dev.decided, dev.who = true, who
	return true
}

// poll answers a device that asks whether somebody has signed in (RFC 8628 3.5).
func (d *devices) poll(now time.Time, code string, c *client, verifier string, interval time.Duration) (*device, error) {
	dev, ok := d.byDevice.get(now, code)
	if !ok || dev.client != c {
		return nil, oauthError{Code: "invalid_grant", Description: "the device_code is unknown, used, or another client's"}
	}
	if err := checkVerifier(dev.challenge, verifier); err != nil {
		d.byDevice.take(now, code)
		d.byUser.take(now, dev.userCode)
		return nil, err
	}
	dev.mu.Lock()
	defer dev.mu.Unlock()
	// Clients count from our answer and we from their request, so some come a little early.
	early := !dev.polled.IsZero() && now.Sub(dev.polled) < interval-interval/4
	dev.polled = now
	switch {
	case !now.Before(dev.expires):
		return nil, oauthError{Code: "expired_token", Description: "nobody signed in while the code was valid"}
	case early:
		return nil, oauthError{Code: "slow_down", Description: "polls come faster than the interval allows"}
	case !dev.decided:
		return nil, oauthError{Code: "authorization_pending", Description: "nobody has signed in yet"}
	}
	if _, ok := d.byDevice.take(now, code); !ok {
		return nil, oauthError{Code: "invalid_grant", Description: "the device_code was used already"}
	}
	if dev.who == nil {
		return nil, oauthError{Code: "access_denied", Description: "the sign-in was cancelled"}
	}
	return dev, nil
}

func newUserCode() string {
	out := make([]byte, 0, userCodeLength)
	for len(out) < userCodeLength {
		var b [1]byte
		_, _ = rand.Read(b[:])
		if n := int(b[0]); n < 256-256%len(userCodeLetters) { // so that all letters are equally likely
			out = append(out, userCodeLetters[n%len(userCodeLetters)])
		}
	}
	return string(out)
}

// showCode writes a user code as people read it, readCode takes what they type.
func showCode(code string) string { return code[:4] + "-" + code[4:] }

func readCode(typed string) (string, bool) {
	var out []byte
	for _, c := range []byte(strings.ToUpper(typed)) {
		switch {
		case strings.IndexByte(userCodeLetters, c) >= 0:
			out = append(out, c)
		case c != '-' && c != ' ' && c != '\t':
			return "", false
		}
	}
	return string(out), len(out) == userCodeLength
}

// deviceAuthorization answers the device authorization endpoint (RFC 8628 3.1).
func (s *Issuer) deviceAuthorization(w http.ResponseWriter, r *http.Request) {
	p, c, ok := s.tokenForm(w, r)
	if !ok {
		return
	}
	if !s.allowStart(w, r) {
		writeJSON(w, http.StatusTooManyRequests, oauthError{Code: "temporarily_unavailable", Description: "too many devices of this address ask"})
		return
	}
	scope := p["scope"]
	if scope == "" {
		scope = "openid email"
	}
	if !inScope(scope, "openid") {
		s.tokenError(w, r, c, oauthError{Code: "invalid_scope", Description: "the scope does not contain openid"})
		return
	}
	if p["code_challenge"] != "" || p["code_challenge_method"] != "" {
		var e requestError
		if errors.As(checkChallenge(p), &e) {
			s.tokenError(w, r, c, oauthError{Code: e.code, Description: e.text})
			return
		}
	}
	dev := &device{client: c, scope: grantedScope(scope), challenge: p["code_challenge"]}
	code, err := s.devices.add(s.now(), dev)
	if err != nil {
		w.Header().Set("Retry-After", "60")
		writeJSON(w, http.StatusServiceUnavailable, oauthError{Code: "temporarily_unavailable", Description: err.Error()})
		return
	}
	verification := s.cfg.URL + "/device"
	writeJSON(w, http.StatusOK, struct {
		DeviceCode string `json:"device_code"`
		UserCode   string `json:"user_code"`
		URI        string `json:"verification_uri"`
		Complete   string `json:"verification_uri_complete"`
		ExpiresIn  int64  `json:"expires_in"`
		Interval   int64  `json:"interval"`
	}{code, showCode(dev.userCode), verification, verification + "?user_code=" + url.QueryEscape(showCode(dev.userCode)), int64(deviceLifetime / time.Second), int64(s.cfg.DeviceInterval / time.Second)})
}

// devicePage asks for the code. One that came with the link is filled in, never accepted: who sent the link is not known.
func (s *Issuer) devicePage(w http.ResponseWriter, r *http.Request) {
	p, err := parseParams(r.URL.RawQuery, maxQuery)
	if err != nil {
		s.fail(w, r, http.StatusBadRequest, "This request cannot be read", err.Error())
		return
	}
	code, ok := readCode(p["user_code"])
	if ok {
		code = showCode(code)
	} else {
		code = ""
	}
	s.showDevice(w, r, http.StatusOK, devicePage{Code: code})
}

// deviceCode takes the code and shows who asks.
func (s *Issuer) deviceCode(w http.ResponseWriter, r *http.Request) {
	p, err := form(r)
	if err == nil {
		err = s.origin.Check(r)
	}
	if err != nil {
		s.fail(w, r, http.StatusBadRequest, "This form cannot be read", err.Error())
		return
	}
	if !s.browsers.made(s.now(), s.browsers.id(r), "device", "", p["token"]) {
		s.showDevice(w, r, http.StatusForbidden, devicePage{Error: "This page was open for too long, or cookies are switched off. Please enter the code again."})
		return
	}
	if !s.allowGuess(w, r) || !s.allowCode(w) {
		s.showDevice(w, r, http.StatusTooManyRequests, devicePage{Error: "Too many attempts. Please wait a little and try again."})
		return
	}
	code, ok := readCode(p["user_code"])
	dev := s.devices.waiting(s.now(), code)
	if !ok || dev == nil {
		s.showDevice(w, r, http.StatusForbidden, devicePage{Error: "No device waits for this code. It may have expired or have been used."})
		return
	}
	s.showLogin(w, r, http.StatusOK, loginPage{to: destination{device: dev, userCode: code}})
}

// checkVerifier compares a verifier with the challenge that was sent before (RFC 7636 4.6). A verifier without a challenge
// is refused as well: somebody may have taken the challenge away (RFC 9700 4.8.2).
func checkVerifier(challenge, verifier string) error {
	switch {
	case challenge == "" && verifier == "":
		return nil
	case challenge == "":
		return oauthError{Code: "invalid_grant", Description: "there is a code_verifier, but there was no code_challenge"}
	case len(verifier) < 43 || len(verifier) > 128 || strings.Trim(verifier, unreserved) != "":
		return oauthError{Code: "invalid_grant", Description: "the code_verifier is missing or not of the form of RFC 7636 4.1"}
	}
	if subtle.ConstantTimeCompare([]byte(challengeOf(verifier)), []byte(challenge)) != 1 {
		return oauthError{Code: "invalid_grant", Description: "the code_verifier does not belong to the code_challenge"}
	}
	return nil
}
