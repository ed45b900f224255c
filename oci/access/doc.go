// Package access is what a machine says about access to registries: which credential belongs to a repository and from where
// it is, which certificates are for a host, which mirrors there are. It reads the files of Docker, Podman and Kubernetes as
// they are, asks docker-credential programs, and, when told to, the cloud that it runs in.
//
// Everything is looked up for one host or repository and given to no other. What is read is bounded; a file that cannot be
// understood is an error that names it, never a file that is not there.
package access
