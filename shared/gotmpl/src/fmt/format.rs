//! Format strings. (Go: src/fmt/print.go, doPrintf)

use super::pad::Flags;
use super::print::Printer;
use crate::budget::Limit;
use crate::value::Value;

/// No width, precision or argument number is larger.
const MOST: usize = 1_000_000;

/// Walks a format; `at` is the next byte.
struct Format<'a> {
    text: &'a [u8],
    at: usize,
    args: &'a [Value],
    next_arg: usize,
    /// The verb's `[n]` are in range.
    good_index: bool,
    /// Some `[n]` has been seen: left-over arguments are fine.
    reordered: bool,
    /// The last thing read was `[n]`.
    after_index: bool,
}

pub(super) fn printf(printer: &mut Printer<'_>, text: &[u8], args: &[Value]) -> Result<(), Limit> {
    let mut format = Format { text, at: 0, args, next_arg: 0, good_index: true, reordered: false, after_index: false };
    loop {
        let literal = format.literal();
        if !literal.is_empty() {
            printer.write(literal)?;
        }
        if format.peek().is_none() {
            break;
        }
        format.at += 1;
        format.good_index = true;
        format.after_index = false;
        format.directive(printer)?;
    }
    let rest = args.get(format.next_arg..).unwrap_or_default();
    if format.reordered || rest.is_empty() {
        return Ok(());
    }
    printer.flags = Flags::default();
    printer.write(b"%!(EXTRA ")?;
    for (index, arg) in rest.iter().enumerate() {
        if index > 0 {
            printer.write(b", ")?;
        }
        if !matches!(arg, Value::Nil) {
            printer.write(format!("{}=", arg.type_name()).as_bytes())?;
        }
        printer.print_arg(arg, 'v')?;
    }
    printer.write(b")")
}

impl<'a> Format<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// What stands before the next `%`.
    fn literal(&mut self) -> &'a [u8] {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let len = rest.iter().position(|byte| *byte == b'%').unwrap_or(rest.len());
        self.at += len;
        rest.get(..len).unwrap_or_default()
    }

    /// What follows a `%`.
    fn directive(&mut self, printer: &mut Printer<'_>) -> Result<(), Limit> {
        let mut flags = self.flags();
        self.index();
        if self.peek() == Some(b'*') {
            self.at += 1;
            match self.int_arg() {
                Some((width, negative)) => {
                    flags.width = Some(width);
                    flags.minus |= negative;
                    flags.zero &= !negative;
                }
                None => printer.write(b"%!(BADWIDTH)")?,
            }
            self.after_index = false;
        } else {
            flags.width = self.number();
            self.good_index &= !(self.after_index && flags.width.is_some());
        }
        if self.peek() == Some(b'.') && self.at + 1 < self.text.len() {
            self.at += 1;
            self.good_index &= !self.after_index;
            self.index();
            if self.peek() == Some(b'*') {
                self.at += 1;
                flags.precision = self.int_arg().and_then(|(precision, negative)| (!negative).then_some(precision));
                if flags.precision.is_none() {
                    printer.write(b"%!(BADPREC)")?;
                }
                self.after_index = false;
            } else {
                flags.precision = Some(self.number().unwrap_or_default());
            }
        }
        if !self.after_index {
            self.index();
        }
        let Some(verb) = self.verb() else {
            return printer.write(b"%!(NOVERB)");
        };
        if verb == 'v' {
            flags.sharp_v = std::mem::take(&mut flags.sharp);
            flags.plus_v = std::mem::take(&mut flags.plus);
        }
        printer.flags = flags;
        if verb == '%' {
            return printer.write(b"%");
        }
        if !self.good_index {
            return printer.write(format!("%!{verb}(BADINDEX)").as_bytes());
        }
        let Some(arg) = self.args.get(self.next_arg) else {
            return printer.write(format!("%!{verb}(MISSING)").as_bytes());
        };
        self.next_arg += 1;
        printer.print_arg(arg, verb)
    }

    fn flags(&mut self) -> Flags {
        let mut flags = Flags::default();
        while let Some(byte) = self.peek() {
            match byte {
                b'#' => flags.sharp = true,
                b'0' => flags.zero = true,
                b'+' => flags.plus = true,
                b'-' => flags.minus = true,
                b' ' => flags.space = true,
                _ => break,
            }
            self.at += 1;
        }
        flags
    }

    fn verb(&mut self) -> Option<char> {
        let rest = self.text.get(self.at..)?;
        let chunk = rest.utf8_chunks().next()?;
        let verb = chunk.valid().chars().next();
        self.at += verb.map_or(1, char::len_utf8);
        Some(verb.unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    /// Decimal digits. A number that is too large swallows the rest of the format.
    fn number(&mut self) -> Option<usize> {
        let mut number = None;
        while let Some(digit) = self.peek().filter(u8::is_ascii_digit) {
            if number.is_some_and(|number| number > MOST) {
                self.at = self.text.len();
                return None;
            }
            number = Some(number.unwrap_or(0) * 10 + usize::from(digit - b'0'));
            self.at += 1;
        }
        number
    }

    /// `[n]`: which argument is next.
    fn index(&mut self) {
        self.after_index = false;
        if self.peek() != Some(b'[') {
            return;
        }
        self.reordered = true;
        let rest = self.text.get(self.at..).unwrap_or_default();
        let close = (rest.len() >= 3).then(|| rest.iter().position(|byte| *byte == b']')).flatten();
        let Some(close) = close else {
            self.good_index = false;
            self.at += 1;
            return;
        };
        let end = self.at + close;
        self.at += 1;
        let number = self.number().filter(|_| self.at == end);
        self.at = end + 1;
        let index = number.and_then(|number| number.checked_sub(1)).filter(|index| *index < self.args.len());
        self.after_index = number.is_some();
        match index {
            Some(index) => self.next_arg = index,
            None => self.good_index = false,
        }
    }

    /// The argument of a `*`: magnitude and whether it is negative.
    fn int_arg(&mut self) -> Option<(usize, bool)> {
        let arg = self.args.get(self.next_arg)?;
        self.next_arg += 1;
        let (magnitude, negative) = match arg {
            Value::Int(_, number) => (number.unsigned_abs(), *number < 0),
            Value::Uint(_, number) => (*number, false),
            _ => return None,
        };
        usize::try_from(magnitude).ok().filter(|magnitude| *magnitude <= MOST).map(|magnitude| (magnitude, negative))
    }
}
