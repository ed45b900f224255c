package differential

import (
	"encoding/base64"
	"regexp"
)

// exception is a rule by which the two verifiers may differ. The tests fail on a difference that no rule covers, and
// the long run on a rule that nothing needs any more.
type exception struct {
	name string
	// looser: bulla accepts what sigstore-go refuses, in the words that oracle matches, and only of a bundle for which
	// when holds. Otherwise bulla refuses, with this code and a reason that bulla matches, what sigstore-go accepts.
	looser bool
	oracle *regexp.Regexp
	when   func(bundle any) bool
	code   string
	bulla  *regexp.Regexp
	// rule says why the difference is right, clause where that is written.
	rule, clause string
}

// difference is one finding.
type difference struct {
	vector string
	how    string // "" for the vector itself
	bulla  verdict
	oracle verdict
	data   []byte
}

func (x *exception) covers(d *difference) bool {
	if x.looser != d.bulla.accepted {
		return false
	}
	if !x.looser {
		return x.code == d.bulla.code && x.bulla.MatchString(d.bulla.why)
	}
	doc, err := parse(d.data)
	return err == nil && x.oracle.MatchString(d.oracle.why) && x.when(doc)
}

func exceptions() []exception { return append(looserRules(), stricterRules()...) }

// looserRules are the only ways in which bulla accepts what sigstore-go does not. Each is about something that no
// signature covers and that bulla draws no conclusion from.
func looserRules() []exception {
	re := regexp.MustCompile
	return []exception{
		{
			name: "DSSE key hint", looser: true,
			oracle: re(`could not verify envelope: accepted signatures do not match threshold`),
			when: func(b any) bool {
				id, ok := field(b, "dsseEnvelope", "signatures", 0, "keyid").(string)
				return ok && id != ""
			},
			rule:   "the keyid of an envelope is an unsigned hint; it decides nothing, so a wrong one refuses nothing",
			clause: "DSSE protocol 1.0, signatures.keyid: MUST NOT be used for security decisions",
		},
		{
			name: "message digest", looser: true,
			oracle: re(`failed to verify log inclusion|message is missing artifact digest`),
			when: func(b any) bool {
				digest, _ := field(b, "messageSignature", "messageDigest", "digest").(string)
				return digest == ""
			},
			rule:   "the entry is held against the digest of the artifact itself; the bundle's messageDigest may be absent",
			clause: "sigstore_common.proto, MessageSignature.message_digest: identifies the artifact, not used to verify",
		},
		{
			name: "message digest in another hash", looser: true,
			oracle: re(`hashedrekord entry digest algorithm mismatch`),
			when: func(b any) bool {
				digest, _ := field(b, "messageSignature", "messageDigest", "digest").(string)
				return digest != ""
			},
			rule:   "a messageDigest that is one of the artifact (bulla compares it) may be in another hash than the entry's",
			clause: "sigstore_common.proto, MessageSignature.message_digest: identifies the artifact, not used to verify",
		},
		{
			name: "message digest in another hash, v2", looser: true,
			oracle: re(`verifying log entry: verifying inclusion: calculated root`),
			when: func(b any) bool {
				stated, _ := field(b, "messageSignature", "messageDigest", "algorithm").(string)
				logged := loggedHash(b)
				return logged != "" && stated != logged
			},
			rule: "of a v2 entry sigstore-go rebuilds the leaf with the digest that the bundle states; bulla holds the entry " +
				"against the artifact, and the stated digest too",
			clause: "sigstore_common.proto, MessageSignature.message_digest: identifies the artifact, not used to verify",
		},
		{
			name: "certificates inside a timestamp", looser: true,
			oracle: re(`error parsing response into Timestamp: (.*point not on curve|x509: |asn1: |ber2der: |pkcs7: No certificate)|` +
				`certificate embedded in the TSR does not match`),
			when: func(b any) bool {
				return field(b, "verificationMaterial", "timestampVerificationData", "rfc3161Timestamps", 0) != nil
			},
			rule: "where the trusted root holds the authority's certificate, the certificates that a token carries are not " +
				"read: they are outside of what is signed",
			clause: "RFC 5652 5.1 and 5.4: certificates is not among the signed attributes; RFC 3161 2.4.2",
		},
	}
}

// stricterRules are the ways in which bulla refuses what sigstore-go accepts.
func stricterRules() []exception {
	re := regexp.MustCompile
	return []exception{
		{
			name: "entry kind", code: "malformed", bulla: re(`tlogEntries\[\d+\]\.kindVersion: missing`),
			rule:   "an entry without its kind and version",
			clause: "sigstore_rekor.proto, TransparencyLogEntry.kind_version: REQUIRED",
		},
		{
			name: "entry kind of the body", code: "log-entry-invalid", bulla: re(`: stated to be |unknown kind of log entry`),
			rule:   "the stated kind and version must be those of the entry's body, or the bundle says two things",
			clause: "sigstore_rekor.proto, KindVersion; client specification 4.4, parsing the canonicalized body",
		},
		{
			name: "proof against its own fields", code: "log-entry-invalid",
			bulla:  re(`inclusion proof: (has \d+ hashes|merkle proof does not match)|checkpoint is of another tree`),
			rule:   "the proof's index, size and root must lead to its checkpoint; sigstore-go takes some of them from elsewhere",
			clause: "RFC 9162 2.1.3.2; sigstore_rekor.proto, InclusionProof",
		},
		{
			name: "proof fields", code: "malformed",
			bulla:  re(`inclusionProof\.(rootHash|treeSize|logIndex|hashes\S*): |inclusionPromise\.signedEntryTimestamp: missing`),
			rule:   "the fields of a proof or promise that is there have the sizes and ranges the format gives them",
			clause: "sigstore_rekor.proto, InclusionProof and InclusionPromise: REQUIRED fields; RFC 9162 2.1.3",
		},
		{
			name: "one timestamp twice", code: "malformed", bulla: re(`rfc3161Timestamps\[\d+\]: the same as`),
			rule:   "one timestamp must not count for two",
			clause: "client specification 3.3, verified timestamps are counted by distinct authorities",
		},
		{
			name: "timestamp fields", code: "malformed", bulla: re(`signedTimestamp: missing or empty`),
			rule:   "a timestamp that is listed is there",
			clause: "sigstore_common.proto, RFC3161SignedTimestamp.signed_timestamp: DER-encoded response",
		},
		{
			name: "every timestamp", code: "timestamp-invalid", bulla: re(`^timestamp \d+: `),
			rule:   "every timestamp that a bundle carries must verify, not only enough of them",
			clause: "client specification 3.3: verification fails if any timestamp response does",
		},
		{
			name: "certificates of the chain", code: "malformed", bulla: re(`x509CertificateChain\.certificates\[\d+\]\.rawBytes: `),
			rule:   "every certificate of a chain is one, the unused too",
			clause: "sigstore_common.proto, X509Certificate.raw_bytes: DER-encoded certificate; sigstore_bundle.proto, chain order",
		},
		{
			name: "entry body", code: "log-entry-invalid", bulla: re(`log entry body: hashedrekord 0\.0\.2: `),
			rule:   "the body of an entry decodes by its schema, also where only other parts of it are used",
			clause: "hashedrekord 0.0.2 schema of the log; client specification 4.4",
		},
	}
}

// field follows steps down a parsed bundle, by either spelling of a name; nil where there is nothing.
func field(doc any, steps ...any) any {
	for _, step := range steps {
		name, ok := step.(string)
		if !ok {
			doc, _ = get(doc, path{step})
			continue
		}
		child, ok := get(doc, path{name})
		if !ok {
			child, _ = get(doc, path{snake(name)})
		}
		doc = child
	}
	return doc
}

// loggedHash returns the hash that the first entry, a hashedrekord of a v2 log, names; "" of anything else.
func loggedHash(b any) string {
	encoded, _ := field(b, "verificationMaterial", "tlogEntries", 0, "canonicalizedBody").(string)
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return ""
	}
	body, err := parse(raw)
	if err != nil {
		return ""
	}
	name, _ := field(body, "spec", "hashedRekordV002", "data", "algorithm").(string)
	return name
}
