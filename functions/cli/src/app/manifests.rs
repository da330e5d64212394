//! Implements `slipway app manifests` as `argocd app manifests` prints the objects of Git (argoproj/argo-cd
//! `cmd/argocd/commands/app.go`, NewApplicationManifestsCommand). Secrets and what was
//! decrypted are masked.

use std::fmt::Write as _;

use anyhow::anyhow;
use slipway::deploy::prepare;
use slipway::error::chain;
use slipway_gitops::redact;
use slipway_manifest::yaml;

use super::CommitFlags;
use super::connect::CliContext;

pub(super) async fn run(CommitFlags { name, revisions, source }: &CommitFlags) -> anyhow::Result<()> {
    let context = CliContext::open(source, name).await?;
    let member = context.member(name)?;
    let revisions = context.revisions(member, revisions).await?;
    let request = Box::pin(prepare::prepare(&context.engine, &context.checkouts, member, &revisions)).await;
    let request = request.map_err(|error| anyhow!(chain(&error)))?;
    let mut text = String::new();
    for mut object in request.objects {
        redact::redact(&mut [&mut object], &[]);
        let _ = writeln!(text, "---\n{}", yaml::to_string(&object.into_value()));
    }
    crate::println(request.destination.cluster.redactor().redact(text.trim_end_matches('\n')).as_ref());
    for warning in &request.warnings {
        crate::eprintln(&format!("warning: {warning}"));
    }
    Ok(())
}
