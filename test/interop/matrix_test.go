package interop

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// deed is something that is signed: the commands of both programs, and the flags that are the deed's own.
type deed struct {
	name         string
	sign, verify []string
	image        bool
	older        bool // in cosign's formats from before bundles
}

func deeds() []deed {
	attesting, typed := []string{"--predicate", "predicate.json", "--type", predicateType}, []string{"--type", predicateType}
	return []deed{
		{name: "blob", sign: []string{"sign-blob"}, verify: []string{"verify-blob"}},
		{name: "blob attestation", sign: join([]string{"attest-blob"}, attesting), verify: join([]string{"verify-blob-attestation"}, typed)},
		{name: "image", sign: []string{"sign"}, verify: []string{"verify"}, image: true},
		{name: "image attestation", sign: join([]string{"attest"}, attesting), verify: join([]string{"verify-attestation"}, typed), image: true},
	}
}

// olderDeeds are those whose result says where it was logged; a log of version 2 has no place in the older formats.
func olderDeeds() []deed {
	var older []deed
	for _, d := range deeds() {
		d.older, d.name = true, "older "+d.name
		older = append(older, d)
	}
	return older
}

// in returns the deed with the files that its flags name in a folder.
func (d deed) in(t *testing.T, dir string) deed {
	t.Helper()
	predicate := filepath.Join(dir, "predicate.json")
	if err := os.WriteFile(predicate, []byte(`{"built":true}`), 0o600); err != nil {
		t.Fatal(err)
	}
	d.sign = slices.Clone(d.sign)
	if i := slices.Index(d.sign, "predicate.json"); i >= 0 {
		d.sign[i] = predicate
	}
	return d
}

// subjects returns the arguments that name something to sign, and something else that has no signature; of files both have
// the same bundle.
func (d deed) subjects(t *testing.T, dir string) (subject, other []string) {
	t.Helper()
	if d.image {
		repository := fmt.Sprintf("%s/real-%08x/app", theWorld.fallback, random32(t))
		return []string{push(t, repository+":v1")}, []string{push(t, repository+":v2")}
	}
	paths := []string{filepath.Join(dir, "shipped.txt"), filepath.Join(dir, "slipped-in.txt")}
	for _, path := range paths {
		if err := os.WriteFile(path, fmt.Appendf(nil, "%s %08x\n", path, random32(t)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bundle := []string{"--bundle", filepath.Join(dir, "bundle.json")}
	return append(slices.Clone(bundle), paths[0]), append(bundle, paths[1])
}

// signer is who signs: with an identity, or with a key.
type signer struct {
	name                 string
	signs, verifies, not []string // flags; not are those of somebody else
}

func (s *stack) signers(t *testing.T, p *program) []signer {
	t.Helper()
	key, other := theWorld.key(t, p, algorithms()[0], "real"), theWorld.key(t, p, algorithms()[0], "another")
	return []signer{
		{"identity", []string{"--identity-token", s.token(t, identity)}, s.by(identity), s.by("mallory@example.com")},
		{"key", []string{"--key", key.private}, []string{"--key", key.public, "--trusted-root", s.root}, []string{"--key", other.public, "--trusted-root", s.root}},
	}
}

// everybody has a program do a deed, with an identity and with a key, and everybody verify what came of it, as the signer and
// as somebody else; bulla also of something else, and trusting nobody.
func (s *stack) everybody(t *testing.T, p *program, d deed) {
	for _, who := range s.signers(t, p) {
		dir := t.TempDir()
		d := d.in(t, dir)
		subject, other := d.subjects(t, dir)
		services := s.with()
		if d.older { // they are signed without a signing config
			services = []string{"--yes", "--trusted-root", s.root, "--new-bundle-format=false", "--use-signing-config=false", "--rekor-url", s.logAt}
			if who.name == "identity" {
				services = append(services, "--fulcio-url", s.fulcio.URL)
			}
		}
		p.run(join(d.sign, services, who.signs, subject)...).wantOK(t)
		if !d.image {
			s.logged(t, subject[1])
		}
		for _, v := range []*program{theWorld.bulla, theWorld.cosign} {
			v, yes, no := v, who.verifies, who.not
			if v == theWorld.cosign && d.older && !d.image {
				v, yes, no = s.piecewise(yes, no)
			}
			v.run(join(d.verify, yes, subject)...).wantOK(t)
			v.run(join(d.verify, no, subject)...).wantRefused(t)
		}
		theWorld.bulla.run(join(d.verify, who.verifies, other)...).wantRefused(t)
		// Who trusts nobody's log does not take it, also from a signer whom he knows.
		nobody := slices.Clone(who.verifies)
		nobody[slices.Index(nobody, s.root)] = theWorld.trustedRoot()
		theWorld.bulla.run(join(d.verify, nobody, subject)...).wantRefused(t)
	}
}

// piecewise is cosign with what it trusts in variables: for older bundles of files it takes no trusted root.
func (s *stack) piecewise(yes, no []string) (cosign *program, yesWithout, noWithout []string) {
	in := func(name string) string { return filepath.Join(s.dir, name) }
	without := func(flags []string) []string {
		i := slices.Index(flags, "--trusted-root")
		return slices.Delete(slices.Clone(flags), i, i+2)
	}
	return theWorld.cosign.with("SIGSTORE_ROOT_FILE="+in("fulcio.pem"), "SIGSTORE_REKOR_PUBLIC_KEY="+in("log.pub"), "SIGSTORE_CT_LOG_PUBLIC_KEY_FILE="+s.ctKey), without(yes), without(no)
}

// logged sees that a bundle, of whichever format, has the log's word and, where there is an authority, the time's.
func (s *stack) logged(t *testing.T, bundle string) {
	t.Helper()
	var made struct {
		VerificationMaterial struct {
			TlogEntries               []struct{ InclusionProof json.RawMessage }
			TimestampVerificationData struct{ RFC3161Timestamps []json.RawMessage }
		}
		RekorBundle struct{ SignedEntryTimestamp string }
	}
	if err := json.Unmarshal([]byte(readFile(t, bundle)), &made); err != nil {
		t.Fatal(err)
	}
	m, stamps := made.VerificationMaterial, 0
	if s.stamped {
		stamps = 1
	}
	if older := made.RekorBundle.SignedEntryTimestamp != ""; !older && (len(m.TlogEntries) != 1 || len(m.TimestampVerificationData.RFC3161Timestamps) != stamps) {
		t.Errorf("the bundle has %d log entries and %d timestamps", len(m.TlogEntries), len(m.TimestampVerificationData.RFC3161Timestamps))
	}
}
