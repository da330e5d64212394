//! Lua's patterns (Lua 5.1 `lstrlib.c`), each step of a match paid: a pattern that goes back again and again can't hold
//! the worker, as it can in C, where nothing is counted.

/// Captures of one pattern.
const MAX_CAPTURES: usize = 32;
/// Parts of a pattern that are open at once.
const MAX_DEPTH: usize = 200;

/// Characters with a meaning in patterns.
const SPECIAL: &[u8] = b"^$*+?.([%-";

/// Whether `pattern` means nothing but itself.
pub(super) fn is_plain(pattern: &[u8]) -> bool {
    !pattern.iter().any(|byte| SPECIAL.contains(byte))
}

/// What a part in brackets matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Capture {
    /// Bytes of the text, from and to.
    Text(usize, usize),
    /// The position where `()` stands.
    Position(usize),
}

#[derive(Clone, Copy)]
struct Part {
    start: usize,
    end: End,
}

#[derive(Clone, Copy)]
enum End {
    Open,
    Position,
    At(usize),
}

/// Takes so many steps; an error when there are no more.
pub(super) type Pay<'a> = &'a dyn Fn(u64) -> mlua::Result<()>;

type Matched<T = Option<usize>> = mlua::Result<T>;

/// Matches a pattern, without the `^` that anchors it, against places of a text.
pub(super) struct Matcher<'a> {
    text: &'a [u8],
    pattern: &'a [u8],
    parts: Vec<Part>,
    depth: usize,
    pay: Pay<'a>,
}

fn malformed<T>(what: &str) -> mlua::Result<T> {
    Err(mlua::Error::runtime(what))
}

impl<'a> Matcher<'a> {
    pub(super) fn new(text: &'a [u8], pattern: &'a [u8], pay: Pay<'a>) -> Self {
        Self { text, pattern, parts: Vec::new(), depth: 0, pay }
    }

    /// Where a match at `start` ends.
    pub(super) fn at(&mut self, start: usize) -> Matched {
        self.parts.clear();
        self.depth = 0;
        self.walk(start, 0)
    }

    /// What the last match captured; all of it where nothing is in brackets and `whole` is set.
    pub(super) fn captures(&self, start: usize, end: usize, whole: bool) -> mlua::Result<Vec<Capture>> {
        if self.parts.is_empty() && whole {
            return Ok(vec![Capture::Text(start, end)]);
        }
        let capture = |part: &Part| match part.end {
            End::Open => malformed("unfinished capture"),
            End::Position => Ok(Capture::Position(part.start)),
            End::At(end) => Ok(Capture::Text(part.start, end)),
        };
        self.parts.iter().map(capture).collect()
    }

    fn walk(&mut self, start: usize, part: usize) -> Matched {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return malformed("pattern too complex");
        }
        let end = self.steps(start, part);
        self.depth -= 1;
        end
    }

    fn steps(&mut self, mut s: usize, mut p: usize) -> Matched {
        loop {
            (self.pay)(1)?;
            let Some(&byte) = self.pattern.get(p) else { return Ok(Some(s)) };
            match (byte, self.pattern.get(p + 1)) {
                (b'(', Some(b')')) => return self.open(s, p + 2, End::Position),
                (b'(', _) => return self.open(s, p + 1, End::Open),
                (b')', _) => return self.close(s, p + 1),
                (b'$', None) => return Ok((s == self.text.len()).then_some(s)),
                (b'%', Some(b'b')) => match self.balanced(s, p + 2)? {
                    Some(end) => (s, p) = (end, p + 4),
                    None => return Ok(None),
                },
                (b'%', Some(b'f')) => {
                    let set = p + 2;
                    if self.pattern.get(set) != Some(&b'[') {
                        return malformed("missing `[` after `%f` in pattern");
                    }
                    let end = self.class_end(set)?;
                    let before = s.checked_sub(1).and_then(|at| self.text.get(at)).copied().unwrap_or_default();
                    let here = self.text.get(s).copied().unwrap_or_default();
                    if self.is_in_set(before, set, end - 1)? || !self.is_in_set(here, set, end - 1)? {
                        return Ok(None);
                    }
                    p = end;
                }
                (b'%', Some(digit @ b'0'..=b'9')) => match self.again(s, *digit)? {
                    Some(end) => (s, p) = (end, p + 2),
                    None => return Ok(None),
                },
                _ => {
                    let end = self.class_end(p)?;
                    let fits = self.fits(s, p, end)?;
                    match self.pattern.get(end) {
                        Some(b'?') => {
                            if fits && let Some(found) = self.walk(s + 1, end + 1)? {
                                return Ok(Some(found));
                            }
                            p = end + 1;
                        }
                        Some(b'*') => return self.longest(s, p, end),
                        Some(b'+') => return if fits { self.longest(s + 1, p, end) } else { Ok(None) },
                        Some(b'-') => return self.shortest(s, p, end),
                        _ if fits => (s, p) = (s + 1, end),
                        _ => return Ok(None),
                    }
                }
            }
        }
    }

    /// The end of the class that begins at `p`.
    fn class_end(&self, p: usize) -> Matched<usize> {
        let at = |p: usize| self.pattern.get(p).copied();
        match at(p) {
            Some(b'%') if at(p + 1).is_none() => malformed("malformed pattern (ends with `%`)"),
            Some(b'%') => Ok(p + 2),
            Some(b'[') => {
                let mut p = p + 1 + usize::from(at(p + 1) == Some(b'^'));
                loop {
                    (self.pay)(1)?;
                    match at(p) {
                        None => return malformed("malformed pattern (missing `]`)"),
                        Some(b'%') if at(p + 1).is_some() => p += 2,
                        Some(_) => p += 1,
                    }
                    if at(p) == Some(b']') {
                        return Ok(p + 1);
                    }
                }
            }
            _ => Ok(p + 1),
        }
    }

    /// Whether the byte at `s` is of the class from `p` to `end`.
    fn fits(&self, s: usize, p: usize, end: usize) -> Matched<bool> {
        (self.pay)(1)?;
        let Some(&byte) = self.text.get(s) else { return Ok(false) };
        match (self.pattern.get(p), self.pattern.get(p + 1)) {
            (Some(b'.'), _) => Ok(true),
            (Some(b'%'), Some(class)) => Ok(is_of(byte, *class)),
            (Some(b'['), _) => self.is_in_set(byte, p, end - 1),
            (wanted, _) => Ok(wanted == Some(&byte)),
        }
    }

    /// Whether `byte` is in the set from the `[` at `p` to the `]` at `end`.
    fn is_in_set(&self, byte: u8, p: usize, end: usize) -> Matched<bool> {
        (self.pay)((end - p) as u64)?;
        let at = |p: usize| self.pattern.get(p).copied().unwrap_or_default();
        let is_positive = at(p + 1) != b'^';
        let mut p = p + 1 + usize::from(!is_positive);
        while p < end {
            if at(p) == b'%' {
                if is_of(byte, at(p + 1)) {
                    return Ok(is_positive);
                }
                p += 2;
            } else if at(p + 1) == b'-' && p + 2 < end {
                if (at(p)..=at(p + 2)).contains(&byte) {
                    return Ok(is_positive);
                }
                p += 3;
            } else {
                if at(p) == byte {
                    return Ok(is_positive);
                }
                p += 1;
            }
        }
        Ok(!is_positive)
    }

    /// The end of what begins with the byte at `p` and ends with the one behind it, as often as it begins.
    fn balanced(&self, s: usize, p: usize) -> Matched {
        let (Some(open), Some(close)) = (self.pattern.get(p), self.pattern.get(p + 1)) else {
            return malformed("unbalanced pattern");
        };
        if self.text.get(s) != Some(open) {
            return Ok(None);
        }
        let mut count = 1_usize;
        for (at, byte) in self.text.iter().enumerate().skip(s + 1) {
            (self.pay)(1)?;
            if byte == close {
                count -= 1;
                if count == 0 {
                    return Ok(Some(at + 1));
                }
            } else if byte == open {
                count += 1;
            }
        }
        Ok(None)
    }

    fn longest(&mut self, s: usize, p: usize, end: usize) -> Matched {
        let mut count = 0;
        while self.fits(s + count, p, end)? {
            count += 1;
        }
        loop {
            if let Some(found) = self.walk(s + count, end + 1)? {
                return Ok(Some(found));
            }
            let Some(less) = count.checked_sub(1) else { return Ok(None) };
            count = less;
        }
    }

    fn shortest(&mut self, mut s: usize, p: usize, end: usize) -> Matched {
        loop {
            if let Some(found) = self.walk(s, end + 1)? {
                return Ok(Some(found));
            }
            if !self.fits(s, p, end)? {
                return Ok(None);
            }
            s += 1;
        }
    }

    fn open(&mut self, s: usize, p: usize, end: End) -> Matched {
        if self.parts.len() >= MAX_CAPTURES {
            return malformed("too many captures");
        }
        self.parts.push(Part { start: s, end });
        let found = self.walk(s, p)?;
        if found.is_none() {
            self.parts.pop();
        }
        Ok(found)
    }

    fn close(&mut self, s: usize, p: usize) -> Matched {
        let Some(index) = self.parts.iter().rposition(|part| matches!(part.end, End::Open)) else {
            return malformed("invalid pattern capture");
        };
        let set = |parts: &mut Vec<Part>, end| parts.get_mut(index).into_iter().for_each(|part| part.end = end);
        set(&mut self.parts, End::At(s));
        let found = self.walk(s, p)?;
        if found.is_none() {
            set(&mut self.parts, End::Open);
        }
        Ok(found)
    }

    /// The end of the text that the capture `digit` matched, if it stands here again.
    fn again(&self, s: usize, digit: u8) -> Matched {
        let part = digit.checked_sub(b'1').and_then(|index| self.parts.get(usize::from(index)));
        let Some(part) = part.filter(|part| !matches!(part.end, End::Open)) else {
            return malformed("invalid capture index");
        };
        let End::At(end) = part.end else { return Ok(None) };
        let captured = self.text.get(part.start..end).unwrap_or_default();
        (self.pay)(captured.len() as u64 / 16)?;
        let rest = self.text.get(s..).unwrap_or_default();
        Ok(rest.starts_with(captured).then_some(s + captured.len()))
    }
}

/// Whether `byte` is of the class `letter`; a letter in upper case is the opposite.
fn is_of(byte: u8, letter: u8) -> bool {
    let is = match letter.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => byte.is_ascii_whitespace() || byte == 0x0b,
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return letter == byte,
    };
    is != letter.is_ascii_uppercase()
}
