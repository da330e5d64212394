//! What infra's documents name exists: parameters, outputs and resources of the template, commands, files.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use slipway_tests::tools;

const DOCUMENTS: [&str; 4] = ["COST.md", "INSTALL.md", "MOVING.md", "OPERATIONS.md"];
/// Words in code that are others': kinds, fields and options of Kubernetes, Argo CD, GitHub and AWS.
const OTHERS: [&str; 10] = [
    "AppProject",
    "ApplicationSet",
    "AttributeNames",
    "ConfigMap",
    "EventSourceMappings",
    "FunctionArn",
    "PutEvents",
    "QueueArn",
    "SecretString",
    "ServerSideApply",
];

/// The words in code spans and code blocks.
fn words(text: &str) -> BTreeSet<String> {
    let code = text.split('`').skip(1).step_by(2).chain(text.split("```").skip(1).step_by(2));
    let is_word = |c: char| c.is_ascii_alphanumeric();
    code.flat_map(|code| code.split(move |c| !is_word(c))).map(str::to_owned).collect()
}

/// `SyncWorker`, not `Sync` nor `SYNC`.
fn has_humps(word: &str) -> bool {
    let humps = word.as_bytes().windows(2).filter(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase());
    word.starts_with(|c: char| c.is_ascii_uppercase()) && humps.count() > 0
}

#[test]
fn names_in_the_documents_exist() {
    let read = |path: &str| fs::read_to_string(tools::workspace().join(path)).unwrap();
    let template = read("infra/template.yaml");
    let defined: BTreeSet<&str> = template
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'))
        .filter(|name| name.starts_with(|c: char| c.is_ascii_uppercase()))
        .collect();
    let help = read("tests/cli/help.txt");
    let (mut names, mut commands) = (0, 0);
    for document in DOCUMENTS {
        let text = read(&format!("infra/{document}"));
        for word in words(&text).iter().filter(|word| has_humps(word) && !OTHERS.contains(&word.as_str())) {
            assert!(defined.contains(word.as_str()), "{document}: {word} is nothing of the template");
            names += 1;
        }
        for (_, rest) in text.match_indices("slipway ").map(|(at, found)| text.split_at(at + found.len())) {
            let words: Vec<&str> = rest.split([' ', '\n', '`']).take(2).collect();
            if ["app", "init", "up", "webhook", "doctor"].contains(&words[0]) {
                let words = if words[0] == "app" { &words[..] } else { &words[..1] };
                let command = format!("Usage: slipway {}", words.join(" "));
                assert!(help.contains(&command), "{document}: there is no `{command}`");
                commands += 1;
            }
        }
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let is_there = link.starts_with("https://") || tools::workspace().join("infra").join(link).exists();
            assert!(is_there, "{document}: {link}");
        }
    }
    assert!(names >= 25 && commands >= 8, "{names} names and {commands} commands");
}

/// What stands after `prefix` in `text`, as long as its letters are of a name.
fn after(text: &str, prefix: &str, of_name: fn(char) -> bool) -> BTreeSet<String> {
    let rest = text.split(prefix).skip(1).map(|rest| rest.split(|c| !of_name(c)).next().unwrap_or_default());
    rest.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// The Rust files below `folder` that are no tests, each without its module of tests.
fn sources(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let is_named = |name: &str| path.file_name().is_some_and(|found| found == name);
        if path.is_dir() && !is_named("tests") && !is_named("target") {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !is_named("tests.rs") {
            let text = fs::read_to_string(path).expect("a file of Rust");
            into.push_str(text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default());
        }
    }
}

fn code() -> String {
    let mut code = String::new();
    for folder in ["shared", "functions"] {
        sources(&tools::workspace().join(folder), &mut code);
    }
    code
}

#[test]
fn every_annotation_is_documented_and_no_other() {
    let readme = fs::read_to_string(tools::workspace().join("README.md")).unwrap();
    let section = readme.split("## Annotations\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let is_name = |c: char| c.is_ascii_lowercase() || c == '-';
    assert_eq!(after(section, "`slipway.dev/", is_name), after(&code(), "\"slipway.dev/", is_name));
    for document in DOCUMENTS.map(|name| format!("infra/{name}")).iter().chain([&".github/SECURITY.md".to_owned()]) {
        let text = fs::read_to_string(tools::workspace().join(document)).unwrap();
        for name in after(&text, "slipway.dev/", is_name) {
            assert!(section.contains(&format!("`slipway.dev/{name}`")), "{document}: slipway.dev/{name}");
        }
    }
}

/// The README's table of variables is compared with the code by the unit tests of `config.rs`.
#[test]
fn the_template_and_the_documents_name_variables_that_are_read() {
    let read = |path: &str| fs::read_to_string(tools::workspace().join(path)).unwrap();
    let is_name = |c: char| c.is_ascii_uppercase() || c == '_';
    let known = after(&read("shared/src/config.rs"), "\"SLIPWAY_", is_name);
    let set = after(&read("infra/template.yaml"), " SLIPWAY_", is_name);
    // A root that is an Application, a kubeconfig and another Slack are for local runs.
    let local = ["KUBECONFIG", "ROOT_APPLICATION", "SLACK_API"].map(str::to_owned);
    assert_eq!(set, known.iter().filter(|name| !local.contains(name)).cloned().collect());
    for document in DOCUMENTS.map(|name| format!("infra/{name}")).iter().chain([&".github/SECURITY.md".to_owned()]) {
        let unknown: Vec<_> = after(&read(document), "SLIPWAY_", is_name).difference(&known).cloned().collect();
        assert!(unknown.is_empty(), "{document}: {unknown:?}");
    }
}

#[test]
fn every_parameter_and_output_is_documented() {
    let read = |path: &str| fs::read_to_string(tools::workspace().join(path)).unwrap();
    let template = read("infra/template.yaml");
    let documents = DOCUMENTS.map(|name| read(&format!("infra/{name}"))).concat();
    let documented = words(&documents);
    let mut count = 0;
    for section in ["\nParameters:\n", "\nOutputs:\n"] {
        let lines = template.split(section).nth(1).unwrap().lines();
        let lines = lines.take_while(|line| line.is_empty() || line.starts_with(' '));
        for name in lines.filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':')).filter(|n| !n.starts_with(' '))
        {
            assert!(documented.contains(name), "no document of infra names {name}");
            count += 1;
        }
    }
    assert!(count >= 40, "{count} parameters and outputs");
}
