package issuer

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

const (
	maxPassword     = 1024      // bytes that are hashed
	maxBcrypt       = 72        // bytes that bcrypt looks at; longer ones would be cut in silence
	maxArgonMemory  = 256 << 10 // KiB: 256 MiB
	maxArgonTime    = 64
	maxArgonThreads = 64
	hashesAtOnce    = 2 // hashing is slow and takes memory on purpose; more at once would let strangers take all of it
)

// passwordHash checks a password.
type passwordHash interface {
	matches(password string) bool
}

// parseHash reads a hash in the form that bcrypt has, or in the PHC form of argon2id.
func parseHash(text string) (passwordHash, error) {
	if strings.HasPrefix(text, "$argon2id$") {
		return parseArgon(text)
	}
	if _, err := bcrypt.Cost([]byte(text)); err != nil {
		return nil, errors.New("the hash is neither bcrypt nor argon2id")
	}
	return bcryptHash(text), nil
}

type bcryptHash string

func (h bcryptHash) matches(password string) bool {
	return len(password) <= maxBcrypt && bcrypt.CompareHashAndPassword([]byte(h), []byte(password)) == nil
}

type argonHash struct {
	memory, time uint32
	threads      uint8
	salt, sum    []byte
}

func (h argonHash) matches(password string) bool {
	sum := argon2.IDKey([]byte(password), h.salt, h.time, h.memory, h.threads, uint32(len(h.sum)))
	return subtle.ConstantTimeCompare(sum, h.sum) == 1
}

func parseArgon(text string) (argonHash, error) {
	var h argonHash
	parts := strings.Split(text, "$") // "", argon2id, v=19, m=…,t=…,p=…, salt, sum
	if len(parts) != 6 || parts[2] != "v=19" {
		return h, errors.New("the argon2id hash is not of the form $argon2id$v=19$m=…,t=…,p=…$salt$hash")
	}
	costs := strings.Split(parts[3], ",")
	if len(costs) != 3 {
		return h, errors.New("the argon2id hash does not state m, t and p")
	}
	var numbers [3]uint64
	for i, c := range []struct {
		name string
		most uint64
	}{{"m=", maxArgonMemory}, {"t=", maxArgonTime}, {"p=", maxArgonThreads}} {
		digits, ok := strings.CutPrefix(costs[i], c.name)
		n, err := strconv.ParseUint(digits, 10, 32)
		if !ok || err != nil || n < 1 || n > c.most {
			return h, fmt.Errorf("the argon2id hash has %.20q where %s1 to %d is allowed", costs[i], c.name, c.most)
		}
		numbers[i] = n
	}
	h.memory, h.time, h.threads = uint32(numbers[0]), uint32(numbers[1]), uint8(numbers[2])
	var err error
	if h.salt, err = base64.RawStdEncoding.DecodeString(parts[4]); err != nil || len(h.salt) < 8 || len(h.salt) > 64 {
		return h, errors.New("the argon2id hash has a salt that is not 8 to 64 bytes in base64")
	}
	if h.sum, err = base64.RawStdEncoding.DecodeString(parts[5]); err != nil || len(h.sum) < 16 || len(h.sum) > 64 {
		return h, errors.New("the argon2id hash has a sum that is not 16 to 64 bytes in base64")
	}
	return h, nil
}

// hashing lets so many hash at once; the others wait as long as their request does.
type hashing chan struct{}

func (c hashing) matches(ctx context.Context, h passwordHash, password string) (bool, error) {
	if len(password) > maxPassword {
		return false, nil
	}
	select {
	case c <- struct{}{}:
		defer func() { <-c }()
		return h.matches(password), nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// people are the users of the configuration.
type people struct {
	byEmail map[string]knownUser // in lower case
	// nobody stands in for users who do not exist, so that they take as long.
	nobody passwordHash
	slots  hashing
}

type knownUser struct {
	User
	hash passwordHash
}

func newPeople(users []User) (*people, error) {
	p := &people{byEmail: make(map[string]knownUser), slots: make(hashing, hashesAtOnce)}
	ids := make(map[string]bool)
	for i, u := range users {
		if err := checkEmail(u.Email); err != nil {
			return nil, fmt.Errorf("issuer: user %d: %w", i, err)
		}
		hash, err := parseHash(u.PasswordHash)
		if err != nil {
			return nil, fmt.Errorf("issuer: user %s: %w", u.Email, err)
		}
		if u.ID == "" {
			u.ID = u.Email
		}
		key := strings.ToLower(u.Email)
		if _, twice := p.byEmail[key]; twice || ids[u.ID] {
			return nil, fmt.Errorf("issuer: user %s is there twice, or has the ID of another", u.Email)
		}
		p.byEmail[key], ids[u.ID] = knownUser{u, hash}, true
		if p.nobody == nil {
			p.nobody = hash
		}
	}
	return p, nil
}

// find returns the user whose address and password these are. A wrong password and an unknown address take equally long.
func (p *people) find(ctx context.Context, email, password string) (User, bool, error) {
	u, known := p.byEmail[strings.ToLower(email)]
	hash := u.hash
	if !known {
		hash = p.nobody
	}
	if hash == nil {
		return User{}, false, nil
	}
	right, err := p.slots.matches(ctx, hash, password)
	return u.User, right && known, err
}

// checkEmail accepts addresses that can stand in a certificate: an addr-spec of RFC 5321 4.1.2 in ASCII, without quoting
// and without address literals.
func checkEmail(address string) error {
	local, domain, ok := strings.Cut(address, "@")
	switch {
	case address == "":
		return errors.New("the e-mail address is empty")
	case len(address) > 254: // RFC 5321 4.5.3.1.3, without the angle brackets
		return errors.New("the e-mail address is longer than 254 bytes")
	case !ok || strings.Contains(domain, "@"):
		return errors.New("the e-mail address has not exactly one @")
	case local == "" || len(local) > 64 || strings.HasPrefix(local, ".") || strings.HasSuffix(local, ".") || strings.Contains(local, ".."):
		return errors.New("the e-mail address has no proper name before the @")
	case strings.Trim(local, atext) != "":
		return errors.New("the e-mail address has characters before the @ that it cannot have")
	}
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, labelText) != "" || label[0] == '-' || label[len(label)-1] == '-' {
			return errors.New("the e-mail address has no proper domain after the @")
		}
	}
	return nil
}

const (
	labelText = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-"
	atext     = labelText + ".!#$%&'*+/=?^_`{|}~"
)
