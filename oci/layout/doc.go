// Package layout keeps images and their evidence in a directory or a tar file in the form of image-spec "image-layout", and
// answers for it as a registry would: a Layout is an [net/http.RoundTripper], so that whatever can be done with an image in
// a registry can be done with one in a file, by the same code.
//
// index.json lists the image, with cosign's annotation "kind"; the manifests of the older tags, by the name of the tag in
// org.opencontainers.image.ref.name, and for the image's own with cosign's "kind" too; and every referrer. What cosign saves
// is read as well: it lists the last thing it wrote, and leaves bundles among the blobs, where they are found by their subject.
//
// Nothing in a layout is believed for its name: who asks by digest must compare, and package oci does. A tar file is never
// unpacked; links, devices and names that lead out of it are refused.
package layout
