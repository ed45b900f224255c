package main

import (
	"fmt"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// runSBOM puts layers under the older tag for SBOMs: sbom IMAGE TEXT...
func runSBOM(ts *testscript.TestScript, _ bool, args []string) {
	s := on(ts)
	repo, digest, _ := strings.Cut(strings.TrimPrefix(args[0], s.reg.Host+"/"), "@")
	var layers []string
	for _, text := range args[1:] {
		d := s.reg.PushBlob(s.t, repo, "text/spdx", []byte(text))
		layers = append(layers, fmt.Sprintf(`{"mediaType":"text/spdx","digest":%q,"size":%d}`, d["digest"], d["size"]))
	}
	const kind = "application/vnd.oci.image.manifest.v1+json"
	body := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s]}`, kind, layers[0], strings.Join(layers, ","))
	s.reg.PushManifest(s.t, repo, strings.Replace(digest, ":", "-", 1)+".sbom", kind, []byte(body))
}
