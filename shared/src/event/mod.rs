//! What woke us (1). An event only says *look*: nothing of it is believed beyond which branch, image or application to
//! look at.

pub mod ecr;
pub mod github;
pub mod queue;
pub mod schedule;
pub mod scheduler;
pub mod webhook_queue;
