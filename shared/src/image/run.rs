//! Runs the function `ecr-push`: an image push becomes one commit for each branch that names the image. The changes are
//! planned by [`super::plan_updates`], again with each new head of the branch; this module reads the root, lists the
//! tags, and commits.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecr::types::ImageDetail;
use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{ImageChange, ImageError, ImageTags, TagInfo, Update, UpdatePlan, plan_updates, updates};
use crate::aws::Aws;
use crate::config;
use crate::error::{Failure, chain};
use crate::event::ecr::{self, EcrRepository, EcrTrigger, ImagePush};
use crate::notify::report;
use crate::notify::slack::Slack;
use crate::root::{self, places::RootPlaces};
use crate::secret::Secrets;
use crate::source::commit::{self, Committed};
use crate::source::github::{Checkout, GitHub, GithubError};
use crate::source::{Checkouts, Repo, RepoUrl, history};

/// Tags of one repository that are listed: ECR keeps 20,000 images unless a quota was raised.
const MAX_TAGS: usize = 20_000;
/// Images in an answer of ECR: its maximum.
const PAGE_SIZE: i32 = 1_000;
/// Repositories that a catch-up lists: one request each, as a rule.
const MAX_REPOSITORIES: usize = 500;
/// Repositories that a catch-up lists concurrently; ECR allows far more requests a second.
const LISTING_CONCURRENCY: usize = 8;

/// The function `ecr-push`: its settings and clients.
#[derive(Clone)]
pub struct ImageUpdater {
    root: RootPlaces,
    github: GitHub,
    aws: Aws,
    slack: Option<Slack>,
}

/// The result of one branch.
#[derive(Debug, Default)]
pub struct UpdateResult {
    /// The commit, where one was created.
    pub commit: Option<Committed>,
    /// The changes: `web: 1.2.3 → 1.2.4`.
    pub changes: Vec<String>,
    /// Why Applications were not changed.
    pub unchanged: Vec<String>,
    /// Problems to report to users.
    pub problems: Vec<String>,
}

/// Why the tags of an image could not be listed.
#[derive(Debug, thiserror::Error)]
enum TagsError {
    #[error("failed to list the tags of {image} ({code})")]
    List {
        image: String,
        code: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{image} has more than {MAX_TAGS} tags: let a lifecycle policy expire old ones")]
    TooMany { image: String },
}

impl ImageUpdater {
    /// Creates the updater; sends no request yet.
    pub fn new(settings: config::EcrPush, aws: Aws) -> Self {
        let config::EcrPush { root, github, slack } = settings;
        let secrets = Secrets::new(aws.clone());
        Self {
            root,
            github: GitHub::new(github, secrets.clone()),
            slack: slack.map(|slack| Slack::new(slack, secrets, aws.http().clone())),
            aws,
        }
    }

    /// Handles an event of EventBridge; returns the commits, or why the event triggers nothing.
    pub async fn handle(&self, event: Value) -> Result<Value, Failure> {
        let outcomes = match ecr::read(event).map_err(|error| Failure::terminal(&error))? {
            EcrTrigger::Ignored(reason) => {
                tracing::info!(reason, "ignored");
                return Ok(json!({ "ignored": reason }));
            }
            EcrTrigger::Push(push) => {
                tracing::info!(image = push.repository.image(), tag = push.tag, "pushed");
                Box::pin(self.update(&push)).await?
            }
            EcrTrigger::CatchUp => Box::pin(self.catch_up()).await?,
        };
        let branches: serde_json::Map<String, Value> =
            outcomes.iter().map(|(branch, outcome)| (branch.clone(), summary(outcome))).collect();
        tracing::info!(result = json!(branches).to_string(), "done");
        Ok(json!({ "branches": branches }))
    }

    /// Updates every kustomization that names the pushed image to the tag that its Application wants; returns the
    /// result of each `OWNER/REPO branch`.
    async fn update(&self, push: &ImagePush) -> Result<BTreeMap<String, UpdateResult>, Failure> {
        let image = push.repository.image();
        let (wanted, refused) = self.wanted(|named| named == image).await?;
        self.notify(push, &refused).await;
        let mut outcomes = BTreeMap::new();
        if !refused.is_empty() {
            outcomes.insert("refused".to_owned(), UpdateResult { problems: refused, ..UpdateResult::default() });
        }
        if wanted.is_empty() {
            return Ok(outcomes);
        }
        let tags = ImageTags::from([(image, self.tags(&push.repository).await?)]);
        self.commit_all(wanted, &tags, &mut outcomes).await?;
        for outcome in outcomes.iter().filter(|(branch, _)| *branch != "refused").map(|(_, outcome)| outcome) {
            self.notify(push, &outcome.problems).await;
        }
        Ok(outcomes)
    }

    /// Makes up for pushes whose events got lost: updates every image that an Application names, as if it had been
    /// pushed now. Problems are in the result, and told when an image is pushed.
    async fn catch_up(&self) -> Result<BTreeMap<String, UpdateResult>, Failure> {
        let (wanted, mut problems) = self.wanted(|named| EcrRepository::of(named).is_some()).await?;
        let images: BTreeSet<&str> = wanted.iter().map(|update| update.image.as_str()).collect();
        if images.len() > MAX_REPOSITORIES {
            problems.push(format!("only {MAX_REPOSITORIES} of {} repositories were listed", images.len()));
        }
        let repositories = images.into_iter().filter_map(EcrRepository::of).take(MAX_REPOSITORIES);
        let listed: Vec<_> = stream::iter(repositories)
            .map(async |repository| (repository.image(), self.tags(&repository).await))
            .buffer_unordered(LISTING_CONCURRENCY)
            .collect()
            .await;
        let mut tags = ImageTags::new();
        for (image, of) in listed {
            match of {
                Ok(of) => drop(tags.insert(image, of)),
                Err(failure) => problems.push(failure.message),
            }
        }
        let wanted = wanted.into_iter().filter(|update| tags.contains_key(&update.image)).collect();
        let mut outcomes = BTreeMap::new();
        if !problems.is_empty() {
            outcomes.insert("refused".to_owned(), UpdateResult { problems, ..UpdateResult::default() });
        }
        self.commit_all(wanted, &tags, &mut outcomes).await?;
        Ok(outcomes)
    }

    /// The updates of all images that `concerns`, and why Applications that name such an image can't be updated.
    /// Applications that may not be deployed are not updated either.
    async fn wanted(&self, concerns: impl Fn(&str) -> bool) -> Result<(Vec<Update>, Vec<String>), Failure> {
        let checkouts = Checkouts::new(self.github.clone());
        let root = root::load(&self.root, &checkouts).await?;
        let (mut wanted, mut refused) = (Vec::new(), Vec::new());
        for member in root.members.iter().filter(|member| member.permit.denied.is_none()) {
            let (updates, errors) = updates(&member.app, &concerns);
            refused.extend(errors.iter().map(|error| chain(error)));
            for update in updates {
                let url = format!("https://{}/{}", update.repo.host, update.repo.repo);
                // Slipway's credential writes to more repositories than the Application's project allows.
                match member.permit.refused_source(&url) {
                    Some(denied) => refused.push(format!("{}: {denied}", member.instance())),
                    None => wanted.push(Update { permit: member.permit.clone(), ..update }),
                }
            }
        }
        Ok((wanted, refused))
    }

    /// Creates the commits of `wanted`, one a branch.
    async fn commit_all(
        &self,
        wanted: Vec<Update>,
        tags: &ImageTags,
        outcomes: &mut BTreeMap<String, UpdateResult>,
    ) -> Result<(), Failure> {
        for ((url, branch), group) in self.by_branch(wanted, outcomes).await? {
            let outcome = self.commit(&url.repo, &branch, &group, tags).await?;
            outcomes.insert(format!("{} {branch}", url.repo), outcome);
        }
        Ok(())
    }

    /// Groups the updates by branch; other hosts than the root's are not supported yet.
    async fn by_branch(
        &self,
        wanted: Vec<Update>,
        outcomes: &mut BTreeMap<String, UpdateResult>,
    ) -> Result<BTreeMap<(RepoUrl, String), Vec<Update>>, Failure> {
        let mut groups: BTreeMap<(RepoUrl, String), Vec<Update>> = BTreeMap::new();
        for update in wanted {
            if update.repo.host != self.root.location.url.host {
                let problem = format!("{}: {} is not on {}", update.app, update.repo, self.root.location.url.host);
                outcomes.entry("refused".to_owned()).or_default().problems.push(problem);
                continue;
            }
            let branch = if let Some(branch) = &update.branch {
                branch.clone()
            } else {
                let branch = self.github.default_branch(&update.repo.repo).await;
                branch.map_err(|error| Failure::of(&error, error.is_retryable()))?
            };
            groups.entry((update.repo.clone(), branch)).or_default().push(update);
        }
        Ok(groups)
    }

    async fn commit(
        &self,
        repo: &Repo,
        branch: &str,
        group: &[Update],
        tags: &ImageTags,
    ) -> Result<UpdateResult, Failure> {
        let mut outcome = UpdateResult::default();
        let edit = async |checkout: &Checkout| {
            let (mut allowed, mut errors) = (Vec::new(), Vec::new());
            for update in group {
                match update.permit.refused_name(&update.repo, &checkout.repo) {
                    Some(denied) => errors.push(ImageError::Denied { app: update.app.clone(), denied }),
                    None => allowed.push(update),
                }
            }
            let plan = plan_updates(&checkout.tree, allowed.iter().copied(), tags);
            let undone = self.undone(checkout, &plan).await?;
            let is_undone = |update: &&Update| undone.iter().any(|change| change.is_of(update));
            let mut plan = if undone.is_empty() {
                plan
            } else {
                plan_updates(&checkout.tree, allowed.into_iter().filter(|update| !is_undone(update)), tags)
            };
            plan.errors.extend(errors);
            plan.unchanged.extend(undone.iter().map(|change| (change.app.clone(), change.undone())));
            outcome = described(&plan);
            Ok::<_, GithubError>((!plan.is_empty()).then(|| file_edit(&plan)))
        };
        let committed = commit::commit(&self.github, repo, branch, edit).await;
        outcome.commit = committed.map_err(|error| Failure::of(&error, error.is_retryable()))?;
        Ok(outcome)
    }

    /// The changes of `plan` whose tag was in the file since its push and is there no more: a person took it back.
    async fn undone(&self, checkout: &Checkout, plan: &UpdatePlan) -> Result<Vec<ImageChange>, GithubError> {
        let mut undone = Vec::new();
        for change in &plan.changes {
            let since = Timestamp::from_millisecond(change.pushed_at_ms).unwrap_or(Timestamp::UNIX_EPOCH);
            let versions = history::versions(&self.github, &checkout.repo, &checkout.sha, &change.file, since).await?;
            if versions.iter().any(|text| change.was_in(text)) {
                undone.push(change.clone());
            }
        }
        Ok(undone)
    }

    /// Lists every tag of `repository`, with the time of its push.
    async fn tags(&self, repository: &EcrRepository) -> Result<Vec<TagInfo>, Failure> {
        let config = self.aws.config().await.to_builder();
        let region = aws_config::Region::new(repository.region.clone());
        let client = aws_sdk_ecr::Client::new(&config.region(region).build());
        let mut pages = client
            .describe_images()
            .registry_id(&repository.account)
            .repository_name(&repository.name)
            .max_results(PAGE_SIZE)
            .into_paginator()
            .send();
        let mut tags = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| {
                let code = crate::aws::error_code(&error);
                Failure::retryable(&TagsError::List { image: repository.image(), code, source: Box::new(error) })
            })?;
            tags.extend(page.image_details.unwrap_or_default().into_iter().flat_map(tags_of));
            if tags.len() > MAX_TAGS {
                return Err(Failure::terminal(&TagsError::TooMany { image: repository.image() }));
            }
        }
        Ok(tags)
    }

    async fn notify(&self, push: &ImagePush, problems: &[String]) {
        let (Some(slack), false) = (&self.slack, problems.is_empty()) else { return };
        let what = format!(
            "{}:{} was pushed, but not everything that names it can be updated",
            push.repository.image(),
            push.tag
        );
        if let Err(error) = slack.post(&report::problem(&what, problems)).await {
            tracing::warn!(error = chain(&error), problems = json!(problems).to_string(), "failed to notify Slack");
        }
    }
}

fn tags_of(image: ImageDetail) -> Vec<TagInfo> {
    let pushed_at_ms = image.image_pushed_at.and_then(|at| at.to_millis().ok()).unwrap_or_default();
    let digest = image.image_digest.unwrap_or_default();
    let tags = image.image_tags.unwrap_or_default();
    tags.into_iter().map(|tag| TagInfo { tag, pushed_at_ms, digest: digest.clone() }).collect()
}

fn file_edit(plan: &UpdatePlan) -> commit::FileEdit {
    let message = plan.message();
    let (headline, body) = message.split_once('\n').unwrap_or((&message, ""));
    commit::FileEdit {
        files: plan.files.iter().map(|(path, text)| (path.clone(), text.clone().into_bytes())).collect(),
        headline: headline.to_owned(),
        body: body.trim().to_owned(),
    }
}

fn described(plan: &UpdatePlan) -> UpdateResult {
    UpdateResult {
        commit: None,
        changes: plan.changes.iter().map(|c| format!("{}: {} → {}", c.app, c.old, c.new)).collect(),
        unchanged: plan.unchanged.iter().map(|(app, why)| format!("{app}: {why}")).collect(),
        problems: plan.errors.iter().map(|error| chain(error)).collect(),
    }
}

fn summary(outcome: &UpdateResult) -> Value {
    let UpdateResult { commit, changes, unchanged, problems } = outcome;
    let commit = commit.as_ref().map(|commit| commit.sha.as_str());
    json!({ "commit": commit, "changes": changes, "unchanged": unchanged, "problems": problems })
}
