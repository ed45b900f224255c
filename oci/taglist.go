package oci

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
)

// tagPage is how many tags are asked for at once; registries may give fewer.
const tagPage = 1000

// maxTags bounds the names kept of one repository; a tag takes at most 128 bytes.
const maxTags = 100000

// tags lists the tags of a repository ("Listing Tags"). It is an error when there are more than we read: a list with a hole
// cannot say what is not there.
func (c *Client) tags(ctx context.Context, s *session, place string) ([]string, error) {
	r := request{place: place, method: http.MethodGet, path: "tags/list", query: fmt.Sprintf("n=%d", tagPage), limit: c.limits.Manifest}
	var all []string
	for range c.limits.Pages {
		a, err := c.do(ctx, s, r)
		if isNotFound(err) && len(all) == 0 {
			return nil, nil
		}
		if err != nil {
			return nil, asUnknown(a, r, err)
		}
		var list struct {
			Tags []string `json:"tags"`
		}
		if a.status != http.StatusOK || a.moved || json.Unmarshal(a.body, &list) != nil {
			return nil, a.unknown(r, "this is not a list of tags")
		}
		if i := slices.IndexFunc(list.Tags, func(tag string) bool { return !isTagName(tag) }); i >= 0 {
			return nil, a.unknown(r, fmt.Sprintf("%q is no tag", printable(list.Tags[i], maxTag)))
		}
		all = append(all, list.Tags...)
		if len(all) > maxTags {
			return nil, tooMuch(place, fmt.Sprintf("%s has more than %d tags", s.repo.Name(), maxTags))
		}
		next, err := nextPage(a)
		if err != nil {
			return nil, a.unknown(r, err.Error())
		}
		if next == nil {
			return all, nil
		}
		r.url = next
	}
	return nil, tooMuch(place, fmt.Sprintf("the tags of %s have more than %d pages", s.repo.Name(), c.limits.Pages))
}

// isTagName says whether something may be a tag (distribution-spec "Pulling manifests"): what else a registry lists must not
// become part of a request's path.
func isTagName(tag string) bool {
	const first = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
	return tag != "" && len(tag) <= maxTag && strings.Trim(tag, first+".-") == "" && strings.Contains(first, tag[:1])
}

// isTag says whether a tag is in the list of the repository's tags. Some registries (GitLab) lead from the referrers tag to
// the image without there being such a tag.
func (c *Client) isTag(ctx context.Context, s *session, tag string) (bool, error) {
	tags, err := c.tags(ctx, s, PlaceFallback)
	return slices.Contains(tags, tag), err
}
