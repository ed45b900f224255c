package config

import "time"

// Duration is a time.Duration, written "90s", "10m", "24h".
type Duration time.Duration

// File is the contents of bulla-server.yaml. What each key means stands in [Template]. Paths are absolute after [Load].
type File struct {
	State        string     `yaml:"state"`
	PasswordFile string     `yaml:"password-file"`
	PlugInDir    string     `yaml:"plug-in-dir"`
	Services     []Service  `yaml:"services"`
	Elsewhere    Elsewhere  `yaml:"elsewhere"`
	Listen       []Listener `yaml:"listen"`
	Hosts        []string   `yaml:"hosts"`
	Proxies      []string   `yaml:"proxies"`
	Metrics      string     `yaml:"metrics"`
	Pprof        bool       `yaml:"pprof"`
	Traces       string     `yaml:"traces"`
	Drain        Duration   `yaml:"drain"`
	Logging      Logging    `yaml:"logging"`
	Limits       Limits     `yaml:"limits"`
	Rotation     Rotation   `yaml:"rotation"`
	CA           CA         `yaml:"ca"`
	CTLog        CTLog      `yaml:"ctlog"`
	Log          Log        `yaml:"log"`
	TSA          TSA        `yaml:"tsa"`
	TUF          TUF        `yaml:"tuf"`
	Issuer       Issuer     `yaml:"issuer"`
	Monitor      Monitor    `yaml:"monitor"`
}

// Service is a service that a process can run.
type Service string

// The services.
const (
	ServiceCA      Service = "ca"
	ServiceCTLog   Service = "ctlog"
	ServiceLog     Service = "log"
	ServiceTSA     Service = "tsa"
	ServiceTUF     Service = "tuf"
	ServiceIssuer  Service = "issuer"
	ServiceWeb     Service = "web"
	ServiceMonitor Service = "monitor"
)

// Services returns all services.
func Services() []Service {
	return []Service{ServiceCA, ServiceCTLog, ServiceLog, ServiceTSA, ServiceTUF, ServiceIssuer, ServiceWeb, ServiceMonitor}
}

// Runs says whether the process runs a service.
func (f *File) Runs(s Service) bool {
	for _, x := range f.Services {
		if x == s {
			return true
		}
	}
	return false
}

// Elsewhere has the addresses of services of the same deployment that other processes run, where they are needed here and
// are not where the state says.
type Elsewhere struct {
	CTLog  string `yaml:"ctlog"`
	Issuer string `yaml:"issuer"`
	Log    string `yaml:"log"`
}

// Listener is an address to answer at.
type Listener struct {
	Address     string `yaml:"address"`
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`
	H2C         bool   `yaml:"h2c"`
}

// Logging says what is logged, and how.
type Logging struct {
	Level  string `yaml:"level"`  // debug, info, warn, error
	Format string `yaml:"format"` // text, json
}

// Limits bound what clients can do; 0 is the default of package httpserver.
type Limits struct {
	Connections        int      `yaml:"connections"`
	AddressConnections int      `yaml:"address-connections"`
	AddressRate        float64  `yaml:"address-rate"`
	AddressBurst       int      `yaml:"address-burst"`
	InFlight           int      `yaml:"in-flight"`
	AddressInFlight    int      `yaml:"address-in-flight"`
	RequestTime        Duration `yaml:"request-time"`
	IdentityRate       float64  `yaml:"identity-rate"`
	IdentityBurst      int      `yaml:"identity-burst"`
}

// Rotation says how long the steps of a rotation wait for each other.
type Rotation struct {
	Propagation Duration `yaml:"propagation"`
	Close       Duration `yaml:"close"`
}

// CA configures the certificate authority.
type CA struct {
	Issuers string `yaml:"issuers"`
	Journal bool   `yaml:"journal"`
}

// CTLog configures the CT log.
type CTLog struct {
	Lock               string   `yaml:"lock"`
	AdoptLock          bool     `yaml:"adopt-lock"`
	CheckpointInterval Duration `yaml:"checkpoint-interval"`
}

// Log configures the transparency log.
type Log struct {
	Lock               string   `yaml:"lock"`
	AdoptLock          bool     `yaml:"adopt-lock"`
	CheckpointInterval Duration `yaml:"checkpoint-interval"`
	Witnesses          string   `yaml:"witnesses"`
}

// TSA configures the timestamp authority.
type TSA struct {
	Policy string `yaml:"policy"`
}

// TUF configures the TUF repository.
type TUF struct {
	Expiry Duration `yaml:"expiry"`
}

// Issuer configures the OIDC issuer.
type Issuer struct {
	DevelopmentLogin         bool       `yaml:"development-login"`
	DevelopmentLoginAnywhere bool       `yaml:"development-login-anywhere"`
	TokenLifetime            Duration   `yaml:"token-lifetime"`
	Users                    []User     `yaml:"users"`
	Upstreams                []Upstream `yaml:"upstreams"`
	Clients                  []Client   `yaml:"clients"`
}

// User is somebody who signs in with a password; package issuer checks it.
type User struct {
	Email        string `yaml:"email"`
	PasswordHash string `yaml:"password-hash"`
	ID           string `yaml:"id"`
}

// Upstream is a provider whose word the issuer takes; package issuer checks it.
type Upstream struct {
	ID               string   `yaml:"id"`
	Name             string   `yaml:"name"`
	Issuer           string   `yaml:"issuer"`
	ClientID         string   `yaml:"client-id"`
	ClientSecretFile string   `yaml:"client-secret-file"`
	Scopes           []string `yaml:"scopes"`
	AssumeVerified   bool     `yaml:"assume-verified"`
}

// Client may ask for tokens, beside the client "sigstore"; package issuer checks it.
type Client struct {
	ID         string   `yaml:"id"`
	Name       string   `yaml:"name"`
	SecretHash string   `yaml:"secret-hash"`
	Redirects  []string `yaml:"redirects"`
	Machine    bool     `yaml:"machine"`
	Email      string   `yaml:"email"`
	Audience   string   `yaml:"audience"`
}

// Monitor configures the monitor.
type Monitor struct {
	Interval Duration `yaml:"interval"`
	Watch    []Watch  `yaml:"watch"`
}

// Watch is an identity whose entries in the logs are reported; package monitor checks it.
type Watch struct {
	Name          string `yaml:"name"`
	Subject       string `yaml:"subject"`
	SubjectRegexp string `yaml:"subject-regexp"`
	Issuer        string `yaml:"issuer"`
	IssuerRegexp  string `yaml:"issuer-regexp"`
	Certificate   string `yaml:"certificate"`
	Key           string `yaml:"key"`
}
