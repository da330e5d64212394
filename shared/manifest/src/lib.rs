//! What every renderer stands on: file trees that a path can't leave, YAML read and written with
//! Go's rules, Kubernetes objects, their names, and the order in which kinds are applied.
//!
//! Nothing here knows a network, a clock, an environment or async.

pub mod edit;
pub mod json;
pub mod kind_order;
pub mod names;
pub mod object;
pub mod tree;
pub mod yaml;

pub use object::{Object, ObjectError, ObjectId};
pub use tree::{Limits, NodeKind, Tree, TreeError};
pub use yaml::{YamlError, YamlErrorKind};
