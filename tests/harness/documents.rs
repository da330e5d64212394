//! What infra's documents name exists: parameters, outputs and resources of the template, commands, files.

use std::collections::BTreeSet;
use std::fs;

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
