package trust_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/trust"
)

func TestSigningConfigFields(t *testing.T) {
	c, err := trust.DecodeSigningConfig(testenv.ReadVector(t, "trust", "public-good", "signing_config_rekor_v2.v0.2.json"))
	if err != nil {
		t.Fatal(err)
	}
	want := trust.Service{
		URL: "https://log2025-1.rekor.sigstore.dev", MajorAPIVersion: 2, Operator: "sigstore.dev",
		Window: trust.Window{Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)},
	}
	if len(c.Logs) != 2 || c.Logs[0] != want || c.LogConfig.Selector != trust.SelectAny || len(c.CAs) != 1 || len(c.OIDC) != 1 || len(c.TSAs) != 1 {
		t.Errorf("got %+v", c)
	}
	old, err := trust.DecodeSigningConfig(testenv.ReadVector(t, "trust", "public-good", "signing_config.json"))
	if err != nil {
		t.Fatal(err)
	}
	wantOld := &trust.SigningConfig{
		CAs:       []trust.Service{{URL: "https://fulcio.sigstore.dev", MajorAPIVersion: 1}},
		OIDC:      []trust.Service{{URL: "https://oauth2.sigstore.dev/auth", MajorAPIVersion: 1}},
		Logs:      []trust.Service{{URL: "https://rekor.sigstore.dev", MajorAPIVersion: 1}},
		LogConfig: trust.Selection{Selector: trust.SelectAny},
	}
	if !reflect.DeepEqual(old, wantOld) {
		t.Errorf("v0.1 = %+v, want %+v", old, wantOld)
	}
	v01 := `{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.1+json","caUrl":"","tsaUrls":["https://tsa.example"]}`
	if c, err = trust.DecodeSigningConfig([]byte(v01)); err != nil || len(c.CAs) != 0 || c.TSAConfig.Selector != trust.SelectAny {
		t.Errorf("v0.1 with an empty address: %+v, %v", c, err)
	}
}

func TestEncodeSigningConfig(t *testing.T) {
	empty, err := (&trust.SigningConfig{}).Encode()
	if want := `{"mediaType":"` + trust.SigningConfigMediaType + `","rekorTlogConfig":{},"tsaConfig":{}}`; err != nil || string(empty) != want {
		t.Errorf("empty config = %s, %v; want %s", empty, err, want)
	}
	c := trust.SigningConfig{
		CAs:       []trust.Service{{URL: "https://ca.example", MajorAPIVersion: 1, Operator: "o", Window: trust.Window{Start: epoch, End: epoch.Add(time.Hour)}}},
		TSAConfig: trust.Selection{Selector: trust.SelectExact, Count: 2},
	}
	data, err := c.Encode()
	want := `{"mediaType":"` + trust.SigningConfigMediaType + `","caUrls":[{"url":"https://ca.example","majorApiVersion":1,` +
		`"validFor":{"start":"2026-01-02T03:04:05Z","end":"2026-01-02T04:04:05Z"},"operator":"o"}],` +
		`"rekorTlogConfig":{},"tsaConfig":{"selector":"EXACT","count":2}}`
	if err != nil || string(data) != want {
		t.Errorf("%s, %v; want %s", data, err, want)
	}
}

func TestDecodeSigningConfigRefuses(t *testing.T) {
	v02 := func(rest string) string { return `{"mediaType":"` + trust.SigningConfigMediaType + `",` + rest + `}` }
	v01 := func(rest string) string {
		return `{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.1+json",` + rest + `}`
	}
	many := strings.Repeat(`{"url":"https://a.example"},`, 64) + `{"url":"https://a.example"}`
	tests := []struct{ name, doc, want string }{
		{"empty", ``, "signing config"},
		{"no media type", `{}`, "mediaType is missing"},
		{"other media type", `{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.3+json"}`, "v0.3"},
		{"media type twice", `{"mediaType":"a","media_type":"b"}`, "twice"},
		{"trailing data", v02(`"caUrls":[]`) + `x`, "signing config"},
		{"unknown field", v02(`"fulcio":1`), "fulcio"},
		{"v0.1 field in v0.2", v02(`"caUrl":"https://a.example"`), "caUrl"},
		{"v0.2 field in v0.1", v01(`"caUrls":[]`), "caUrls"},
		{"v0.2 list in v0.1", v01(`"tsaUrls":[{"url":"https://a.example"}]`), "tsaUrls[0]"},
		{"field twice", v02(`"caUrls":[],"ca_urls":[]`), "caUrls"},
		{"service without address", v02(`"caUrls":[{"majorApiVersion":1}]`), "caUrls[0]: url has 0 bytes"},
		{"long address", v02(`"caUrls":[{"url":"` + strings.Repeat("a", 5000) + `"}]`), "caUrls[0].url"},
		{"unknown field of a service", v02(`"oidcUrls":[{"uri":"x"}]`), "oidcUrls[0]"},
		{"negative version", v02(`"caUrls":[{"url":"x","majorApiVersion":-1}]`), "majorApiVersion"},
		{"window turned round", v02(`"tsaUrls":[{"url":"x","validFor":{"start":"2022-01-01T00:00:00Z","end":"2021-01-01T00:00:00Z"}}]`), "tsaUrls[0].validFor"},
		{"too many services", v02(`"rekorTlogUrls":[` + many + `]`), "rekorTlogUrls: more than 64"},
		{"unknown selector", v02(`"rekorTlogConfig":{"selector":"SOME"}`), "rekorTlogConfig.selector"},
		{"unknown selector number", v02(`"tsaConfig":{"selector":9}`), "tsaConfig: selector 9"},
		{"exact without count", v02(`"tsaConfig":{"selector":"EXACT"}`), "EXACT without a count"},
		{"too large", v02(`"caUrls":[]`) + strings.Repeat(" ", 1<<20), "signing config"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := trust.DecodeSigningConfig([]byte(test.doc))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%+v, %v; want an error with %q", c, err, test.want)
			}
		})
	}
}

func TestNewSigningConfig(t *testing.T) {
	at := func(url string, start time.Time) trust.Service {
		return trust.Service{URL: url, MajorAPIVersion: 1, Window: trust.Window{Start: start}, Operator: "o"}
	}
	parts := trust.SigningConfig{
		Logs:      []trust.Service{at("https://old.example", epoch), at("https://new.example", epoch.AddDate(1, 0, 0))},
		LogConfig: trust.Selection{Selector: trust.SelectAny},
	}
	c, err := trust.NewSigningConfig(parts)
	if err != nil || c.Logs[0].URL != "https://new.example" || parts.Logs[0].URL != "https://old.example" {
		t.Errorf("%+v, %v: newest first, argument untouched", c, err)
	}
	for _, url := range []string{"", "ca.example", "//ca.example", "ftp://ca.example", "https://", "https://u:p@ca.example", "https://ca.example/?q", "https://ca.example/#f", "https://%zz", "placeholder"} {
		if c, err := trust.NewSigningConfig(trust.SigningConfig{TSAs: []trust.Service{at(url, epoch)}}); err == nil {
			t.Errorf("address %q: %+v", url, c)
		} else if strings.Contains(err.Error(), "u:p@") {
			t.Errorf("the error repeats a password: %v", err)
		}
	}
	for name, bad := range map[string]trust.SigningConfig{
		"window":   {CAs: []trust.Service{{URL: "https://a.example", Window: trust.Window{Start: epoch, End: epoch.Add(-1)}}}},
		"count":    {LogConfig: trust.Selection{Selector: trust.SelectExact}},
		"selector": {TSAConfig: trust.Selection{Selector: -1}},
		"many":     {OIDC: make([]trust.Service, 65)},
	} {
		if _, err := trust.NewSigningConfig(bad); err == nil {
			t.Errorf("%s: made", name)
		}
		if _, err := bad.Encode(); err == nil {
			t.Errorf("%s: encoded", name)
		}
	}
}

func TestParseSelection(t *testing.T) {
	for s, want := range map[string]trust.Selection{
		"ANY": {Selector: trust.SelectAny}, "ALL": {Selector: trust.SelectAll}, "EXACT:3": {Selector: trust.SelectExact, Count: 3},
	} {
		if got, err := trust.ParseSelection(s); err != nil || got != want {
			t.Errorf("%q = %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "any", "FOO", "EXACT", "EXACT:", "EXACT:0", "EXACT:-1", "EXACT:+1", "EXACT:4294967296", "ANY:1"} {
		if got, err := trust.ParseSelection(s); err == nil {
			t.Errorf("%q = %v", s, got)
		}
	}
	for s, want := range map[trust.Selector]string{trust.SelectUndefined: "SERVICE_SELECTOR_UNDEFINED", trust.SelectAll: "ALL", trust.SelectAny: "ANY", trust.SelectExact: "EXACT", 9: "9"} {
		if got := s.String(); got != want {
			t.Errorf("selector %d is %q, want %q", int32(s), got, want)
		}
	}
}

func TestDecodeClientConfigRefuses(t *testing.T) {
	root := `"trustedRoot":{"mediaType":"` + trust.RootMediaType + `"}`
	config := `"signingConfig":{"mediaType":"` + trust.SigningConfigMediaType + `"}`
	mediaType := `"mediaType":"application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"`
	if _, _, err := trust.DecodeClientConfig([]byte(`{` + mediaType + `,` + root + `,` + config + `}`)); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ doc, want string }{
		"no media type":         {`{` + root + `,` + config + `}`, "mediaType"},
		"no root":               {`{` + mediaType + `,` + config + `}`, "must both be given"},
		"no signing config":     {`{` + mediaType + `,` + root + `}`, "must both be given"},
		"null root":             {`{` + mediaType + `,"trustedRoot":null,` + config + `}`, "must both be given"},
		"bad root":              {`{` + mediaType + `,"trustedRoot":{},` + config + `}`, "trusted root: mediaType"},
		"bad signing config":    {`{` + mediaType + `,` + root + `,"signingConfig":{}}`, "signing config: mediaType"},
		"unknown field":         {`{` + mediaType + `,` + root + `,` + config + `,"x":1}`, "x"},
		"root given twice":      {`{` + mediaType + `,` + root + `,` + root + `,` + config + `}`, "trustedRoot"},
		"root in disguise":      {`{` + mediaType + `,"trustedRoot":[],` + config + `}`, "trusted root"},
		"nested too deep":       {`{` + mediaType + `,` + root + `,"signingConfig":` + strings.Repeat("[", 50) + strings.Repeat("]", 50) + `}`, "client trust config"},
		"not even an object":    {`[]`, "client trust config"},
		"truncated":             {`{` + mediaType, "client trust config"},
		"larger than the limit": {strings.Repeat(" ", 3<<20) + `{` + mediaType + `,` + root + `,` + config + `}`, "client trust config"},
	} {
		if _, _, err := trust.DecodeClientConfig([]byte(test.doc)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, test.want)
		}
	}
}
