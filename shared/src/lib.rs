//! From an event to a running Deployment: the flow, AWS and GitHub.

pub mod app;
pub mod image;
pub mod render;
