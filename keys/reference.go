package keys

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Kind says where a [Reference] points.
type Kind int

// The kinds of key reference.
const (
	File       Kind = iota // a path
	Variable               // env://NAME
	URL                    // http:// or https://
	PlugIn                 // NAME://…, held by the program sigstore-kms-NAME
	PKCS11                 // pkcs11:…, recognised but not opened here
	Kubernetes             // k8s://NAMESPACE/SECRET, recognised but not opened here
)

// maxReference bounds a key reference. The longest real ones (an Azure or GCP resource name) are some 300 characters.
const maxReference = 4 << 10

// Reference is a parsed key reference.
type Reference struct {
	Kind   Kind
	Scheme string // what stands before "://"; empty for a path
	Value  string // path, variable name, whole URL, or the plug-in's name for the key (without the scheme)
}

// ParseReference tells what kind of key reference ref is. It looks at the text only. Anything without "://" is a path,
// whatever the file is called.
func ParseReference(ref string) (Reference, error) {
	switch {
	case ref == "":
		return Reference{}, errors.New("the key reference is empty")
	case len(ref) > maxReference:
		return Reference{}, fmt.Errorf("the key reference is longer than %d bytes", maxReference)
	case strings.ContainsRune(ref, 0):
		return Reference{}, errors.New("the key reference contains a zero byte")
	case strings.HasPrefix(ref, "pkcs11:"):
		return Reference{Kind: PKCS11, Scheme: "pkcs11", Value: ref}, nil
	}
	scheme, rest, found := strings.Cut(ref, "://")
	if !found {
		return Reference{Kind: File, Value: ref}, nil
	}
	// The scheme becomes part of a program's name, so it must not be able to carry a path.
	if !validScheme(scheme) {
		return Reference{}, fmt.Errorf("key reference %q: %q is not a valid scheme (letters, digits, '-', '_' and '.')", ref, scheme)
	}
	if rest == "" {
		return Reference{}, fmt.Errorf("key reference %q names nothing after \"://\"", ref)
	}
	switch scheme {
	case "env":
		if strings.ContainsAny(rest, "= ") {
			return Reference{}, fmt.Errorf("key reference %q: %q is not the name of an environment variable", ref, rest)
		}
		return Reference{Kind: Variable, Scheme: scheme, Value: rest}, nil
	case "http", "https":
		return parseURL(scheme, ref)
	case "k8s":
		return Reference{Kind: Kubernetes, Scheme: scheme, Value: rest}, nil
	}
	return Reference{Kind: PlugIn, Scheme: scheme, Value: rest}, nil
}

func parseURL(scheme, ref string) (Reference, error) {
	u, err := url.Parse(ref)
	if err != nil || u.Host == "" {
		return Reference{}, fmt.Errorf("key reference %q is not a valid URL", shown(ref))
	}
	if u.User != nil {
		return Reference{}, fmt.Errorf("key reference %q carries a user name or password; keys are fetched without credentials", shown(ref))
	}
	return Reference{Kind: URL, Scheme: scheme, Value: ref}, nil
}

func validScheme(s string) bool {
	for i, c := range []byte(s) {
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && (i == 0 || !strings.ContainsRune("-_.", rune(c))) {
			return false
		}
	}
	return s != ""
}

// noPlugIn explains why a NAME:// reference cannot be opened when its program is missing. The stores that cosign has
// built in are named, because people arrive with such references.
func noPlugIn(scheme string) error {
	program := programPrefix + scheme
	what := map[string]string{
		"awskms": "AWS KMS", "gcpkms": "Google Cloud KMS", "azurekms": "Azure Key Vault",
		"hashivault": "HashiCorp Vault", "openbao": "OpenBao",
	}[scheme]
	switch {
	case what != "":
		return fmt.Errorf("keys in %s are reached through the program %s, which was not found; install it and put it on PATH", what, program)
	case scheme == "gitlab" || scheme == "github":
		return fmt.Errorf("keys kept in %s CI variables are not read (%s://); pass them to the job as a variable and use env://NAME", scheme, scheme)
	}
	return fmt.Errorf("no program %s was found on PATH for keys named %s://…", program, scheme)
}

func errPKCS11() error {
	return errors.New("pkcs11: keys are not built in; use a plug-in program, as in --key NAME://KEY with sigstore-kms-NAME on PATH")
}

func errKubernetes() error {
	return errors.New("k8s:// keys are not read; mount the secret into the job and use its path, or a variable and env://NAME")
}
