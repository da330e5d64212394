//! Notifies people: [`report`] and [`commit_report`] build the texts and [`subscribe`] selects the channels, all pure;
//! [`slack`] sends them, [`reporter`] decides when. Commit statuses are set by [`crate::source::github`].

pub mod commit_report;
pub mod report;
pub mod reporter;
pub mod slack;
pub mod subscribe;
