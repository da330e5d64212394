//! Builds the message of one commit: a single application with its details, several as lines under a count. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::report::{self, AppSyncStatus, SyncReport};

/// Slack truncates texts over 4,000 characters.
const MAX_TEXT: usize = 3_900;
/// Characters of the line that counts the omitted applications.
const OMISSION_RESERVE: usize = 40;
/// Replies in the thread of one message: Slack accepts about one a second.
const MAX_DETAILS: usize = 10;
/// Length of one application's line, in characters.
const MAX_WORDS: usize = 160;

/// The applications of one commit that one channel subscribes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommitReport {
    repo: String,
    sha: String,
    apps: BTreeMap<String, ReportLine>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ReportLine {
    phase: Option<AppSyncStatus>,
    cluster: String,
    /// The message about this application alone.
    whole: String,
    /// Its most important line.
    words: String,
    has_details: bool,
}

impl CommitReport {
    /// Creates an empty report of a commit.
    pub fn new(repo: &str, sha: &str) -> Self {
        Self { repo: repo.to_owned(), sha: sha.to_owned(), apps: BTreeMap::new() }
    }

    /// Sets the current result of an application.
    pub fn put(&mut self, deployment: &SyncReport<'_>) {
        let SyncReport { app, cluster, phase, changes, problems, warnings, .. } = deployment;
        let words = match (problems.split_first(), changes.len()) {
            (Some((first, [])), _) => first.clone(),
            (Some((first, rest)), _) => format!("{first} (and {} more)", rest.len()),
            (None, 0) if *phase == AppSyncStatus::Queued => warnings.first().cloned().unwrap_or_default(),
            (None, 0) => String::new(),
            (None, 1) => "1 change".to_owned(),
            (None, count) => format!("{count} changes"),
        };
        let entry = ReportLine {
            phase: Some(*phase),
            cluster: (*cluster).to_owned(),
            whole: report::deployment(deployment),
            words: words.chars().take(MAX_WORDS).collect(),
            has_details: !problems.is_empty() || !changes.is_empty(),
        };
        self.apps.insert((*app).to_owned(), entry);
    }

    /// Whether the report contains `app`.
    pub fn has(&self, app: &str) -> bool {
        self.apps.contains_key(app)
    }

    /// Number of applications.
    pub fn len(&self) -> usize {
        self.apps.len()
    }

    /// Whether it has no applications.
    pub fn is_empty(&self) -> bool {
        self.apps.is_empty()
    }

    /// Formats the message: failures first, healthy applications last; those that do not fit are counted.
    pub fn text(&self) -> String {
        if let (1, Some(entry)) = (self.apps.len(), self.apps.values().next()) {
            return entry.whole.clone();
        }
        let mut entries: Vec<(&String, &ReportLine)> = self.apps.iter().collect();
        entries.sort_by_key(|(_, entry)| entry.phase.map(severity));
        let worst = entries.first().and_then(|(_, entry)| entry.phase).unwrap_or(AppSyncStatus::Healthy);
        let counts: Vec<String> = ORDER
            .iter()
            .map(|phase| (phase, entries.iter().filter(|(_, entry)| entry.phase == Some(*phase)).count()))
            .filter(|(_, count)| *count > 0)
            .map(|(phase, count)| format!("{count} {}", word(*phase)))
            .collect();
        let mut text = format!(
            "{} *{} applications* at {} of {}: {}",
            worst.icon(),
            entries.len(),
            report::code(report::short(&self.sha)),
            report::escape(&self.repo),
            counts.join(", ")
        );
        for (shown, (app, entry)) in entries.iter().enumerate() {
            let icon = entry.phase.map_or("", AppSyncStatus::icon);
            let words =
                if entry.words.is_empty() { String::new() } else { format!(": {}", report::escape(&entry.words)) };
            let line = format!("\n{icon} {} on {}{words}", report::bold(app), report::escape(&entry.cluster));
            if text.len() + line.len() > MAX_TEXT - OMISSION_RESERVE {
                let _ = write!(text, "\n… and {} more", entries.len() - shown);
                break;
            }
            text.push_str(&line);
        }
        text
    }

    /// Formats the replies for the thread: every application that changed or failed, several to a text as they fit. A
    /// report of one application needs none.
    pub fn details(&self) -> Vec<String> {
        let mut entries: Vec<&ReportLine> = self.apps.values().filter(|entry| entry.has_details).collect();
        if self.apps.len() < 2 {
            return Vec::new();
        }
        entries.sort_by_key(|entry| entry.phase.map(severity));
        let mut texts: Vec<String> = Vec::new();
        for (shown, entry) in entries.iter().enumerate() {
            let is_full = texts.len() == MAX_DETAILS;
            match texts.last_mut() {
                Some(last) if last.len() + entry.whole.len() < MAX_TEXT - OMISSION_RESERVE => {
                    last.push('\n');
                    last.push_str(&entry.whole);
                }
                Some(last) if is_full => {
                    let _ = write!(last, "\n… and {} more", entries.len() - shown);
                    break;
                }
                _ => texts.push(entry.whole.clone()),
            }
        }
        texts
    }
}

/// The order of results in the message: first those that need a person.
const ORDER: [AppSyncStatus; 8] = [
    AppSyncStatus::Failed,
    AppSyncStatus::Waiting,
    AppSyncStatus::Queued,
    AppSyncStatus::Held,
    AppSyncStatus::OutOfSync,
    AppSyncStatus::Skipped,
    AppSyncStatus::Progressing,
    AppSyncStatus::Healthy,
];

fn severity(phase: AppSyncStatus) -> usize {
    ORDER.iter().position(|one| *one == phase).unwrap_or(ORDER.len())
}

fn word(phase: AppSyncStatus) -> &'static str {
    match phase {
        AppSyncStatus::Failed => "failed",
        AppSyncStatus::Waiting => "not healthy yet",
        AppSyncStatus::Held => "blocked by sync window",
        AppSyncStatus::Queued => "waiting for dependencies",
        AppSyncStatus::OutOfSync => "needs manual sync",
        AppSyncStatus::Skipped => "skipped",
        AppSyncStatus::Progressing => "being deployed",
        AppSyncStatus::Healthy => "deployed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(board: &mut CommitReport, app: &str, phase: AppSyncStatus, problems: &[String]) {
        board.put(&SyncReport {
            app,
            cluster: "prod",
            repo: "acme/gitops",
            sha: "abcdef0123",
            phase,
            changes: &["Deployment/shop/web configured".to_owned()],
            problems,
            warnings: &[],
        });
    }

    #[test]
    fn one_application_is_told_whole_and_several_as_lines() {
        let mut board = CommitReport::new("acme/gitops", "abcdef0123");
        put(&mut board, "web", AppSyncStatus::Healthy, &[]);
        assert!(board.text().starts_with(":white_check_mark: *web* is deployed to *prod*"), "{}", board.text());
        assert!(board.details().is_empty());
        put(&mut board, "db", AppSyncStatus::Failed, &["failed to apply <X>".to_owned(), "more".to_owned()]);
        put(&mut board, "api", AppSyncStatus::Progressing, &[]);
        assert_eq!(
            board.text(),
            ":x: *3 applications* at `abcdef0` of acme/gitops: 1 failed, 1 being deployed, 1 deployed\n\
             :x: *db* on prod: failed to apply &lt;X&gt; (and 1 more)\n\
             :hourglass_flowing_sand: *api* on prod: 1 change\n\
             :white_check_mark: *web* on prod: 1 change"
        );
        assert_eq!(board.details().len(), 1, "all of it fits into one");
    }

    #[test]
    fn a_thousand_applications_fit() {
        let mut board = CommitReport::new("acme/gitops", "abcdef0123");
        for n in 0..1_000 {
            let phase = if n == 500 { AppSyncStatus::Failed } else { AppSyncStatus::Healthy };
            put(&mut board, &format!("app-{n:04}"), phase, &["x".repeat(if n == 500 { 5_000 } else { 0 })]);
        }
        let text = board.text();
        assert!(text.len() < 4_000 && text.ends_with(" more"), "{}", text.len());
        assert!(text.lines().nth(1).unwrap().starts_with(":x: *app-0500*"));
        let details = board.details();
        assert_eq!(details.len(), MAX_DETAILS);
        assert!(details.iter().all(|text| text.len() <= 4_000) && details[MAX_DETAILS - 1].ends_with(" more"));
    }
}
