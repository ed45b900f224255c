package bundle

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
)

// TestHostileSizes feeds documents of many megabytes. Each must be refused
// without memory beyond a small multiple of the input, in little time; the
// bounds are generous, since a list that is kept costs far more.
func TestHostileSizes(t *testing.T) {
	testenv.Unwatched(t)
	const million = 1_000_000
	wrap := func(material, content string) string {
		return `{"mediaType":"` + MediaType + `","verificationMaterial":{` + material + `},` + content + `}`
	}
	many := func(prefix, element, suffix string) string {
		return prefix + strings.Repeat(element+",", million-1) + element + suffix
	}
	key := `"publicKey":{"hint":"h"}`
	big := strings.Repeat("A", 20<<20)
	for name, tc := range map[string]struct {
		in, want string
		parse    func([]byte) error
	}{
		"entries":          {in: wrap(many(key+`,"tlogEntries":[`, `{}`, `]`), minimalMessage), want: "more than 32"},
		"certificates":     {in: wrap(many(`"x509CertificateChain":{"certificates":[`, `{}`, `]}`), minimalMessage), want: "more than 10"},
		"timestamps":       {in: wrap(many(key+`,"timestampVerificationData":{"rfc3161Timestamps":[`, `{}`, `]}`), minimalMessage), want: "more than 32"},
		"signatures":       {in: wrap(key, many(`"dsseEnvelope":{"signatures":[`, `{}`, `]}`)), want: "more than 32"},
		"hashes":           {in: wrap(many(key+`,"tlogEntries":[{"inclusionProof":{"hashes":[`, `""`, `]}}]`), minimalMessage), want: "more than 63"},
		"unknown fields":   {in: wrap(many(key+`,`, `"a":1`, ``), minimalMessage), want: "unknown field"},
		"same field":       {in: wrap(many(key+`,`, `"tlogEntries":null`, ``), minimalMessage), want: "given twice"},
		"huge certificate": {in: wrap(`"certificate":{"rawBytes":"`+big+`"}`, minimalMessage), want: "longer than 65536"},
		"huge number":      {in: wrap(key+`,"tlogEntries":[{"logIndex":`+strings.Repeat("1", 20<<20)+`}]`, minimalMessage), want: "want a signed integer"},
		"huge name":        {in: wrap(`"`+big+`":1`, minimalMessage), want: "unknown field"},
		"deep":             {in: wrap(key+`,"tlogEntries":`+strings.Repeat("[", million), minimalMessage), want: "is a list"},
		"deep objects":     {in: strings.Repeat(`{"verificationMaterial":`, million), want: "unknown field"},
		"not JSON":         {in: "{" + strings.Repeat(" ", 20<<20), want: "ends too early"},
		"not a bundle":     {in: many(`{"mediaType":"x","a":[`, `1`, `]}`), want: "not the media type"},
		"whole":            {in: wrap(key, `"dsseEnvelope":{"payload":"`+strings.Repeat("A", MaxBytes)+`"}`), want: "more than the limit"},
		"subjects":         {in: many(`{"subject":[`, `{}`, `]}`), want: "more than 1024", parse: parseStatement},
		"deep predicate":   {in: `{"predicate":` + strings.Repeat("[", million), want: "not valid JSON", parse: parseStatement},
		"nested predicate": {in: `{"predicate":` + strings.Repeat(`{"a":`, 9000) + "1" + strings.Repeat("}", 9000) + `}`, want: "nested deeper", parse: parseStatement},
		"distinct fields":  {in: `{` + distinct(million) + `}`, want: "not a sigstore bundle"},
		"distinct members": {in: `{` + distinct(million) + `}`, want: "more than 1000 unknown", parse: parseStatement},
		"names":            {in: `{"predicate":{` + distinct(2*million) + `}}`, want: "more than 1048576 members", parse: parseStatement},
		"annotations":      {in: `{"optional":{` + distinct(20_000) + `}}`, want: "more than 1024 members", parse: parseSimple},
	} {
		parse := tc.parse
		if parse == nil {
			parse = func(data []byte) error { _, err := Decode(data); return err }
		}
		data := []byte(tc.in)
		used, took, err := measure(func() error { return parse(data) })
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %.200v, want %q", name, err, tc.want)
		}
		if err != nil && len(err.Error()) > 500 {
			t.Errorf("%s: an error text of %d bytes", name, len(err.Error()))
		}
		if limit := uint64(4*len(data) + 1<<20); used > limit {
			t.Errorf("%s: %d bytes allocated for %d of input", name, used, len(data))
		}
		if took > 30*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
	}
}

func parseStatement(data []byte) error { _, err := ParseStatement(data); return err }
func parseSimple(data []byte) error    { _, err := ParseSimpleSigning(data); return err }

func distinct(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"%d":"v",`, i)
	}
	return strings.TrimSuffix(b.String(), ",")
}

// measure returns the bytes that f allocates in total, and its time.
func measure(f func() error) (uint64, time.Duration, error) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := time.Now()
	err := f()
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc, took, err
}

// TestDecodeAllocations keeps decoding within its share of the budget for a
// whole verification (1000 allocations).
func TestDecodeAllocations(t *testing.T) {
	data := []byte(withEntries(minimalEntry))
	n := testing.AllocsPerRun(100, func() {
		b, err := Decode(data)
		if err == nil {
			err = b.Validate(ValidateOptions{})
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	if n > 100 {
		t.Errorf("%v allocations, want at most 100", n)
	}
}
