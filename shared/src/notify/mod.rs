//! What to say (8), and where: [`report`] and [`board`] build texts and [`subscribe`] chooses channels, all pure;
//! [`slack`] sends them, [`reporter`] decides when. Commit statuses go through [`crate::source::github`].

pub mod commit_report;
pub mod report;
pub mod reporter;
pub mod slack;
pub mod subscribe;
