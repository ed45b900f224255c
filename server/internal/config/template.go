package config

import (
	"bytes"
	_ "embed" // the template
	"fmt"
	"strconv"
	"strings"
	"text/template"
)

//go:embed template.yaml
var templateText string

// Values are what differs between one new configuration file and another.
type Values struct {
	URL              string
	State            string // relative to the file
	PasswordFile     string // relative to the file; empty: none
	Lock             string // of both logs, relative to the file; empty: within the state
	Services         []Service
	Listen           []string
	Certificate      string
	CertificateKey   string
	Hosts            []string
	Metrics          string
	Propagation      string
	DevelopmentLogin bool
	// NoLimits takes away what bounds one client: where all of them have one address, and are the operator's own.
	NoLimits bool
}

// Template returns a configuration file in which every key is explained. It is checked before it is returned.
func Template(v Values) ([]byte, error) {
	t, err := template.New("bulla-server.yaml").Parse(templateText)
	if err != nil {
		return nil, err
	}
	if v.State == "" {
		v.State = "."
	}
	if v.Lock == "" {
		v.Lock = v.State + "/lock"
	}
	if v.Propagation == "" {
		v.Propagation = "24h"
	}
	var services []string
	for _, s := range v.Services {
		services = append(services, string(s))
	}
	var hosts []string
	for _, h := range v.Hosts {
		hosts = append(hosts, strconv.Quote(h)) // ::1 means something else in YAML
	}
	var out bytes.Buffer
	err = t.Execute(&out, struct {
		Values
		Services, Hosts string
	}{v, strings.Join(services, ", "), strings.Join(hosts, ", ")})
	if err != nil {
		return nil, err
	}
	if _, err := Decode(out.Bytes()); err != nil {
		return nil, fmt.Errorf("the configuration that follows from these values: %w", err)
	}
	return out.Bytes(), nil
}
