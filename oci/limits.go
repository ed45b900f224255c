package oci

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Limits bound what is read from a registry. A zero field means its default.
type Limits struct {
	Manifest   int64 // bytes of one manifest or index, and of one page of a listing
	Attachment int64 // bytes of one layer below the older .sig, .att and .sbom tags, or of a blob to download
	Bundle     int64 // bytes of one bundle; never more than Attachment
	Total      int64 // bytes of all evidence kept in memory by one Find
	Referrers  int   // entries read of one listing of referrers
	Candidates int   // entries of a listing that are fetched because they may be bundles
	Pages      int   // pages of one listing of referrers
	Layers     int   // layers of one manifest
	Children   int   // manifests listed by an image index
}

// The default limits. The numbers are meant to be above anything in honest use.
const (
	// maxManifest is what the specification asks every registry to accept ("Pushing Manifests": at least 4 MiB), so that
	// nothing larger can be relied upon.
	maxManifest = 4 << 20
	// maxAttachment is cosign's default for the same purpose (COSIGN_MAX_ATTACHMENT_SIZE).
	maxAttachment = 128 << 20
	// maxBundle leaves room for an SBOM of 20 MiB in an attestation after base64; bundles are decoded in memory.
	maxBundle = 32 << 20
	// maxTotal bounds memory when many large candidates are attached: four bundles of the largest size.
	maxTotal = 128 << 20
	// maxReferrers is ten times what the busiest public images carry.
	maxReferrers = 10000
	// maxCandidates bounds requests: each candidate costs two.
	maxCandidates = 512
	// maxPages lets a registry use pages as small as 50 entries for maxReferrers.
	maxPages = 200
	// maxLayers is what cosign reads of one of its tags.
	maxLayers = 1000
	// maxChildren is far above the number of platforms that exist.
	maxChildren = 1000

	// maxUses bounds the documents that one Find reads and decodes: a full list of candidates, manifests and bundles, and
	// two full older tags.
	maxUses = 2*maxCandidates + 2*maxLayers
	// maxErrorBody bounds what is read of an error answer; registries send a few hundred bytes.
	maxErrorBody = 64 << 10
	// maxDetail bounds how much of a registry's message is repeated in an error.
	maxDetail = 300
	// maxRedirects bounds redirects of one request; blob storage needs one or two.
	maxRedirects = 5
)

func orDefault[T int | int64](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}

func (l Limits) withDefaults() Limits {
	l.Manifest = orDefault(l.Manifest, maxManifest)
	l.Attachment = orDefault(l.Attachment, maxAttachment)
	l.Bundle = min(orDefault(l.Bundle, maxBundle), l.Attachment)
	l.Total = max(orDefault(l.Total, maxTotal), l.Attachment)
	l.Referrers = orDefault(l.Referrers, maxReferrers)
	l.Candidates = orDefault(l.Candidates, maxCandidates)
	l.Pages = orDefault(l.Pages, maxPages)
	l.Layers = orDefault(l.Layers, maxLayers)
	l.Children = orDefault(l.Children, maxChildren)
	return l
}

// ParseSize reads a size as COSIGN_MAX_ATTACHMENT_SIZE spells it: a decimal number and an optional unit, in any case and
// with or without a space: B, K or KB (1000), Ki or KiB (1024), and so on to T. It returns bytes, at least 1.
func ParseSize(s string) (int64, error) {
	text := strings.ToLower(strings.TrimSpace(s))
	cut := strings.IndexFunc(text, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	number, unit := text, ""
	if cut >= 0 {
		number, unit = text[:cut], strings.TrimSpace(text[cut:])
	}
	scale, ok := sizeUnit(unit)
	if !ok {
		return 0, fmt.Errorf("size %q: unknown unit %q", s, unit)
	}
	value, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, fmt.Errorf("size %q: want a number and a unit, such as 128MiB", s)
	}
	value *= scale
	if value < 1 || value >= math.MaxInt64 {
		return 0, fmt.Errorf("size %q: out of range", s)
	}
	return int64(value), nil
}

func sizeUnit(unit string) (float64, bool) {
	unit = strings.TrimSuffix(unit, "b")
	base := 1000.0
	if strings.HasSuffix(unit, "i") {
		base, unit = 1024, strings.TrimSuffix(unit, "i")
		if unit == "" {
			return 0, false
		}
	}
	if unit == "" {
		return 1, true
	}
	power := strings.Index("kmgt", unit)
	if power < 0 || len(unit) != 1 {
		return 0, false
	}
	return math.Pow(base, float64(power+1)), true
}
