package main_test

import (
	"net/http"
	"os"
	"strings"
	"testing"
)

// With a provider of somebody else's in its place the issuer does not run, is not rotated, and cannot be switched on beside it.
func TestOtherProvider(t *testing.T) {
	t.Parallel()
	o := &operator{t, t.TempDir()}
	base := []string{"init", "--dir", "d", "--generate-password"}
	for flags, want := range map[string]string{
		"--oidc-issuer=http://provider.test/":                      "plain HTTP",
		"--oidc-issuer=provider.test":                              "is not https://HOST",
		"--oidc-issuer=https://u@provider.test":                    "is not https://HOST",
		"--oidc-issuer=https://provider.test?x=1":                  "is not https://HOST",
		"--oidc-issuer=https://provider.test --development-login":  "in the place of the issuer",
		"--oidc-issuer=https://provider.test --services=ca,issuer": "in the place of the issuer",
	} {
		if code, _, errs := o.run(append(base, strings.Fields(flags)...)...); code != 21 || !strings.Contains(errs, want) {
			t.Errorf("%s: exit status %d, %s", flags, code, errs)
		}
	}
	const provider = "https://provider.test/realms/example/"
	address := o.initialise("d", "--oidc-issuer", provider)
	server := o.serve("d", address)
	text, err := os.ReadFile(o.path("d/public/signing_config.json"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), `"url": "`+provider+`"`) && !strings.Contains(string(text), `"url":"`+provider+`"`) {
		t.Errorf("the signing config does not send clients to %s: %s", provider, text)
	}
	if resp, err := http.Get(address + "/oidc/keys"); err != nil || resp.StatusCode != http.StatusNotFound {
		t.Errorf("our issuer answers: %v, %v", resp, err)
	}
	if code, _, errs := o.run("rotate", "--config=d/bulla-server.yaml", "--now", "issuer"); code == 0 || !strings.Contains(errs, "its keys are rotated there") {
		t.Errorf("rotate issuer: exit status %d, %s", code, errs)
	}
	server.stop(t)
	o.must("fsck", "--config=d/bulla-server.yaml")
	config, err := os.ReadFile(o.path("d/bulla-server.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(config), "tuf, web", "tuf, issuer, web", 1)
	if changed == string(config) {
		t.Fatalf("the services are not where they were: %s", config)
	}
	if err := os.WriteFile(o.path("d/bulla-server.yaml"), []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := o.run("serve", "--config=d/bulla-server.yaml"); code == 0 || !strings.Contains(errs, "take issuer out of services") {
		t.Errorf("serve with an issuer beside it: exit status %d, %s", code, errs)
	}
}
