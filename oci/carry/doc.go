// Package carry brings an image from one place to another with everything that belongs to it: an index, the images of its
// platforms, their blobs, and the evidence attached to any of them, in every format, and the evidence attached to evidence.
//
// Nothing is changed on the way: manifests and blobs keep their bytes and so their digests, and each is compared with its
// digest as it passes. How a piece is attached depends on what the target can do; that is for the target to say. Content
// is written before what names it, and the tag of the image comes last, so that an interrupted copy shows no image that is
// not whole, and running it again goes on where it stopped.
//
// At the end everything that was to be carried is looked for at the target. What is not there is a failure, however well
// the writing went.
package carry
