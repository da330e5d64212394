//! Flows and conformance on real parts.
