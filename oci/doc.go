// Package oci resolves image references, finds the evidence attached to images in registries, and attaches more.
//
// It speaks the OCI distribution specification (v1.1) with its own manifest, blob and referrers calls, on top of
// go-containerregistry's names, credentials and token exchange. Evidence is looked for where signing tools have put it:
//
//   - manifests whose subject is the image, listed by the referrers API ("Listing Referrers"), each with one bundle;
//   - the same, listed by an index under the referrers tag (sha256-<hex>) where a registry lacks that API;
//   - cosign's older tags sha256-<hex>.sig and .att, whose layers each hold one signature or attestation;
//   - cosign's experimental signature artifacts, found among the referrers;
//   - further tags that continue one of these tags where a registry's tags are immutable: sha256-<hex>.1, sha256-<hex>.1.sig.
//
// Looking has three outcomes. Present: something was read and checked against its digest. Absent: the registry said so in
// a way the specification allows (a 404 with one of its error codes, or a well-formed empty index). Unknown: anything
// else, such as a throttled listing, an HTML page, or a redirect that ends in an error; it comes back as an [UnknownError]
// and is never taken for "not signed".
//
// An answer that pauses for a minute is given up, as unknown. How long everything may take together is for the caller's
// context to say: without a deadline, a registry that delivers slowly is waited for.
//
// Nothing that is read is believed for itself: sizes are bounded by [Limits], bytes are hashed and compared with the digest
// they were asked for, and a referrer whose own subject is another image is refused. What the evidence is worth is for
// package verify to say.
//
// Writing is finished only when what was written has been read back. Registries without the referrers API keep the list of
// referrers in one tag that every writer replaces as a whole; see [Client.AttachBundle] for how writers avoid undoing
// each other's work, and [Client.RepairReferrers] for lists that other programs have damaged.
package oci
