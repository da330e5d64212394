//! A Kubernetes API, a git forge, ECR and Slack in one process.
