//! From a tree and an Application to objects.
