//! Connect to EKS, plan, apply, prune, compare.
