package describe

import (
	"encoding/hex"
	"fmt"

	"github.com/bulla-sign/bulla/trust"
)

func trustedRoot(n *Node, data []byte) error {
	r, err := trust.DecodeRoot(data)
	if err != nil {
		return err
	}
	rootContent(n, r)
	return nil
}

func rootContent(n *Node, r *trust.Root) {
	logs(n, "Transparency log", r.Logs)
	authorities(n, "Certificate authority", r.CAs)
	logs(n, "Certificate transparency log", r.CTLogs)
	authorities(n, "Timestamp authority", r.TSAs)
}

func logs(n *Node, label string, list []trust.Log) {
	if len(list) == 0 {
		n.add(label, "none")
	}
	for i := range list {
		l := &list[i]
		below := n.add(label, l.BaseURL)
		below.add("Signs", window(l.Window))
		below.add("ID", hex.EncodeToString(l.ID))
		if l.CheckpointID != nil {
			below.add("Checkpoint key ID", hex.EncodeToString(l.CheckpointID))
		}
		below.add("Algorithm", l.Details.String())
		below.some("Operator", l.Operator)
		if err := l.Usable(); err != nil {
			below.problem(err)
		}
	}
}

func authorities(n *Node, label string, list []trust.Authority) {
	if len(list) == 0 {
		n.add(label, "none")
	}
	for i := range list {
		a := &list[i]
		below := n.add(label, a.URI)
		below.add("Trusted", window(a.Window))
		below.some("Organization", a.Organization)
		below.some("Common name", a.CommonName)
		below.some("Operator", a.Operator)
		for _, c := range a.Chain {
			cert := below.add("Certificate", c.Subject.String())
			cert.add("Valid", when(c.NotBefore)+" to "+when(c.NotAfter))
			cert.add("Public key", keyName(c.PublicKey))
			cert.add("SHA-256", fingerprint(c.Raw))
		}
	}
}

func signingConfig(n *Node, data []byte) error {
	c, err := trust.DecodeSigningConfig(data)
	if err != nil {
		return err
	}
	configContent(n, c)
	return nil
}

func configContent(n *Node, c *trust.SigningConfig) {
	services(n, "Certificate authority", c.CAs)
	services(n, "Identity provider", c.OIDC)
	services(n, "Transparency log", c.Logs)
	selection(n, "Logs to use", c.LogConfig, len(c.Logs))
	services(n, "Timestamp authority", c.TSAs)
	selection(n, "Timestamp authorities to use", c.TSAConfig, len(c.TSAs))
}

func services(n *Node, label string, list []trust.Service) {
	if len(list) == 0 {
		n.add(label, "none")
	}
	for _, s := range list {
		below := n.add(label, s.URL)
		below.addf("API version", "%d", s.MajorAPIVersion)
		below.add("Called", window(s.Window))
		below.some("Operator", s.Operator)
	}
}

func selection(n *Node, label string, s trust.Selection, services int) {
	switch {
	case s.Selector == trust.SelectExact:
		n.add(label, fmt.Sprintf("exactly %d", s.Count))
	case s.Selector != trust.SelectUndefined:
		n.add(label, map[trust.Selector]string{trust.SelectAny: "any one", trust.SelectAll: "all"}[s.Selector])
	case services > 0:
		n.add(label, "not stated, so none")
	}
}

func clientConfig(n *Node, data []byte) error {
	r, c, err := trust.DecodeClientConfig(data)
	if err != nil {
		return err
	}
	rootContent(n.add("Trusted root", ""), r)
	configContent(n.add("Signing config", ""), c)
	return nil
}
