package issuer

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"time"
)

// formLifetime is how long a page's form can be sent. Clients wait for two minutes for somebody to sign in.
const formLifetime = 15 * time.Minute

// browsers tells browsers apart by a cookie, and proves that a form was made for the browser that sends it: the form
// carries an HMAC over the cookie and everything in the form that is not typed in.
type browsers struct {
	secret []byte
	path   string // of the cookie, where it may be chosen
	secure bool
}

// cookie is the cookie without its value. With TLS its name keeps other hosts of the same domain from setting it (RFC 6265bis
// 4.1.3.2), which demands the path to be the host's root.
func (b *browsers) cookie() http.Cookie {
	c := http.Cookie{Name: "bulla-oidc", Path: b.path, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if b.secure {
		c.Name, c.Path, c.Secure = "__Host-bulla-oidc", "/", true
	}
	return c
}

// id is the browser's ID, "" for one that has none yet.
func (b *browsers) id(r *http.Request) string {
	c, err := r.Cookie(b.cookie().Name)
	if err != nil {
		return ""
	}
	if raw, err := base64.RawURLEncoding.Strict().DecodeString(c.Value); err != nil || len(raw) != 32 {
		return ""
	}
	return c.Value
}

// greet returns the browser's ID and gives it one if it has none. The cookie is sent along when an upstream provider
// sends the browser back (SameSite=Lax), and with no form of another site.
func (b *browsers) greet(w http.ResponseWriter, r *http.Request) string {
	id := b.id(r)
	if id == "" {
		id = randomString()
		c := b.cookie()
		c.Value = id
		http.SetCookie(w, &c)
	}
	return id
}

// seal makes the proof for a form of the given purpose with the given content.
func (b *browsers) seal(now time.Time, browser, purpose, content string) string {
	out := binary.BigEndian.AppendUint64(nil, uint64(now.Add(formLifetime).Unix()))
	return base64.RawURLEncoding.EncodeToString(append(out, b.mac(out, browser, purpose, content)...))
}

// made says whether the proof was made for this browser, purpose and content, not too long ago.
func (b *browsers) made(now time.Time, browser, purpose, content, proof string) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(proof)
	if err != nil || len(raw) != 8+sha256.Size || browser == "" {
		return false
	}
	right := hmac.Equal(raw[8:], b.mac(raw[:8], browser, purpose, content))
	return right && now.Before(time.Unix(int64(binary.BigEndian.Uint64(raw)), 0))
}

func (b *browsers) mac(expiry []byte, browser, purpose, content string) []byte {
	h := hmac.New(sha256.New, b.secret)
	h.Write(expiry)
	for _, part := range []string{browser, purpose, content} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write([]byte(part))
	}
	return h.Sum(nil)
}
