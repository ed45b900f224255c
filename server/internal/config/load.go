package config

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds the file: the template is 8 KB.
const maxFile = 1 << 20

// UnmarshalYAML reads "90s". A bare number is refused, since it says no unit.
func (d *Duration) UnmarshalYAML(node *yaml.Node) error {
	v, err := time.ParseDuration(node.Value)
	if err != nil || node.Kind != yaml.ScalarNode || v < 0 {
		return fmt.Errorf("line %d: %q is no duration, such as 90s, 10m or 24h", node.Line, node.Value)
	}
	*d = Duration(v)
	return nil
}

// Load reads and checks the file at path. Paths in it are relative to the directory that it lies in.
func Load(path string) (*File, error) {
	r, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }() // read only
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, err
	}
	f, err := Decode(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	f.resolve(dir)
	return f, nil
}

// Decode reads and checks the contents of a file.
func Decode(data []byte) (*File, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("it is larger than %d bytes", maxFile)
	}
	f := Default()
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(f); errors.Is(err, io.EOF) {
		return nil, errors.New("it is empty")
	} else if err != nil {
		return nil, plain(err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is a second document in it")
	}
	if err := f.Check(); err != nil {
		return nil, err
	}
	return f, nil
}

var unknownField = regexp.MustCompile(`field (\S+) not found in type \S+`)

// plain says what the YAML package found in the words of somebody who does not know Go's types.
func plain(err error) error {
	var all *yaml.TypeError
	if !errors.As(err, &all) {
		return err
	}
	var out []error
	for _, text := range all.Errors {
		out = append(out, errors.New(unknownField.ReplaceAllString(text, `there is no key "$1"`)))
	}
	return errors.Join(out...)
}

// Default returns the file with the values of the keys that are not in it.
func Default() *File {
	return &File{
		State:    ".",
		Services: Services(),
		Drain:    Duration(30 * time.Second),
		Logging:  Logging{Level: "info", Format: "text"},
		CA:       CA{Journal: true},
		Rotation: Rotation{Propagation: Duration(24 * time.Hour), Close: Duration(15 * time.Minute)},
	}
}

// Check returns the first thing that is wrong.
func (f *File) Check() error {
	if len(f.Services) == 0 {
		return errors.New("services: none is named")
	}
	for i, s := range f.Services {
		if !slices.Contains(Services(), s) {
			return fmt.Errorf("services: there is no service %q, only %v", s, Services())
		}
		if slices.Contains(f.Services[:i], s) {
			return fmt.Errorf("services: %s is there twice", s)
		}
	}
	if len(f.Listen) == 0 {
		return errors.New("listen: no address is named")
	}
	for _, l := range f.Listen {
		if err := l.check(); err != nil {
			return fmt.Errorf("listen: %w", err)
		}
	}
	if f.Metrics != "" {
		if err := checkAddress(f.Metrics); err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
	}
	if f.Pprof && f.Metrics == "" {
		return errors.New("pprof: it answers at the metrics address, and there is none")
	}
	for name, at := range map[string]string{"ctlog": f.Elsewhere.CTLog, "issuer": f.Elsewhere.Issuer, "log": f.Elsewhere.Log} {
		if u, err := url.Parse(at); at != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "") {
			return fmt.Errorf("elsewhere: %s: %q is not an http or https address", name, at)
		}
	}
	for _, p := range f.Proxies {
		if _, err := netip.ParsePrefix(p); err != nil {
			return fmt.Errorf("proxies: %q is no prefix such as 10.0.0.0/8 or 10.1.2.3/32", p)
		}
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, f.Logging.Level) {
		return fmt.Errorf("logging: level is %q, and can be debug, info, warn or error", f.Logging.Level)
	}
	if !slices.Contains([]string{"text", "json"}, f.Logging.Format) {
		return fmt.Errorf("logging: format is %q, and can be text or json", f.Logging.Format)
	}
	if _, err := ParseOID(f.TSA.Policy); err != nil {
		return fmt.Errorf("tsa: policy: %w", err)
	}
	return f.checkLogin()
}

func (l *Listener) check() error {
	if (l.Certificate == "") != (l.Key == "") {
		return fmt.Errorf("%s: certificate and key go together", l.Address)
	}
	return checkAddress(l.Address)
}

func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || port == "" {
		return fmt.Errorf("%q is not HOST:PORT with both parts: to answer at every address, say 0.0.0.0 or [::]", address)
	}
	return nil
}

// checkLogin keeps the development login, which gives an identity to whoever asks, from being reachable by others by
// accident.
func (f *File) checkLogin() error {
	if f.Issuer.DevelopmentLoginAnywhere && !f.Issuer.DevelopmentLogin {
		return errors.New("issuer: development-login-anywhere says where development-login answers, which is off")
	}
	if !f.Issuer.DevelopmentLogin || f.Issuer.DevelopmentLoginAnywhere || !f.Runs(ServiceIssuer) {
		return nil
	}
	for _, l := range f.Listen {
		if !Loopback(l.Address) {
			return fmt.Errorf("issuer: development-login gives any identity to whoever asks for it, and %s is not a loopback address: "+
				"turn it off, or set development-login-anywhere if that is what you want", l.Address)
		}
	}
	return nil
}

// Loopback says whether only this machine can reach an address, HOST:PORT.
func Loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// resolve makes the paths absolute.
func (f *File) resolve(dir string) {
	paths := []*string{&f.State, &f.PasswordFile, &f.PlugInDir, &f.CA.Issuers, &f.CTLog.Lock, &f.Log.Lock, &f.Log.Witnesses}
	for i := range f.Listen {
		paths = append(paths, &f.Listen[i].Certificate, &f.Listen[i].Key)
	}
	for i := range f.Issuer.Upstreams {
		paths = append(paths, &f.Issuer.Upstreams[i].ClientSecretFile)
	}
	for _, p := range paths {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
}

// ParseOID reads an object identifier, "1.3.6.1.4.1.57264.2". Nothing gives nil.
func ParseOID(s string) (asn1.ObjectIdentifier, error) {
	if s == "" {
		return nil, nil
	}
	oid, err := x509.ParseOID(s)
	if err != nil {
		return nil, fmt.Errorf("%q is no object identifier such as 1.3.6.1.4.1.57264.2", s)
	}
	var out asn1.ObjectIdentifier
	for _, part := range strings.Split(oid.String(), ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return nil, fmt.Errorf("a number in the object identifier %q is too large", s)
		}
		out = append(out, n)
	}
	return out, nil
}
