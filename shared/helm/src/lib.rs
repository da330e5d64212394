//! helm template, in process.
