package realsigstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/bulla-sign/bulla/internal/tools/process"
	"github.com/bulla-sign/bulla/internal/tools/toolcache"
)

// LogV1 is the log that the public instance runs, as it runs it: Rekor, in front of Trillian's log server and log signer,
// which keep everything in a database, with the search index in the same database. Kill ends all of it.
type LogV1 struct {
	*Server
	parts []*process.Server
}

// TransparencyLogV1 starts a log with a new tree and a new key, with all its data in dir. The database is Debian's MariaDB
// (package mariadb-server-core); its lack is an error that says so.
func TransparencyLogV1(dir string, log io.Writer) (*LogV1, error) {
	l := &LogV1{Server: new(Server)}
	err := l.start(dir, log)
	if err != nil {
		l.Kill()
		return nil, err
	}
	return l, nil
}

// Kill ends the servers in the order in which they need each other.
func (l *LogV1) Kill() {
	for i := len(l.parts) - 1; i >= 0; i-- {
		l.parts[i].Kill()
	}
}

func (l *LogV1) start(dir string, log io.Writer) error {
	database, err := l.database(dir)
	if err != nil {
		return err
	}
	trillian := "--mysql_uri=root@tcp(" + database + ")/trillian"
	var port int // of the log server, for Rekor
	if err := l.run("trillian-log-server", 2, log, func(ports []int) process.Spec {
		port = ports[0]
		return process.Spec{Args: []string{trillian, "--rpc_endpoint=" + loopback(port), "--http_endpoint=" + loopback(ports[1])}, Ready: "http://" + loopback(ports[1]) + "/healthz"}
	}); err != nil {
		return err
	}
	if err := l.run("trillian-log-signer", 2, log, func(ports []int) process.Spec {
		return process.Spec{
			Args:  []string{trillian, "--rpc_endpoint=" + loopback(ports[0]), "--http_endpoint=" + loopback(ports[1]), "--force_master", "--sequencer_interval=50ms", "--num_sequencers=1"},
			Ready: "http://" + loopback(ports[1]) + "/healthz",
		}
	}); err != nil {
		return err
	}
	return l.run("rekor-server", 1, log, func(ports []int) process.Spec {
		l.URL = local(ports[0])
		return process.Spec{
			Args: []string{
				"serve", "--port=" + strconv.Itoa(ports[0]), "--rekor_server.hostname=localhost", "--rekor_server.signer=memory", "--log_type=prod",
				"--trillian_log_server.port=" + strconv.Itoa(port),
				"--search_index.storage_provider=mysql", "--search_index.mysql.dsn=root@tcp(" + database + ")/rekor",
			},
			Ready: l.URL + "/api/v1/log",
		}
	})
}

// run starts one of the tools.
func (l *LogV1) run(tool string, ports int, log io.Writer, spec func(ports []int) process.Spec) error {
	exe, err := toolcache.Path(tool, log)
	if err != nil {
		return err
	}
	server, err := process.Start(ports, func(ports []int) (process.Spec, error) {
		s := spec(ports)
		s.Path = exe
		return s, nil
	})
	if err != nil {
		return err
	}
	l.parts, l.Server.Server = append(l.parts, server), server
	return nil
}

// ErrNoDatabase says that the machine has no MariaDB.
var ErrNoDatabase = errors.New("no database")

// database starts MariaDB on a folder that has nothing yet: without the tables of users and rights, since nobody but this
// machine reaches it. It returns its address.
func (l *LogV1) database(dir string) (string, error) {
	exe, err := exec.LookPath("mariadbd")
	if err != nil {
		exe = "/usr/sbin/mariadbd" // not on everybody's path
		if _, err := os.Stat(exe); err != nil {
			return "", fmt.Errorf("%w: apt-get install mariadb-server-core: %w", ErrNoDatabase, err)
		}
	}
	who, err := user.Current()
	if err != nil {
		return "", err
	}
	init, err := schema(dir)
	if err != nil {
		return "", err
	}
	// The path of a Unix socket may have 108 bytes; a test's folder may be longer.
	sockets, err := os.MkdirTemp("", "mariadb-")
	if err != nil {
		return "", err
	}
	var address string
	server, err := process.Start(1, func(ports []int) (process.Spec, error) {
		address = loopback(ports[0])
		data := filepath.Join(dir, "data-"+strconv.Itoa(ports[0]))
		if err := os.Mkdir(data, 0o700); err != nil {
			return process.Spec{}, err
		}
		return process.Spec{
			Path: exe, Ready: "tcp://" + address,
			Args: []string{
				"--no-defaults", "--user=" + who.Username, "--datadir=" + data, "--socket=" + filepath.Join(sockets, "s"),
				"--bind-address=127.0.0.1", "--port=" + strconv.Itoa(ports[0]), "--skip-grant-tables", "--skip-log-bin", "--init-file=" + init,
				"--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M",
			},
		}, nil
	})
	_ = os.RemoveAll(sockets) // nobody comes that way
	if err != nil {
		return "", err
	}
	l.parts = append(l.parts, server)
	return address, nil
}

// schema writes what makes the two databases: Trillian's tables, out of its module, and room for Rekor's, which it makes
// itself. MariaDB reads one statement a line, without comments.
func schema(dir string) (string, error) {
	trillian, err := toolcache.Lookup("trillian-log-server")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "mod", "download", "-json", "github.com/google/trillian@"+trillian.Version)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOWORK=off")
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go mod download of Trillian: %w\n%s", err, out)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(module.Dir, "storage", "mysql", "schema", "storage.sql"))
	if err != nil {
		return "", err
	}
	var plain strings.Builder
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "--")
		line, _, _ = strings.Cut(line, "#")
		plain.WriteString(line + " ")
	}
	init := "CREATE DATABASE rekor;\nCREATE DATABASE trillian;\nUSE trillian;\n"
	for statement := range strings.SplitSeq(plain.String(), ";") {
		if words := strings.Fields(statement); len(words) > 0 {
			init += strings.Join(words, " ") + ";\n"
		}
	}
	path := filepath.Join(dir, "init.sql")
	return path, os.WriteFile(path, []byte(init), 0o600)
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
