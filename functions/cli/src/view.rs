//! Formats `slipway app get`, `list` and `history` in argocd's layout (argoproj/argo-cd `cmd/argocd/commands/app.go`,
//! printAppSummaryTable, printOperationResult, printAppResources, printApplicationTable, printApplicationHistoryTable).
//! Pure: the application in Argo CD's shape in, text out.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::Value;
use slipway::app::project::{SyncWindow, window_status};
use slipway::app::skip;
use slipway_gitops::status::{Deployment, RecordedSources};

/// Formats `application`, an Argo CD `Application` with `spec` and `status`; `url` is its web page, `now` decides which
/// of its windows are open.
pub(crate) fn print(application: &Value, url: &str, with_operation: bool, now: Timestamp) -> String {
    let mut out = summary(application, url, with_operation, now);
    let resources = resources(application);
    if !resources.is_empty() {
        let header = ["GROUP", "KIND", "NAMESPACE", "NAME", "STATUS", "HEALTH", "HOOK", "MESSAGE"].map(str::to_owned);
        out.push('\n');
        out.push_str(&table(&header, &resources));
    }
    out
}

/// Formats `application` as [`print`] does, without its resources.
pub(crate) fn summary(application: &Value, url: &str, with_operation: bool, now: Timestamp) -> String {
    let text = |pointer: &str| application.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let mut out = String::new();
    let mut line = |label: &str, value: &str| {
        let width = if value.is_empty() && label.starts_with("Source") { 0 } else { 20 };
        let _ = writeln!(out, "{label:<width$}{value}");
    };
    let server = text("/spec/destination/server");
    line("Name:", &qualified_name(application));
    line("Project:", if text("/spec/project").is_empty() { "default" } else { text("/spec/project") });
    line("Server:", if server.is_empty() { text("/spec/destination/name") } else { server });
    line("Namespace:", text("/spec/destination/namespace"));
    line("URL:", url);
    line(if application.pointer("/spec/sources").is_some() { "Sources:" } else { "Source:" }, "");
    for source in sources(application) {
        let text = |pointer: &str| source.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        line("- Repo:", text("/repoURL"));
        line("  Target:", text("/targetRevision"));
        for (label, pointer) in [("  Path:", "/path"), ("  Ref:", "/ref")] {
            if !text(pointer).is_empty() {
                line(label, text(pointer));
            }
        }
        let files = source.pointer("/helm/valueFiles").and_then(Value::as_array);
        if let Some(files) = files.filter(|files| !files.is_empty()) {
            let names: Vec<&str> = files.iter().filter_map(Value::as_str).collect();
            line("  Helm Values:", &names.join(","));
        }
        if !text("/kustomize/namePrefix").is_empty() {
            line("  Name Prefix:", text("/kustomize/namePrefix"));
        }
    }
    let windows = application.get("syncWindows").and_then(|windows| serde_json::from_value(windows.clone()).ok());
    let windows: Vec<SyncWindow> = windows.unwrap_or_default();
    line("SyncWindow:", window_status(&windows, now));
    if !windows.is_empty() {
        let words = windows.iter().map(|one| format!("{}:{}:{}", one.kind, one.schedule, one.duration));
        line("Assigned Windows:", &words.collect::<Vec<_>>().join(","));
    }
    if skip::is_recorded(application) {
        line("Reconciled:", &format!("no: it {}", skip::SKIPPED));
    }
    line("Sync Policy:", &sync_policy(application));
    line("Sync Status:", &sync_status(application));
    let (health, message) = (text("/status/health/status"), text("/status/health/message"));
    line("Health Status:", &if message.is_empty() { health.to_owned() } else { format!("{health} ({message})") });
    if with_operation && let Some(state) = application.pointer("/status/operationState") {
        out.push('\n');
        out.push_str(&operation(state, now));
    }
    let conditions = rows(application, "/status/conditions", ["type", "message", "lastTransitionTime"]);
    if !conditions.is_empty() {
        out.push('\n');
        out.push_str(&table(&["CONDITION", "MESSAGE", "LAST TRANSITION"].map(str::to_owned), &conditions));
    }
    out
}

/// The last operation, or the one in progress.
fn operation(state: &Value, now: Timestamp) -> String {
    let text = |pointer: &str| state.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let time = |pointer: &str| text(pointer).parse::<Timestamp>().ok();
    let mut lines = Vec::new();
    if state.get("syncResult").is_some() {
        lines.push(("Operation:", "Sync".to_owned()));
        let several = state.pointer("/syncResult/revisions").and_then(Value::as_array);
        let several = several.map(|all| all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "));
        lines.push(("Sync Revision:", several.unwrap_or_else(|| text("/syncResult/revision").to_owned())));
    }
    lines.push(("Phase:", text("/phase").to_owned()));
    for (label, pointer) in [("Start:", "/startedAt"), ("Finished:", "/finishedAt")] {
        lines.push((label, time(pointer).map(go_time).unwrap_or_default()));
    }
    if let Some(started) = time("/startedAt") {
        let seconds = time("/finishedAt").unwrap_or(now).as_second() - started.as_second();
        let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        lines.push((
            "Duration:",
            match (hours, minutes) {
                (0, 0) => format!("{rest}s"),
                (0, _) => format!("{minutes}m{rest}s"),
                _ => format!("{hours}h{minutes}m{rest}s"),
            },
        ));
    }
    if !text("/message").is_empty() {
        lines.push(("Message:", text("/message").to_owned()));
    }
    lines.iter().fold(String::new(), |text, (label, value)| text + &format!("{label:<20}{value}\n"))
}

/// Formats a time like Go's `Time.String`.
fn go_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string()
}

/// The table of `argocd app list`.
pub(crate) fn list(applications: &[Value]) -> String {
    let header = [
        "NAME",
        "CLUSTER",
        "NAMESPACE",
        "PROJECT",
        "STATUS",
        "HEALTH",
        "SYNCPOLICY",
        "CONDITIONS",
        "REPO",
        "PATH",
        "TARGET",
    ];
    let row = |app: &Value| -> Vec<String> {
        let text = |pointer: &str| app.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let server = text("/spec/destination/server");
        vec![
            qualified_name(app),
            if server.is_empty() { text("/spec/destination/name") } else { server },
            text("/spec/destination/namespace"),
            text("/spec/project"),
            text("/status/sync/status"),
            text("/status/health/status"),
            sync_policy(app).replace("Automated (Prune)", "Auto-Prune").replace("Automated", "Auto"),
            conditions(app),
            source_text(app, "repoURL").to_owned(),
            source_text(app, "path").to_owned(),
            source_text(app, "targetRevision").to_owned(),
        ]
    };
    table(&header.map(str::to_owned), &applications.iter().map(row).collect::<Vec<_>>())
}

/// Conditions by type with their count, `<none>` where there are none. Argo CD has none for a skipped application.
fn conditions(application: &Value) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    if skip::is_recorded(application) {
        counts.insert("ReconcileSkipped".to_owned(), 1);
    }
    for row in rows(application, "/status/conditions", ["type"]) {
        *counts.entry(row.concat()).or_default() += 1;
    }
    let words: Vec<String> =
        counts.iter().map(|(kind, count)| if *count > 1 { format!("{kind}({count})") } else { kind.clone() }).collect();
    if words.is_empty() { "<none>".to_owned() } else { words.join(",") }
}

/// The tables of `argocd app history`, one per repository: a row for each source of a deployment.
pub(crate) fn history(history: &[Deployment]) -> String {
    let mut repos: Vec<(&str, Vec<Vec<String>>)> = Vec::new();
    for one in history {
        let RecordedSources { source, sources } = &one.sources;
        let sources = if sources.is_empty() { std::slice::from_ref(source) } else { sources };
        for (at, source) in sources.iter().enumerate() {
            let text = |key: &str| source.get(key).and_then(Value::as_str).unwrap_or_default();
            let (repo, target) = (text("repoURL"), text("targetRevision"));
            let short = one.revisions.as_slice().get(at).and_then(|commit| commit.get(..7));
            let revision = short.map_or_else(|| target.to_owned(), |short| format!("{target} ({short})"));
            let row = vec![one.id.to_string(), go_time(one.deployed_at), revision];
            match repos.iter_mut().find(|(known, _)| *known == repo) {
                Some((_, rows)) => rows.push(row),
                None => repos.push((repo, vec![row])),
            }
        }
    }
    let mut parts = Vec::new();
    for (repo, rows) in repos {
        // The heading is a row of the same table, as with Go's tabwriter.
        let source = vec!["SOURCE".to_owned(), repo.to_owned()];
        let heading = ["ID", "DATE", "REVISION"].map(str::to_owned).to_vec();
        parts.push(table(&source, &[&[heading][..], &rows].concat()));
    }
    parts.join("\n")
}

pub(crate) fn qualified_name(application: &Value) -> String {
    let text = |pointer: &str| application.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    match text("/metadata/namespace") {
        "" => text("/metadata/name").to_owned(),
        namespace => format!("{namespace}/{}", text("/metadata/name")),
    }
}

/// The sources: those of `spec.sources`, or `spec.source`.
fn sources(application: &Value) -> &[Value] {
    let one = application.pointer("/spec/source").map(std::slice::from_ref).unwrap_or_default();
    application.pointer("/spec/sources").and_then(Value::as_array).map_or(one, Vec::as_slice)
}

/// A field of the first source, which stands for all of them in one line (argoproj/argo-cd
/// `pkg/apis/application/v1alpha1/types.go`, GetSource).
pub(crate) fn source_text<'a>(application: &'a Value, field: &str) -> &'a str {
    sources(application).first().and_then(|source| source.get(field)?.as_str()).unwrap_or_default()
}

fn sync_policy(application: &Value) -> String {
    match application.pointer("/spec/syncPolicy/automated") {
        None | Some(Value::Null) => "Manual".to_owned(),
        Some(automated) if automated.get("prune").and_then(Value::as_bool) == Some(true) => {
            "Automated (Prune)".to_owned()
        }
        Some(_) => "Automated".to_owned(),
    }
}

fn sync_status(application: &Value) -> String {
    let text = |pointer: &str| application.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (status, target, revision) =
        (text("/status/sync/status"), source_text(application, "targetRevision"), text("/status/sync/revision"));
    let mut line = match status {
        "Synced" => format!("Synced to {target}"),
        "OutOfSync" => format!("OutOfSync from {target}"),
        other => other.to_owned(),
    };
    // util/git: a commit id, whole or cut to at least seven digits, is not repeated.
    let is_commit = (7..=40).contains(&target.len()) && target.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_commit && let Some(short) = revision.get(..7).filter(|_| revision.len() > 7) {
        let _ = write!(line, " ({short})");
    }
    line
}

/// The last operation's resources in its order, with their current status, then the others by name.
fn resources(application: &Value) -> Vec<Vec<String>> {
    let list = |pointer: &str| application.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    let text =
        |value: &Value, pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let key = |value: &Value| ["/group", "/kind", "/namespace", "/name"].map(|pointer| text(value, pointer));
    let mut known: BTreeMap<[String; 4], &Value> = list("/status/resources").map(|value| (key(value), value)).collect();
    let mut rows = Vec::new();
    for result in list("/status/operationState/syncResult/resources") {
        let key = key(result);
        let hook = text(result, "/hookType");
        let (status, health) = match known.remove(&key) {
            Some(now) if hook.is_empty() => (text(now, "/status"), text(now, "/health/status")),
            _ => (text(result, "/hookPhase"), text(result, "/status")),
        };
        rows.push(key.into_iter().chain([status, health, hook, text(result, "/message")]).collect());
    }
    for (key, now) in known {
        let cells = [text(now, "/status"), text(now, "/health/status"), String::new(), String::new()];
        rows.push(key.into_iter().chain(cells).collect());
    }
    rows
}

fn rows<const N: usize>(application: &Value, pointer: &str, fields: [&str; N]) -> Vec<Vec<String>> {
    let list = application.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    list.map(|item| fields.iter().map(|f| item.get(f).and_then(Value::as_str).unwrap_or_default().to_owned()).collect())
        .collect()
}

/// Columns as wide as their widest cell and two spaces, the last one unpadded (Go's text/tabwriter with padding 2).
pub(crate) fn table(header: &[String], rows: &[Vec<String>]) -> String {
    let lines = || std::iter::once(header).chain(rows.iter().map(Vec::as_slice));
    // As in Go's tabwriter, a line's last cell does not count for the width of its column.
    let wide = |line: &[String], column: usize| {
        line.get(column).filter(|_| column + 1 < line.len()).map_or(0, |cell| cell.chars().count())
    };
    let columns = lines().map(<[String]>::len).max().unwrap_or(0);
    let widths: Vec<usize> =
        (0..columns).map(|column| lines().map(|line| wide(line, column)).max().unwrap_or(0)).collect();
    let mut out = String::new();
    for line in lines() {
        for (column, cell) in line.iter().enumerate() {
            let width = widths.get(column).copied().unwrap_or(0) + 2;
            if column + 1 == line.len() {
                let _ = writeln!(out, "{cell}");
            } else {
                let _ = write!(out, "{cell:<width$}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_application_prints_as_argo_cd_prints_it() {
        let application = json!({
            "metadata": {"name": "guestbook", "namespace": "argocd"},
            "spec": {
                "project": "default",
                "source": {"repoURL": "https://github.com/argoproj/argocd-example-apps.git", "path": "guestbook",
                    "targetRevision": "HEAD"},
                "destination": {"server": "https://kubernetes.default.svc", "namespace": "default"},
                "syncPolicy": {"automated": {"prune": true}}
            },
            "status": {
                "sync": {"status": "Synced", "revision": "53e28ff20cc530b9ada2173fbbd64d48338583ba"},
                "health": {"status": "Healthy"},
                "resources": [
                    {"group": "apps", "kind": "Deployment", "namespace": "default", "name": "guestbook-ui",
                        "status": "Synced", "health": {"status": "Healthy"}},
                    {"kind": "Service", "namespace": "default", "name": "guestbook-ui", "status": "Synced",
                        "health": {"status": "Healthy"}},
                    {"kind": "ConfigMap", "namespace": "default", "name": "later", "status": "OutOfSync"}
                ],
                "operationState": {"syncResult": {"resources": [
                    {"kind": "Service", "namespace": "default", "name": "guestbook-ui", "status": "Synced",
                        "message": "service/guestbook-ui created"},
                    {"group": "apps", "kind": "Deployment", "namespace": "default", "name": "guestbook-ui",
                        "status": "Synced", "message": "deployment.apps/guestbook-ui created"}
                ]}}
            }
        });
        let expected = "\
Name:               argocd/guestbook
Project:            default
Server:             https://kubernetes.default.svc
Namespace:          default
URL:                https://x
Source:
- Repo:             https://github.com/argoproj/argocd-example-apps.git
  Target:           HEAD
  Path:             guestbook
SyncWindow:         Sync Allowed
Sync Policy:        Automated (Prune)
Sync Status:        Synced to HEAD (53e28ff)
Health Status:      Healthy

GROUP  KIND        NAMESPACE  NAME          STATUS     HEALTH   HOOK  MESSAGE
       Service     default    guestbook-ui  Synced     Healthy        service/guestbook-ui created
apps   Deployment  default    guestbook-ui  Synced     Healthy        deployment.apps/guestbook-ui created
       ConfigMap   default    later         OutOfSync                 
";
        assert_eq!(print(&application, "https://x", false, Timestamp::UNIX_EPOCH), expected);
    }

    #[test]
    fn missing_parts_print_as_empty() {
        let text = print(
            &json!({"metadata": {"name": "x"}, "spec": {"destination": {"name": "prod"}}}),
            "",
            false,
            Timestamp::UNIX_EPOCH,
        );
        assert!(text.contains("Server:             prod\n") && text.contains("Sync Policy:        Manual\n"), "{text}");
        assert!(!text.contains("GROUP"));
    }
}
