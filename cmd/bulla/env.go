package main

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
)

// variable is an environment variable that has a meaning of its own, beyond standing in for a flag.
type variable struct {
	name, description, expects string
	secret                     bool
}

// later follows what a variable means to cosign and will mean here.
const later = "; not used yet"

// knownVariables returns the variables in alphabetical order.
func knownVariables() []variable {
	return []variable{
		{"ACTIONS_ID_TOKEN_REQUEST_TOKEN", "authorises a GitHub Actions job to ask for an identity token", "a token", true},
		{"ACTIONS_ID_TOKEN_REQUEST_URL", "where a GitHub Actions job asks for an identity token", "a URL", false},
		{"BUILDKITE_AGENT_ACCESS_TOKEN", "authorises a Buildkite job to ask for an identity token", "a token", true},
		{"BUILDKITE_AGENT_ENDPOINT", "the API of the Buildkite agent", "a URL (https://agent.buildkite.com/v3 if not set)", false},
		{"BUILDKITE_AGENT_LOG_LEVEL", "how much the Buildkite agent says" + later, "debug, notice, info, error, warn or fatal", false},
		{"BUILDKITE_JOB_ID", "the Buildkite job that an identity token is for", "an identifier", false},
		{"BULLA_PASSWORD", "the password of the private key; comes before COSIGN_PASSWORD", "a password, which may be empty", true},
		{"BULLA_PLUGIN_DIR", "where key store programs (sigstore-kms-NAME) are looked for first", "a directory", false},
		{"BULLA_REGISTRY_CACHE", "where verify keeps evidence that it read by its digest; lists are asked of the registry all the same", "a directory (nothing is kept if not set)", false},
		{"BULLA_REGISTRY_CACHE_SIZE", "how large that may become", "a size, as in 45MiB, 1GB (256MiB if not set)", false},
		{"BULLA_REGISTRY_HOSTS", "how registries are reached, and for commands that verify their mirrors, as containerd has it", "a directory of HOST/hosts.toml, such as /etc/containerd/certs.d (none if not set)", false},
		{"CONTAINERS_REGISTRIES_CONF", "mirrors and blocked registries, for commands that verify", "the path of a registries.conf (none if not set)", false},
		{"COSIGN_DOCKER_MEDIA_TYPES", "use Docker's media types, for registries that do not know those of OCI", "1 or 0", false},
		{"COSIGN_EXPERIMENTAL", "allow --registry-referrers-mode=oci-1-1, in cosign; has no effect here", "1 or 0", false},
		{"COSIGN_MAX_ATTACHMENT_SIZE", "the largest attachment that is downloaded", "a size, as in 5120, 20K, 45MiB, 1GB (128MiB if not set)", false},
		{"COSIGN_PASSWORD", "the password of the private key", "a password, which may be empty", true},
		{"COSIGN_PKCS11_IGNORE_CERTIFICATE", "do not read certificates from PKCS#11 tokens" + later, "1 or 0", false},
		{"COSIGN_PKCS11_MODULE_PATH", "the library of the PKCS#11 token" + later, "a path", false},
		{"COSIGN_PKCS11_PIN", "the PIN of the PKCS#11 token" + later, "a PIN", true},
		{"COSIGN_REPOSITORY", "where signatures are stored and looked for, instead of beside the image", "a repository", false},
		{"GITHUB_HOST", "the GitHub Enterprise server" + later, "a URL", false},
		{"GITHUB_TOKEN", "authenticates to GitHub; with --k8s-keychain to ghcr.io, under the name GITHUB_ACTOR", "a token", true},
		{"GITLAB_HOST", "the GitLab server" + later, "a URL", false},
		{"GITLAB_TOKEN", "authenticates to GitLab" + later, "a token", true},
		{"GOOGLE_SERVICE_ACCOUNT_NAME", "the Google service account whose identity token is asked for", "an e-mail address", false},
		{"SIGSTORE_CT_LOG_PUBLIC_KEY_FILE", "the key that signed certificate timestamps are checked with", "the path of a public key", false},
		{"SIGSTORE_ID_TOKEN", "the identity token to get a certificate with", "a token", true},
		{"SIGSTORE_REKOR_PUBLIC_KEY", "the key that log entries are checked with", "the path of a public key", false},
		{"SIGSTORE_ROOT_FILE", "the certificates that signing certificates are checked with", "the path of PEM certificates", false},
		{"SIGSTORE_TSA_CERTIFICATE_FILE", "the certificates that timestamps are checked with", "the path of PEM certificates, leaf first", false},
		{"SOURCE_DATE_EPOCH", "the time that is written into files, for builds that can be repeated", "seconds since 1970", false},
		{"SPIFFE_ENDPOINT_SOCKET", "the socket of the SPIFFE workload API", "a path", false},
		{"TUF_MIRROR", "where the trusted root is fetched from, in place of the initialized repository", "a URL", false},
		{"TUF_ROOT", "where what bulla initialize trusts is kept, and shared with cosign", "a directory (~/.sigstore/root if not set)", false},
		{"TUF_ROOT_JSON", "the root that trust in the TUF repository begins with", "the path of a root.json", false},
	}
}

// influential are the beginnings of names that some variable with a meaning may have.
func influential(name string) bool {
	for _, prefix := range []string{"BULLA_", "COSIGN_", "SIGSTORE_", "TUF_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

type environment struct {
	descriptions, secrets bool
	output                cli.Choice
}

func envCommand() *cli.Command {
	o := &environment{}
	return &cli.Command{
		Use: "env [flags]", Short: "Print the environment variables that have an influence, and their values", Group: "More",
		Example: `bulla env --show-descriptions=false`,
		Flags: func(fs *pflag.FlagSet) {
			fs.BoolVar(&o.descriptions, "show-descriptions", true, "say what each variable does")
			fs.BoolVar(&o.secrets, "show-sensitive-values", false, "print secrets, too, instead of ******")
			cli.Output(fs, &o.output, "text", "text", "json")
		},
		Run: o.run,
	}
}

func (o *environment) run(_ context.Context, c *cli.Call) error {
	known := knownVariables()
	others := o.others(c, known)
	if o.output.String() == "json" {
		return o.printJSON(c, known, others)
	}
	out := bufio.NewWriter(c.Out)
	for _, v := range known {
		value, _ := c.LookupEnv(v.name)
		if o.descriptions {
			fmt.Fprintf(out, "# %s: %s\n# Expects: %s\n", v.name, v.description, v.expects)
		}
		fmt.Fprintf(out, "%s=%s\n", v.name, o.shown(value, v.secret))
	}
	if len(others) > 0 && o.descriptions {
		fmt.Fprintf(out, "# The variables below are not in the list above, but may stand in for flags.\n")
	}
	for _, name := range slices.Sorted(maps.Keys(others)) {
		fmt.Fprintf(out, "%s=%s\n", name, o.shown(others[name], true))
	}
	return out.Flush()
}

// others returns the set variables that are not known but may matter, among them all that stand in for flags.
func (o *environment) others(c *cli.Call, known []variable) map[string]string {
	out := make(map[string]string)
	for _, entry := range c.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		if influential(name) && !slices.ContainsFunc(known, func(v variable) bool { return v.name == name }) {
			out[name] = value
		}
	}
	return out
}

func (o *environment) shown(value string, secret bool) string {
	if secret && value != "" && !o.secrets {
		return "******"
	}
	return value
}

type shownVariable struct {
	Name        string `json:"name"`
	Value       string `json:"value"`
	Set         bool   `json:"set"`
	Secret      bool   `json:"secret,omitempty"`
	Description string `json:"description,omitempty"`
	Expects     string `json:"expects,omitempty"`
}

func (o *environment) printJSON(c *cli.Call, known []variable, others map[string]string) error {
	var all []shownVariable
	for _, v := range known {
		value, set := c.LookupEnv(v.name)
		shown := shownVariable{Name: v.name, Value: o.shown(value, v.secret), Set: set, Secret: v.secret}
		if o.descriptions {
			shown.Description, shown.Expects = v.description, v.expects
		}
		all = append(all, shown)
	}
	for _, name := range slices.Sorted(maps.Keys(others)) {
		all = append(all, shownVariable{Name: name, Value: o.shown(others[name], true), Set: true, Secret: true})
	}
	return c.PrintJSON(all)
}
