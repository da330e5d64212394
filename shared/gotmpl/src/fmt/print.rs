//! One value under one verb. (Go: src/fmt/print.go)

use slipway_gocompat::strconv::{can_backquote, quote, quote_ascii, quote_char};

use super::pad::{self, Flags};
use crate::budget::{Budget, Limit};
use crate::value::{Kind, List, Map, Native, Str, Type, UintKind, Value};

type Done = Result<(), Limit>;

/// Writes values to a buffer and charges the budget for each piece.
pub(super) struct Printer<'a> {
    out: &'a mut Vec<u8>,
    budget: &'a Budget,
    pub(super) flags: Flags,
    /// Inside `%!d(…)`: `String` and `Error` methods are not called.
    erroring: bool,
}

impl<'a> Printer<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>, budget: &'a Budget) -> Self {
        Self { out, budget, flags: Flags::default(), erroring: false }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Done {
        self.budget.bytes(bytes.len())?;
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn pad(&mut self, text: &[u8]) -> Done {
        self.budget.bytes(self.flags.width.unwrap_or_default())?;
        let padded = self.flags.pad(text);
        self.write(&padded)
    }

    /// A value given to `printf` or `print`.
    pub(super) fn print_arg(&mut self, arg: &Value, verb: char) -> Done {
        match (arg, verb) {
            (Value::Nil, 'T' | 'v') => self.pad(b"<nil>"),
            (Value::Nil, _) => self.bad_verb(arg, verb),
            (_, 'T') => {
                let name = arg.type_name();
                let name = self.flags.truncate(name.as_bytes());
                self.pad(name)
            }
            (_, 'p') => self.pointer(arg, verb),
            // Bytes count as such before their kind as a slice does.
            (Value::List(list), _) if is_bytes(list) => self.bytes(list, verb, 0),
            _ => self.print_value(arg, verb, 0),
        }
    }

    fn print_value(&mut self, value: &Value, verb: char, depth: usize) -> Done {
        self.budget.stack()?;
        self.budget.step(1)?;
        match value {
            Value::Nil if self.flags.sharp_v => self.write(b"interface {}(nil)"),
            Value::Nil => self.write(b"<nil>"),
            Value::Bool(truth) => match verb {
                't' | 'v' => self.pad(if *truth { b"true" } else { b"false" }),
                _ => self.bad_verb(value, verb),
            },
            Value::Int(_, number) => self.integer(value, number.unsigned_abs(), *number < 0, verb),
            Value::Uint(_, number) if verb == 'v' && self.flags.sharp_v => self.hex_literal(*number),
            Value::Uint(_, number) => self.integer(value, *number, false, verb),
            Value::Float(number) => self.float(value, *number, verb),
            Value::Complex(re, im) => self.complex(value, *re, *im, verb),
            Value::Str(text) => self.string(value, text, verb),
            Value::List(list) if is_bytes(list) && matches!(verb, 's' | 'q' | 'x' | 'X') => {
                self.bytes(list, verb, depth)
            }
            Value::List(list) => self.list(list, verb, depth),
            Value::Map(map) => self.map(map, verb, depth),
            Value::Native(native) => self.native(value, native.as_ref(), verb, depth),
            Value::Func(_) => self.pointer(value, verb),
        }
    }

    /// `%!verb(type=value)`
    fn bad_verb(&mut self, value: &Value, verb: char) -> Done {
        let outer = std::mem::replace(&mut self.erroring, true);
        self.write(format!("%!{verb}(").as_bytes())?;
        if matches!(value, Value::Nil) {
            self.write(b"<nil>")?;
        } else {
            self.write(value.type_name().as_bytes())?;
            self.write(b"=")?;
            self.print_arg(value, 'v')?;
        }
        self.erroring = outer;
        self.write(b")")
    }

    fn integer(&mut self, value: &Value, magnitude: u64, negative: bool, verb: char) -> Done {
        let flags = self.flags;
        let text = match verb {
            'c' => flags.pad(char_of(magnitude, negative).encode_utf8(&mut [0; 4]).as_bytes()),
            'q' => flags.pad(quote_char(char_of(magnitude, negative), flags.plus).as_bytes()),
            'U' => pad::unicode(flags, if negative { magnitude.wrapping_neg() } else { magnitude }),
            'v' | 'd' | 'b' | 'o' | 'O' | 'x' | 'X' => pad::integer(flags, magnitude, negative, verb),
            _ => return self.bad_verb(value, verb),
        };
        self.write(&text)
    }

    /// An unsigned integer under `%#v`.
    fn hex_literal(&mut self, number: u64) -> Done {
        let text = pad::integer(Flags { sharp: true, ..self.flags }, number, false, 'x');
        self.write(&text)
    }

    fn float(&mut self, value: &Value, number: f64, verb: char) -> Done {
        let (verb, precision) = match verb {
            'v' => ('g', None),
            'b' | 'g' | 'G' | 'x' | 'X' => (verb, None),
            'f' | 'e' | 'E' => (verb, Some(6)),
            'F' => ('f', Some(6)),
            _ => return self.bad_verb(value, verb),
        };
        self.budget.bytes(self.flags.precision.unwrap_or_default())?;
        let text = pad::float(self.flags, number, verb, precision);
        self.write(&text)
    }

    fn complex(&mut self, value: &Value, re: f64, im: f64, verb: char) -> Done {
        if !matches!(verb, 'v' | 'b' | 'g' | 'G' | 'x' | 'X' | 'f' | 'F' | 'e' | 'E') {
            return self.bad_verb(value, verb);
        }
        let plus = self.flags.plus;
        self.write(b"(")?;
        self.float(value, re, verb)?;
        self.flags.plus = true;
        self.float(value, im, verb)?;
        self.flags.plus = plus;
        self.write(b"i)")
    }

    fn string(&mut self, value: &Value, text: &Str, verb: char) -> Done {
        let bytes = text.as_bytes();
        match verb {
            'v' if self.flags.sharp_v => self.quoted(bytes),
            'v' | 's' => {
                let text = self.flags.truncate(bytes);
                self.pad(text)
            }
            'x' | 'X' => {
                let text = pad::hex(self.flags, bytes, verb);
                self.write(&text)
            }
            'q' => self.quoted(bytes),
            _ => self.bad_verb(value, verb),
        }
    }

    fn quoted(&mut self, bytes: &[u8]) -> Done {
        let bytes = self.flags.truncate(bytes);
        if self.flags.sharp && can_backquote(bytes) {
            return self.pad(&[b"`", bytes, b"`"].concat());
        }
        let text = if self.flags.plus { quote_ascii(bytes) } else { quote(bytes) };
        self.pad(text.as_bytes())
    }

    /// `[]byte`: text under the verbs of strings.
    fn bytes(&mut self, list: &List, verb: char, depth: usize) -> Done {
        let bytes: Vec<u8> = list
            .borrow()
            .iter()
            .map(|item| if let Value::Uint(_, byte) = item { u8::try_from(*byte).unwrap_or_default() } else { 0 })
            .collect();
        match verb {
            's' => {
                let text = self.flags.truncate(&bytes);
                self.pad(text)
            }
            'x' | 'X' => {
                let text = pad::hex(self.flags, &bytes, verb);
                self.write(&text)
            }
            'q' => self.quoted(&bytes),
            'v' if self.flags.sharp_v => {
                self.write(if list.is_nil() { b"[]byte(nil)" } else { b"[]byte{" })?;
                if list.is_nil() {
                    return Ok(());
                }
                for (index, byte) in bytes.iter().enumerate() {
                    if index > 0 {
                        self.write(b", ")?;
                    }
                    self.hex_literal(u64::from(*byte))?;
                }
                self.write(b"}")
            }
            _ => self.list(list, verb, depth),
        }
    }

    fn list(&mut self, list: &List, verb: char, depth: usize) -> Done {
        let sharp = self.flags.sharp_v;
        if sharp {
            self.write(format!("[]{}", list.elem()).as_bytes())?;
            if list.is_nil() {
                return self.write(b"(nil)");
            }
        }
        self.write(if sharp { b"{" } else { b"[" })?;
        for (index, item) in list.borrow().iter().enumerate() {
            if index > 0 {
                self.separator()?;
            }
            self.print_value(item, verb, depth + 1)?;
        }
        self.write(if sharp { b"}" } else { b"]" })
    }

    fn map(&mut self, map: &Map, verb: char, depth: usize) -> Done {
        let sharp = self.flags.sharp_v;
        if sharp {
            self.write(Value::Map(map.clone()).type_name().as_bytes())?;
            if map.is_nil() {
                return self.write(b"(nil)");
            }
        }
        self.write(if sharp { b"{" } else { b"map[" })?;
        for (index, (key, item)) in map.borrow().iter().enumerate() {
            if index > 0 {
                self.separator()?;
            }
            self.print_value(&Value::Str(key.clone()), verb, depth + 1)?;
            self.write(b":")?;
            self.print_value(item, verb, depth + 1)?;
        }
        self.write(if sharp { b"}" } else { b"]" })
    }

    fn separator(&mut self) -> Done {
        self.write(if self.flags.sharp_v { b", " } else { b" " })
    }

    fn native(&mut self, value: &Value, native: &dyn Native, verb: char, depth: usize) -> Done {
        let has_text = !self.erroring && !self.flags.sharp_v && matches!(verb, 'v' | 's' | 'x' | 'X' | 'q');
        if let Some(text) = native.text().filter(|_| has_text) {
            return self.string(value, &text, verb);
        }
        if let Some(plain) = native.plain() {
            return self.print_value(&plain, verb, depth);
        }
        if native.kind() == Kind::Ptr {
            if depth > 0 {
                return self.pointer(value, verb);
            }
            self.write(b"&")?;
        }
        if self.flags.sharp_v {
            self.write(native.type_name().trim_start_matches('*').as_bytes())?;
        }
        self.write(b"{")?;
        for (index, (name, field)) in native.printed_fields().into_iter().enumerate() {
            if index > 0 {
                self.separator()?;
            }
            if self.flags.plus_v || self.flags.sharp_v {
                self.write(format!("{name}:").as_bytes())?;
            }
            self.print_value(&field, verb, depth + 1)?;
        }
        self.write(b"}")
    }

    /// An address: never the same in Go, always the same here.
    fn pointer(&mut self, value: &Value, verb: char) -> Done {
        match value.kind() {
            Kind::Ptr | Kind::Func | Kind::Map | Kind::Slice => self.pad(b"0xc000000000"),
            _ => self.bad_verb(value, verb),
        }
    }
}

fn is_bytes(list: &List) -> bool {
    *list.elem() == Type::Uint(UintKind::Uint8)
}

/// The character of a code; U+FFFD for what is none.
fn char_of(magnitude: u64, negative: bool) -> char {
    let code = if negative { None } else { u32::try_from(magnitude).ok() };
    code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}
