//! Formats the Slack texts (`mrkdwn`). Pure. All input is escaped, so that a name or value can't mention a channel or
//! make a link, and cut, so that a message always fits.

use std::fmt::Write as _;

use slipway_gitops::Revisions;
pub use slipway_gitops::revisions::short;

use crate::source::commit::Committed;

/// Slack truncates texts over 4,000 characters.
const MAX_TEXT: usize = 3_900;
/// Lines about single objects or fields before "and N more": readers need the first.
const MAX_LINES: usize = 20;
/// Length of one value, in characters.
const MAX_VALUE: usize = 120;

/// How a deployment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AppSyncStatus {
    /// Applied, waiting for health.
    Progressing,
    /// Applied and healthy.
    #[default]
    Healthy,
    /// Waiting: for other applications or, applied, for health.
    Waiting,
    /// Not begun: blocked by a sync window.
    Held,
    /// Not begun: waits for its dependencies.
    Queued,
    /// Skipped, because of its annotation.
    Skipped,
    /// Compared only: needs a manual sync.
    OutOfSync,
    /// The sync or its health failed.
    Failed,
}

impl AppSyncStatus {
    /// Slack emoji.
    pub fn icon(self) -> &'static str {
        match self {
            Self::Progressing => ":hourglass_flowing_sand:",
            Self::Healthy => ":white_check_mark:",
            Self::Waiting | Self::Held | Self::Queued => ":hourglass:",
            Self::Skipped => ":fast_forward:",
            Self::OutOfSync => ":raised_hand:",
            Self::Failed => ":x:",
        }
    }
}

/// One application's part of a deployment.
#[derive(Debug, Clone)]
pub struct SyncReport<'a> {
    /// The application's name.
    pub app: &'a str,
    /// The destination cluster's display name.
    pub cluster: &'a str,
    /// `owner/repository`.
    pub repo: &'a str,
    /// The commit's full SHA.
    pub sha: &'a str,
    /// Overall result.
    pub phase: AppSyncStatus,
    /// What changed, one line per object: `Deployment/shop/web configured`.
    pub changes: &'a [String],
    /// What failed or is not healthy, one line each.
    pub problems: &'a [String],
    /// What users should know: unsupported fields, for example.
    pub warnings: &'a [String],
}

/// One difference between Git and the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// The object's id, as text.
    pub object: String,
    /// The field's path; empty for the object itself.
    pub field: String,
    /// The value in Git; `None` where Git does not set the field.
    pub desired: Option<String>,
    /// The value in the cluster; `None` where it is missing.
    pub live: Option<String>,
    /// The field manager that wrote it.
    pub manager: Option<String>,
    /// When it was written, as the API server recorded it.
    pub time: Option<String>,
}

/// Escapes `&`, `<`, `>` (docs.slack.dev, "Escaping text") and removes line breaks.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// Formats a value as a code span: escaped, cut, without backticks of its own.
pub(super) fn code(text: &str) -> String {
    let cut: String = text.chars().take(MAX_VALUE).collect();
    let dots = if cut.len() < text.len() { "…" } else { "" };
    let plain = escape(&cut).replace('`', "'");
    if plain.is_empty() { "`\"\"`".to_owned() } else { format!("`{plain}{dots}`") }
}

/// Formats a bold name.
pub(super) fn bold(text: &str) -> String {
    format!("*{}*", escape(text).replace('*', "∗"))
}

/// The lines that say something.
fn said(lines: &[String]) -> Vec<&String> {
    lines.iter().filter(|line| !line.trim().is_empty()).collect()
}

/// Appends bullet lines, at most `MAX_LINES`.
fn bullets(text: &mut String, lines: impl ExactSizeIterator<Item = String>) {
    let total = lines.len();
    let mut shown = 0;
    for line in lines.take(MAX_LINES) {
        if text.len() + line.len() > MAX_TEXT - 40 {
            break;
        }
        let _ = write!(text, "\n• {line}");
        shown += 1;
    }
    if shown < total {
        let _ = write!(text, "\n• … and {} more", total - shown);
    }
}

/// Formats the message of a deployment, which is edited while the deployment goes on.
pub fn deployment(d: &SyncReport<'_>) -> String {
    let words = match d.phase {
        AppSyncStatus::Progressing => "is being deployed to",
        AppSyncStatus::Healthy => "is deployed to",
        AppSyncStatus::Waiting => "is not healthy yet on",
        AppSyncStatus::Held => "is blocked by a sync window, and is not deployed to",
        AppSyncStatus::Skipped => "is skipped, and is not deployed to",
        AppSyncStatus::Queued => "waits for other applications to be deployed to",
        AppSyncStatus::OutOfSync => "is OutOfSync, and needs a manual sync, on",
        AppSyncStatus::Failed => "could not be deployed to",
    };
    let icon = d.phase.icon();
    let mut text =
        format!("{icon} {} {words} {} at {} of {}", bold(d.app), bold(d.cluster), code(short(d.sha)), escape(d.repo));
    bullets(&mut text, said(d.problems).into_iter().map(|line| format!(":red_circle: {}", escape(line))));
    bullets(&mut text, said(d.changes).into_iter().map(|line| escape(line)));
    bullets(&mut text, said(d.warnings).into_iter().map(|line| format!(":warning: {}", escape(line))));
    text
}

/// Formats the message about new differences; `noticed` is the time of the check, for writes without a recorded time
/// (those of the scale subresource).
pub fn drift(app: &str, cluster: &str, revisions: &Revisions, drifts: &[Drift], noticed: &str) -> String {
    let mut text = format!(
        ":rotating_light: {} on {} differs from Git at {}: {}",
        bold(app),
        bold(cluster),
        code(&revisions.short()),
        fields(drifts)
    );
    bullets(&mut text, drifts.iter().map(|drift| drift_line(drift, noticed)));
    text
}

/// Formats the message about self-healed differences; arguments as for [`drift`].
pub fn healed(app: &str, cluster: &str, revisions: &Revisions, drifts: &[Drift], noticed: &str) -> String {
    let (app, cluster, sha) = (bold(app), bold(cluster), code(&revisions.short()));
    let mut text =
        format!(":adhesive_bandage: {app} on {cluster} is healed, as Git says at {sha} again: {}", fields(drifts));
    bullets(&mut text, drifts.iter().map(|drift| drift_line(drift, noticed)));
    text
}

fn fields(drifts: &[Drift]) -> String {
    if drifts.len() == 1 { "1 field".to_owned() } else { format!("{} fields", drifts.len()) }
}

fn drift_line(d: &Drift, noticed: &str) -> String {
    let mut line = code(&d.object);
    if !d.field.is_empty() {
        let _ = write!(line, " {}", code(&d.field));
    }
    let say = |value: &Option<String>| value.as_deref().map_or_else(|| "nothing".to_owned(), code);
    let _ = write!(line, ": Git has {}, the cluster {}", say(&d.desired), say(&d.live));
    match (&d.manager, &d.time) {
        (Some(manager), Some(time)) => {
            let _ = write!(line, "; by {} at {}", code(manager), escape(time));
        }
        (Some(manager), None) => {
            let _ = write!(line, "; by {}, noticed at {noticed}", code(manager));
        }
        _ => {
            let _ = write!(line, "; noticed at {noticed}");
        }
    }
    line
}

/// Formats the message about an application that was Healthy after its last sync and is Degraded now.
pub fn degraded(app: &str, cluster: &str, revisions: &Revisions, objects: &[String]) -> String {
    let (name, cluster, sha) = (bold(app), bold(cluster), code(&revisions.short()));
    let mut text = format!(":x: {name} on {cluster} is Degraded, without a sync: it runs {sha}");
    bullets(&mut text, objects.iter().map(|line| format!(":red_circle: {}", escape(line))));
    let _ = write!(text, "\n{} tells more", code(&format!("slipway app get {app}")));
    text
}

/// Formats the message about an application that is Healthy again without a sync.
pub fn recovered(app: &str, cluster: &str, revisions: &Revisions) -> String {
    let (app, cluster, sha) = (bold(app), bold(cluster), code(&revisions.short()));
    format!(":white_check_mark: {app} on {cluster} is Healthy again, at {sha}")
}

/// Formats the line about an image whose tag changes from `old`, which may be empty, to `new`.
pub fn image_line(image: &str, old: &str, new: &str) -> String {
    let tag = |tag: &str| if tag.is_empty() { "nothing".to_owned() } else { code(tag) };
    format!("{} {} → {}", code(image), tag(old), tag(new))
}

/// Formats the message about `images`, lines of [`image_line`], that came `from` one Application to the next: committed
/// to `place`, or proposed for it by a pull request.
pub fn promoted(
    (app, from): (&str, &str),
    place: &str,
    images: &[String],
    commit: &Committed,
    pull_request: Option<&str>,
) -> String {
    let (app, from, place) = (bold(app), bold(from), escape(place));
    let sha = link(&commit.url, short(&commit.sha));
    let mut text = match pull_request {
        Some(url) => {
            let number = url.rsplit_once('/').map_or("the pull request", |(_, number)| number);
            format!(
                ":inbox_tray: images of {from} are proposed to {app}, to {place}: {}",
                link(url, &format!("#{number}"))
            )
        }
        None => format!(":arrow_right: images of {from} are promoted to {app}: {sha} of {place}"),
    };
    bullets(&mut text, images.iter().cloned());
    text
}

/// Formats the message about `images`, lines of [`image_line`], that do not come `from` one Application to the next,
/// because they do not run well there.
pub fn promotion_held((app, from): (&str, &str), why: &str, images: &[String]) -> String {
    let mut text = format!(":no_entry: images of {} are held back from {}: {}", bold(from), bold(app), escape(why));
    bullets(&mut text, images.iter().cloned());
    text
}

/// Formats a link; plain where `url` is none of the web.
pub(super) fn link(url: &str, text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '<' | '>' | '|' | '&');
    if url.starts_with("https://") && url.chars().all(is_plain) {
        format!("<{url}|{}>", escape(text).replace('|', "∣"))
    } else {
        escape(text)
    }
}

/// Formats the message about resolved differences.
pub fn resolved(app: &str, cluster: &str, gone: &[String]) -> String {
    let mut text =
        format!(":white_check_mark: {} on {}: resolved, the cluster is as Git says again", bold(app), bold(cluster));
    bullets(&mut text, gone.iter().map(|line| code(line)));
    text
}

/// Formats the message about an application that was removed from the root: its result, the deleted objects, other
/// lines.
pub fn deletion(app: &str, cluster: &str, phase: AppSyncStatus, changes: &[String], lines: &[String]) -> String {
    let (icon, words) = match phase {
        AppSyncStatus::Healthy => (":wastebasket:", "is deleted from"),
        AppSyncStatus::Held => {
            (AppSyncStatus::OutOfSync.icon(), "left Git, and waits for an approval to be deleted from")
        }
        AppSyncStatus::Skipped => (AppSyncStatus::Skipped.icon(), "left Git, and is not deleted from"),
        AppSyncStatus::Failed => (AppSyncStatus::Failed.icon(), "left Git, and could not be deleted from"),
        AppSyncStatus::Progressing | AppSyncStatus::Waiting | AppSyncStatus::Queued | AppSyncStatus::OutOfSync => {
            (AppSyncStatus::Waiting.icon(), "is being deleted from")
        }
    };
    let mut text = format!("{icon} {} {words} {}", bold(app), bold(cluster));
    bullets(&mut text, lines.iter().map(|line| escape(line)));
    bullets(&mut text, changes.iter().map(|line| escape(line)));
    text
}

/// Formats a problem that needs a person: `what` names it, `lines` give the reasons.
pub fn problem(what: &str, lines: &[String]) -> String {
    let mut text = format!(":x: {}", escape(what));
    bullets(&mut text, said(lines).into_iter().map(|line| escape(line)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replicas() -> Drift {
        Drift {
            object: "Deployment/shop/web".into(),
            field: "spec.replicas".into(),
            desired: Some("2".into()),
            live: Some("5".into()),
            manager: Some("kubectl-scale".into()),
            time: Some("2026-11-21T13:00:00Z".into()),
        }
    }

    #[test]
    fn a_drift_names_field_values_manager_and_time() {
        assert_eq!(
            drift("web", "prod", &"a".repeat(40).into(), &[replicas()], "now"),
            ":rotating_light: *web* on *prod* differs from Git at `aaaaaaa`: 1 field\n• `Deployment/shop/web` \
             `spec.replicas`: Git has `2`, the cluster `5`; by `kubectl-scale` at 2026-11-21T13:00:00Z"
        );
    }

    #[test]
    fn markup_from_outside_is_harmless() {
        let hostile = "<!channel> <http://x|y> `*_&";
        let text =
            drift("<@U1>*x*", hostile, &"abc".into(), &[Drift { live: Some(hostile.into()), ..replicas() }], "now");
        assert!(!text.contains("<!") && !text.contains("<@") && !text.contains("<http"), "{text}");
        assert!(!text.contains("``"), "{text}");
        assert_eq!(problem("a\nb", &["<x>".into(), " ".into()]), ":x: a b\n• &lt;x&gt;", "no empty bullet (F20)");
    }

    #[test]
    fn messages_fit() {
        let scaled = drift("web", "prod", &"abc".into(), &[Drift { time: None, ..replicas() }], "now");
        assert!(scaled.ends_with("by `kubectl-scale`, noticed at now"), "{scaled}");
        let many: Vec<Drift> =
            (0..1000).map(|n| Drift { live: Some("x".repeat(500)), field: format!("f{n}"), ..replicas() }).collect();
        let text = drift("web", "prod", &"abc".into(), &many, "now");
        assert!(text.len() < 4_000 && text.ends_with(" more"), "{}", text.len());
        let changes: Vec<String> = (0..50).map(|n| format!("ConfigMap/a/{n} created")).collect();
        let text = deployment(&SyncReport {
            app: "web",
            cluster: "prod",
            repo: "acme/gitops",
            sha: "abcdef0123",
            phase: AppSyncStatus::Failed,
            changes: &changes,
            problems: &["failed to apply X".into()],
            warnings: &["unknown field".into()],
        });
        assert!(
            text.starts_with(
                ":x: *web* could not be deployed to *prod* at `abcdef0` of acme/gitops\n• :red_circle: failed to \
                 apply X\n"
            ),
            "{text}"
        );
        assert!(text.contains("… and 30 more"), "{text}");
    }
}
