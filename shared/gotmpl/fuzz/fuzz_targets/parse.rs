//! Any text parses or fails: no panic, no overflow of the stack, no hang; and the error prints in both forms.
#![no_main]

use std::rc::Rc;

use libfuzzer_sys::fuzz_target;
use slipway_gotmpl::{FuncMap, MissingKey, Set};

fuzz_target!(|text: &str| {
    let mut set = Set::new(Rc::new(FuncMap::default()), MissingKey::Zero);
    if let Err(error) = set.parse("fuzz", text) {
        let _ = format!("{error} {error:#}");
    }
});
