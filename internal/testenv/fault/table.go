package fault

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Service is one that a signer calls, and the request of it that fails.
type Service struct {
	Name, Method, Path string
}

// Stage is what the ways to fail need beside the service itself.
type Stage struct {
	// Elsewhere is the address of another host, which nothing may ever reach.
	Elsewhere string
	// Impostor is a service of the same kind with other keys; nil where there is none.
	Impostor http.Handler

	reached atomic.Int64
	mu      sync.Mutex
	earlier []byte // an answer that was given before
}

// NewStage starts the other host.
func NewStage(t testing.TB, impostor http.Handler) *Stage {
	t.Helper()
	s := &Stage{Impostor: impostor}
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { s.reached.Add(1) }))
	t.Cleanup(server.Close)
	s.Elsewhere = server.URL
	return s
}

// Reached returns how many requests have come to the other host.
func (s *Stage) Reached() int64 { return s.reached.Load() }

// Keep keeps an answer, for [Way] "another's answer".
func (s *Stage) Keep(body []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.earlier = append([]byte{}, body...)
	return body
}

func (s *Stage) replay([]byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.earlier
}

// Way is one way to fail.
type Way struct {
	Name string
	// Patience is how long to go on asking, 0 for a single time; Timeout, where it is set, is what the whole may take.
	Patience, Timeout time.Duration
	// Make returns the faults; nil says that the service cannot fail in this way.
	Make func(of Service, s *Stage) []Fault
}

// Flags are what bulla is run with besides.
func (w *Way) Flags() []string {
	if w.Timeout > 0 {
		return []string{"--timeout=" + w.Timeout.String()}
	}
	return []string{"--patience=" + w.Patience.String()}
}

// again is the patience to ask again with.
const again = 20 * time.Second

func simple(patience time.Duration, name string, f Fault) Way {
	return Way{Name: name, Patience: patience, Make: func(of Service, _ *Stage) []Fault {
		f := f
		f.Method, f.Path = of.Method, of.Path
		return []Fault{f}
	}}
}

// tooSlow asks again, too; the whole ends before there is an answer.
func tooSlow() Way {
	w := simple(again, "too slow", Fault{Slow: time.Minute, Times: -1})
	w.Timeout = time.Second
	return w
}

// Ways are the ways to fail, in the order of the table in docs/design/faults.md.
func Ways() []Way {
	const always = -1
	return []Way{
		simple(again, "refused connection", Fault{Refuse: true}),
		simple(again, "dropped after it was done", Fault{Drop: true}),
		simple(again, "503 for a while", Fault{Status: 503, Times: 2}),
		simple(0, "503 for good", Fault{Status: 503, Times: always}),
		simple(again, "429, come back in a second", Fault{Status: 429, Header: map[string]string{"Retry-After": "1"}}),
		simple(again, "429, come back in an hour", Fault{Status: 429, Header: map[string]string{"Retry-After": "3600"}, Times: always}),
		simple(again, "409", Fault{Status: 409, Body: `{"code":6,"message":"there is one already"}`, Times: always}),
		simple(again, "slow", Fault{Slow: 300 * time.Millisecond}),
		tooSlow(),
		simple(again, "cut off once", Fault{Cut: 20}),
		simple(0, "cut off", Fault{Cut: 20, Times: always}),
		simple(again, "a web page", Fault{Status: 200, Body: "<html>please log in</html>", Times: always}),
		{Name: "another's answer", Patience: again, Make: func(of Service, s *Stage) []Fault {
			return []Fault{{Method: of.Method, Path: of.Path, Edit: s.replay, Times: always}}
		}},
		{Name: "another's key", Patience: again, Make: func(of Service, s *Stage) []Fault {
			if s.Impostor == nil {
				return nil
			}
			return []Fault{{Method: of.Method, Path: of.Path, Else: s.Impostor, Times: always}}
		}},
		{Name: "redirected to another host", Patience: again, Make: redirect(http.StatusTemporaryRedirect)},
		{Name: "redirected as a GET", Patience: again, Make: redirect(http.StatusFound)},
	}
}

func redirect(status int) func(of Service, s *Stage) []Fault {
	return func(of Service, s *Stage) []Fault {
		return []Fault{{Method: of.Method, Path: of.Path, Status: status, Header: map[string]string{"Location": s.Elsewhere + of.Path}, Times: -1}}
	}
}

// Want is what a run of bulla ends with.
type Want struct {
	Status int    // 0: it got through
	Says   string // regular expression for what it says on standard error
}

// exit statuses of bulla, see docs/exit-codes.md
const (
	fails   = 1
	unknown = 20
)

// Wanted is the table: what a signer makes of the way in which a service fails. Names of services are "certificate
// authority", "log v1", "log v2", "timestamp authority" and "identity provider", and "log v1, read" and "log v2, read" where an
// entry is read that the log has already.
func Wanted(service, way string) Want {
	if w, ok := exceptions[service+": "+way]; ok {
		return w
	}
	w, ok := rule[way]
	if !ok {
		panic(fmt.Sprintf("the table says nothing of %q", way)) // it is the test that is wrong
	}
	return w
}

// rule is what holds for every service.
var rule = map[string]Want{
	"refused connection":         {0, "the connection was closed before an answer came; trying again"},
	"dropped after it was done":  {0, "the connection was closed before an answer came; trying again"},
	"503 for a while":            {0, "HTTP 503: service unavailable; trying again"},
	"503 for good":               {unknown, "HTTP 503: service unavailable"},
	"429, come back in a second": {0, "HTTP 429: too many requests; trying again in 1s"},
	"429, come back in an hour":  {unknown, "it asks to come back in 1h0m0s, which is too late"},
	"409":                        {fails, "HTTP 409: there is one already"},
	"slow":                       {0, ""},
	"too slow":                   {unknown, "deadline|no answer (within|yet)"},
	"cut off once":               {0, "the answer was cut off; trying again"},
	"cut off":                    {unknown, "the answer was cut off"},
	"a web page":                 {unknown, `(it begins with "<html>please log in|is not a timestamp)`},
	"another's answer":           {unknown, "was not sent|other content|another signature|not about the signature|does not answer the request|another key"},
	"another's key":              {unknown, "the trusted root does not know|not of an authority of the trusted root|does not chain|no authority of the trusted root issued"},
	"redirected to another host": {unknown, "another host, which is not followed"},
	"redirected as a GET":        {unknown, "another host, which is not followed"},
}

// exceptions are where a service is answered in another way.
var exceptions = map[string]Want{
	// A log says so of an entry that it has. One of version 2 then names its index.
	"log v2: 409": {fails, "the log has this entry already and does not say where: there is one already"},
	// What is read of a log is a checkpoint or a tile; an earlier one does not reach as far.
	"log v2, read: a web page":       {unknown, "the checkpoint: |has [0-9]+ bytes, want"},
	"log v2, read: another's answer": {unknown, "covers [0-9]+ entries, and not yet the entry|has [0-9]+ bytes, want"},
	// An identity provider is asked by another client, which has its own words for connections that end.
	"identity provider: 409":                        {22, "HTTP 409: .*there is one already"},
	"identity provider: refused connection":         {0, ""},
	"identity provider: dropped after it was done":  {0, ""},
	"identity provider: cut off once":               {0, ""},
	"identity provider: cut off":                    {unknown, "EOF|cut off"},
	"identity provider: a web page":                 {22, "the answer is not the JSON that it should be"},
	"identity provider: another's answer":           {0, ""}, // a token for the same person
	"identity provider: redirected to another host": {22, "which is not followed"},
	"identity provider: redirected as a GET":        {22, "which is not followed"},
}
