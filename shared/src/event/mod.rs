//! Parses events and exchanges messages of the queue. An event only triggers a look: nothing in it is trusted beyond
//! which branch, image or application it names.

pub mod ecr;
pub mod github;
mod hosts;
pub mod queue;
pub mod schedule;
pub mod scheduler;
pub mod webhook_queue;
