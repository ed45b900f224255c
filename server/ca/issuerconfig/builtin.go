package issuerconfig

// provider is a built-in entry of ci-issuer-metadata.
type provider struct {
	name       string
	san        string
	ownURL     bool
	defaults   map[string]string
	extensions map[string]string // by the key of extension-templates
}

// builtinProviders says how the claims of the usual CI providers become certificates. The mapping is Fulcio's, column by
// column the table in its docs/oid-info.md, so that a certificate from here reads like one from the public instance.
var builtinProviders = []provider{
	{
		name:     "github-workflow",
		san:      "{{ .url }}/{{ .job_workflow_ref }}",
		defaults: map[string]string{"url": "https://github.com", "environment": ""},
		extensions: map[string]string{
			"github-workflow-trigger":    "event_name",
			"github-workflow-sha":        "sha",
			"github-workflow-name":       "workflow",
			"github-workflow-repository": "repository",
			"github-workflow-ref":        "ref",

			"build-signer-uri":    "{{ .url }}/{{ .job_workflow_ref }}",
			"build-signer-digest": "job_workflow_sha",
			"runner-environment":  "runner_environment",

			"source-repository-uri":                   "{{ .url }}/{{ .repository }}",
			"source-repository-digest":                "sha",
			"source-repository-ref":                   "ref",
			"source-repository-identifier":            "repository_id",
			"source-repository-owner-uri":             "{{ .url }}/{{ .repository_owner }}",
			"source-repository-owner-identifier":      "repository_owner_id",
			"source-repository-visibility-at-signing": "repository_visibility",

			"build-config-uri":       "{{ .url }}/{{ .workflow_ref }}",
			"build-config-digest":    "workflow_sha",
			"build-trigger":          "event_name",
			"run-invocation-uri":     "{{ .url }}/{{ .repository }}/actions/runs/{{ .run_id }}/attempts/{{ .run_attempt }}",
			"deployment-environment": "environment",
		},
	},
	{
		name:     "gitlab-pipeline",
		san:      "https://{{ .ci_config_ref_uri }}",
		ownURL:   true,
		defaults: map[string]string{"environment": ""},
		extensions: map[string]string{
			"build-signer-uri":    "https://{{ .ci_config_ref_uri }}",
			"build-signer-digest": "ci_config_sha",
			"runner-environment":  "runner_environment",

			"source-repository-uri":                   "{{ .url }}/{{ .project_path }}",
			"source-repository-digest":                "sha",
			"source-repository-ref":                   `refs/{{ if eq .ref_type "branch" }}heads{{ else }}tags{{ end }}/{{ .ref }}`,
			"source-repository-identifier":            "project_id",
			"source-repository-owner-uri":             "{{ .url }}/{{ .namespace_path }}",
			"source-repository-owner-identifier":      "namespace_id",
			"source-repository-visibility-at-signing": "project_visibility",

			"build-config-uri":       "https://{{ .ci_config_ref_uri }}",
			"build-config-digest":    "ci_config_sha",
			"build-trigger":          "pipeline_source",
			"run-invocation-uri":     "{{ .url }}/{{ .project_path }}/-/jobs/{{ .job_id }}",
			"deployment-environment": "environment",
		},
	},
	{
		name:     "buildkite-job",
		san:      "{{ .url }}/{{ .organization_slug }}/{{ .pipeline_slug }}",
		defaults: map[string]string{"url": "https://buildkite.com"},
		extensions: map[string]string{
			"runner-environment":       "runner_environment",
			"source-repository-digest": "build_commit",
			"build-trigger":            "build_source",
			"run-invocation-uri":       "{{ .url }}/{{ .organization_slug }}/{{ .pipeline_slug }}/builds/{{ .build_number }}#{{ .job_id }}",
		},
	},
	{
		name: "codefresh-workflow",
		san:  "{{ .platform_url }}/{{ .account_name }}/{{ .pipeline_name }}:{{ .account_id }}/{{ .pipeline_id }}",
		defaults: map[string]string{
			"platform_url": "https://g.codefresh.io", "scm_repo_url": "", "scm_ref": "", "runner_environment": "",
		},
		extensions: map[string]string{
			"build-signer-uri":      "{{ .platform_url }}/build/{{ .workflow_id }}",
			"runner-environment":    "runner_environment",
			"source-repository-uri": "scm_repo_url",
			"source-repository-ref": "scm_ref",
			"build-config-uri":      "{{ .platform_url }}/api/pipelines/{{ .pipeline_id }}",
			"run-invocation-uri":    "{{ .platform_url }}/build/{{ .workflow_id }}",
		},
	},
	{
		name: "circleci-job",
		san: `{{ .api_url }}/projects/{{ index . "oidc.circleci.com/project-id" }}` +
			`/pipeline-definitions/{{ index . "oidc.circleci.com/pipeline-definition-id" }}`,
		defaults: map[string]string{"api_url": "https://circleci.com/api/v2", "platform_url": "https://app.circleci.com/"},
		extensions: map[string]string{
			"build-signer-uri": `{{ .api_url }}/projects/{{ index . "oidc.circleci.com/project-id" }}` +
				`/pipeline-definitions/{{ index . "oidc.circleci.com/pipeline-definition-id" }}`,
			"runner-environment":    `{{ if eq (index . "oidc.circleci.com/ssh-rerun") "true" }}ssh-rerun{{ else }}""{{ end }}`,
			"source-repository-uri": `{{ index . "oidc.circleci.com/vcs-origin" }}`,
			"source-repository-ref": `{{ index . "oidc.circleci.com/vcs-ref" }}`,
			"build-config-uri":      `{{ .api_url }}/pipeline/{{ index . "oidc.circleci.com/pipeline-id" }}/config`,
			"run-invocation-uri": `{{ .platform_url }}/workflow/{{ index . "oidc.circleci.com/workflow-id" }}` +
				`/job/{{ index . "oidc.circleci.com/job-id" }}`,
		},
	},
	{
		name:     "buddy-pipeline",
		san:      "{{ .base_url }}/{{ .workspace_domain }}/{{ .project_name }}/pipelines/pipeline/{{ .pipeline_id }}",
		defaults: map[string]string{"base_url": "https://app.buddy.works", "revision": "", "ref": "", "triggered_on": ""},
		extensions: map[string]string{
			"build-signer-uri":            "{{ .base_url }}/{{ .workspace_domain }}/{{ .project_name }}/pipelines/pipeline/{{ .pipeline_id }}",
			"source-repository-digest":    "revision",
			"source-repository-ref":       "ref",
			"source-repository-owner-uri": "{{ .base_url }}/{{ .workspace_domain }}",
			"build-trigger":               "triggered_on",
			"run-invocation-uri": "{{ .base_url }}/{{ .workspace_domain }}/{{ .project_name }}/pipelines/pipeline/{{ .pipeline_id }}" +
				"/execution/{{ .execution_id }}",
		},
	},
}

// builtin compiles the built-in providers. They are data of this file, so a mistake in them is one of the program; a test
// compiles each.
func builtin() map[string]*Provider {
	out := map[string]*Provider{}
	for _, p := range builtinProviders {
		compiled, err := newProvider(p.san, p.extensions, p.defaults)
		if err != nil {
			panic("issuerconfig: built-in provider " + p.name + ": " + err.Error())
		}
		compiled.DefaultURL = p.ownURL
		out[p.name] = compiled
	}
	return out
}
