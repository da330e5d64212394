//! Proposes changes by pull requests: one for each file, made from the branch that it is for, and changed in place as
//! newer images come.
//!
//! What a pull request has is planned from its base and from all tags, so that late and repeated events change nothing.
//! It says in a comment what it was made of; by that a person's own commit on its branch, and a person's closing of it,
//! are told from Slipway's and left alone.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::super::promotion::Verdict;
use super::branch::{described, failed, file_edit};
use super::{AtHand, Cause, Histories, ImageUpdater, Place, UpdateResult};
use crate::error::{Failure, chain};
use crate::event::ecr::EcrRepository;
use crate::image::{ImageTags, PullRequestSettings, Severity, TagInfo, Update, UpdatePlan};
use crate::source::Repo;
use crate::source::commit::{self, Attempts};
use crate::source::github::pulls::{Pull, PullText};

/// Characters of a title: GitHub's limit.
const MAX_TITLE: usize = 255;
/// Bytes of a body: somewhat less than GitHub's 65,536 characters.
const MAX_BODY: usize = 60_000;
/// How the comment begins that says what a pull request was made of.
const MARKER: &str = "<!-- slipway ";

impl ImageUpdater {
    /// Proposes all changes to the file that `key` stands for.
    pub(super) async fn propose(
        &self,
        place: &Place,
        key: &str,
        (cause, root): (Cause<'_>, &AtHand),
    ) -> Result<UpdateResult, Failure> {
        let (repo, base) = (&place.url.repo, place.branch.as_str());
        let (mut group, _) = self.updates(&root.root, |_| true, &[]);
        let is_it = |update: &Update| match cause.promotion {
            Some(promotion) => update.name() == promotion.app,
            None => !update.is_promoted,
        };
        group.retain(|update| update.repo == place.url && update.target_key() == key && is_it(update));
        let (mut tags, unlisted) = self.tags_of(&group, cause).await;
        let branch = format!("image-updater-{key}");
        let pulls = self.github.pulls_of(repo, &branch, base).await.map_err(|error| failed(&error))?;
        let open = pulls.iter().find(|pull| pull.is_open());
        let mut histories = Histories::new();
        let head = self.head(place, root).await.map_err(|error| failed(&error))?;
        let plan = self.plan(repo, &head, &group, (&mut tags, &mut histories), (cause, root)).await;
        let plan = plan.map_err(|error| failed(&error))?;
        let mut outcome = described(&plan);
        outcome.problems.extend(unlisted.iter().cloned());
        outcome.pull_request = open.map(|pull| pull.url.clone());
        if cause.is_dry_run {
            return Ok(outcome);
        }
        if plan.is_empty() {
            if let Some(pull) = open.filter(|_| plan.errors.is_empty() && unlisted.is_empty()) {
                let why =
                    plan.unchanged.iter().map(|(app, why)| format!("{app}: {why}")).collect::<Vec<_>>().join("\n");
                let why = match cause.promotion.filter(|promotion| promotion.verdict != Verdict::Ready) {
                    Some(stopped) => stopped.evidence(),
                    None => format!("Nothing of this is left to change in `{base}`:\n{why}"),
                };
                self.close(repo, pull, &branch, &why).await?;
                outcome.unchanged.push(format!("{} has nothing left to change and was closed", pull.url));
            }
            return Ok(outcome);
        }
        if let Some(why) = left_alone(&pulls, &plan) {
            outcome.changes.clear();
            outcome.unchanged.push(why);
            return Ok(outcome);
        }
        let staging = format!("{branch}-next");
        let seed = format!("{} {repo} {branch}", cause.seed());
        let attempts =
            Attempts { deadline: cause.deadline, seed: &seed, head: root.head(repo, base), staging: Some(&staging) };
        let (mut last, mut made_from) = (plan, head);
        let edit = async |head: &str| {
            last = self.plan(repo, head, &group, (&mut tags, &mut histories), (cause, root)).await?;
            head.clone_into(&mut made_from);
            Ok((!last.is_empty()).then(|| file_edit(&last, self.message.as_deref(), cause)))
        };
        let committed = commit::commit(&self.github, repo, base, attempts, edit).await;
        let Some(committed) = committed.map_err(|error| Failure::of(&error, error.is_retryable()))? else {
            return Ok(outcome);
        };
        let message = last.message(self.message.as_deref());
        let title: String = message.lines().next().unwrap_or_default().chars().take(MAX_TITLE).collect();
        let evidence = cause.promotion.map(|promotion| promotion.evidence() + "\n\n").unwrap_or_default();
        let head = evidence + &summary(&last, &tags, base);
        let marker = Marker::of(&last, &committed.sha).text();
        let max_bytes = MAX_BODY.saturating_sub(head.len() + marker.len());
        let is_default = group.iter().any(|update| update.branch.is_none());
        let preview = Box::pin(self.preview((place, is_default), &made_from, &last, (cause, root), max_bytes)).await;
        let body = body(head + &preview, &marker);
        let text = PullText { title: &title, body: &body };
        let proposed = async {
            self.github.set_branch(repo, &branch, &committed.sha).await?;
            self.github.delete_branch(repo, &staging).await?;
            match open {
                Some(pull) => self.github.edit_pull(repo, pull.number, text).await.map(|()| pull.clone()),
                None => self.github.open_pull(repo, (&branch, base), text).await,
            }
        };
        let pull = proposed.await.map_err(|error| failed(&error))?;
        let problems = self.equip(repo, &pull, open.is_none(), group.iter().map(|update| &update.pull_request)).await;
        outcome = described(&last);
        outcome.problems.extend(unlisted.into_iter().chain(problems));
        outcome.pull_request = Some(pull.url.clone());
        outcome.commit = Some(committed);
        Ok(outcome)
    }

    /// All tags of the images of `group`; and why those of others are not known.
    async fn tags_of(&self, group: &[Update], cause: Cause<'_>) -> (ImageTags, Vec<String>) {
        let (mut tags, mut unlisted) = (ImageTags::new(), Vec::new());
        if let Some(promotion) = cause.promotion {
            let is_ready = promotion.verdict == Verdict::Ready;
            return (if is_ready { promotion.tags.clone() } else { tags }, unlisted);
        }
        for update in group {
            let Some(repository) = EcrRepository::of(&update.image).filter(|_| !tags.contains_key(&update.image))
            else {
                continue;
            };
            let mut pushes = cause.pushes_of(&update.image).peekable();
            let mut listed = match pushes.peek() {
                None if cause.pushes.is_empty() => self.tags.list(&repository).await,
                _ => self.tags.known_or_list(&repository).await,
            };
            for push in pushes {
                if listed.is_ok() {
                    listed = self.tags.with(&repository, &push.tag).await;
                }
            }
            match listed {
                Ok(listed) => drop(tags.insert(update.image.clone(), listed)),
                Err(error) => unlisted.push(format!("{}: {}", update.app, chain(&error))),
            }
        }
        (tags, unlisted)
    }

    async fn close(&self, repo: &Repo, pull: &Pull, branch: &str, why: &str) -> Result<(), Failure> {
        // Without what it was made of it is not taken for one that a person closed.
        let body = pull.body.as_deref().unwrap_or_default();
        let body = body.rsplit_once(MARKER).map_or(body, |(text, _)| text);
        let closed = self.github.close_pull(repo, pull.number, why, body).await;
        closed.map_err(|error| failed(&error))?;
        self.github.delete_branch(repo, branch).await.map_err(|error| failed(&error))
    }

    /// Gives the pull request labels and reviewers where it is new, and has it merged by itself where that is asked
    /// for; what fails of it is told, and takes nothing back.
    async fn equip<'u>(
        &self,
        repo: &Repo,
        pull: &Pull,
        is_new: bool,
        settings: impl Iterator<Item = &'u PullRequestSettings> + Clone,
    ) -> Vec<String> {
        let mut labels: Vec<&String> = settings.clone().flat_map(|one| &one.labels).collect();
        let mut reviewers: Vec<&String> = settings.clone().flat_map(|one| &one.reviewers).collect();
        for list in [&mut labels, &mut reviewers] {
            list.sort();
            list.dedup();
        }
        let mut problems = Vec::new();
        let mut tell = |done: Result<(), _>| problems.extend(done.err().map(|error| chain(&error)));
        if is_new && !labels.is_empty() {
            tell(self.github.label(repo, pull.number, &labels).await);
        }
        if is_new && !reviewers.is_empty() {
            tell(self.github.ask_for_review(repo, pull.number, &reviewers).await);
        }
        // Of several Applications that write to the file all have to ask for it.
        let methods: Option<Vec<_>> = settings.map(|one| one.auto_merge).collect();
        if let Some(method) = methods.and_then(|methods| methods.first().copied()) {
            tell(self.github.merge_when_ready(repo, pull, method).await);
        }
        problems
    }
}

/// What a pull request was made of.
#[derive(Debug, PartialEq, Eq)]
struct Marker {
    /// Slipway's commit.
    commit: String,
    /// Digest of the images.
    changes: String,
    /// Digest of the files.
    content: String,
}

impl Marker {
    fn of(plan: &UpdatePlan, commit: &str) -> Self {
        let digest = |parts: Vec<&str>| hex::encode(Sha256::digest(parts.join("\0")));
        let changes = plan.changes.iter().flat_map(|one| [one.app.as_str(), &one.image, &one.alias, &one.new]);
        let content = plan.files.iter().flat_map(|(path, text)| [path.as_str(), text]);
        Self { commit: commit.to_owned(), changes: digest(changes.collect()), content: digest(content.collect()) }
    }

    fn text(&self) -> String {
        format!("{MARKER}commit={} changes={} content={} -->", self.commit, self.changes, self.content)
    }

    fn read(body: &str) -> Option<Self> {
        let words = body.rsplit_once(MARKER)?.1.split_once(" -->")?.0;
        let fields: BTreeMap<&str, &str> = words.split(' ').filter_map(|word| word.split_once('=')).collect();
        let field = |name: &str| fields.get(name).map(|text| (*text).to_owned());
        Some(Self { commit: field("commit")?, changes: field("changes")?, content: field("content")? })
    }
}

/// Why nothing is proposed: it is already, or a person decided otherwise. The newest of `pulls` come first.
fn left_alone(pulls: &[Pull], plan: &UpdatePlan) -> Option<String> {
    let wanted = Marker::of(plan, "");
    let marker = |pull: &Pull| Marker::read(pull.body.as_deref().unwrap_or_default());
    if let Some(pull) = pulls.iter().find(|pull| pull.is_open()) {
        return match marker(pull) {
            Some(known) if known.commit != pull.head() => {
                Some(format!("{} has commits that are not Slipway's and is left alone", pull.url))
            }
            Some(known) if known.content == wanted.content => Some(format!("{} proposes it", pull.url)),
            Some(_) => None,
            None => Some(format!("{} is not Slipway's", pull.url)),
        };
    }
    let pull = pulls.first().filter(|pull| !pull.is_merged())?;
    let is_same = marker(pull).is_some_and(|known| known.changes == wanted.changes);
    is_same.then(|| format!("{} proposed it and was closed without a merge", pull.url))
}

/// `text` and the marker, which must be there whole.
fn body(mut text: String, marker: &str) -> String {
    text.truncate(text.floor_char_boundary(MAX_BODY.saturating_sub(marker.len())));
    text + marker
}

/// What the pull request says first below its title.
fn summary(plan: &UpdatePlan, tags: &ImageTags, base: &str) -> String {
    let mut text =
        "| Application | image | from | to | digest | pushed | scan |\n|---|---|---|---|---|---|---|\n".to_owned();
    for change in &plan.changes {
        let info = tags.get(&change.image).and_then(|tags| tags.iter().find(|info| info.tag == change.tag));
        let pushed = info.and_then(|info| Timestamp::from_millisecond(info.pushed_at_ms).ok());
        let pushed = pushed.map(|at| at.strftime("%Y-%m-%d %H:%M UTC").to_string()).unwrap_or_default();
        let (app, image, old, new) = (&change.app, &change.image, &change.old, &change.new);
        let scan = info.map(scan).unwrap_or_default();
        let _ = writeln!(text, "| {app} | `{image}` | `{old}` | `{new}` | `{}` | {pushed} | {scan} |", change.digest);
    }
    let _ = write!(
        text,
        "\nMerged, it is deployed from `{base}`. A newer image changes it in place; once `{base}` has it all, it is \
         closed. With a commit of yours on its branch it stays as it is; closed, it stays closed until something \
         newer is pushed.\n\n"
    );
    text
}

/// What ECR's scan of the image found, the worst first.
fn scan(info: &TagInfo) -> String {
    let Some(findings) = &info.findings else { return "none".to_owned() };
    let mut found: Vec<(&String, &i64)> = findings.iter().filter(|(_, count)| **count > 0).collect();
    found.sort_by_key(|(severity, _)| std::cmp::Reverse(Severity::parse(severity)));
    match found.as_slice() {
        [] => "no findings".to_owned(),
        found => found.iter().map(|(severity, count)| format!("{count} {severity}")).collect::<Vec<_>>().join(", "),
    }
}
