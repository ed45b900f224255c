package instance

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bulla-sign/bulla/server/internal/config"
	"github.com/bulla-sign/bulla/server/internal/state"
	"github.com/bulla-sign/bulla/server/monitor"
	"github.com/bulla-sign/bulla/server/web"
)

// web are the pages. They are made anew when what they say changes.
func (in *Instance) web(h *state.History) want {
	log := h.Active(state.Log)
	services, key := in.pageServices(h)
	if log != nil {
		key += "/" + log.Name
	}
	return want{
		key: key, name: "web",
		open: func(ctx context.Context, reg prometheus.Registerer) (service, error) {
			anchors, err := ReadAnchors(in.Dir)
			if err != nil {
				return nil, err
			}
			cfg := web.Config{Name: h.Name, Services: services, Now: in.Now, Log: in.Log.With("service", "web"), Metrics: reg}
			if anchors.Root != "" {
				cfg.Commands, cfg.Links = firstSteps(h.URL, anchors.RootSHA256)
			}
			if log == nil {
				return web.New(ctx, cfg)
			}
			public, err := log.PublicKey()
			if err != nil {
				return nil, err
			}
			cfg.TransparencyLog = &web.TransparencyLog{URL: log.URL, Key: public, Client: in.reachLogs()}
			if cfg.Frozen, err = in.frozenShards(h); err != nil {
				return nil, err
			}
			return web.New(ctx, cfg)
		},
	}
}

// maxShards is how many frozen shards the pages show, the newest ones: as many links as a reader takes in.
const maxShards = 50

// frozenShards are the logs before the one in use, the newest first, where clients see them.
func (in *Instance) frozenShards(h *state.History) (out []web.TransparencyLog, err error) {
	for _, of := range slices.Backward(h.Instances[state.Log]) {
		if of.Phase != state.Retiring && of.Phase != state.Closed || len(out) == maxShards {
			continue
		}
		public, err := of.PublicKey()
		if err != nil {
			return nil, err
		}
		out = append(out, web.TransparencyLog{Name: of.Name, URL: of.URL + "/log/" + of.Name, Key: public, Client: in.reachLogs()})
	}
	return out, nil
}

// firstSteps is how clients are pointed at a deployment: whole lines, for somebody who has nothing of it yet. They fetch the
// first root from where it is served, and the digest beside it is what they trust.
func firstSteps(url, sum string) ([]web.Command, []web.Link) {
	const root = "/tuf/1.root.json"
	rest := " initialize --mirror " + url + "/tuf --root " + url + root + " --root-checksum " + sum
	return []web.Command{{Title: "Trust this instance with cosign", Line: "cosign" + rest}, {Title: "With bulla", Line: "bulla" + rest}},
		[]web.Link{{Text: "The first root of its TUF repository", URL: root}}
}

// pageServices are what the first page lists, and a key that is another when they are.
func (in *Instance) pageServices(h *state.History) (out []web.Service, key string) {
	key = "web"
	for _, s := range []struct {
		kind          state.Kind
		runs          config.Service
		name, purpose string
	}{
		{state.Issuer, config.ServiceIssuer, "Identity issuer", "says who somebody is, in an identity token"},
		{state.CA, config.ServiceCA, "Certificate authority", "turns an identity token into a certificate for ten minutes"},
		{state.CTLog, config.ServiceCTLog, "CT log", "records every certificate"},
		{state.Log, config.ServiceLog, "Transparency log", "records every signature"},
		{state.TSA, config.ServiceTSA, "Timestamp authority", "says when a signature was made"},
		{state.TUF, config.ServiceTUF, "TUF repository", "tells clients whom to trust"},
	} {
		of := h.Active(s.kind)
		if of == nil {
			continue
		}
		key += "/" + string(s.kind) + "@" + of.URL
		line := web.Service{Name: s.name, Purpose: s.purpose, Address: of.URL}
		if in.File.Runs(s.runs) {
			line.Ready = in.readiness(s.kind)
		}
		out = append(out, line)
	}
	return out, key
}

// readiness asks what answers for the active instance of a kind, whichever that is by then.
func (in *Instance) readiness(kind state.Kind) func(context.Context) error {
	return func(ctx context.Context) error {
		in.mu.Lock()
		var found *mounted
		active := in.history.Active(kind)
		for _, m := range in.mounts {
			if m.name == string(kind) || active != nil && m.name == string(kind)+" "+active.Name {
				found = m
			}
		}
		in.mu.Unlock()
		if found == nil {
			return errors.New("it does not run")
		}
		return found.check(ctx)
	}
}

// monitor watches the logs of the deployment, the frozen ones too, from where clients see them. What it finds shows whom the
// operator watches, and is for operators.
func (in *Instance) monitor(h *state.History) want {
	w := want{key: "monitor", name: "monitor", late: true, inside: true}
	var logs []monitor.Log
	add := func(kind state.Kind, as monitor.Kind) error {
		for i := range h.Instances[kind] {
			of := &h.Instances[kind][i]
			if of.Phase == state.Next {
				continue
			}
			l, err := watched(of, kind, as)
			if err != nil {
				return err
			}
			w.key += "/" + l.Name + "@" + l.URL
			logs = append(logs, l)
		}
		return nil
	}
	err := add(state.Log, monitor.Rekor)
	if err == nil {
		err = add(state.CTLog, monitor.CT)
	}
	w.open = func(ctx context.Context, reg prometheus.Registerer) (service, error) {
		if err != nil {
			return nil, err
		}
		return monitor.New(ctx, monitor.Config{
			Logs: logs, Dir: in.Dir.Path("monitor"), Interval: time.Duration(in.File.Monitor.Interval), Client: in.reachLogs(),
			Watches: in.watches(), Now: in.Now, Log: in.Log.With("service", "monitor"), Metrics: reg,
		})
	}
	return w
}

// watches translates the watch list.
func (in *Instance) watches() (out []monitor.Watch) {
	for _, w := range in.File.Monitor.Watch {
		out = append(out, monitor.Watch(w))
	}
	return out
}

// reachLogs is a client for the deployment's logs: past the network for those in this process, and where the configuration
// says that they are for the others.
func (in *Instance) reachLogs() *http.Client {
	return &http.Client{
		Transport:     &logTransport{in: in, other: http.DefaultTransport},
		Timeout:       outgoingTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// logTransport sends requests for logs to where they are.
type logTransport struct {
	in    *Instance
	other http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t *logTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	f := t.in.File
	service, elsewhere := config.ServiceLog, f.Elsewhere.Log
	if strings.HasPrefix(r.URL.Path, "/ct/") {
		service, elsewhere = config.ServiceCTLog, f.Elsewhere.CTLog
	}
	if f.Runs(service) {
		return web.Direct{Handler: &t.in.router}.RoundTrip(r)
	}
	if elsewhere == "" {
		return t.other.RoundTrip(r)
	}
	at, err := url.Parse(elsewhere)
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host, r.URL.Path = at.Scheme, at.Host, strings.TrimSuffix(at.Path, "/")+r.URL.Path
	r.Host = ""
	return t.other.RoundTrip(r)
}

func watched(of *state.Instance, kind state.Kind, as monitor.Kind) (monitor.Log, error) {
	public, err := of.PublicKey()
	if err != nil {
		return monitor.Log{}, err
	}
	l := monitor.Log{Name: string(kind) + "-" + of.Name, Kind: as, URL: of.URL, Origin: of.Origin, Key: public}
	if kind == state.Log && of.Phase != state.Active {
		l.URL += "/log/" + of.Name
	}
	if kind == state.CTLog {
		l.Origin = ctOrigin(of.URL)
	}
	return l, nil
}
