//! Commits to one branch: plans the changes again with each new head of it, reads the files that the plan needs, and
//! leaves out what a person took back.

use std::collections::BTreeSet;
use std::sync::Arc;

use slipway_manifest::Tree;

use super::{AtHand, Cause, Histories, ImageUpdater, Pin, Place, UpdateResult, Via};
use crate::error::{Failure, chain};
use crate::event::ecr::ImagePush;
use crate::image::{
    ImageChange, ImageError, ImageTags, Slot, TagInfo, Update, UpdatePlan, message, pinned, plan_updates,
};
use crate::source::commit::{self, Attempts, CommitError};
use crate::source::files::{self, Files};
use crate::source::github::GithubError;
use crate::source::{Repo, history};

impl ImageUpdater {
    /// Writes the changes of `group` to where `place` says: what came of each place. Where the branch takes no commits,
    /// they are proposed by pull requests.
    pub(super) async fn write_back(
        &self,
        place: Place,
        group: &[Update],
        tags: &mut ImageTags,
        (cause, root): (Cause<'_>, &AtHand),
    ) -> Vec<(Place, Result<UpdateResult, Failure>)> {
        if let Via::PullRequest { key } = &place.via {
            let proposed = Box::pin(self.propose(&place, key, (cause, root))).await;
            return vec![(place, proposed)];
        }
        match Box::pin(self.commit(&place, group, tags, (cause, root))).await {
            Ok(outcome) => vec![(place, Ok(outcome))],
            Err(CommitError::Github(error)) => vec![(place, Err(failed(&error)))],
            Err(error) if error.demands_pull_request() && place.via == Via::Commit => {
                let keys: BTreeSet<String> = group.iter().map(Update::target_key).collect();
                let mut proposed = Vec::new();
                for key in keys {
                    let place = Place { via: Via::PullRequest { key: key.clone() }, ..place.clone() };
                    let outcome = Box::pin(self.propose(&place, &key, (cause, root))).await;
                    let told = |failure: Failure| Failure { message: format!("{error}; {failure}"), ..failure };
                    proposed.push((place, outcome.map_err(told)));
                }
                proposed
            }
            Err(error) => vec![(place, Err(Failure::of(&error, error.is_retryable())))],
        }
    }

    /// Commits the changes of `group` to the branch of `place`, or to the one that is made from it.
    async fn commit(
        &self,
        place: &Place,
        group: &[Update],
        tags: &mut ImageTags,
        (cause, root): (Cause<'_>, &AtHand),
    ) -> Result<UpdateResult, CommitError> {
        let repo = &place.url.repo;
        let mut outcome = UpdateResult::default();
        let mut branch = place.branch.clone();
        let mut histories = Histories::new();
        if place.via != Via::Commit || cause.is_dry_run {
            let head = self.head(place, root).await?;
            let plan = self.plan(repo, &head, group, (tags, &mut histories), (cause, root)).await?;
            outcome = described(&plan);
            if plan.is_empty() || cause.is_dry_run {
                return Ok(outcome);
            }
            if let (Via::Branch { template, app }, Some(first)) = (&place.via, group.first()) {
                let target_key = &first.target_key();
                let of = message::BranchOf { namespace: &first.namespace, app, target_key };
                let named = message::branch_name(template, of, &plan.changed());
                let is_branch = |name: &String| crate::source::is_revision(name);
                let Some(name) = named.as_ref().ok().filter(|name| is_branch(name)) else {
                    outcome.problems.push(format!("{app}: git-branch: `{template}` makes no name of a branch"));
                    return Ok(outcome);
                };
                self.github.create_branch(repo, name, &head).await?;
                branch.clone_from(name);
            }
        }
        let seed = format!("{} {repo} {branch}", cause.seed());
        let head = root.head(repo, &branch);
        let attempts = Attempts { deadline: cause.deadline, seed: &seed, head, staging: None };
        let template = self.message.as_deref();
        let edit = async |head: &str| {
            let plan = self.plan(repo, head, group, (tags, &mut histories), (cause, root)).await?;
            outcome = described(&plan);
            Ok((!plan.is_empty()).then(|| file_edit(&plan, template, cause)))
        };
        outcome.commit = commit::commit(&self.github, repo, &branch, attempts, edit).await?;
        Ok(outcome)
    }

    /// The head of the branch of `place`.
    pub(super) async fn head(&self, place: &Place, root: &AtHand) -> Result<String, GithubError> {
        let repo = &place.url.repo;
        match root.head(repo, &place.branch) {
            Some(head) => Ok(head.to_owned()),
            None => self.github.resolve(repo, &format!("heads/{}", place.branch)).await,
        }
    }

    /// Plans the changes of `group` to the commit `head`. The tags that are needed and not known yet are listed.
    pub(super) async fn plan(
        &self,
        repo: &Repo,
        head: &str,
        group: &[Update],
        (tags, histories): (&mut ImageTags, &mut Histories),
        (cause, root): (Cause<'_>, &AtHand),
    ) -> Result<UpdatePlan, GithubError> {
        let (named, tree) = self.files(repo, head, group, root).await?;
        let (named, tree) = (&named, &*tree);
        let (mut allowed, mut errors) = (Vec::new(), Vec::new());
        for update in group {
            match update.permit.refused_name(&update.repo, named) {
                Some(denied) => errors.push(ImageError::Denied { app: update.app.clone(), denied }),
                None => allowed.push(update),
            }
        }
        for update in &allowed {
            let pushed: Vec<&ImagePush> = cause.pushes_of(&update.image).collect();
            if pushed.is_empty() {
                continue;
            }
            let slot = update.locate(tree).ok().and_then(|slots| slots.into_iter().next());
            let known = slot.and_then(|slot| Some(slot.current(tree.read_text(&slot.file).ok()?, &update.reference())));
            if !update.needs_list(&known.unwrap_or_default()) {
                let info = |push: &&ImagePush| TagInfo {
                    digest: push.digest.clone(),
                    tag: push.tag.clone(),
                    ..TagInfo::default()
                };
                tags.entry(update.image.clone()).or_insert_with(|| pushed.iter().map(info).collect());
            } else if tags.get(&update.image).is_none_or(|known| known.len() <= pushed.len()) {
                for push in pushed {
                    match self.tags.with(&push.repository, &push.tag).await {
                        Ok(found) => drop(tags.insert(update.image.clone(), found)),
                        Err(error) => errors.push(ImageError::Tags { app: update.app.clone(), source: error }),
                    }
                }
            }
        }
        let mut known = Vec::new();
        for update in allowed {
            let of = tags.get_mut(&update.image).map(Vec::as_mut_slice).unwrap_or_default();
            let found = match cause.promotion {
                Some(_) => Ok(()),
                None => self.tags.find_platforms(update, of).await,
            };
            match found {
                Ok(()) => known.push(update),
                Err(error) => errors.push(ImageError::Tags { app: update.app.clone(), source: error }),
            }
        }
        let allowed = known;
        let mut plan = plan_updates(tree, allowed.iter().copied(), tags);
        let pins = self.pins((named, head, tree), &plan, &allowed, (tags, histories)).await?;
        if !pins.is_empty() {
            let is_pinned = |update: &&Update| pins.iter().any(|(change, _)| change.is_of(update));
            plan = plan_updates(tree, allowed.into_iter().filter(|update| !is_pinned(update)), tags);
        }
        plan.errors.extend(errors);
        for (change, newest) in pins {
            let is_pushed = cause.pushes_of(&change.image).any(|push| push.tag == change.tag);
            let pin = Pin { change, newest, is_pushed };
            plan.unchanged.push((pin.change.app.clone(), pin.why()));
            plan.pins.push(pin);
        }
        Ok(plan)
    }

    /// The files of the commit `head` that the updates need, and the name that the repository has now.
    pub(super) async fn files(
        &self,
        repo: &Repo,
        head: &str,
        group: &[Update],
        root: &AtHand,
    ) -> Result<(Repo, Arc<Tree>), GithubError> {
        if root.root.checkout.sha == head && root.root.checkout.repo == *repo {
            return Ok((repo.clone(), Arc::clone(&root.root.checkout.tree)));
        }
        let paths = group.iter().flat_map(Update::reads).collect();
        let Files { repo: named, tree, has_links } = files::read(&self.github, repo, head, &paths).await?;
        let is_there = |update: &Update| {
            if update.reads().is_empty() {
                return false;
            }
            let is_there = |slot: &Slot| tree.kind(&slot.file).is_ok_and(|kind| kind.is_some());
            update.locate(&tree).is_ok_and(|slots| slots.iter().all(is_there))
        };
        if !has_links && group.iter().all(is_there) {
            return Ok((named, Arc::new(tree)));
        }
        // A file that is not there may stand behind a symlink, which only the whole tree follows; and plain manifests
        // may have any name.
        let checkout = Box::pin(self.github.checkout(repo, head)).await?;
        Ok((checkout.repo.clone(), Arc::clone(&checkout.tree)))
    }

    /// The changes of `plan` that a person's own downgrade in Git stands against, each with what was taken back.
    async fn pins(
        &self,
        (repo, head, tree): (&Repo, &str, &Tree),
        plan: &UpdatePlan,
        updates: &[&Update],
        (tags, histories): (&ImageTags, &mut Histories),
    ) -> Result<Vec<(ImageChange, String)>, GithubError> {
        let mut pins = Vec::new();
        for change in &plan.changes {
            let file = &change.slot.file;
            let key = (file.clone(), tree.read_text(file).ok().map(str::to_owned));
            if !histories.contains_key(&key) {
                let versions = history::versions(&self.github, repo, head, file).await?;
                histories.insert(key.clone(), versions);
            }
            let earlier = histories.get(&key).map(Vec::as_slice).unwrap_or_default();
            let of = tags.get(&change.image).map(Vec::as_slice).unwrap_or_default();
            let update = updates.iter().find(|update| change.is_of(update));
            if let Some(newest) = update.and_then(|update| pinned(update, change, earlier, of)) {
                pins.push((change.clone(), newest));
            }
        }
        Ok(pins)
    }
}

pub(super) fn failed(error: &GithubError) -> Failure {
    Failure::of(error, error.is_retryable())
}

impl AtHand {
    /// The head of the branch where it is the one at hand.
    pub(super) fn head(&self, repo: &Repo, branch: &str) -> Option<&str> {
        (self.branch == branch && self.root.checkout.repo == *repo).then_some(self.root.checkout.sha.as_str())
    }
}

pub(super) fn file_edit(plan: &UpdatePlan, template: Option<&str>, cause: Cause<'_>) -> commit::FileEdit {
    let message = plan.message(template);
    let (headline, body) = message.split_once('\n').unwrap_or((&message, ""));
    let trailers = message::trailers(&plan.changes, cause.events(plan));
    let evidence = cause.promotion.map(|promotion| format!("{}\n\n", promotion.evidence())).unwrap_or_default();
    commit::FileEdit {
        files: plan.files.iter().map(|(path, text)| (path.clone(), text.clone().into_bytes())).collect(),
        headline: headline.to_owned(),
        body: format!("{}\n\n{evidence}{trailers}", body.trim()).trim().to_owned(),
    }
}

pub(super) fn described(plan: &UpdatePlan) -> UpdateResult {
    let mut problems: Vec<String> = plan.errors.iter().map(|error| chain(error)).collect();
    problems
        .extend(plan.pins.iter().filter(|pin| pin.is_pushed).map(|pin| format!("{}: {}", pin.change.app, pin.why())));
    UpdateResult {
        commit: None,
        pull_request: None,
        changes: plan.changes.clone(),
        unchanged: plan.unchanged.iter().map(|(app, why)| format!("{app}: {why}")).collect(),
        problems,
    }
}
