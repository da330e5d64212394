//! Prints what came of a check.

use serde_json::{Value, json};
use slipway::root::check::{CheckedApplication, Verdict};
use slipway::root::declared::{DeclaredIn, Problem};
use slipway_manifest::{Tree, yaml};

use super::check::Format;

/// What came of a check.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) applications: Vec<CheckedApplication>,
    pub(crate) problems: Vec<Problem>,
}

impl Report {
    pub(super) fn is_empty(&self) -> bool {
        self.applications.is_empty() && self.problems.is_empty()
    }

    /// Whether something has to be repaired.
    pub(crate) fn is_wrong(&self) -> bool {
        self.applications.iter().any(|one| one.verdict() == Verdict::Refused)
            || self.problems.iter().any(|problem| !problem.is_warning)
    }
}

/// Prints `report`; `files` are those of the local folder, in which annotations find their lines.
pub(super) fn print(report: &Report, format: Format, files: Option<&Tree>) {
    match format {
        Format::Text => crate::print(&text(report)),
        Format::Json => crate::println(&format!("{:#}", json(report))),
        Format::Github => crate::print(&annotations(report, files)),
    }
}

fn name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Needs => "needs",
        Verdict::Refused => "refused",
    }
}

/// All reasons of one Application, those that decide first.
fn reasons(one: &CheckedApplication) -> Vec<String> {
    let needs = one.needs.iter().map(|need| format!("needs {need}"));
    let warnings = one.warnings.iter().map(|warning| format!("warning: {warning}"));
    one.refused.iter().cloned().chain(needs).chain(warnings).collect()
}

fn json(report: &Report) -> Value {
    let application = |one: &CheckedApplication| {
        json!({
            "namespace": one.identity.0,
            "name": one.identity.1,
            "declaredIn": one.declared.to_string(),
            "verdict": name(one.verdict()),
            "reasons": reasons(one),
        })
    };
    json!({
        "applications": report.applications.iter().map(application).collect::<Vec<_>>(),
        "problems": report.problems.iter().map(Problem::to_string).collect::<Vec<_>>(),
    })
}

fn text(report: &Report) -> String {
    let mut lines = Vec::new();
    for one in &report.applications {
        let (namespace, app) = &one.identity;
        lines.push(format!("{:<8} {namespace}/{app}  {}", name(one.verdict()), one.declared));
        lines.extend(reasons(one).into_iter().map(|reason| format!("         {reason}")));
    }
    for problem in &report.problems {
        lines.push(format!("{}: {problem}", if problem.is_warning { "warning" } else { "problem" }));
    }
    let count = |verdict| report.applications.iter().filter(|one| one.verdict() == verdict).count();
    let (ok, needs, refused) = (count(Verdict::Ok), count(Verdict::Needs), count(Verdict::Refused));
    let problems = report.problems.iter().filter(|problem| !problem.is_warning).count();
    let all = report.applications.len();
    lines
        .push(format!("{all} Applications: {ok} ok, {needs} need something, {refused} refused; {problems} problems\n"));
    lines.join("\n")
}

/// Workflow commands of GitHub Actions (docs.github.com `workflow-commands-for-github-actions`).
fn annotations(report: &Report, files: Option<&Tree>) -> String {
    let mut lines = Vec::new();
    for one in &report.applications {
        let about = format!("{}/{}", one.identity.0, one.identity.1);
        let mut add = |level, reason: &String| {
            let at = place(Some(&one.declared), Some(&one.identity.1), files);
            lines.push(format!("::{level}{at}::{}", escaped(&format!("{about}: {reason}"))));
        };
        one.refused.iter().for_each(|reason| add("error", reason));
        one.needs.iter().for_each(|reason| add("notice", &format!("needs {reason}")));
        one.warnings.iter().for_each(|reason| add("warning", reason));
    }
    for problem in &report.problems {
        let level = if problem.is_warning { "warning" } else { "error" };
        let at = place(problem.declared.as_ref(), None, files);
        lines.push(format!("::{level}{at}::{}", escaped(&problem.to_string())));
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

fn place(declared: Option<&DeclaredIn>, app: Option<&str>, files: Option<&Tree>) -> String {
    let Some(declared) = declared.filter(|declared| declared.is_file && declared.repository.is_none()) else {
        return String::new();
    };
    let file = escaped(&declared.path).replace(':', "%3A").replace(',', "%2C");
    let line = files.and_then(|files| files.read_text(&declared.path).ok()).and_then(|text| line_of(text, app?));
    format!(" file={file},line={}", line.unwrap_or(1))
}

/// The line on which the Application `name` is declared: that of its name, in the document that has it.
fn line_of(text: &str, name: &str) -> Option<usize> {
    let is_name = |line: &str| {
        let value = line.trim_start().trim_start_matches("- ").strip_prefix("name:").map(str::trim);
        value.is_some_and(|value| value.trim_matches(['"', '\'']) == name)
    };
    let mut documents = yaml::split(text).filter(|(_, document)| document.contains("Application"));
    documents.find_map(|(first, document)| Some(first + document.lines().position(is_name)?))
}

fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_the_name_in_its_document() {
        let text = "kind: ConfigMap\nmetadata:\n  name: web\n---\n# two\nkind: Application\nmetadata:\n  name: 'web'\n";
        assert_eq!(line_of(text, "web"), Some(8));
        assert_eq!(line_of(text, "other"), None);
    }

    #[test]
    fn annotations_are_one_line_each() {
        let declared = DeclaredIn { path: "a,b/x.yaml".to_owned(), is_file: true, ..DeclaredIn::default() };
        let mut files = Tree::default();
        files.insert("a,b/x.yaml", b"kind: Application\nmetadata:\n  name: web\n".as_slice()).unwrap();
        let checked = CheckedApplication {
            identity: ("argocd".to_owned(), "web".to_owned()),
            declared: declared.clone(),
            refused: vec!["50 %\nno".to_owned()],
            needs: vec!["chart `x`".to_owned()],
            warnings: Vec::new(),
            wanted: slipway::root::repositories::Wanted::default(),
        };
        let problems = vec![Problem::of("wrong".to_owned(), Some(declared)), Problem::warning("idle".to_owned())];
        let report = Report { applications: vec![checked], problems };
        assert_eq!(
            annotations(&report, Some(&files)),
            "::error file=a%2Cb/x.yaml,line=3::argocd/web: 50 %25%0Ano\n\
             ::notice file=a%2Cb/x.yaml,line=3::argocd/web: needs chart `x`\n\
             ::error file=a%2Cb/x.yaml,line=1::a,b/x.yaml: wrong\n::warning::idle\n"
        );
        assert!(report.is_wrong());
    }
}
