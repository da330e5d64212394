//! Which tag, which file, which bytes.
