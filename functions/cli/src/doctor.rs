//! Implements `slipway doctor`: checks an installation from the outside, and says of each fault how it is mended.
//!
//! `doctor` changes nothing. What this login may not read is a finding of its own.

mod cluster;
mod finding;
mod functions;
mod github;
mod secrets;
mod slack;
pub(crate) mod stack;
mod webhook;

use clap::Args;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use secrecy::ExposeSecret as _;
use slipway::app::Application;
use slipway::aws::Aws;
use slipway::config;
use slipway::root::places::RootPlaces;
use slipway::secret::{GithubCredential, Secrets};
use slipway::source::RepoUrl;

use crate::app::{ClusterFlags, connect};
use crate::aws;
use crate::github::Api;
use crate::root::check::{self, GitHubLogin};
use finding::{Finding, Format, Level};
use stack::Installation;

/// Seconds by which AWS and GitHub take requests of a clock that is wrong, and a tenth of it.
const SKEW: i64 = 300;
const SOME_SKEW: i64 = 30;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The CloudFormation stack, whose parameters, resources and outputs say what is looked at; `slipway` where neither
    /// this nor --parameter is given.
    #[arg(long, value_name = "NAME")]
    stack: Option<String>,
    /// The value of a parameter, resource or output of the template, in the place of the stack's; may be repeated.
    #[arg(long = "parameter", value_name = "NAME=VALUE")]
    parameters: Vec<String>,
    #[command(flatten)]
    cluster: ClusterFlags,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

/// Collects findings, and prints each as soon as it is known.
struct Findings {
    all: Vec<Finding>,
    format: Format,
}

impl Findings {
    fn add(&mut self, finding: Finding) {
        finding::print(&finding, self.format);
        self.all.push(finding);
    }

    fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        findings.into_iter().for_each(|one| self.add(one));
    }
}

/// Runs every check; the exit code is 1 where one failed.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let aws = Aws::default();
    let now = Timestamp::now();
    let mut findings = Findings { all: Vec::new(), format: arguments.output };
    let stack = arguments.stack.as_deref().or_else(|| arguments.parameters.is_empty().then_some("slipway"));
    findings.add(login(&aws, now).await);
    let mut installation = Installation::default();
    if let Some(name) = stack {
        let (read, finding) = Installation::read(&aws, name).await;
        installation = read;
        findings.add(finding);
    }
    for given in &arguments.parameters {
        installation.set(given)?;
    }
    let secrets = Secrets::new(aws.clone());
    findings.extend(secrets::check(&installation, &secrets).await);
    Box::pin(github(&aws, &installation, &secrets, now, &mut findings)).await;
    if let Some(name) = installation.get("SlackSecret") {
        findings.extend(slack::check(&aws, &secrets, name).await);
    }
    findings.extend(functions::functions(&aws, &installation).await);
    findings.extend(functions::queues(&aws, &installation, now).await);
    findings.extend(functions::schedules(&aws, &installation, now).await);
    Box::pin(cluster(&aws, &installation, &arguments.cluster, &mut findings)).await;
    finding::print_all(&findings.all, arguments.output);
    Ok(u8::from(findings.all.iter().any(|one| one.level == Level::Fail)))
}

/// Checks who asks, and that the machine's clock is AWS's.
async fn login(aws: &Aws, now: Timestamp) -> Finding {
    match aws::query(aws, aws::STS, "GetCallerIdentity", &[]).await {
        Ok((caller, headers)) => {
            let date = headers.get("date").and_then(|date| date.to_str().ok());
            let who = Finding::ok("AWS", format!("asked by {}", aws::text(&caller, "Arn")));
            date.and_then(|date| skew("AWS", date, now)).unwrap_or(who)
        }
        Err(error) => {
            Finding::fail("AWS", format!("it does not know this login: {error}"), "aws sts get-caller-identity")
        }
    }
}

/// A finding where the clock of `whose`, as the header `Date` has it, is not ours.
fn skew(whose: &str, date: &str, now: Timestamp) -> Option<Finding> {
    let theirs = rfc2822::parse(date).ok()?.timestamp();
    let seconds = now.duration_since(theirs).as_secs();
    let words = format!(
        "this machine's clock is {} s {} {whose}'s",
        seconds.abs(),
        if seconds < 0 { "behind" } else { "before" }
    );
    let remedy = "sudo chronyc makestep, or sudo timedatectl set-ntp true";
    match seconds.abs() {
        SKEW.. => Some(Finding::fail("clock", format!("{words}, and requests are refused"), remedy)),
        SOME_SKEW.. => Some(Finding::warn("clock", words, remedy)),
        _ => None,
    }
}

/// Checks everything about GitHub, and the root with the functions' own credential.
async fn github(aws: &Aws, installation: &Installation, secrets: &Secrets, now: Timestamp, findings: &mut Findings) {
    let name = installation.get("GitHubSecret").unwrap_or("slipway/github");
    let Ok(text) = secrets.get(name).await else { return };
    let Ok(credential) = GithubCredential::parse(name, &text) else { return };
    let environment = GitHubLogin::of_environment();
    let base = installation.get("GitHubApi").unwrap_or(&environment.api).trim_end_matches('/').to_owned();
    let anybody = Api { http: aws.http().clone(), base, token: None };
    let root = installation.get("Root").unwrap_or_default();
    let repositories = repositories(root);
    let asked = async {
        let login = github::login(&anybody, credential, name, now.as_second()).await?;
        findings.extend(login.findings);
        if let Some(api) = &login.api {
            let (rate, answer) = github::rate(api).await?;
            findings.add(rate);
            findings.extend(answer.date.and_then(|date| skew("GitHub", &date, now)));
            findings.extend(github::repositories(api, &repositories).await?);
        }
        // A person who administers the repository sees its webhooks; an App seldom may.
        let person = Some(environment.token).filter(|token| !token.expose_secret().is_empty());
        let person = person.map(|token| anybody.with(token));
        let asks = person.as_ref().or(login.api.as_ref());
        findings.extend(webhook::check(installation, login.app.as_ref(), asks, &repositories).await?);
        Ok::<_, aws::AskError>(login.api.and_then(|api| api.token))
    };
    match asked.await {
        Ok(Some(token)) => findings.add(Box::pin(check_root(root, GitHubLogin { api: anybody.base, token })).await),
        Ok(None) => {}
        Err(error) => {
            let remedy = format!("curl -sI {}", anybody.base);
            findings.add(Finding::fail("GitHub", format!("it can't be reached: {error}"), remedy));
        }
    }
}

/// The repositories in which the root's places are.
fn repositories(root: &str) -> Vec<RepoUrl> {
    let places = RootPlaces::parse(root).map(|root| root.places).unwrap_or_default();
    let sources = places.iter().flat_map(Application::all_sources);
    let mut urls: Vec<RepoUrl> = sources.filter_map(|source| source.repository().ok()).collect();
    urls.sort();
    urls.dedup();
    urls
}

/// `slipway root check` of the root, in one line.
async fn check_root(root: &str, login: GitHubLogin) -> Finding {
    let remedy = |roots: &[String]| {
        let flags: Vec<String> = roots.iter().map(|root| format!("--root '{root}'")).collect();
        format!("slipway root check {}", flags.join(" "))
    };
    if root.trim_start().starts_with('[') {
        return Finding::warn("root", "not checked: it is a list of sources", "slipway root check");
    }
    let roots: Vec<String> = root.split_whitespace().map(str::to_owned).collect();
    let remedy = remedy(&roots);
    let checked = async {
        let options = config::tree_options(config::environment)?;
        Box::pin(check::check(&check::Arguments::logged_in(roots, login), &options, &mut None)).await
    };
    match checked.await {
        Ok(report) if report.is_wrong() => {
            let refused = report.applications.iter().find_map(|one| Some((one, one.refused.first()?)));
            let first = refused.map(|(one, why)| format!("{}: {why}", one.identity.1));
            let problem = || report.problems.iter().find(|one| !one.is_warning).map(ToString::to_string);
            Finding::fail("root", first.or_else(problem).unwrap_or_default(), remedy)
        }
        Ok(report) => Finding::ok("root", format!("{} Applications can be deployed", report.applications.len())),
        Err(error) => Finding::fail("root", format!("{error:#}"), remedy),
    }
}

/// Checks the cluster from both sides.
async fn cluster(aws: &Aws, installation: &Installation, flags: &ClusterFlags, findings: &mut Findings) {
    let settings = match (&flags.kubeconfig, installation.get("ClusterName")) {
        (None, Some(name)) => Ok(config::Cluster::Eks { name: name.to_owned(), endpoint: None }),
        _ => connect::settings(flags),
    };
    let (connected, failed) = match settings {
        Ok(settings) => match connect::connect(settings.clone()).await {
            Ok(cluster) => (Some((cluster, settings)), None),
            Err(error) => (None, Some(error)),
        },
        Err(error) => (None, Some(error)),
    };
    findings.extend(cluster::eks(aws, installation, connected.as_ref().map(|(cluster, _)| cluster)).await);
    match (connected, failed) {
        (Some((cluster, settings)), _) => findings.extend(cluster::rights(&cluster, &settings).await),
        (None, Some(error)) => {
            let remedy = "slipway doctor --kubeconfig FILE, or aws eks update-kubeconfig --name CLUSTER";
            findings.add(Finding::fail("API server", format!("{error:#}"), remedy));
        }
        (None, None) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_compared() {
        let now: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
        let level = |date| skew("AWS", date, now).map(|finding| finding.level);
        assert_eq!(level("Mon, 30 Nov 2026 12:00:20 GMT"), None);
        assert_eq!(level("Mon, 30 Nov 2026 11:59:00 GMT"), Some(Level::Warn));
        assert_eq!(level("Mon, 30 Nov 2026 12:06:00 GMT"), Some(Level::Fail));
        assert_eq!(level("no date"), None);
        assert!(skew("AWS", "Mon, 30 Nov 2026 12:06:00 GMT", now).unwrap().text.contains("360 s behind AWS's"));
    }

    #[test]
    fn repositories_of_the_root_are_each_named_once() {
        let root = "https://github.com/acme/gitops//a?ref=main https://github.com/acme/gitops//b?ref=main";
        assert_eq!(repositories(root).len(), 1);
        assert!(repositories("").is_empty());
    }
}
