//! Runs the function `ecr-push`: an image push becomes one commit for each branch that names the image. The changes are
//! planned by [`super::plan_updates`], again with each new head of the branch; this module reads the root and the
//! files, lists the tags, and commits. `slipway images` shows what it would do, and does it.

mod branch;
pub mod inspect;
mod preview;
mod pull_request;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::sqs::SqsEvent;
use futures::{StreamExt as _, stream};
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::promotion::{Promotion, Verdict};
use super::settings::may_concern;
use super::tags::Tags;
use super::target::{ManifestFile, updates};
use super::{ImageChange, ImagePolicies, ImageTags, ImageUpdaters, Update, UpdatePlan};
use crate::aws::Aws;
use crate::config;
use crate::error::{Class, Failure, chain};
use crate::event::ecr::{self, EcrRepository, EcrTrigger, ImagePush};
use crate::event::queue;
use crate::notify::report;
use crate::notify::slack::Slack;
use crate::root::{self, Root, Then, places::RootPlaces};
use crate::secret::Secrets;
use crate::services::Services;
use crate::source::commit::Committed;
use crate::source::github::GitHub;
use crate::source::{Checkouts, Repo, RepoUrl};

/// Repositories that a catch-up lists: one request each, as a rule.
const MAX_REPOSITORIES: usize = 500;
/// Repositories that a catch-up lists concurrently; ECR allows far more requests a second.
const LISTING_CONCURRENCY: usize = 8;
/// How long one event may try to commit: the function ends after five minutes.
const COMMIT_TIMEOUT: Duration = Duration::from_mins(4);
/// How long a root is taken as it was read: ApplicationSets may look at more than its commit.
const ROOT_LIFETIME: Duration = Duration::from_mins(1);
/// Problems that are remembered as told.
const MAX_TOLD: usize = 1_000;

/// The function `ecr-push`: its settings and clients.
#[derive(Clone)]
pub struct ImageUpdater {
    root: RootPlaces,
    github: GitHub,
    /// The template of the commit's message; `None` is Image Updater's default.
    message: Option<String>,
    tags: Tags,
    slack: Option<Slack>,
    /// What Slack has been told, so that it is not told at every push.
    told: Arc<Mutex<BTreeSet<String>>>,
    /// The root as it was read last. Locked while it is read: of many events at once one reads it for all.
    known: Arc<Mutex<Option<KnownRoot>>>,
}

/// A root, and when it was read.
#[derive(Debug)]
struct KnownRoot {
    at: Instant,
    root: Arc<Root>,
}

/// The result of one branch.
#[derive(Debug, Default)]
pub struct UpdateResult {
    /// The commit, where one was created.
    pub commit: Option<Committed>,
    /// The changes that were committed, or that would be.
    pub changes: Vec<ImageChange>,
    /// The web page of the pull request that proposes them.
    pub pull_request: Option<String>,
    /// Why Applications were not changed.
    pub unchanged: Vec<String>,
    /// Problems to report to users.
    pub problems: Vec<String>,
}

/// What came of an event.
#[derive(Debug, Default)]
struct Updated {
    /// The results, by branch.
    outcomes: BTreeMap<String, UpdateResult>,
    /// What may succeed later, and the images of it.
    failed: Vec<(Failure, BTreeSet<String>)>,
}

impl Updated {
    /// The results, where nothing is to be tried again.
    fn or_first_failure(self) -> Result<BTreeMap<String, UpdateResult>, Failure> {
        self.failed.into_iter().next().map_or(Ok(self.outcomes), |(failure, _)| Err(failure))
    }
}

/// Where a commit goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    url: RepoUrl,
    /// The branch that is read.
    branch: String,
    via: Via,
}

/// How a change comes into a branch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Via {
    /// By a commit to it.
    Commit,
    /// Not by Slipway, which commits to another branch: its template, and the Application that asks for it.
    Branch { template: String, app: String },
    /// By a pull request for each file, which the key tells apart.
    PullRequest { key: String },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.url.repo, self.branch)?;
        match &self.via {
            Via::Commit => Ok(()),
            Via::Branch { template, app } => write!(f, " {template} of {app}"),
            Via::PullRequest { key } => write!(f, " by a pull request ({key})"),
        }
    }
}

/// What the updates of an event are for.
#[derive(Clone, Copy)]
struct Cause<'a> {
    /// The pushes; none where it is a catch-up.
    pushes: &'a [ImagePush],
    /// Id of a catch-up's event.
    event: Option<&'a str>,
    deadline: Instant,
    /// The Applications that are looked at, by name or `NAMESPACE/NAME`; all where there is none.
    only: &'a [String],
    /// Whether nothing may be committed.
    is_dry_run: bool,
    /// The promotion that it is for.
    promotion: Option<&'a Promotion>,
}

impl<'a> Cause<'a> {
    /// The pushes of `image`, as a manifest names it.
    fn pushes_of(self, image: &str) -> impl Iterator<Item = &'a ImagePush> {
        self.pushes.iter().filter(move |push| push.is_of(image))
    }

    /// The ids of the events that the changes of `plan` are for.
    fn events<'p>(self, plan: &'p UpdatePlan) -> impl Iterator<Item = &'p str>
    where
        'a: 'p,
    {
        let is_for = |push: &&ImagePush| plan.changes.iter().any(|change| push.is_of(&change.image));
        let pushes = self.pushes.iter().filter(is_for).map(|push| push.event.as_str());
        pushes.chain(self.event).filter(|event| !event.is_empty())
    }

    /// What tells this event from others.
    fn seed(self) -> &'a str {
        self.pushes.first().map_or(self.event, |push| Some(push.event.as_str())).unwrap_or_default()
    }

    /// A catch-up from now on.
    fn catch_up() -> Self {
        Self {
            pushes: &[],
            event: None,
            deadline: Instant::now() + COMMIT_TIMEOUT,
            only: &[],
            is_dry_run: false,
            promotion: None,
        }
    }
}

/// A commit that is at hand, and the branch whose head it was just now.
struct AtHand {
    root: Arc<Root>,
    branch: String,
}

/// The earlier versions of files, by path and by the text that was their newest.
type Histories = BTreeMap<(String, Option<String>), Vec<String>>;

impl ImageUpdater {
    /// Creates the updater; sends no request yet.
    pub fn new(settings: config::EcrPush, aws: Aws) -> Self {
        let secrets = Secrets::new(aws.clone());
        Self::with_secrets(settings, aws, secrets)
    }

    /// The same with secrets that are known already.
    pub fn with_secrets(settings: config::EcrPush, aws: Aws, secrets: Secrets) -> Self {
        let config::EcrPush { root, github, slack, message, ecr_roles } = settings;
        Self {
            root,
            message,
            github: GitHub::new(github, secrets.clone()),
            slack: slack.map(|slack| Slack::new(slack, secrets, aws.http().clone())),
            tags: Tags::new(aws, ecr_roles),
            told: Arc::default(),
            known: Arc::default(),
        }
    }

    /// Handles an event of EventBridge, or messages of a queue with such events in them; returns the commits, or why
    /// the event triggers nothing; of messages which to deliver again.
    pub async fn handle(&self, event: Value) -> Result<Value, Failure> {
        if event.get("Records").is_some() {
            return Box::pin(self.handle_batch(event)).await;
        }
        let id = event.get("id").and_then(Value::as_str).map(str::to_owned);
        let cause = Cause { event: id.as_deref(), ..Cause::catch_up() };
        let updated = match ecr::read(event).map_err(|error| Failure::terminal(&error))? {
            EcrTrigger::Ignored(reason) => {
                tracing::info!(reason, "ignored");
                return Ok(json!({ "ignored": reason }));
            }
            EcrTrigger::Push(push) => {
                let pushes = std::slice::from_ref(&push);
                Box::pin(self.update(Cause { pushes, event: None, ..cause })).await?
            }
            EcrTrigger::CatchUp => Box::pin(self.update(cause)).await?,
        };
        Ok(json!({ "branches": updated.or_first_failure()?.iter().map(summary).collect::<Map<_, _>>() }))
    }

    /// Handles the messages of a queue together, so that many pushes become few commits.
    async fn handle_batch(&self, event: Value) -> Result<Value, Failure> {
        let event: SqsEvent = serde_json::from_value(event).map_err(|error| Failure::terminal(&error))?;
        let (mut pushes, mut of, mut failed) = (Vec::new(), Vec::new(), BTreeSet::new());
        for message in event.records {
            let id = message.message_id.unwrap_or_default();
            let body = serde_json::from_str::<Value>(&message.body.unwrap_or_default());
            match body.map_err(|error| error.to_string()).and_then(|body| ecr::read(body).map_err(|e| chain(&e))) {
                Ok(EcrTrigger::Push(push)) => {
                    pushes.push(push);
                    of.push(id);
                }
                Ok(EcrTrigger::Ignored(reason)) => tracing::info!(reason, "ignored"),
                // Schedules come without a queue.
                Ok(EcrTrigger::CatchUp) => tracing::warn!("a schedule came through the queue"),
                Err(error) => {
                    tracing::error!(error, "a message can't be read");
                    failed.insert(id);
                }
            }
        }
        if !pushes.is_empty() {
            let updated = Box::pin(self.update(Cause { pushes: &pushes, ..Cause::catch_up() })).await;
            let is_failed = |push: &ImagePush| match &updated {
                Ok(updated) => updated.failed.iter().any(|(_, images)| images.iter().any(|image| push.is_of(image))),
                Err(_) => true,
            };
            failed.extend(pushes.iter().zip(of).filter(|(push, _)| is_failed(push)).map(|(_, id)| id));
            if let Err(error) = &updated {
                tracing::error!(error = chain(error), "failed");
            }
        }
        Ok(queue::failures(failed.iter().map(String::as_str)))
    }

    /// Updates every file that names a pushed image to the tag that its Application wants; without a push every image
    /// that an Application names, to make up for events that got lost. Returns the result of each `OWNER/REPO branch`.
    ///
    /// What fails for one branch is told and stops no other.
    async fn update(&self, cause: Cause<'_>) -> Result<Updated, Failure> {
        for push in cause.pushes {
            tracing::info!(image = push.repository.image(), tag = push.tag, "pushed");
        }
        let concerns = |named: &str| match cause.pushes {
            [] => EcrRepository::of(named).is_some(),
            _ => cause.pushes_of(named).next().is_some(),
        };
        let (mut wanted, mut refused, root) = self.wanted(concerns, cause.only).await?;
        // Who does not wait for scans has taken the image already.
        let is_news = |update: &Update| cause.pushes_of(&update.image).any(|push| !push.is_scan);
        wanted.retain(|update| update.gate.is_some() || cause.pushes.is_empty() || is_news(update));
        // What is promoted gets its images from where it is promoted from.
        wanted.retain(|update| !update.is_promoted);
        let is_catch_up = cause.pushes.is_empty();
        let tags = if is_catch_up { self.list_all(&wanted, &mut refused).await } else { ImageTags::new() };
        let updated = Box::pin(self.write_all(wanted, refused, tags, (cause, &root))).await;
        for outcome in updated.outcomes.values().filter(|_| !is_catch_up) {
            self.notify(cause.pushes, &outcome.problems).await;
        }
        Ok(updated)
    }

    /// Writes what is `wanted` to its branches, with the tags that are known already.
    async fn write_all(
        &self,
        wanted: Vec<Update>,
        mut refused: Vec<String>,
        mut tags: ImageTags,
        (cause, root): (Cause<'_>, &AtHand),
    ) -> Updated {
        let mut updated = Updated::default();
        let Updated { outcomes, failed } = &mut updated;
        let mut fail = |failure: Failure, group: &[Update], problems: &mut Vec<String>| {
            problems.push(failure.message.clone());
            if failure.class == Class::Retryable {
                failed.push((failure, group.iter().map(|update| update.image.clone()).collect()));
            }
        };
        for (place, group) in self.by_branch(wanted, &mut refused, &mut fail).await {
            for (place, updated) in Box::pin(self.write_back(place, &group, &mut tags, (cause, root))).await {
                let outcome = updated.unwrap_or_else(|failure| {
                    let mut outcome = UpdateResult::default();
                    fail(failure, &group, &mut outcome.problems);
                    outcome
                });
                outcomes.insert(place.to_string(), outcome);
            }
        }
        if !refused.is_empty() {
            outcomes.insert("refused".to_owned(), UpdateResult { problems: refused, ..UpdateResult::default() });
        }
        let results: Map<String, Value> = outcomes.iter().map(summary).collect();
        tracing::info!(result = json!(results).to_string(), "done");
        updated
    }

    /// The updater for promotions, with the clients of `engine`: nothing is asked of ECR for them.
    pub fn of_services(engine: &Services, aws: Aws) -> Self {
        Self {
            root: engine.root.clone(),
            github: engine.github.clone(),
            message: None,
            tags: Tags::new(aws, Vec::new()),
            slack: None,
            told: Arc::default(),
            known: Arc::default(),
        }
    }

    /// Writes the images of `promotion` to the files of its Application, or takes back what was proposed of them where
    /// it is stopped; no attempt begins after `deadline`. Returns the result of each `OWNER/REPO branch`.
    pub async fn promote(
        &self,
        root: &Arc<Root>,
        promotion: &Promotion,
        deadline: Instant,
    ) -> Result<BTreeMap<String, UpdateResult>, Failure> {
        Box::pin(self.promote_or_plan(root, promotion, deadline, false)).await
    }

    /// What [`ImageUpdater::promote`] would do.
    pub async fn would_promote(
        &self,
        root: &Arc<Root>,
        promotion: &Promotion,
        deadline: Instant,
    ) -> Result<BTreeMap<String, UpdateResult>, Failure> {
        Box::pin(self.promote_or_plan(root, promotion, deadline, true)).await
    }

    async fn promote_or_plan(
        &self,
        root: &Arc<Root>,
        promotion: &Promotion,
        deadline: Instant,
        is_dry_run: bool,
    ) -> Result<BTreeMap<String, UpdateResult>, Failure> {
        let is_stopped = matches!(promotion.verdict, Verdict::Stopped(_));
        let tags = if is_stopped { ImageTags::new() } else { promotion.tags.clone() };
        let only = std::slice::from_ref(&promotion.app);
        let concerns = |image: &str| is_stopped || promotion.tags.contains_key(image);
        let (mut wanted, refused) = self.updates(root, concerns, only);
        let at_hand = AtHand { root: Arc::clone(root), branch: self.root.location.revision.clone() };
        let cause = Cause { promotion: Some(promotion), only, deadline, is_dry_run, ..Cause::catch_up() };
        if is_stopped {
            // Commits are not taken back.
            for update in &mut wanted {
                update.pull_request.is_wanted = true;
            }
        }
        Box::pin(self.write_all(wanted, refused, tags, (cause, &at_hand))).await.or_first_failure()
    }

    /// The tags of all images that are wanted, as far as ECR lists them.
    async fn list_all(&self, wanted: &[Update], problems: &mut Vec<String>) -> ImageTags {
        let images: BTreeSet<&str> = wanted.iter().map(|update| update.image.as_str()).collect();
        if images.len() > MAX_REPOSITORIES {
            problems.push(format!("only {MAX_REPOSITORIES} of {} repositories were listed", images.len()));
        }
        let repositories = images.into_iter().filter_map(|image| Some((image, EcrRepository::of(image)?)));
        let listed: Vec<_> = stream::iter(repositories.take(MAX_REPOSITORIES))
            .map(async |(image, repository)| (image, self.tags.list(&repository).await))
            .buffer_unordered(LISTING_CONCURRENCY)
            .collect()
            .await;
        let mut tags = ImageTags::new();
        for (image, of) in listed {
            match of {
                Ok(of) => drop(tags.insert(image.to_owned(), of)),
                Err(error) => problems.push(chain(&error)),
            }
        }
        tags
    }

    /// The root at its head: what was read just now where that has not moved.
    async fn root(&self) -> Result<Arc<Root>, Failure> {
        let checkouts = Checkouts::new(self.github.clone());
        let mut known = self.known.lock().await;
        let location = &self.root.location;
        let sha = checkouts.resolve(&location.url.repo, &location.revision).await;
        let sha = sha.map_err(|error| Failure::of(&error, error.is_retryable()))?;
        if let Some(KnownRoot { at, root }) = known.as_ref()
            && root.checkout.sha == sha
            && at.elapsed() < ROOT_LIFETIME
        {
            return Ok(Arc::clone(root));
        }
        // Most of a commit is what the one before it was; the trees share their files.
        if let Some(KnownRoot { root, .. }) = known.take() {
            checkouts.take_from(&root.checkout, &location.url.repo, &sha).await;
        }
        let root = Arc::new(Box::pin(root::load_at(&self.root, &checkouts, &sha, Then::default())).await?);
        *known = Some(KnownRoot { at: Instant::now(), root: Arc::clone(&root) });
        Ok(root)
    }

    /// The updates of all images that `concerns`, and why Applications that name such an image can't be updated.
    /// Applications that may not be deployed are not updated either.
    async fn wanted(
        &self,
        concerns: impl Fn(&str) -> bool,
        only: &[String],
    ) -> Result<(Vec<Update>, Vec<String>, AtHand), Failure> {
        let root = self.root().await?;
        let (wanted, refused) = self.updates(&root, concerns, only);
        Ok((wanted, refused, AtHand { root, branch: self.root.location.revision.clone() }))
    }

    /// The same of a root.
    fn updates(&self, root: &Root, concerns: impl Fn(&str) -> bool, only: &[String]) -> (Vec<Update>, Vec<String>) {
        let (resources, mut refused) = ImageUpdaters::read(&root.image_updaters);
        let mut wanted = Vec::new();
        let may_be = |member: &&root::ResolvedApplication| {
            member.permit.denied.is_none() && (only.is_empty() || only.iter().any(|name| member.is_named(name)))
        };
        for member in root.members.iter().filter(may_be) {
            let settings = match resources.settings(&member.app) {
                Ok(Some(settings)) => settings,
                Ok(None) => continue,
                Err(error) => {
                    if may_concern(&member.app, &concerns) {
                        refused.push(chain(&error));
                    }
                    continue;
                }
            };
            let manifest = self.manifest(root, member);
            let (updates, errors) = updates(&member.app, &settings, manifest.as_ref(), &concerns);
            refused.extend(errors.iter().map(|error| chain(error)));
            for update in updates {
                let url = format!("https://{}/{}", update.repo.host, update.repo.repo);
                // Slipway's credential writes to more repositories than the Application's project allows. Its own
                // manifest is what declares it.
                let is_own = matches!(update.target, super::Target::Application { .. });
                match member.permit.refused_source(&url).filter(|_| !is_own) {
                    Some(denied) => refused.push(format!("{}: {denied}", member.instance())),
                    None => wanted.push(Update { permit: member.permit.clone(), ..update }),
                }
            }
        }
        let (policies, problems) = ImagePolicies::read(&root.image_updaters);
        refused.extend(problems);
        let location = &self.root.location;
        let branch = Some(location.revision.as_str()).filter(|revision| *revision != "HEAD");
        let (by_policies, problems) = policies.updates(&location.url, branch, concerns);
        refused.extend(problems);
        let is_meant = |update: &Update| only.is_empty() || only.iter().any(|name| update.is_named(name));
        wanted.extend(by_policies.into_iter().filter(is_meant));
        (wanted, refused)
    }

    /// The file of the root's own repository that declares the Application.
    fn manifest(&self, root: &Root, member: &root::ResolvedApplication) -> Option<ManifestFile> {
        let declared = member.declared.as_ref().filter(|one| one.is_file && one.repository.is_none())?;
        let text = root.checkout.tree.read_text(&declared.path).ok()?;
        if !super::write::declares(text, &crate::app::identity(&member.app.object)) {
            return None;
        }
        let location = &self.root.location;
        let branch = Some(location.revision.clone()).filter(|revision| revision != "HEAD");
        Some(ManifestFile { repo: location.url.clone(), branch, file: declared.path.clone() })
    }

    /// Groups the updates by where they are committed; other hosts than the root's are not supported yet.
    async fn by_branch(
        &self,
        wanted: Vec<Update>,
        refused: &mut Vec<String>,
        fail: &mut impl FnMut(Failure, &[Update], &mut Vec<String>),
    ) -> BTreeMap<Place, Vec<Update>> {
        let mut groups: BTreeMap<Place, Vec<Update>> = BTreeMap::new();
        let mut defaults: BTreeMap<Repo, Option<String>> = BTreeMap::new();
        for update in wanted {
            if update.repo.host != self.root.location.url.host {
                let host = &self.root.location.url.host;
                refused.push(format!("{}: {} is not on {host}", update.app, update.repo));
                continue;
            }
            let branch = if let Some(branch) = &update.branch {
                Some(branch.clone())
            } else if let Some(known) = defaults.get(&update.repo.repo) {
                known.clone()
            } else {
                let found = match self.github.default_branch(&update.repo.repo).await {
                    Ok(branch) => Some(branch),
                    Err(error) => {
                        fail(Failure::of(&error, error.is_retryable()), std::slice::from_ref(&update), refused);
                        None
                    }
                };
                defaults.insert(update.repo.repo.clone(), found.clone());
                found
            };
            let Some(branch) = branch else { continue };
            let via = match &update.push_branch {
                _ if update.pull_request.is_wanted => Via::PullRequest { key: update.target_key() },
                Some(template) => Via::Branch { template: template.clone(), app: update.app.clone() },
                None => Via::Commit,
            };
            groups.entry(Place { url: update.repo.clone(), branch, via }).or_default().push(update);
        }
        groups
    }

    /// Tells Slack what it has not been told yet.
    async fn notify(&self, pushes: &[ImagePush], problems: &[String]) {
        let Some(slack) = &self.slack else { return };
        let new: Vec<String> = {
            let told = self.told.lock().await;
            problems.iter().filter(|problem| !told.contains(*problem)).cloned().collect()
        };
        if new.is_empty() {
            return;
        }
        let what = match pushes {
            [push] => format!("{}:{} was pushed, but not everything that names it", push.repository.image(), push.tag),
            _ => format!("{} images were pushed, but not everything that names them", pushes.len()),
        };
        let what = format!("{what} can be updated");
        if let Err(error) = slack.post(&report::problem(&what, &new)).await {
            tracing::warn!(error = chain(&error), problems = json!(new).to_string(), "failed to notify Slack");
            return;
        }
        let mut told = self.told.lock().await;
        if told.len() > MAX_TOLD {
            told.clear();
        }
        told.extend(new);
    }
}

/// An image that a person rolled back in Git, and that stays so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The change that is not made.
    pub change: ImageChange,
    /// What was taken back.
    pub newest: String,
    /// Whether the image that was pushed is the one that is not taken.
    pub is_pushed: bool,
}

impl Pin {
    /// Why the change is not made.
    pub fn why(&self) -> String {
        let (newest, old, new) = (&self.newest, &self.change.old, &self.change.new);
        format!("{newest} was taken back in Git for {old}, which stays until something newer is pushed: {new} is not")
    }
}

pub(crate) fn summary((branch, outcome): (&String, &UpdateResult)) -> (String, Value) {
    let UpdateResult { commit, changes, pull_request, unchanged, problems } = outcome;
    let commit = commit.as_ref().map(|commit| commit.sha.as_str());
    let changes: Vec<String> = changes.iter().map(|c| format!("{}: {} → {}", c.app, c.old, c.new)).collect();
    let summary = json!({ "commit": commit, "changes": changes, "pullRequest": pull_request, "unchanged": unchanged,
        "problems": problems });
    (branch.clone(), summary)
}
