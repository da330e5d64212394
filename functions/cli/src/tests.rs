//! Pins the texts of the command line, so that a change of them shows in a review.

use std::fmt::Write as _;

use clap::{CommandFactory as _, Parser as _};

use super::Cli;

#[test]
fn flags_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn help_texts_are_as_reviewed() {
    let mut text = String::new();
    for name in ["app", "appset", "cluster", "images", "proj", "repo"] {
        let mut group = Cli::command().find_subcommand(name).unwrap().clone();
        for verb in group.get_subcommands_mut() {
            let mut verb = verb.clone().bin_name(format!("slipway {name} {}", verb.get_name())).term_width(100);
            let _ = writeln!(text, "{}", verb.render_help());
        }
    }
    for name in ["init", "up", "webhook", "doctor"] {
        let verb = Cli::command().find_subcommand(name).unwrap().clone();
        let mut verb = verb.bin_name(format!("slipway {name}")).term_width(100);
        let _ = writeln!(text, "{}", verb.render_help());
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/cli/help.txt");
    if std::env::var_os("SLIPWAY_BLESS").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(path).unwrap(), "SLIPWAY_BLESS=1 rewrites it");
}

#[test]
fn the_table_of_argocds_verbs_is_that_of_the_program() {
    let text = include_str!("../../../shared/COMPATIBILITY.md");
    let mut rows = 0;
    for row in text.lines().filter_map(|line| line.strip_prefix("| `")) {
        let (verb, rest) = row.split_once("` | ").unwrap();
        let words: Vec<&str> = verb.split(' ').collect();
        let group = Cli::command().find_subcommand(words[0]).unwrap().clone();
        let found = group.find_subcommand(words[1]);
        let expected = match rest.split(" | ").next().unwrap() {
            "same" | "differs" => Some(false),
            "cannot exist" => Some(true),
            _ => None,
        };
        assert_eq!(found.map(clap::Command::is_hide_set), expected, "{verb}");
        rows += 1;
    }
    assert!(rows >= 30, "{rows} rows");
}

#[test]
fn mistakes_are_explained() {
    let error = |line: &str| Cli::try_parse_from(line.split(' ')).err().unwrap().to_string();
    assert!(error("slipway app get").contains("<NAME>"));
    assert!(error("slipway app snyc web").contains("'sync'"), "{}", error("slipway app snyc web"));
    assert!(error("slipway app get web -o xml").contains("[possible values: wide, tree, json, yaml]"));
}
