package testenv

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// PushImage stores a small random image under "repository:tag" and returns its reference by digest. It is not counted.
func (r *Registry) PushImage(t testing.TB, ref string) string {
	t.Helper()
	repo, tag, _ := strings.Cut(ref, ":")
	layer := []byte(rand.Text())
	config := fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[%q]}}`, SHA256(layer))
	body := mustJSON(t, map[string]any{
		"schemaVersion": 2, "mediaType": mediaTypeManifest,
		"config": r.PushBlob(t, repo, "application/vnd.oci.image.config.v1+json", config),
		"layers": []any{r.PushBlob(t, repo, "application/vnd.oci.image.layer.v1.tar", layer)},
	})
	return r.PushManifest(t, repo, tag, mediaTypeManifest, body)
}

// PushIndex stores an index of n small random images, for linux/amd64, linux/arm64 and so on, under "repository:tag". It
// returns the references of the index and of its images by digest.
func (r *Registry) PushIndex(t testing.TB, ref string, n int) (index string, images []string) {
	t.Helper()
	repo, tag, _ := strings.Cut(ref, ":")
	platforms := []string{"amd64", "arm64", "s390x", "ppc64le", "riscv64"}
	var list []any
	for i := range n {
		name := r.PushImage(t, repo+":")
		images = append(images, name)
		_, digest, _ := strings.Cut(name, "@")
		list = append(list, map[string]any{
			"mediaType": mediaTypeManifest, "digest": digest,
			"size":     r.current("/v2/" + repo + "/manifests/" + digest).Body.Len(),
			"platform": map[string]string{"os": "linux", "architecture": platforms[i%len(platforms)]},
		})
	}
	body := mustJSON(t, map[string]any{"schemaVersion": 2, "mediaType": mediaTypeIndex, "manifests": list})
	return r.PushManifest(t, repo, tag, mediaTypeIndex, body), images
}

const (
	mediaTypeManifest = "application/vnd.oci.image.manifest.v1+json"
	mediaTypeIndex    = "application/vnd.oci.image.index.v1+json"
)

// PushManifest stores a manifest under a tag, or under its digest only when tag is empty, and returns its reference by
// digest. It is not counted, and no fault applies.
func (r *Registry) PushManifest(t testing.TB, repo, tag, mediaType string, body []byte) string {
	t.Helper()
	digest := SHA256(body)
	for _, reference := range []string{digest, tag} {
		if reference == "" {
			continue
		}
		req := httptest.NewRequest(http.MethodPut, "/v2/"+repo+"/manifests/"+reference, bytes.NewReader(body))
		req.Header.Set("Content-Type", mediaType)
		r.direct(t, req, http.StatusCreated)
	}
	return r.Host + "/" + repo + "@" + digest
}

// PushBlob stores a blob and returns its descriptor.
func (r *Registry) PushBlob(t testing.TB, repo, mediaType string, data []byte) map[string]any {
	t.Helper()
	digest := SHA256(data)
	r.direct(t, httptest.NewRequest(http.MethodPost, "/v2/"+repo+"/blobs/uploads/?digest="+digest, bytes.NewReader(data)), http.StatusCreated)
	return map[string]any{"mediaType": mediaType, "digest": digest, "size": len(data)}
}

// ReadManifest returns what a tag or digest holds, nil when there is nothing.
func (r *Registry) ReadManifest(repo, reference string) []byte {
	w := r.current("/v2/" + repo + "/manifests/" + reference)
	if w.Code != http.StatusOK {
		return nil
	}
	return w.Body.Bytes()
}

// ReadBlob returns the content of a blob, nil when there is none.
func (r *Registry) ReadBlob(repo, digest string) []byte {
	w := r.current("/v2/" + repo + "/blobs/" + digest)
	if w.Code != http.StatusOK {
		return nil
	}
	return w.Body.Bytes()
}

// DeleteManifest removes a tag or a digest.
func (r *Registry) DeleteManifest(t testing.TB, repo, reference string) {
	t.Helper()
	r.direct(t, httptest.NewRequest(http.MethodDelete, "/v2/"+repo+"/manifests/"+reference, nil), http.StatusAccepted)
}

// SHA256 returns the digest of data as registries write it.
func SHA256(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (r *Registry) direct(t testing.TB, req *http.Request, want int) {
	t.Helper()
	w := httptest.NewRecorder()
	r.inner.ServeHTTP(w, req)
	if w.Code != want {
		t.Fatalf("%s %s: status %d: %s", req.Method, req.URL, w.Code, w.Body)
	}
}

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
