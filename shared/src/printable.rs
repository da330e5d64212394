//! Shows texts from outside (names of files, keys, words of charts and controllers) as what they are: without sequences
//! that drive a terminal, and without characters that hide or turn around what is read.

use std::borrow::Cow;

/// The text, with such characters escaped as `\u{1b}`. Line breaks and tabs stay.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// Control characters, and what changes the direction of a text (Unicode TR 36) or is not seen.
fn is_hidden(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\t'))
        || matches!(c,
            '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drives_a_terminal_or_hides_is_shown() {
        for (text, shown) in [
            ("a\x1b[2Jb", r"a\u{1b}[2Jb"),
            ("a\u{9b}31mb", r"a\u{9b}31mb"),
            ("\x07\x08\x7f\r", r"\u{7}\u{8}\u{7f}\u{d}"),
            ("x\u{202e}gpj.exe", r"x\u{202e}gpj.exe"),
            ("x\u{2066}y\u{2069}\u{200f}", r"x\u{2066}y\u{2069}\u{200f}"),
            ("p\u{200b}w\u{feff}\u{e0041}", r"p\u{200b}w\u{feff}\u{e0041}"),
        ] {
            assert_eq!(printable(text), shown);
        }
        for plain in ["", "a\n\tb", "Größe → 日本 🚀", "👩\u{200d}💻"] {
            assert!(matches!(printable(plain), Cow::Borrowed(same) if same == plain), "{plain}");
        }
    }
}
