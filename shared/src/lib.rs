//! From an event to a running Deployment: the flow, AWS and GitHub.
