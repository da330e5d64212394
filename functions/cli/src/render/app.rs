//! Implements `slipway render --app`: what an Application asks for, from every source, without a cluster.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use slipway::app::{Application, ProjectPermissions};
use slipway::config;
use slipway::error::chain;
use slipway::memory::Memory;
use slipway::render::{self, BuildOptions, Context};
use slipway::root::fetch::{self, Fetch};
use slipway::root::repositories::{Availability, Repositories, Unrendered, Wanted};
use slipway::root::tree::{TreeApplication, TreeOptions};
use slipway::source::helm_repository::HelmChart;
use slipway_manifest::{Object, tree};

use super::{Arguments, canonical, repository};
use crate::root::check;

/// Prints the objects of the Application `wanted`: a name, NAMESPACE/NAME, or a file that declares some.
pub(super) async fn run(wanted: &str, rendering: &Arguments) -> anyhow::Result<()> {
    let Arguments { root, local, offline, .. } = rendering;
    let mut local = local.clone();
    let mut wanted = wanted.to_owned();
    if Path::new(&wanted).is_file() {
        let file = canonical(Path::new(&wanted))?;
        let folder = file.parent().unwrap_or(&file);
        let around = match &local {
            Some(local) => canonical(local)?,
            None => repository(folder).unwrap_or(folder).to_owned(),
        };
        let inner = file.strip_prefix(&around).with_context(|| format!("`{wanted}` is not below the local folder"))?;
        wanted = inner.to_str().context("the path is not valid UTF-8")?.to_owned();
        local = Some(around);
    }
    let options = TreeOptions { assumes_clusters: true, ..config::tree_options(config::environment)? };
    let arguments = check::Arguments::reading(root.clone(), local, *offline);
    let (mut folder, mut found, mut others) = (None, Vec::new(), Vec::new());
    let (checkouts, mut host) = (check::checkouts(&arguments), String::new());
    for environment in check::environments(&arguments, &mut folder).await? {
        let (tree, repositories) = check::read(&arguments, &environment, folder.as_ref(), &options).await?;
        checkouts.credentials().declare(&tree.manifests);
        environment.host().clone_into(&mut host);
        let repositories = Arc::new(repositories);
        for one in &tree.applications {
            let is_known = |(known, ..): &(TreeApplication, _, _)| {
                known.identity == one.identity && known.declared == one.declared
            };
            if !is_meant(one, &wanted) {
                others.push(label(one));
            } else if !found.iter().any(is_known) {
                found.push((one.clone(), tree.build, Arc::clone(&repositories)));
            }
        }
    }
    let names: Vec<String> = found.iter().map(|(one, ..)| format!("{} in {}", label(one), one.declared)).collect();
    let is_file = found.iter().any(|(one, ..)| one.declared.path == wanted);
    match found.len() {
        0 => {
            others.truncate(20);
            bail!("no Application `{wanted}`; there are: {}", others.join(", "))
        }
        2.. if !is_file => bail!("`{wanted}` is more than one Application: {}", names.join(", ")),
        _ => {}
    }
    let mut objects = Vec::new();
    let fetch = (!offline).then_some(Fetch { checkouts: &checkouts, host: &host, pinned: None, recorded: None });
    for (one, build, repositories) in found {
        let app = one.app.map_err(|error| anyhow!(chain(&error)))?;
        let mut repositories = Repositories::clone(&repositories);
        objects.extend(Box::pin(sources(&app, build, &mut repositories, fetch)).await?);
    }
    rendering.write(objects)
}

fn label(TreeApplication { identity: (namespace, name), .. }: &TreeApplication) -> String {
    format!("{namespace}/{name}")
}

fn is_meant(one: &TreeApplication, wanted: &str) -> bool {
    let is_file =
        one.declared.repository.is_none() && tree::join("", wanted).is_ok_and(|path| path == one.declared.path);
    one.identity.1 == wanted || label(one) == wanted || is_file
}

/// Fetches what is `wanted` into `at`, where there is somewhere to `fetch` it from.
async fn fetch_wanted(
    wanted: Wanted,
    at: &mut Repositories,
    fetch: Option<Fetch<'_>>,
    app: &Application,
) -> anyhow::Result<()> {
    let Some(Fetch { checkouts, host, .. }) = fetch else { return Err(told(app, Unrendered::Missing(wanted))) };
    Box::pin(fetch::fetch_wanted(wanted, at, checkouts, host)).await;
    Ok(())
}

/// Why a source of `app` could not be rendered.
fn told(app: &Application, reason: Unrendered) -> anyhow::Error {
    let id = app.object.id();
    match reason {
        Unrendered::Failed(error) => anyhow!(chain(&error)),
        reason => anyhow!("{id}: {reason}"),
    }
}

/// Renders each source of `app`, in their order; warnings go to standard error.
async fn sources(
    app: &Application,
    build: BuildOptions,
    at: &mut Repositories,
    fetch: Option<Fetch<'_>>,
) -> anyhow::Result<Vec<Object>> {
    let not_here = |(url, revision)| anyhow!("{url} at {revision} was not fetched");
    let references = at.references(app);
    let references =
        references.map_err(|missing| missing.into_iter().next().map_or_else(|| anyhow!("no files"), not_here))?;
    let mut objects = Vec::new();
    for app in app.per_source() {
        let (tree, revision, checkout) = if let Some(name) = &app.source.chart {
            let chart = HelmChart::new(&app.source.repo_url, name)?.of_project(&app.project);
            let wanted = (chart.clone(), app.source.target_revision.clone());
            let wanted = Wanted { charts: [wanted].into(), ..Wanted::default() };
            fetch_wanted(wanted, at, fetch, &app).await?;
            let (version, files) =
                at.chart(&chart, &app.source.target_revision).map_err(|reason| told(&app, reason))?;
            (Arc::clone(&files.tree), version.clone(), None)
        } else {
            let checkout = match at.get(&app.source) {
                Availability::Here(checkout) => Arc::clone(checkout),
                Availability::Missing(wanted) => return Err(not_here(wanted)),
                Availability::Unavailable(reason) => bail!(reason.reason().to_owned()),
            };
            checkout.special.check_folder(&app.source.path)?;
            (Arc::clone(&checkout.tree), checkout.sha.clone(), Some(checkout))
        };
        let context = Context { revision, build, references: references.clone(), ..Context::default() };
        let rendered = loop {
            let (tree, one, context, here) = (Arc::clone(&tree), app.clone(), context.clone(), at.clone());
            let work = move |budget: &_| {
                let context = Context { budget: slipway_budget::Budget::clone(budget), ..context };
                Ok(here.render_offline(&tree, &one, &context, &ProjectPermissions::allow_all()))
            };
            match render::in_background(Memory::default().render(), work)
                .await
                .map_err(|error| anyhow!(chain(&error)))?
            {
                Ok(rendered) => break rendered,
                Err(Unrendered::Missing(wanted)) => fetch_wanted(wanted, at, fetch, &app).await?,
                Err(reason) => return Err(told(&app, reason)),
            }
        };
        if let Some(checkout) = checkout {
            checkout.special.check_files(&rendered.files)?;
        }
        for warning in &rendered.warnings {
            crate::eprintln(&format!("warning: {warning}"));
        }
        objects.extend(rendered.objects);
    }
    Ok(objects)
}
