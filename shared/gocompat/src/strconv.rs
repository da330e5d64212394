//! Prints and reads numbers and quoted strings as Go does (`strconv`).

mod float;
mod number;
mod quote;

pub use float::{format_float, format_float32};
pub use number::{parse_float, parse_int, parse_uint};
pub use quote::{Unquoted, can_backquote, is_print, quote, quote_ascii, quote_char, unquote, unquote_char};
