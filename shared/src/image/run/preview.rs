//! Renders what a pull request changes: of each Application that the edit reaches the objects before and after.
//! Secrets are masked as in the diffs of `slipway app diff`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use slipway_budget::Budget;
use slipway_gitops::redactor::Redactor;
use slipway_gitops::{diff, redact};
use slipway_manifest::{Object, ObjectId, Tree, yaml};
use tokio::time::timeout_at;

use super::{AtHand, Cause, ImageUpdater, Place};
use crate::app::Application;
use crate::error::chain;
use crate::image::UpdatePlan;
use crate::memory::Held;
use crate::printable::printable;
use crate::render::reach::{Memo, Reaches, reach};
use crate::render::{self, BuildOptions, Context};
use crate::root::ResolvedApplication;
use crate::source::github::Checkout;

/// Applications that are rendered.
const MAX_APPS: usize = 20;
/// Lines of one Application's diff.
const MAX_LINES: usize = 200;
/// Characters of one line.
const MAX_WIDTH: usize = 300;
/// Characters of a reason.
const MAX_REASON: usize = 500;
/// Unchanged lines around a change.
const CONTEXT: usize = 3;

/// An Application before and after the edit.
struct Compared {
    name: String,
    build: BuildOptions,
    app: Application,
    /// Which of its sources are in the repository and branch that is edited.
    is_here: Vec<bool>,
}

impl ImageUpdater {
    /// What the changes of `plan` to the commit `head` do to rendered objects, as Markdown of at most `max_bytes`;
    /// `is_default` is whether the branch of `place` is the repository's default branch. What can't be rendered without
    /// a cluster, or needs other repositories, says so.
    pub(super) async fn preview(
        &self,
        (place, is_default): (&Place, bool),
        head: &str,
        plan: &UpdatePlan,
        (cause, root): (Cause<'_>, &AtHand),
        max_bytes: usize,
    ) -> String {
        let (known, repo) = (&root.root.checkout, &place.url.repo);
        let before = if known.sha == head && known.repo == *repo {
            Arc::clone(known)
        } else {
            match Box::pin(self.github.checkout(repo, head)).await {
                Ok(checkout) => Arc::new(checkout),
                Err(error) => return reason("Not rendered", &chain(&error)),
            }
        };
        let mut tree = Tree::clone(&before.tree);
        for (path, text) in &plan.files {
            if let Err(error) = tree.insert(path, text.as_bytes()) {
                return reason("Not rendered", &chain(&error));
            }
        }
        let (repo, sha, special) = (before.repo.clone(), before.sha.clone(), before.special.clone());
        let after = Arc::new(Checkout { repo, sha, tree: Arc::new(tree), special, held: Held::default() });
        let apps: Vec<Compared> =
            root.root.members.iter().filter_map(|member| compared(member, place, is_default)).collect();
        let limits = self.github.memory().render();
        let work = move |budget: &Budget| Ok(markdown(&apps, &before, &after, budget, max_bytes));
        match timeout_at(cause.deadline, render::in_background(limits, work)).await {
            Ok(Ok(text)) => text,
            Ok(Err(error)) => reason("Not rendered", &chain(&error)),
            Err(_) => reason("Not rendered", "it took too long"),
        }
    }
}

/// The Application, where it has sources in the repository and branch of `place` and may read them.
fn compared(member: &ResolvedApplication, place: &Place, is_default: bool) -> Option<Compared> {
    if member.permit.denied.is_some() {
        return None;
    }
    let follows = |revision: &str| revision == place.branch || is_default && matches!(revision, "" | "HEAD");
    let is_here = |source: &crate::root::tracked::TrackedSource| {
        source.git() == Some(&place.url.repo) && follows(&source.revision)
    };
    let is_here: Vec<bool> = member.tracked.iter().map(is_here).collect();
    let (name, build, app) = (member.instance(), member.build, member.app.clone());
    is_here.contains(&true).then_some(Compared { name, build, app, is_here })
}

/// The diffs of all `apps` that the change from `before` to `after` reaches.
fn markdown(apps: &[Compared], before: &Arc<Checkout>, after: &Arc<Checkout>, budget: &Budget, room: usize) -> String {
    let memos: [Arc<Memo>; 2] = Default::default();
    let digest = |of: &Compared, (checkout, memo): (&Arc<Checkout>, &Arc<Memo>)| {
        let commit = |is_here: &bool| is_here.then(|| Reaches::new(Arc::clone(checkout), Arc::clone(memo)));
        reach(&of.app, &of.is_here.iter().map(commit).collect::<Vec<_>>()).digest
    };
    let [old, new] = &memos;
    let reached = |of: &&Compared| digest(of, (before, old)) != digest(of, (after, new));
    let reached: Vec<&Compared> = apps.iter().filter(reached).collect();
    let (mut text, mut shown) = (String::new(), 0);
    for of in reached.iter().take(MAX_APPS) {
        let part = match (objects(of, before, budget), objects(of, after, budget)) {
            (Ok(old), Ok(new)) => rendered(&of.name, &old, &new),
            (Err(why), _) | (_, Err(why)) => reason(&format!("`{}` is not rendered here", of.name), &why),
        };
        if text.len() + part.len() > room.saturating_sub(80) {
            break;
        }
        text.push_str(&part);
        shown += 1;
    }
    if shown < reached.len() {
        let _ = writeln!(text, "… and {} more Applications\n", reached.len() - shown);
    }
    text
}

fn reason(what: &str, why: &str) -> String {
    let why: String = printable(why).chars().take(MAX_REASON).map(|c| if c == '`' { '\'' } else { c }).collect();
    format!("{what}: `{}`\n\n", why.replace(['\n', '\r'], " "))
}

/// The objects of the Application's sources in `checkout`.
fn objects(of: &Compared, checkout: &Arc<Checkout>, budget: &Budget) -> Result<BTreeMap<ObjectId, Object>, String> {
    let sources = of.app.all_sources().iter().zip(&of.is_here);
    let here = sources.clone().filter(|(_, is_here)| **is_here);
    let references = here.filter_map(|(source, _)| Some((source.reference.clone()?, Arc::clone(checkout))));
    let references: BTreeMap<String, Arc<Checkout>> = references.collect();
    let with_manifests = sources.filter(|(source, _)| of.app.has_manifests(source));
    let mut objects = BTreeMap::new();
    for (app, (_, is_here)) in of.app.per_source().iter().zip(with_manifests) {
        if !is_here {
            // The same before and after, but for value files of this repository.
            if references.is_empty() {
                continue;
            }
            return Err("a source of it is in another repository".to_owned());
        }
        let (revision, references, budget) = (checkout.sha.clone(), references.clone(), budget.clone());
        let context = Context { revision, build: of.build, references, budget, ..Context::default() };
        let rendered = render::render_offline(&checkout.tree, app, &context).map_err(|error| chain(&error))?;
        if !rendered.encrypted.is_empty() {
            return Err("it has encrypted files".to_owned());
        }
        objects.extend(rendered.objects.into_iter().map(|object| (object.id(), object)));
    }
    Ok(objects)
}

/// What differs between the objects, as a block that can be opened; empty where nothing does.
fn rendered(name: &str, old: &BTreeMap<ObjectId, Object>, new: &BTreeMap<ObjectId, Object>) -> String {
    let ids: BTreeSet<&ObjectId> = old.keys().chain(new.keys()).collect();
    let (mut lines, mut changed) = (Vec::new(), 0_usize);
    for id in ids {
        let (mut before, mut after) = (old.get(id).cloned(), new.get(id).cloned());
        if before == after {
            continue;
        }
        redact::redact(&mut before.iter_mut().chain(after.iter_mut()).collect::<Vec<_>>(), &[]);
        let print = |object: &Option<Object>| {
            object.as_ref().map(|object| yaml::to_string(&diff::normalized(object))).unwrap_or_default()
        };
        changed += 1;
        lines.push(format!("@@ {id} @@"));
        unified(&print(&before), &print(&after), &mut lines);
    }
    if changed == 0 {
        return String::new();
    }
    let cut = lines.len().saturating_sub(MAX_LINES);
    lines.truncate(MAX_LINES);
    if cut > 0 {
        lines.push(format!("… and {cut} more lines"));
    }
    // Values of Secrets may stand elsewhere, too.
    let text = lines.join("\n");
    let text = Redactor::of(old.values().chain(new.values())).redact(&text).into_owned();
    let text: Vec<String> = text.lines().map(|line| printable(line).chars().take(MAX_WIDTH).collect()).collect();
    let text = text.join("\n");
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest.max(2) + 1);
    let objects = if changed == 1 { "1 object".to_owned() } else { format!("{changed} objects") };
    format!(
        "<details><summary><code>{name}</code>: {objects}</summary>\n\n{fence}diff\n{text}\n{fence}\n</details>\n\n"
    )
}

/// The changed lines of two texts with some around them.
fn unified(old: &str, new: &str, lines: &mut Vec<String>) {
    let (olds, news): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let operations = similar::capture_diff_slices(similar::Algorithm::Myers, &olds, &news);
    for (at, group) in similar::group_diff_ops(operations, CONTEXT).iter().enumerate() {
        if at > 0 {
            lines.push(" …".to_owned());
        }
        for operation in group {
            let of = |lines: &[&str], range: std::ops::Range<usize>, sign: &str| -> Vec<String> {
                lines.get(range).unwrap_or_default().iter().map(|line| format!("{sign}{line}")).collect()
            };
            if matches!(operation, similar::DiffOp::Equal { .. }) {
                lines.extend(of(&olds, operation.old_range(), " "));
            } else {
                lines.extend(of(&olds, operation.old_range(), "-"));
                lines.extend(of(&news, operation.new_range(), "+"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> (ObjectId, Object) {
        let object = Object::from_value(yaml::parse(text).unwrap()).unwrap();
        (object.id(), object)
    }

    #[test]
    fn secrets_are_masked_and_fences_hold() {
        let secret = |value: &str| {
            let text = "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData:\n  password: ";
            object(&format!("{text}{value}\n"))
        };
        let config = |value: &str| {
            object(&format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata: {{a: '{value}'}}\n"))
        };
        let old = [secret("canary-before"), config("url canary-before")].into();
        let new = [secret("canary-behind"), config("url canary-behind ````")].into();
        let text = rendered("shop", &old, &new);
        assert!(!text.contains("canary"), "{text}");
        assert!(text.contains("<code>shop</code>: 2 objects") && text.contains("\n`````diff\n"), "{text}");
        assert!(text.contains("-  password: ++++++++\n+  password: ++++++++++++\n"), "{text}");
        assert_eq!(rendered("shop", &old, &old), "");
    }

    #[test]
    fn a_diff_has_a_bounded_number_of_lines() {
        let config = |letter: &str| {
            let keys: Vec<String> = (0..1_000).map(|n| format!("  k{n}: {letter}")).collect();
            let keys = keys.join("\n");
            object(&format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata:\n{keys}\n"))
        };
        let text = rendered("shop", &[config("a")].into(), &[config("b")].into());
        assert!(text.lines().count() < MAX_LINES + 10 && text.contains(" more lines\n```\n</details>"), "{text}");
    }
}
