package oidc_test

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/oidc"
)

// A job elsewhere whose own token Google takes (workload identity federation) may impersonate an account, directly or by way of
// another one. What each address is shown is checked.
func TestGoogleFederation(t *testing.T) {
	raw := jwt(`{"iss":"https://accounts.google.com","sub":"1","email":"a@b","email_verified":true}`)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		bearer := r.Header.Get("Authorization")
		switch {
		case r.URL.Path == "/subject" && bearer == "bearer canary-job":
			_, _ = io.WriteString(w, `{"value":"canary-subject"}`)
		case r.URL.Path == "/sts" && bearer == "" && r.ParseForm() == nil && r.PostForm.Get("subject_token") == "canary-subject" && r.PostForm.Get("audience") == "//iam/pool" &&
			r.PostForm.Get("grant_type") == "urn:ietf:params:oauth:grant-type:token-exchange" && r.PostForm.Get("subject_token_type") == "urn:ietf:params:oauth:token-type:jwt":
			_, _ = io.WriteString(w, `{"access_token":"canary-first"}`)
		case r.URL.Path == "/between" && bearer == "Bearer canary-first":
			_, _ = io.WriteString(w, `{"accessToken":"canary-second"}`)
		case r.URL.Path == "/v1/projects/-/serviceAccounts/a@b:generateIdToken" && (bearer == "Bearer canary-first" || bearer == "Bearer canary-second"):
			_, _ = io.WriteString(w, `{"token":"`+raw+`"}`)
		case r.URL.Path == "/away":
			http.Redirect(w, r, "http://localhost:1/", http.StatusTemporaryRedirect)
		default:
			t.Errorf("asked %s %s %v %v", r.Method, r.URL, r.Header, r.PostForm)
		}
	}))
	defer web.Close()
	dir := t.TempDir()
	subject := filepath.Join(dir, "subject")
	if err := os.WriteFile(subject, []byte("canary-subject\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	type object = map[string]any
	base := object{
		"type": "external_account", "audience": "//iam/pool", "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": web.URL + "/sts",
		"credential_source": object{"file": subject},
	}
	fetched := func(address string, field string) object {
		return object{"url": address, "headers": object{"Authorization": "bearer canary-job"}, "format": object{"type": "json", "subject_token_field_name": field}}
	}
	for name, c := range map[string]struct {
		change object
		want   string // in the error; empty: none
	}{
		"from a file":           {nil, ""},
		"from an address":       {object{"credential_source": fetched(web.URL+"/subject", "value")}, ""},
		"by another account":    {object{"service_account_impersonation_url": web.URL + "/between"}, ""},
		"another's exchange":    {object{"token_url": "https://sts.evil.example/"}, "its token_url is https://sts.evil.example/, not an address of Google's"},
		"no exchange":           {object{"token_url": ""}, "its token_url"},
		"another's account":     {object{"service_account_impersonation_url": "https://evil.example/"}, "not an address of Google's"},
		"redirected":            {object{"service_account_impersonation_url": web.URL + "/away"}, "which is not followed"},
		"source redirected":     {object{"credential_source": fetched(web.URL+"/away", "value")}, "which is not followed"},
		"source in the clear":   {object{"credential_source": fetched("http://ci.example/", "value")}, "is not an https address"},
		"another field":         {object{"credential_source": fetched(web.URL+"/subject", "token")}, `holds no field "token"`},
		"of AWS":                {object{"credential_source": object{"environment_id": "aws1"}}, "names no file and no url"},
		"a file that is absent": {object{"credential_source": object{"file": subject + "x"}}, "subjectx"},
		"no audience":           {object{"audience": ""}, "lacks an audience"},
		"many headers":          {object{"credential_source": object{"url": web.URL, "headers": manyHeaders()}}, "more than 16 headers"},
	} {
		file := maps.Clone(base)
		maps.Copy(file, c.change)
		path := filepath.Join(dir, "credentials.json")
		if err := os.WriteFile(path, marshal(t, file), 0o600); err != nil {
			t.Fatal(err)
		}
		e := vars("GOOGLE_SERVICE_ACCOUNT_NAME", "a@b", "GOOGLE_APPLICATION_CREDENTIALS", path)
		e.GoogleIAM, e.Patience = web.URL, -1
		token, _, err := oidc.Ambient(t.Context(), e, "google-impersonate")
		switch {
		case c.want == "" && (err != nil || token.Email != "a@b"):
			t.Errorf("%s: %v, %v", name, token, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "canary")):
			t.Errorf("%s: %v", name, err)
		}
	}
}

func manyHeaders() map[string]string {
	out := map[string]string{}
	for i := range 17 {
		out["X-"+strings.Repeat("a", i+1)] = "x"
	}
	return out
}
