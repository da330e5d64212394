//! The tests of this package are its content: see `main.rs`.
