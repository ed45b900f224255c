// Package config reads the one file that an operator writes, bulla-server.yaml, and checks it. An unknown key is an error
// with its line: a misspelt limit must not be a limit that is not there.
//
// [Template] is the file as init writes it, in which every key is explained; a test holds the two together.
package config
