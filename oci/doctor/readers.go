package doctor

// Reader is a program that looks for evidence, and what it sees of each form that is written here.
type Reader struct {
	Name      string `json:"name"`
	Bundles   string `json:"bundles"`   // Sigstore bundles, attached as referrers: what is written without more flags
	OlderTags string `json:"olderTags"` // the tags .sig and .att
	Note      string `json:"note,omitempty"`
}

// ReadersOf says who will see what is written to a registry with these abilities. What programs look for is theirs to change;
// this is what their documentation said at the end of 2026.
func (r *Report) ReadersOf() []Reader {
	api, rewritable := r.State(ReferrersAPI), r.State(RewritableTags)
	list := []Reader{
		{Name: "bulla", Bundles: "sees all", OlderTags: "sees all"},
		{Name: "cosign 3", Bundles: "sees all", OlderTags: "sees all"},
		{Name: "cosign 2", Bundles: "only with --new-bundle-format", OlderTags: "sees all"},
		{Name: "Kyverno", Bundles: "only in rules of the type SigstoreBundle", OlderTags: "only in rules of the type Cosign"},
		{Name: "policy-controller", Bundles: "only with signatureFormat: bundle", OlderTags: "sees all"},
		{Name: "Harbor", Bundles: "as accessories", OlderTags: "shows the image as signed"},
		{Name: "podman, skopeo, CRI-O", Bundles: "not seen", OlderTags: "the tag .sig, where registries.d says use-sigstore-attachments"},
		{Name: "notation, Ratify", Bundles: "not seen", OlderTags: "not seen", Note: "they look for Notary Project signatures"},
	}
	for i := range list {
		reader := &list[i]
		if reader.Name == "bulla" || reader.Note != "" {
			continue
		}
		if rewritable == No {
			reader.Note = "a list under a tag that cannot be rewritten goes on in further tags, of which only bulla knows: others see the first entry"
			if api == Yes {
				reader.Note = "older tags that cannot be rewritten go on in further tags, of which only bulla knows: others see the first signature"
			}
		}
	}
	return list
}
