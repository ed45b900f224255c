package keyring

import (
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/bulla-sign/bulla/internal/durable"
	"github.com/bulla-sign/bulla/keys"
)

// Keyring opens keys by reference and makes new ones. Its methods may be called at once.
type Keyring struct {
	dir string // of key files whose reference is a relative path
	env keys.Environment

	mu       sync.Mutex
	inMemory bool
	opened   map[string]crypto.Signer
	password *keys.Password // nil until it has been asked for
}

const (
	keyMode = 0o600
	dirMode = 0o700
	// maxKeyFile bounds a key file: an encrypted RSA key of 4096 bits is about 5 KB.
	maxKeyFile = 64 << 10
)

// New returns the keyring of the state directory dir. env says where the password and plug-ins come from.
func New(dir string, env keys.Environment) *Keyring {
	return &Keyring{dir: dir, env: env, opened: make(map[string]crypto.Signer)}
}

// Memory returns a keyring that keeps its keys in memory and never writes them.
func Memory() *Keyring {
	return &Keyring{inMemory: true, opened: make(map[string]crypto.Signer)}
}

// Make makes a private key for an algorithm (see [keys.Generate]) and stores it under a name; the reference that it
// returns opens it again. The key is on the disk when Make returns. A key of that name that is there already is used if
// it opens: whoever died between making a key and noting it comes by again.
func (k *Keyring) Make(ctx context.Context, name, alg string) (ref string, key crypto.Signer, err error) {
	ref = "keys/" + name + ".key"
	if k.inMemory {
		key, err = keys.Generate(rand.Reader, alg)
		if err == nil {
			k.put(ref, key)
		}
		return ref, key, err
	}
	if _, err := os.Lstat(k.path(ref)); err == nil {
		key, err := k.Open(ctx, ref)
		return ref, key, err
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", nil, err
	}
	if key, err = keys.Generate(rand.Reader, alg); err != nil {
		return "", nil, err
	}
	password, err := k.readPassword(ctx, true)
	if err != nil {
		return "", nil, err
	}
	data, err := password.Encrypt(rand.Reader, key)
	debug.FreeOSMemory() // as in open
	if err != nil {
		return "", nil, err
	}
	if err := os.MkdirAll(filepath.Dir(k.path(ref)), dirMode); err != nil {
		return "", nil, err
	}
	if err := durable.CreateFile(k.path(ref), data, keyMode); err != nil {
		return "", nil, err
	}
	k.put(ref, key)
	return ref, key, nil
}

// Open returns the private key that ref names. A path is relative to the state directory. Opened keys stay open: making
// the key of an encrypted file's password takes a tenth of a second and 64 MiB, on purpose.
func (k *Keyring) Open(ctx context.Context, ref string) (crypto.Signer, error) {
	k.mu.Lock()
	key, ok := k.opened[ref]
	k.mu.Unlock()
	if ok {
		return key, nil
	}
	if k.inMemory {
		return nil, fmt.Errorf("key %s is not in memory", ref)
	}
	key, err := k.open(ctx, ref)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", ref, err)
	}
	k.put(ref, key)
	return key, nil
}

func (k *Keyring) put(ref string, key crypto.Signer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.opened[ref] = key
}

func (k *Keyring) open(ctx context.Context, ref string) (crypto.Signer, error) {
	parsed, err := keys.ParseReference(ref)
	if err != nil {
		return nil, err
	}
	if parsed.Kind != keys.File {
		signer, err := keys.Open(ctx, ref, k.environment())
		if err != nil {
			return nil, err
		}
		return fromKeys(signer), nil
	}
	data, err := readFile(k.path(ref))
	if err != nil {
		return nil, err
	}
	password, err := k.readPassword(ctx, false)
	if err != nil {
		return nil, err
	}
	// The 64 MiB that the password's key is derived in are given back before a key with another salt needs as many.
	defer debug.FreeOSMemory()
	return password.Decrypt(data)
}

// Exists reports whether the key may be there: false means that ref is a path without a file, as when the key was taken
// away to be kept offline. Of keys that are kept elsewhere it does not know, and says true.
func (k *Keyring) Exists(ref string) bool {
	parsed, err := keys.ParseReference(ref)
	if err != nil {
		return false
	}
	if k.inMemory || parsed.Kind != keys.File {
		return true
	}
	_, err = os.Stat(k.path(ref))
	return err == nil
}

func (k *Keyring) path(ref string) string {
	if filepath.IsAbs(ref) {
		return ref
	}
	return filepath.Join(k.dir, filepath.FromSlash(ref))
}

// environment is env with a password that is asked for at most once.
func (k *Keyring) environment() keys.Environment {
	env := k.env
	env.Password = func(ctx context.Context, confirm bool) ([]byte, error) {
		password, err := k.readPassword(ctx, confirm)
		if err != nil {
			return nil, err
		}
		return password.Bytes(), nil
	}
	return env
}

func (k *Keyring) readPassword(ctx context.Context, confirm bool) (*keys.Password, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.password != nil {
		return k.password, nil
	}
	password, err := k.env.ReadPassword(ctx, confirm)
	if err != nil {
		return nil, err
	}
	k.password = keys.NewPassword(password)
	return k.password, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // read only
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err == nil && len(data) > maxKeyFile {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxKeyFile)
	}
	return data, err
}

// PasswordFile returns a function that reads a password from a file, for [keys.Environment], as [ReadSecret] does.
func PasswordFile(path string) func(context.Context, bool) ([]byte, error) {
	return func(context.Context, bool) ([]byte, error) {
		password, err := ReadSecret(path)
		if err != nil {
			return nil, fmt.Errorf("password file: %w", err)
		}
		return password, nil
	}
}

// ReadSecret reads a secret from a file: its contents without the newline at the end. A file that others may read is
// refused.
func ReadSecret(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%s may be read by others (mode %o): make it 600", path, mode)
	}
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return []byte(strings.TrimRight(string(data), "\r\n")), nil
}

// passwordBytes is the length of a generated password before it is written in base 32: as strong as any key.
const passwordBytes = 32

// NewPasswordFile writes a random password to a new file that only its owner may read.
func NewPasswordFile(path string) error {
	return durable.CreateFile(path, []byte(randomText(passwordBytes)+"\n"), keyMode)
}
