//! Reads the settings: the only place that names Slipway's environment variables. All other settings are in the root,
//! as in Argo CD.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};
use slipway_manifest::yaml;

use crate::app::Undeclared;
use crate::error::chain;
use crate::memory::Memory;
use crate::notify::slack::SlackSettings;
use crate::root::clusters;
use crate::root::places::RootPlaces;
use crate::root::tree::TreeOptions;
use crate::source::decrypt::KeySettings;
use crate::source::github::GitHubSettings;
use crate::time;

/// One environment variable, as the README lists it.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// The value where it is not set; `None` where it is required (by the functions that need it).
    pub default: Option<&'static str>,
    /// Its description in the README.
    pub help: &'static str,
}

macro_rules! variables {
    ($($constant:ident = $name:literal, $default:expr, $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: Variable = Variable { name: $name, default: $default, help: $help };)*
        /// Every variable, in the order of the README's table (a test compares them).
        pub const VARIABLES: &[Variable] = &[$($constant),*];
    };
}

variables! {
    ROOT = "SLIPWAY_ROOT", None, "Where the `Application` manifests lie: \
        `https://github.com/OWNER/REPO//PATH?ref=BRANCH`, several of them with spaces between, or a JSON list of them \
        and of sources as an Application has them.";
    ROOT_APPLICATION = "SLIPWAY_ROOT_APPLICATION", Some(""), "An `Application` manifest whose sources are the root, \
        instead of `SLIPWAY_ROOT`.";
    GITHUB_SECRET = "SLIPWAY_GITHUB_SECRET", None, "Secrets Manager name of the GitHub credential: a token, or JSON \
        with `token`, or with `appId`, `installationId` and `privateKey`.";
    GITHUB_API = "SLIPWAY_GITHUB_API", Some("https://api.github.com"), "GitHub's API.";
    COMMIT_MESSAGE = "SLIPWAY_COMMIT_MESSAGE", Some(""), "Template of the message of an image's commit, as Image \
        Updater's `git.commit-message-template`; without it the message is Image Updater's.";
    ECR_ROLES = "SLIPWAY_ECR_ROLES", Some(""), "ARNs of roles of other accounts, separated by commas, in whose name \
        `ecr-push` reads the tags in ECR there.";
    WEBHOOK_SECRET = "SLIPWAY_WEBHOOK_SECRET", None, "Secrets Manager name of the webhook's signing secret.";
    REPOSITORIES = "SLIPWAY_REPOSITORIES", Some(""), "Repositories whose webhooks are accepted: `OWNER/REPO`, or \
        `HOST/PATH` on another host than GitHub, with `*`, separated by commas; without it all whose webhook has the \
        secret.";
    QUEUE_URL = "SLIPWAY_QUEUE_URL", None, "The SQS FIFO queue between the webhook and its worker.";
    SCHEDULE_ROLE = "SLIPWAY_SCHEDULE_ROLE", Some(""), "ARN of the role in whose name EventBridge Scheduler sends the \
        rest of a sync that waits for more than a minute, and what an outage puts off; without it a worker waits, and \
        a message of an outage longer than ten minutes becomes a dead letter.";
    STATE_SECRET = "SLIPWAY_STATE_SECRET", None, "Secrets Manager name of the key under which drift is \
        fingerprinted, and which signs what is recorded in the clusters.";
    CLUSTER = "SLIPWAY_CLUSTER", Some(""), "EKS name of the cluster that manifests call \
        `https://kubernetes.default.svc` or `in-cluster`; needed unless `SLIPWAY_KUBECONFIG` is set.";
    CLUSTER_ENDPOINT = "SLIPWAY_CLUSTER_ENDPOINT", Some(""), "That cluster's API endpoint; asked of EKS where it is \
        not set.";
    CLUSTER_CA = "SLIPWAY_CLUSTER_CA", Some(""), "That cluster's certificate authority, base64 PEM; goes with the \
        endpoint.";
    KUBECONFIG = "SLIPWAY_KUBECONFIG", Some(""), "A kubeconfig to use instead of EKS, for local runs.";
    SYNC_TIMEOUT = "SLIPWAY_SYNC_TIMEOUT", Some("1h"), "How long a sync may take in all, hooks and waves included, a \
        day at most; then it has failed.";
    PROJECTS = "SLIPWAY_PROJECTS", Some("strict"), "`strict`: an Application whose AppProject nothing declares is \
        refused; `declared-or-open`: such a project allows everything, with a warning.";
    SETTINGS = "SLIPWAY_SETTINGS", Some(""), "Keys of `argocd-cm` as a YAML mapping, for what no manifest of the root \
        sets.";
    CLUSTERS = "SLIPWAY_CLUSTERS", Some(""), "Clusters that no Secret of the root declares, as a YAML list: `name`, \
        `server`, `config` and the other fields of a cluster Secret, `labels`, `annotations`.";
    LOCAL_HOSTS = "SLIPWAY_LOCAL_HOSTS", Some(""), "Hosts (`HOST` or `HOST:PORT`, separated by commas) from which \
        charts, bases and commits are fetched though their addresses are loopback or link-local; private addresses \
        need no such leave.";
    REPOSITORY_SECRET = "SLIPWAY_REPOSITORY_SECRET", Some(""), "Secrets Manager name of the credentials of \
        repositories and registries that the root does not declare: a JSON list of objects with the keys of repository \
        Secrets (`url`, `username`, `password` …), and `\"secret-type\": \"repo-creds\"` for all below a URL.";
    SOPS_AGE_SECRET = "SLIPWAY_SOPS_AGE_SECRET", Some(""), "Secrets Manager name of the age identities, as \
        `age-keygen` writes them, by which files that SOPS encrypted are decrypted for Applications of projects with \
        the annotation `slipway.dev/decrypt: sops`.";
    SOPS_KMS_KEYS = "SLIPWAY_SOPS_KMS_KEYS", Some(""), "The same for files that are encrypted for KMS keys: their \
        ARNs, separated by commas.";
    PLACEHOLDER_SECRETS = "SLIPWAY_PLACEHOLDER_SECRETS", Some(""), "ARNs of the secrets in Secrets Manager and \
        parameters in SSM that placeholders of argocd-vault-plugin may name, separated by commas; `*` stands for any \
        text. Placeholders are replaced in Applications of projects with the annotation `slipway.dev/decrypt: \
        placeholders`.";
    SLACK_SECRET = "SLIPWAY_SLACK_SECRET", Some(""), "Secrets Manager name of the Slack bot token; without it nothing \
        is sent to Slack.";
    SLACK_CHANNEL = "SLIPWAY_SLACK_CHANNEL", Some(""), "The channel's id; goes with the token.";
    SLACK_API = "SLIPWAY_SLACK_API", Some("https://slack.com/api"), "Slack's Web API.";
}

/// Each of these makes a function the worker half of `github-webhook`.
const WORKER_VARIABLES: [Variable; 6] = [ROOT, ROOT_APPLICATION, GITHUB_SECRET, STATE_SECRET, CLUSTER, KUBECONFIG];

/// Why the settings can't be used: all mistakes at once.
#[derive(Debug, Clone, PartialEq, Eq, Default, thiserror::Error)]
pub struct ConfigError {
    /// Required variables that are not set.
    pub missing: BTreeSet<&'static str>,
    /// Variables with an invalid value, each with the mistake.
    pub invalid: Vec<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if !self.missing.is_empty() {
            let names: Vec<_> = self.missing.iter().copied().collect();
            parts.push(format!("missing environment variables: {}", names.join(", ")));
        }
        parts.extend(self.invalid.iter().cloned());
        f.write_str(&parts.join("; "))
    }
}

/// How to reach the cluster of the settings.
#[derive(Debug, Clone)]
pub enum Cluster {
    /// An EKS cluster by name.
    Eks {
        /// [`CLUSTER`].
        name: String,
        /// [`CLUSTER_ENDPOINT`] and [`CLUSTER_CA`]; requested from EKS where `None`.
        endpoint: Option<(String, String)>,
    },
    /// [`KUBECONFIG`].
    Kubeconfig {
        /// The files, as in `KUBECONFIG`: the first that has something counts.
        files: Vec<PathBuf>,
        /// The context in it, if not the current one; only the command line sets it.
        context: Option<String>,
    },
}

/// The settings of `ecr-push`.
#[derive(Debug, Clone)]
pub struct EcrPush {
    /// [`ROOT`].
    pub root: RootPlaces,
    /// GitHub's settings.
    pub github: GitHubSettings,
    /// Slack, where it is configured: gets images that can't be updated.
    pub slack: Option<SlackSettings>,
    /// [`COMMIT_MESSAGE`].
    pub message: Option<String>,
    /// [`ECR_ROLES`].
    pub ecr_roles: Vec<String>,
}

/// The settings of the half of `github-webhook` that answers requests, and of the queue between the halves.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// [`WEBHOOK_SECRET`]; without it the function answers no request.
    pub secret: Option<String>,
    /// [`REPOSITORIES`].
    pub repositories: Vec<String>,
    /// [`QUEUE_URL`].
    pub queue_url: String,
    /// [`SCHEDULE_ROLE`].
    pub schedule_role: Option<String>,
}

/// The settings of everything that connects to clusters and reports: the worker half of `github-webhook`, and
/// `drift-check`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// [`ROOT`].
    pub root: RootPlaces,
    /// GitHub's settings.
    pub github: GitHubSettings,
    /// The cluster of the settings.
    pub cluster: Cluster,
    /// [`STATE_SECRET`]; `None` only on the command line, which then neither signs nor verifies what is recorded.
    pub state_secret: Option<String>,
    /// [`SYNC_TIMEOUT`].
    pub sync_timeout: Duration,
    /// [`LOCAL_HOSTS`].
    pub local_hosts: Vec<String>,
    /// [`REPOSITORY_SECRET`].
    pub repository_secret: Option<String>,
    /// [`SOPS_AGE_SECRET`], [`SOPS_KMS_KEYS`] and [`PLACEHOLDER_SECRETS`].
    pub sops: KeySettings,
    /// Slack, where it is configured.
    pub slack: Option<SlackSettings>,
}

/// The settings of `github-webhook`, which is two functions of one binary where it is installed as
/// `infra/template.yaml` has it, so that a flood of requests takes nothing from the worker.
#[derive(Debug, Clone)]
pub struct GithubWebhook {
    /// The answering half, and the queue.
    pub webhook: Webhook,
    /// The worker half; `None` where nothing but the answering half is configured.
    pub engine: Option<Settings>,
}

impl EcrPush {
    /// Reads the settings through `get` (the process' environment: `|name| std::env::var(name).ok()`). An empty value
    /// counts as not set. The error lists everything that is missing or invalid.
    pub fn load(get: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        Reader::read(&get, |r| Self {
            root: r.root(),
            github: r.github(),
            slack: r.slack(),
            message: r.optional(COMMIT_MESSAGE),
            ecr_roles: r.list(ECR_ROLES),
        })
    }
}

impl GithubWebhook {
    /// Like [`EcrPush::load`]. A function is the answering half where the webhook's secret is set, the worker where one
    /// of the worker's own settings is, and both where both are.
    pub fn load(get: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        Reader::read(&get, |r| {
            let secret = r.optional(WEBHOOK_SECRET);
            let is_worker = WORKER_VARIABLES.iter().any(|variable| r.optional(*variable).is_some());
            if secret.is_none() && !is_worker {
                r.required(WEBHOOK_SECRET);
            }
            let webhook = Webhook {
                secret,
                repositories: r.list(REPOSITORIES),
                queue_url: r.required(QUEUE_URL),
                schedule_role: r.optional(SCHEDULE_ROLE),
            };
            Self { webhook, engine: is_worker.then(|| r.engine()) }
        })
    }
}

impl Settings {
    /// Like [`EcrPush::load`].
    pub fn load(get: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        Reader::read(&get, Reader::engine)
    }
}

/// The cluster's settings alone; like [`EcrPush::load`].
pub fn cluster(get: impl Fn(&str) -> Option<String>) -> Result<Cluster, ConfigError> {
    Reader::read(&get, Reader::cluster)
}

/// What the tree of Applications is read with; like [`EcrPush::load`].
pub fn tree_options(get: impl Fn(&str) -> Option<String>) -> Result<TreeOptions, ConfigError> {
    Reader::read(&get, Reader::tree_options)
}

/// [`SOPS_AGE_SECRET`], [`SOPS_KMS_KEYS`] and [`PLACEHOLDER_SECRETS`] alone.
pub fn sops(get: impl Fn(&str) -> Option<String>) -> KeySettings {
    Reader { get: &get, error: ConfigError::default() }.sops()
}

/// [`ECR_ROLES`] alone.
pub fn ecr_roles(get: impl Fn(&str) -> Option<String>) -> Vec<String> {
    Reader { get: &get, error: ConfigError::default() }.list(ECR_ROLES)
}

/// [`LOCAL_HOSTS`] alone.
pub fn local_hosts(get: impl Fn(&str) -> Option<String>) -> Vec<String> {
    Reader { get: &get, error: ConfigError::default() }.list(LOCAL_HOSTS)
}

/// The process' environment, for the `load` functions.
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Reads variables and collects all mistakes for one error.
struct Reader<'a> {
    get: &'a dyn Fn(&str) -> Option<String>,
    error: ConfigError,
}

impl<'a> Reader<'a> {
    fn read<T>(get: &'a dyn Fn(&str) -> Option<String>, build: impl FnOnce(&mut Self) -> T) -> Result<T, ConfigError> {
        let mut reader = Self { get, error: ConfigError::default() };
        let value = build(&mut reader);
        if reader.error == ConfigError::default() { Ok(value) } else { Err(reader.error) }
    }

    fn optional(&self, variable: Variable) -> Option<String> {
        (self.get)(variable.name)
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
            .or_else(|| variable.default.filter(|d| !d.is_empty()).map(str::to_owned))
    }

    /// What is separated by commas.
    fn list(&self, variable: Variable) -> Vec<String> {
        let listed = self.optional(variable).unwrap_or_default();
        listed.split(',').map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect()
    }

    fn sops(&self) -> KeySettings {
        let own = [GITHUB_SECRET, WEBHOOK_SECRET, STATE_SECRET, SLACK_SECRET, REPOSITORY_SECRET, SOPS_AGE_SECRET];
        KeySettings {
            age_secret: self.optional(SOPS_AGE_SECRET),
            kms_keys: self.list(SOPS_KMS_KEYS),
            secrets: self.list(PLACEHOLDER_SECRETS),
            own_secrets: own.into_iter().filter_map(|variable| self.optional(variable)).collect(),
        }
    }

    fn required(&mut self, variable: Variable) -> String {
        self.optional(variable).unwrap_or_else(|| {
            self.error.missing.insert(variable.name);
            String::new()
        })
    }

    fn url(&mut self, variable: Variable) -> String {
        let value = self.required(variable);
        if !value.is_empty() && !value.starts_with("https://") && !value.starts_with("http://") {
            self.error.invalid.push(format!("{} must be an http(s) URL, found `{value}`", variable.name));
        }
        value.trim_end_matches('/').to_owned()
    }

    fn duration(&mut self, variable: Variable) -> Duration {
        let value = self.required(variable);
        time::duration(&value).unwrap_or_else(|| {
            self.error.invalid.push(format!("{} must be a duration such as `1h`, found `{value}`", variable.name));
            Duration::ZERO
        })
    }

    fn tree_options(&mut self) -> TreeOptions {
        let undeclared = match self.required(PROJECTS).as_str() {
            "declared-or-open" => Undeclared::Open,
            "strict" => Undeclared::OnlyDefault,
            other => {
                let problem = format!("{} must be `strict` or `declared-or-open`, found `{other}`", PROJECTS.name);
                self.error.invalid.push(problem);
                Undeclared::Denied
            }
        };
        let settings = match yaml::parse(&self.optional(SETTINGS).unwrap_or_default()) {
            Ok(Value::Object(settings)) if settings.values().all(Value::is_string) => settings,
            Ok(Value::Null) => Map::new(),
            _ => {
                let problem = format!("{} must be a YAML mapping of keys to strings", SETTINGS.name);
                self.error.invalid.push(problem);
                Map::new()
            }
        };
        let clusters = clusters::secrets(&self.optional(CLUSTERS).unwrap_or_default()).unwrap_or_else(|error| {
            self.error.invalid.push(format!("{}: {}", CLUSTERS.name, chain(&error)));
            Vec::new()
        });
        TreeOptions { undeclared, settings, clusters, ..TreeOptions::default() }
    }

    fn root(&mut self) -> RootPlaces {
        let manifest = self.optional(ROOT_APPLICATION);
        let read = match &manifest {
            Some(manifest) => RootPlaces::of_manifest(manifest),
            None => match self.required(ROOT).as_str() {
                "" => return RootPlaces::default(),
                text => RootPlaces::parse(text),
            },
        };
        let options = self.tree_options();
        match read {
            Ok(places) => RootPlaces { options, ..places },
            Err(error) => {
                let name = if manifest.is_some() { ROOT_APPLICATION.name } else { ROOT.name };
                self.error.invalid.push(format!("{name}: {}", chain(&error)));
                RootPlaces::default()
            }
        }
    }

    fn github(&mut self) -> GitHubSettings {
        GitHubSettings { api: self.url(GITHUB_API), secret: self.required(GITHUB_SECRET), memory: self.memory() }
    }

    /// Lambda sets it; elsewhere the default holds.
    fn memory(&self) -> Memory {
        let size = (self.get)("AWS_LAMBDA_FUNCTION_MEMORY_SIZE").and_then(|size| size.parse().ok());
        size.map_or_else(Memory::default, Memory::of_mebibytes)
    }

    fn cluster(&mut self) -> Cluster {
        if let Some(path) = self.optional(KUBECONFIG) {
            return Cluster::Kubeconfig { files: vec![path.into()], context: None };
        }
        let endpoint = match (self.optional(CLUSTER_ENDPOINT), self.optional(CLUSTER_CA)) {
            (Some(endpoint), Some(ca)) => Some((endpoint, ca)),
            (None, None) => None,
            (None, Some(_)) => {
                self.error.missing.insert(CLUSTER_ENDPOINT.name);
                None
            }
            (Some(_), None) => {
                self.error.missing.insert(CLUSTER_CA.name);
                None
            }
        };
        Cluster::Eks { name: self.required(CLUSTER), endpoint }
    }

    fn slack(&mut self) -> Option<SlackSettings> {
        let secret = self.optional(SLACK_SECRET)?;
        Some(SlackSettings { api: self.url(SLACK_API), secret, channel: self.required(SLACK_CHANNEL) })
    }

    fn engine(&mut self) -> Settings {
        Settings {
            root: self.root(),
            github: self.github(),
            cluster: self.cluster(),
            state_secret: Some(self.required(STATE_SECRET)),
            sync_timeout: self.duration(SYNC_TIMEOUT),
            local_hosts: self.list(LOCAL_HOSTS),
            repository_secret: self.optional(REPOSITORY_SECRET),
            sops: self.sops(),
            slack: self.slack(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &[(&str, &str)] = &[
        ("SLIPWAY_ROOT", "https://github.com/acme/gitops//apps?ref=main"),
        ("SLIPWAY_GITHUB_SECRET", "github"),
        ("SLIPWAY_WEBHOOK_SECRET", "webhook"),
        ("SLIPWAY_QUEUE_URL", "http://127.0.0.1/1/q.fifo"),
        ("SLIPWAY_STATE_SECRET", "state"),
        ("SLIPWAY_CLUSTER", "prod"),
        ("SLIPWAY_SLACK_SECRET", "slack"),
        ("SLIPWAY_SLACK_CHANNEL", "C1"),
    ];

    fn env(pairs: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        move |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn full_settings_are_read() {
        let GithubWebhook { webhook, engine } = GithubWebhook::load(env(FULL)).unwrap();
        let engine = engine.unwrap();
        assert_eq!(webhook.queue_url, "http://127.0.0.1/1/q.fifo");
        assert_eq!((engine.github.api.as_str(), engine.github.memory), ("https://api.github.com", Memory::default()));
        let little = |name: &str| match name {
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE" => Some("256".to_owned()),
            _ => env(FULL)(name),
        };
        assert_eq!(EcrPush::load(little).unwrap().github.memory, Memory::of_mebibytes(256));
        assert_eq!(engine.root.location.path, "apps");
        assert!(matches!(engine.cluster, Cluster::Eks { name, endpoint: None } if name == "prod"));
        assert_eq!(engine.slack.unwrap().channel, "C1");
        assert_eq!(EcrPush::load(env(FULL)).unwrap().github.secret, "github");
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let error = GithubWebhook::load(env(&[
            ("SLIPWAY_ROOT", "not a url"),
            ("SLIPWAY_GITHUB_API", "ftp://x"),
            ("SLIPWAY_WEBHOOK_SECRET", " "),
            ("SLIPWAY_SLACK_SECRET", "slack"),
            ("SLIPWAY_CLUSTER_CA", "x"),
        ]))
        .unwrap_err()
        .to_string();
        for part in [
            "missing environment variables: SLIPWAY_CLUSTER, SLIPWAY_CLUSTER_ENDPOINT, SLIPWAY_GITHUB_SECRET, \
             SLIPWAY_QUEUE_URL, SLIPWAY_SLACK_CHANNEL, SLIPWAY_STATE_SECRET",
            "SLIPWAY_ROOT: ",
            "SLIPWAY_GITHUB_API must be an http(s) URL, found `ftp://x`",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_function_is_what_its_settings_make_it() {
        let url =
            GithubWebhook::load(env(&[("SLIPWAY_WEBHOOK_SECRET", "webhook"), ("SLIPWAY_QUEUE_URL", "q")])).unwrap();
        assert!(url.engine.is_none() && url.webhook.secret.is_some());
        let worker = GithubWebhook::load(|name| env(FULL)(name).filter(|_| name != WEBHOOK_SECRET.name)).unwrap();
        assert!(worker.engine.is_some() && worker.webhook.secret.is_none());
        let neither = GithubWebhook::load(|_| None).unwrap_err().to_string();
        assert_eq!(neither, "missing environment variables: SLIPWAY_QUEUE_URL, SLIPWAY_WEBHOOK_SECRET");
        let half = GithubWebhook::load(env(&[("SLIPWAY_QUEUE_URL", "q"), ("SLIPWAY_CLUSTER", "prod")])).unwrap_err();
        let missing = ["SLIPWAY_GITHUB_SECRET", "SLIPWAY_ROOT", "SLIPWAY_STATE_SECRET"];
        assert_eq!(half.missing, BTreeSet::from(missing), "a worker that lacks the rest is no other half");
    }

    #[test]
    fn the_readme_lists_every_variable() {
        let readme = include_str!("../../README.md");
        let section = readme.split("\n## Settings\n").nth(1).unwrap().split("\n## ").next().unwrap();
        let rows: Vec<String> = VARIABLES
            .iter()
            .map(|v| {
                let default = match v.default {
                    None => "required".to_owned(),
                    Some("") => String::new(),
                    Some(text) => format!("`{text}`"),
                };
                format!("| `{}` | {default} | {} |", v.name, v.help)
            })
            .collect();
        let listed: Vec<&str> = section.lines().filter(|line| line.starts_with("| `SLIPWAY_")).collect();
        assert_eq!(listed, rows);
    }
}
