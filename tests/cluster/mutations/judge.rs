//! Holds what was told against what was done.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use slipway::drift_check::DriftReport;
use slipway::notify::report::Drift;

use super::plant::Planted;

/// How much of what was done has to be told, in a hundred.
const RECALL: usize = 99;

/// What a check told of the mutations.
#[derive(Default)]
pub(super) struct Verdict {
    told: usize,
    planted: usize,
    false_reports: Vec<String>,
    missed: Vec<String>,
    wrong_manager: Vec<String>,
    wrong_time: Vec<String>,
    named: usize,
    unnamed: usize,
    problems: Vec<String>,
}

impl Verdict {
    pub(super) fn of(planted: &[Planted], reports: &BTreeMap<String, DriftReport>) -> Self {
        let mut verdict = Self::default();
        let told: Vec<&Drift> = reports.values().flat_map(|report| &report.new).collect();
        verdict.problems = problems(reports);
        verdict.told = told.len();
        let drifts: Vec<&Planted> = planted.iter().filter(|planted| planted.is_drift).collect();
        verdict.planted = drifts.len();
        for drift in &told {
            let of_object = || planted.iter().filter(|planted| planted.object == drift.object);
            match drifts.iter().find(|planted| planted.is_at(drift)) {
                Some(planted) => verdict.hold(planted, drift),
                None if drifts.iter().any(|planted| planted.entails(drift)) => {}
                None => {
                    let done: Vec<String> = of_object().map(ToString::to_string).collect();
                    verdict.false_reports.push(format!("{drift:?} after {done:?}"));
                }
            }
        }
        let is_told = |planted: &Planted| told.iter().any(|drift| planted.is_at(drift));
        let missed = drifts.iter().filter(|planted| !is_told(planted)).map(ToString::to_string);
        verdict.missed = missed.collect();
        verdict
    }

    /// Holds manager and time of what was told against those of the mutation.
    fn hold(&mut self, planted: &Planted, drift: &Drift) {
        match (&drift.manager, planted.leaves_owner) {
            (Some(manager), _) if *manager == planted.manager => self.named += 1,
            // Who removes a field owns nothing of it, and nothing tells afterwards.
            (None, false) => self.unnamed += 1,
            (told, _) => self.wrong_manager.push(format!("{told:?} is said to have done: {planted}; {drift:?}")),
        }
        let second = SignedDuration::from_secs(1);
        let is_right = |time: &String| {
            let time: Timestamp = time.parse().unwrap();
            time >= planted.from - second && time <= planted.to + second
        };
        let may_lack = !planted.leaves_owner || planted.kind == "scale";
        if !drift.time.as_ref().map_or(may_lack, is_right) {
            self.wrong_time.push(format!("{:?} is said to be the time of: {planted}", drift.time));
        }
    }

    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut add = |what: &str, list: &[String]| {
            faults.extend(list.iter().map(|line| format!("{what}: {line}")));
        };
        add("told and not done", &self.false_reports);
        add("wrong manager", &self.wrong_manager);
        add("wrong time", &self.wrong_time);
        add("problem", &self.problems);
        if self.missed.len() * 100 > self.planted * (100 - RECALL) {
            add("missed", &self.missed);
        }
        if self.planted == 0 {
            faults.push("nothing was changed".to_owned());
        }
        faults
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = |part: usize, of: usize| format!("{part}/{of}");
        let right = self.told - self.false_reports.len();
        write!(
            f,
            "precision {}, recall {}, manager right {}, not named {}, wrong {}, time wrong {}",
            share(right, self.told),
            share(self.planted - self.missed.len(), self.planted),
            self.named,
            self.unnamed,
            self.wrong_manager.len(),
            self.wrong_time.len()
        )?;
        self.missed.iter().try_for_each(|missed| write!(f, "\nmissed: {missed}"))
    }
}

fn problems(reports: &BTreeMap<String, DriftReport>) -> Vec<String> {
    let of = |(app, report): (&String, &DriftReport)| {
        let skipped = report.skipped.map(|reason| format!("{app} is skipped: {reason}"));
        let behind = report.behind.as_ref().map(|head| format!("{app} is behind {head}"));
        let problems = report.problems.iter().map(|problem| format!("{app}: {problem}"));
        problems.chain(skipped).chain(behind).collect::<Vec<_>>()
    };
    reports.iter().flat_map(of).collect()
}

/// The faults of a check that has to tell nothing.
pub(super) fn silent(when: &str, reports: &BTreeMap<String, DriftReport>) -> Vec<String> {
    let told = reports.values().flat_map(|report| &report.new).map(|drift| format!("{when} is told: {drift:?}"));
    let resolved = reports.values().flat_map(|report| &report.resolved);
    let resolved = resolved.map(|key| format!("{when} is told to be resolved: {key}"));
    told.chain(resolved).chain(problems(reports)).collect()
}

/// The faults of a check that has to tell that all of `first` is resolved.
pub(super) fn resolved(first: &BTreeMap<String, DriftReport>, reports: &BTreeMap<String, DriftReport>) -> Vec<String> {
    let told: BTreeSet<&String> = first.values().flat_map(|report| &report.differs).collect();
    let resolved: BTreeSet<&String> = reports.values().flat_map(|report| &report.resolved).collect();
    let left = told.difference(&resolved).map(|key| format!("not resolved: {key}"));
    let more = resolved.difference(&told).map(|key| format!("resolved and never told: {key}"));
    let new = reports.values().flat_map(|report| &report.new).map(|drift| format!("told after undoing: {drift:?}"));
    left.chain(more).chain(new).chain(problems(reports)).collect()
}
