package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/oci"
	"github.com/bulla-sign/bulla/verify"
)

// A list of referrers that is longer than it is read makes no complete answer, though something was read of it.
func TestPartialListIsNotAnAnswer(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true})
	ref := reg.PushImage(t, "app:v1")
	const bundle, manifest, empty = "application/vnd.dev.sigstore.bundle.v0.3+json", "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.empty.v1+json"
	layer := reg.PushBlob(t, "app", bundle, bytes.TrimSpace(testenv.ReadVector(t, "sigstore-rs", "bundle_v03.json")))
	config := reg.PushBlob(t, "app", empty, []byte("{}"))
	_, digest, _ := strings.Cut(ref, "@")
	body := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":2},"layers":[{"mediaType":%q,"digest":%q,"size":%d}],"subject":{"mediaType":%q,"digest":%q,"size":1},"artifactType":%q}`,
		manifest, empty, config["digest"], bundle, layer["digest"], layer["size"], manifest, digest, bundle)
	_, listed, _ := strings.Cut(reg.PushManifest(t, "app", "", manifest, []byte(body)), "@")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Path, "/referrers/") {
			reg.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
		w.Header().Set("Link", `<?page=again>; rel="next"`)
		fmt.Fprintf(w, `{"schemaVersion":2,"manifests":[{"mediaType":%q,"size":%d,"digest":%q}]}`, manifest, len(body), listed)
	}))
	defer server.Close()
	ref = strings.Replace(ref, reg.Host, strings.TrimPrefix(server.URL, "http://"), 1)
	for _, args := range [][]string{{"tree", ref}, {"download", "attestation", ref}} {
		sys := cli.OS()
		var out, said bytes.Buffer
		sys.Out, sys.Err, sys.In, sys.Dial = &out, &said, strings.NewReader(""), withinThisMachine
		code := newApp(sys).Main(t.Context(), append([]string{"bulla"}, args...))
		if out := out.String() + said.String(); code != cli.ExitUnknown || !strings.Contains(out, "not complete") || !strings.Contains(out, "pages") {
			t.Errorf("%v: status %d\n%s", args, code, out)
		}
	}
}

// An image with more evidence than is looked at is not refused for what was not looked at.
func TestMoreEvidenceThanIsLookedAt(t *testing.T) {
	s := &search{}
	s.add(make([]oci.Item, verify.MaxCandidates))
	if err := s.unanswered(); err != nil || len(s.req.Candidates) != verify.MaxCandidates {
		t.Errorf("%d candidates, %v", len(s.req.Candidates), err)
	}
	s.add(make([]oci.Item, 2))
	var unknown *oci.UnknownError
	if err := s.unanswered(); !errors.As(err, &unknown) || len(s.items) != verify.MaxCandidates || len(s.req.Candidates) != verify.MaxCandidates {
		t.Errorf("%d candidates, %v", len(s.req.Candidates), err)
	}
}
