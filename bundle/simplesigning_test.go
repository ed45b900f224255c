package bundle

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

const simple1 = `{"critical":{"identity":{"docker-reference":"reg/repo"},"image":{"docker-manifest-digest":"sha256:` + hex256 +
	`"},"type":"cosign container image signature"},"optional":{"env":"prod"}}`

func TestSimpleSigning(t *testing.T) {
	s, err := ParseSimpleSigning([]byte(simple1))
	if err != nil {
		t.Fatal(err)
	}
	want := &SimpleSigning{"reg/repo", "sha256:" + hex256, SimpleSigningType, map[string][]byte{"env": []byte(`"prod"`)}}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("%+v", s)
	}
	if out, err := s.Encode(); err != nil || string(out) != simple1 {
		t.Errorf("%v\n got %s\nwant %s", err, out, simple1)
	}
	none := SimpleSigning{ManifestDigest: s.ManifestDigest}
	empty := `{"critical":{"identity":{"docker-reference":""},"image":{"docker-manifest-digest":"sha256:` + hex256 + `"},"type":"cosign container image signature"},"optional":null}`
	if out, err := none.Encode(); err != nil || string(out) != empty {
		t.Errorf("%v\n got %s\nwant %s", err, out, empty)
	}
}

// TestSimpleSigningFirstReleases reads the spelling of cosign before 0.5.
func TestSimpleSigningFirstReleases(t *testing.T) {
	in := `{"Critical":{"Identity":{"docker-reference":""},"Image":{"Docker-manifest-digest":"sha256:` + hex256 + `"},"Type":""},"Optional":null}`
	s, err := ParseSimpleSigning([]byte(in))
	if err != nil || s.ManifestDigest != "sha256:"+hex256 || s.Type != "" || s.Optional != nil {
		t.Errorf("%v %+v", err, s)
	}
}

func TestSimpleSigningRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ old, new, want string }{
		"empty":             {simple1, "", "empty"},
		"no critical":       {`"critical"`, `"optional2"`, `unknown field "optional2"`},
		"only optional":     {simple1, `{"optional":{}}`, "docker-manifest-digest: missing"},
		"unknown, critical": {`"image"`, `"extra":1,"image"`, `critical: unknown field "extra"`},
		"unknown, image":    {`"docker-manifest-digest"`, `"x":1,"docker-manifest-digest"`, `critical.image: unknown field "x"`},
		"digest twice":      {`{"docker-manifest-digest"`, `{"docker-manifest-digest":"sha256:00","docker-manifest-digest"`, "given twice"},
		"in two spellings":  {`"critical":`, `"Critical":{},"critical":`, "critical: given twice"},
		"other spelling":    {`"critical"`, `"CRITICAL"`, `unknown field "CRITICAL"`},
		"upper-case digest": {hex256, strings.ToUpper(hex256), "want sha256:"},
		"short digest":      {hex256, hex256[2:], "want sha256:"},
		"long digest":       {hex256, hex256 + "00", "want sha256:"},
		"other algorithm":   {"sha256:", "sha512:", "want sha256:"},
		"no algorithm":      {"sha256:", "", "want sha256:"},
		"md5":               {"sha256:" + hex256, "md5:00", "want sha256:"},
		"annotation twice":  {`{"env"`, `{"env":"dev","env"`, "optional.env: given twice"},
		"optional a list":   {`{"env":"prod"}`, `[]`, "optional: is a list"},
		"trailing":          {simple1, simple1 + "{}", "more JSON"},
		"large":             {`"prod"`, `"` + strings.Repeat("a", 1<<20) + `"`, "more than the limit"},
	} {
		in := strings.Replace(simple1, tc.old, tc.new, 1)
		if in == simple1 {
			t.Fatalf("%s: nothing replaced", name)
		}
		_, err := ParseSimpleSigning([]byte(in))
		if e := (*FormatError)(nil); !errors.As(err, &e) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
	for want, s := range map[string]SimpleSigning{
		"docker-manifest-digest: missing": {},
		"optional.a: not valid JSON":      {ManifestDigest: "sha256:" + hex256, Optional: map[string][]byte{"a": []byte("x")}},
		"not valid UTF-8":                 {ManifestDigest: "sha256:" + hex256, DockerReference: "\xff"},
	} {
		if _, err := s.Encode(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func FuzzSimpleSigning(f *testing.F) {
	f.Add([]byte(simple1))
	f.Add([]byte(`{"Critical":{"Identity":{"docker-reference":""},"Image":{"Docker-manifest-digest":"sha256:` + hex256 + `"},"Type":""},"Optional":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ParseSimpleSigning(data)
		if err != nil {
			if e := (*FormatError)(nil); !errors.As(err, &e) || e.Reason == "" {
				t.Fatalf("not a *FormatError with a reason: %v", err)
			}
			return
		}
		out, err := s.Encode()
		if err != nil {
			t.Fatalf("parsed but not encoded: %v", err)
		}
		again, err := ParseSimpleSigning(out)
		if s.Type == "" {
			s.Type = SimpleSigningType
		}
		if len(s.Optional) == 0 {
			s.Optional = nil
		}
		if err != nil || !reflect.DeepEqual(s, again) {
			t.Fatalf("changed: %v\n%+v\n%+v", err, s, again)
		}
	})
}
