//go:build unix

package main

import (
	"os"
	"testing"

	"github.com/bulla-sign/bulla/internal/durable"
)

// A session that another user put there would make him the signer, and one that others can read makes them.
func TestSessionOfAnotherUser(t *testing.T) {
	p := newPerson(t)
	artifact, token := p.file("a.txt", []byte("hello")), p.file("token.jwt", []byte(p.s.Token(nil)))
	sign := append([]string{"bulla", "sign-blob", "--bundle", p.path("a.json"), artifact}, p.services...)
	p.want(0, "logged in", "", append([]string{"bulla", "login", "--identity-token", token}, p.services...)...)
	kept := p.path("bulla/session.json")
	if err := os.Rename(kept, kept+".real"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(kept+".real", kept); err != nil {
		t.Fatal(err)
	}
	p.want(22, "is not a file that only its owner can read", "", "bulla", "whoami")
	p.want(22, "is not a file that only its owner can read", "", sign...)
	if err := os.Rename(kept+".real", kept); err != nil {
		t.Fatal(err)
	}
	p.want(0, p.s.Email, "", "bulla", "whoami")
	const nobody = 65534
	if err := os.Chown(kept, nobody, nobody); err != nil {
		t.Skip("only root gives files to others: ", err)
	}
	if info, err := os.Lstat(kept); err != nil || durable.Own(info) {
		t.Errorf("nobody's file is ours, %v", err)
	}
	p.want(1, "belongs to another user, and is not used", "", "bulla", "whoami")
	p.want(21, "no identity token is at hand", "", sign...)
	p.count(0)
}
