//! What to say (8), and where: [`report`] builds texts and knows no network, [`slack`] sends them. Commit statuses go
//! through [`crate::source::github`].

pub mod report;
pub mod slack;
