//! What `slipway images` shows and does: the images that are kept up to date, and what the next catch-up decides of them.

use std::collections::BTreeMap;

use super::{Cause, Histories, ImageUpdater, Place, UpdateResult};
use crate::error::{Failure, chain};
use crate::event::ecr::EcrRepository;
use crate::image::{Current, ImageTags, Slot, TagInfo, Update, choose, why_not_chosen};

/// An image that an Application keeps up to date.
#[derive(Debug)]
pub struct DeclaredImage {
    /// What is declared of it.
    pub update: Update,
    /// The branch that is written to, or that the written one is made from.
    pub branch: String,
    /// Where it stands, and what is there; several places only in plain manifests.
    pub slots: Vec<(Slot, Current)>,
}

/// What is decided of one image.
#[derive(Debug)]
pub struct Explanation {
    /// The image.
    pub declared: DeclaredImage,
    /// Every tag with why it is not chosen, the last pushed first; `None` for the one that is.
    pub tags: Vec<(TagInfo, Option<String>)>,
    /// What would be committed, or why nothing is.
    pub outcome: UpdateResult,
}

impl ImageUpdater {
    /// The images that the Applications `only` keep up to date, all where none is named; and why others can't be.
    pub async fn images(&self, only: &[String]) -> Result<(Vec<DeclaredImage>, Vec<String>), Failure> {
        let (explained, problems) = Box::pin(self.inspect(only, false)).await?;
        Ok((explained.into_iter().map(|one| one.declared).collect(), problems))
    }

    /// What the next catch-up decides of the images of the Applications `only`; and why others can't be updated.
    pub async fn explain(&self, only: &[String]) -> Result<(Vec<Explanation>, Vec<String>), Failure> {
        Box::pin(self.inspect(only, true)).await
    }

    /// Does what a catch-up does, for the Applications `only`, all where none is named; a dry run commits nothing.
    pub async fn catch_up(&self, only: &[String], is_dry_run: bool) -> Result<BTreeMap<String, UpdateResult>, Failure> {
        Box::pin(self.update(Cause { only, is_dry_run, ..Cause::catch_up() })).await?.or_first_failure()
    }

    async fn inspect(&self, only: &[String], decides: bool) -> Result<(Vec<Explanation>, Vec<String>), Failure> {
        let cause = Cause { only, is_dry_run: true, ..Cause::catch_up() };
        let (wanted, mut problems, root) = self.wanted(|_| true, only).await?;
        let mut explained = Vec::new();
        let mut fail = |failure: Failure, _: &[Update], problems: &mut Vec<String>| problems.push(failure.message);
        let groups = self.by_branch(wanted, &mut problems, &mut fail).await;
        for (place @ Place { url, branch, .. }, group) in &groups {
            let repo = &url.repo;
            let read = async {
                let head = self.head(place, &root).await?;
                let (_, tree) = self.files(repo, &head, group, &root).await?;
                Ok((head, tree))
            };
            let (head, tree) = match read.await {
                Ok(read) => read,
                Err(error) => {
                    fail(super::branch::failed(&error), group, &mut problems);
                    continue;
                }
            };
            for update in group {
                let slots = match update.locate(&tree) {
                    Ok(slots) => slots,
                    Err(error) => {
                        problems.push(chain(&error));
                        continue;
                    }
                };
                let current = |slot: &Slot| match tree.read_text(&slot.file) {
                    Ok(text) => slot.current(text, &update.reference()),
                    Err(_) => Current::default(),
                };
                let slots = slots.into_iter().map(|slot| (slot.clone(), current(&slot))).collect();
                let declared = DeclaredImage { update: update.clone(), branch: branch.clone(), slots };
                let mut one = Explanation { declared, tags: Vec::new(), outcome: UpdateResult::default() };
                if update.is_promoted {
                    let why =
                        format!("{} gets its images from another Application: see `slipway promotions`", update.app);
                    one.outcome.unchanged.push(why);
                } else if decides {
                    let mut tags = self.list_all(std::slice::from_ref(update), &mut one.outcome.problems).await;
                    one.tags = reasons(update, &tags, &mut one.outcome.problems);
                    let known = (&mut tags, &mut Histories::new());
                    let plan = self.plan(repo, &head, std::slice::from_ref(update), known, (cause, &root)).await;
                    let plan = plan.map_err(|error| super::branch::failed(&error))?;
                    let UpdateResult { changes, unchanged, problems, .. } = super::branch::described(&plan);
                    one.outcome.problems.extend(problems);
                    one.outcome = UpdateResult { changes, unchanged, ..one.outcome };
                }
                explained.push(one);
            }
        }
        explained.sort_by_cached_key(|one| one.declared.update.name());
        Ok((explained, problems))
    }
}

/// Every tag with why it is not chosen, the last pushed first.
fn reasons(update: &Update, tags: &ImageTags, problems: &mut Vec<String>) -> Vec<(TagInfo, Option<String>)> {
    if EcrRepository::of(&update.image).is_none() {
        problems.push(format!("{} is in no repository of ECR: no push of it is seen", update.image));
    }
    let tags = tags.get(&update.image).map(Vec::as_slice).unwrap_or_default();
    // The plan tells of a constraint that can't be read.
    let chosen = choose(update, tags).unwrap_or_default();
    let explain = |info: &TagInfo| Some((info.clone(), why_not_chosen(update, info, chosen).ok()?));
    let mut explained: Vec<_> = tags.iter().filter_map(explain).collect();
    explained.sort_by(|(a, _), (b, _)| (b.pushed_at_ms, &b.tag).cmp(&(a.pushed_at_ms, &a.tag)));
    explained
}
