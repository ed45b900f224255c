//go:build !unix

package durable

import "io/fs"

// mayFollow lets every link be followed: there is no directory like /tmp for all.
func mayFollow(string, fs.FileInfo) error { return nil }

// Own says whether a file belongs to the user as whom the program runs; where files have no such owner, each does.
func Own(fs.FileInfo) bool { return true }
