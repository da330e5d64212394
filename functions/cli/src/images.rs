//! Implements `slipway images …`: what ecr-push decides, by its own code.

use std::fmt::Write as _;

use anyhow::{Context as _, anyhow, bail};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Value, json};
use slipway::aws::Aws;
use slipway::config::{self, EcrPush};
use slipway::error::chain;
use slipway::image::ImageChange;
use slipway::image::run::inspect::{DeclaredImage, Explanation};
use slipway::image::run::{ImageUpdater, UpdateResult};

use crate::app::{Output, connect};
use crate::view;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// List the images that Applications keep up to date: their tags in Git, and where they are written.
    #[command(after_help = "Examples:\n  slipway images list\n  slipway images list -o json \
        --root 'https://github.com/acme/gitops//applications?ref=main'")]
    List(Flags),
    /// Explain which tag the images of an Application get, and why each other tag is not chosen.
    #[command(
        after_help = "Examples:\n  slipway images explain shop\n  slipway images explain team-a/shop -o json\n\n\
        ECR is asked with AWS's own settings (AWS_PROFILE, AWS_REGION …)."
    )]
    Explain(Explain),
    /// Commit the tags that images should have, as ecr-push does once an hour for pushes whose events got lost.
    #[command(after_help = "Examples:\n  slipway images update --dry-run\n  slipway images update shop web")]
    Update(Update),
}

#[derive(Args)]
pub(crate) struct Flags {
    /// The root application folder, `https://github.com/OWNER/REPO//PATH?ref=BRANCH`; by default `SLIPWAY_ROOT`. GitHub
    /// is asked with `GITHUB_TOKEN`, `GH_TOKEN`, or the secret that `SLIPWAY_GITHUB_SECRET` names.
    #[arg(long, value_name = "URL")]
    root: Option<String>,
    /// How to print.
    #[arg(short, long, value_enum, default_value = "wide")]
    output: Output,
}

#[derive(Args)]
pub(crate) struct Explain {
    /// The Application's name, or NAMESPACE/NAME.
    name: String,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Args)]
pub(crate) struct Update {
    /// Names of Applications, or NAMESPACE/NAME; without one, all.
    names: Vec<String>,
    /// Print what would be written, and commit nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    flags: Flags,
}

/// Runs a verb; returns the exit code, which is 1 where an image can't be updated.
pub(crate) async fn run(command: Command) -> anyhow::Result<u8> {
    match command {
        Command::List(flags) => Box::pin(list(&flags)).await,
        Command::Explain(arguments) => Box::pin(explain(&arguments)).await,
        Command::Update(arguments) => Box::pin(update(&arguments)).await,
    }
}

fn updater(flags: &Flags) -> anyhow::Result<ImageUpdater> {
    let root = flags.root.clone().or_else(|| connect::variable(config::ROOT.name));
    let root = connect::places(&root.context("name the root by --root or SLIPWAY_ROOT")?)?;
    let aws = Aws::default();
    let (github, secrets) = connect::github(&aws, false)?;
    let message = connect::variable(config::COMMIT_MESSAGE.name);
    let settings = EcrPush { root, github, slack: None, message, ecr_roles: config::ecr_roles(config::environment) };
    Ok(ImageUpdater::with_secrets(settings, aws, secrets))
}

/// Prints what is wrong; returns the exit code.
fn warn(problems: &[String]) -> u8 {
    problems.iter().for_each(|problem| crate::eprintln(&format!("warning: {problem}")));
    u8::from(!problems.is_empty())
}

async fn list(flags: &Flags) -> anyhow::Result<u8> {
    let (images, problems) = updater(flags)?.images(&[]).await.map_err(|error| anyhow!(chain(&error)))?;
    let listed: Vec<Value> = images.iter().map(declared).collect();
    let header = ["APPLICATION", "IMAGE", "STRATEGY", "CONSTRAINT", "TAG", "WRITTEN TO"];
    flags.output.print(&json!({ "images": listed, "problems": problems }), || {
        let row = |one: &DeclaredImage| {
            let update = &one.update;
            let places: Vec<String> = places(one).into_iter().map(|(place, _)| place).collect();
            let constraint = if update.constraint.is_empty() { "<none>" } else { &update.constraint };
            [update.name(), update.image.clone(), update.strategy.to_string(), constraint.to_owned()]
                .into_iter()
                .chain([tag(one).unwrap_or_else(|| "<none>".to_owned()), places.join(", ")])
                .collect()
        };
        view::table(&header.map(str::to_owned), &images.iter().map(row).collect::<Vec<_>>())
    });
    Ok(warn(&problems))
}

async fn explain(Explain { name, flags }: &Explain) -> anyhow::Result<u8> {
    let only = std::slice::from_ref(name);
    let (explained, problems) = updater(flags)?.explain(only).await.map_err(|error| anyhow!(chain(&error)))?;
    if explained.is_empty() && problems.is_empty() {
        bail!(
            "no Application `{name}` of the root keeps an image up to date: it needs the annotation \
             `argocd-image-updater.argoproj.io/image-list`, or an ImageUpdater that selects it"
        );
    }
    let images: Vec<Value> = explained.iter().map(explanation).collect();
    flags.output.print(&json!({ "images": images, "problems": problems }), || {
        explained.iter().map(text).collect::<Vec<_>>().join("\n")
    });
    Ok(warn(&problems).max(u8::from(explained.iter().any(|one| !one.outcome.problems.is_empty()))))
}

async fn update(Update { names, dry_run, flags }: &Update) -> anyhow::Result<u8> {
    let branches = updater(flags)?.catch_up(names, *dry_run).await.map_err(|error| anyhow!(chain(&error)))?;
    let results: serde_json::Map<String, Value> =
        branches.iter().map(|(branch, result)| (branch.clone(), result_of(result))).collect();
    flags.output.print(&json!({ "branches": results }), || {
        let mut text = String::new();
        for (branch, UpdateResult { commit, changes, pull_request, unchanged, .. }) in &branches {
            let done = match commit {
                Some(commit) => pull_request.as_ref().unwrap_or(&commit.url),
                None if *dry_run && !changes.is_empty() => "would be committed to",
                None => "nothing to commit",
            };
            let _ = writeln!(text, "{branch}: {done}");
            text.extend(changes.iter().map(|change| format!("  {}\n", change_text(change))));
            text.extend(unchanged.iter().map(|why| format!("  {why}\n")));
        }
        text
    });
    Ok(branches.values().map(|result| warn(&result.problems)).max().unwrap_or_default())
}

/// Each file and field of an image, and the tag that is there.
fn places(one: &DeclaredImage) -> Vec<(String, Option<String>)> {
    let DeclaredImage { update, branch, slots } = one;
    let at = &update.repo.repo;
    slots
        .iter()
        .map(|(slot, current)| {
            let digest = Some(current.digest.clone()).filter(|digest| !digest.is_empty());
            let known = current.tag.clone().or(digest);
            (format!("{at} {branch}: {} {}", slot.file, slot.field(&update.image)), known)
        })
        .collect()
}

fn tag(one: &DeclaredImage) -> Option<String> {
    places(one).into_iter().find_map(|(_, tag)| tag)
}

fn declared(one: &DeclaredImage) -> Value {
    let DeclaredImage { update, branch, slots } = one;
    let written = |(slot, current): &(slipway::image::Slot, slipway::image::Current)| json!({ "file": slot.file, "field": slot.field(&update.image), "tag": current.tag, "digest": current.digest });
    json!({
        "application": update.name(),
        "image": update.image,
        "alias": update.alias,
        "strategy": update.strategy.to_string(),
        "constraint": update.constraint,
        "repository": update.repo.to_string(),
        "branch": branch,
        "writtenTo": slots.iter().map(written).collect::<Vec<_>>(),
    })
}

fn change(one: &ImageChange) -> Value {
    json!({
        "application": one.app, "image": one.image, "alias": one.alias, "old": one.old, "new": one.new,
        "digest": one.digest, "file": one.slot.file, "field": one.slot.field(&one.image),
    })
}

fn change_text(one: &ImageChange) -> String {
    let ImageChange { app, old, new, slot, image, .. } = one;
    let old = if old.is_empty() { "<none>" } else { old };
    format!("{app}: {old} → {new} in {} {}", slot.file, slot.field(image))
}

fn result_of(result: &UpdateResult) -> Value {
    let UpdateResult { commit, changes, pull_request, unchanged, problems } = result;
    json!({
        "commit": commit.as_ref().map(|commit| commit.sha.as_str()),
        "pullRequest": pull_request,
        "changes": changes.iter().map(change).collect::<Vec<_>>(),
        "unchanged": unchanged,
        "problems": problems,
    })
}

fn explanation(one: &Explanation) -> Value {
    let mut value = declared(&one.declared);
    let tag = |(info, why): &(slipway::image::TagInfo, Option<String>)| {
        json!({ "tag": info.tag, "digest": info.digest, "pushedAt": pushed_at(info.pushed_at_ms),
            "isChosen": why.is_none(), "why": why })
    };
    if let Some(fields) = value.as_object_mut() {
        fields.insert("tags".to_owned(), one.tags.iter().map(tag).collect());
        fields.insert("result".to_owned(), result_of(&one.outcome));
    }
    value
}

fn pushed_at(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map(|at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()).unwrap_or_default()
}

fn text(one: &Explanation) -> String {
    let update = &one.declared.update;
    let mut text = format!("{}  {}\n", update.name(), update.image);
    let constraint = if update.constraint.is_empty() { "no constraint" } else { &update.constraint };
    let _ = writeln!(text, "  strategy    {}, {constraint}", update.strategy);
    for (place, tag) in places(&one.declared) {
        let _ = writeln!(text, "  written to  {place}\n  tag in Git  {}", tag.as_deref().unwrap_or("<none>"));
    }
    let UpdateResult { changes, unchanged, problems, .. } = &one.outcome;
    text.extend(changes.iter().map(|change| format!("  would write {}\n", change_text(change))));
    text.extend(unchanged.iter().map(|why| format!("  unchanged   {why}\n")));
    text.extend(problems.iter().map(|why| format!("  problem     {why}\n")));
    let rows: Vec<Vec<String>> = one
        .tags
        .iter()
        .map(|(info, why)| {
            vec![info.tag.clone(), pushed_at(info.pushed_at_ms), why.clone().unwrap_or_else(|| "chosen".to_owned())]
        })
        .collect();
    if !rows.is_empty() {
        text.push('\n');
        text.push_str(&view::table(&["TAG", "PUSHED", "WHY"].map(str::to_owned), &rows));
    }
    text
}
