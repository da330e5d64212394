//! Compares versions and constraints as Helm and Argo CD do (Masterminds/semver v3.4.0 `version.go`, `constraints.go`):
//! lenient where SemVer is strict (`v1.2`, leading zeros), with its own rules for `~`, `^`, `x` and pre-releases.

use std::cmp::Ordering;
use std::fmt;
use std::sync::LazyLock;

use regex::Regex;

/// Why a text is no version or no constraint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SemverError {
    /// Not even close to a version.
    #[error("invalid semantic version")]
    Version,
    /// A numeric part of the pre-release starts with 0.
    #[error("version segment starts with 0")]
    LeadingZero,
    /// A number that 64 bits can't hold.
    #[error("error parsing version segment: {0:?}: value out of range")]
    Number(String),
    /// A constraint that can't be read.
    #[error("improper constraint: {0}")]
    Constraint(String),
    /// A constraint beyond our bound.
    #[error("improper constraint: longer than {MAX_CONSTRAINT} bytes")]
    TooLong,
}

/// A version; orders by precedence (metadata counts nothing). Prints without a leading `v`.
#[derive(Debug, Clone)]
pub struct Version {
    /// The first number.
    pub major: u64,
    /// The second number.
    pub minor: u64,
    /// The third number.
    pub patch: u64,
    /// What follows `-`, or empty.
    pub pre: String,
    /// What follows `+`, or empty.
    pub metadata: String,
    /// The text as it was parsed.
    pub original: String,
}

const LOOSE: &str =
    r"v?([0-9]+)(\.[0-9]+)?(\.[0-9]+)?(-([0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*))?(\+([0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*))?";
const PART: &str = concat!(
    r"v?([0-9|x|X|\*]+)(\.[0-9|x|X|\*]+)?(\.[0-9|x|X|\*]+)?",
    r"(-([0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*))?(\+([0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*))?"
);
/// Go's blanks.
const BLANK: &str = r"[\t\n\f\r ]";
const OPERATORS: &str = r"=||!=|>|<|>=|=>|<=|=<|~|~>|\^";

/// The pattern, which is one of ours and compiles; should it ever not, nothing matches.
#[allow(clippy::unwrap_used, reason = "the patterns are constants, compiled by the tests")]
fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).unwrap()
}

static VERSION: LazyLock<Regex> = LazyLock::new(|| regex(&format!("^(?:{LOOSE})$")));
static ONE: LazyLock<Regex> = LazyLock::new(|| regex(&format!("^{BLANK}*({OPERATORS}){BLANK}*({PART}){BLANK}*$")));
static FIND: LazyLock<Regex> = LazyLock::new(|| regex(&format!("({OPERATORS}){BLANK}*({PART})")));
static RANGE: LazyLock<Regex> = LazyLock::new(|| regex(&format!("{BLANK}*({PART}){BLANK}+-{BLANK}+({PART}){BLANK}*")));
static GROUP: LazyLock<Regex> = LazyLock::new(|| {
    let one = format!("(?:{OPERATORS}){BLANK}*(?:{PART}){BLANK}*");
    regex(&format!("^({BLANK}*{one})((?:{BLANK}+|,{BLANK}*){one})*$"))
});

impl Version {
    /// Reads a version leniently: `1`, `v1.2` and `01.2.3` are versions.
    pub fn parse(text: &str) -> Result<Self, SemverError> {
        let parts = VERSION.captures(text).ok_or(SemverError::Version)?;
        let part = |index: usize| parts.get(index).map_or("", |part| part.as_str());
        let number = |index: usize| match part(index).trim_start_matches('.') {
            "" => Ok(0),
            digits => digits.parse().map_err(|_| SemverError::Number(digits.to_owned())),
        };
        let version = Self {
            major: number(1)?,
            minor: number(2)?,
            patch: number(3)?,
            pre: part(5).to_owned(),
            metadata: part(8).to_owned(),
            original: text.to_owned(),
        };
        let zero = |part: &str| part.len() > 1 && part.starts_with('0') && part.bytes().all(|b| b.is_ascii_digit());
        if version.pre.split('.').any(zero) { Err(SemverError::LeadingZero) } else { Ok(version) }
    }

    /// The next version after this one by the number at `level` (0 is major, 1 minor, else patch); a pre-release's next
    /// patch is its release.
    #[must_use]
    pub fn next(&self, level: usize) -> Self {
        let (major, minor, patch) = (self.major, self.minor, self.patch);
        let (major, minor, patch) = match level {
            0 => (major.saturating_add(1), 0, 0),
            1 => (major, minor.saturating_add(1), 0),
            _ if self.pre.is_empty() => (major, minor, patch.saturating_add(1)),
            _ => (major, minor, patch),
        };
        let mut next =
            Self { major, minor, patch, pre: String::new(), metadata: String::new(), original: String::new() };
        next.original = format!("{}{next}", if self.original.starts_with('v') { "v" } else { "" });
        next
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        if !self.pre.is_empty() {
            write!(f, "-{}", self.pre)?;
        }
        if self.metadata.is_empty() { Ok(()) } else { write!(f, "+{}", self.metadata) }
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version {}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let numbers = |v: &Self| (v.major, v.minor, v.patch);
        numbers(self).cmp(&numbers(other)).then_with(|| match (self.pre.as_str(), other.pre.as_str()) {
            ("", "") => Ordering::Equal,
            ("", _) => Ordering::Greater,
            (_, "") => Ordering::Less,
            (a, b) => compare_pre(a, b),
        })
    }
}

fn compare_pre(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => match (a.parse::<u64>(), b.parse::<u64>()) {
                (Ok(a), Ok(b)) => a.cmp(&b),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => a.cmp(b),
            },
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// A constraint such as `>=1.20.0-0 <2 || ^3.1`: alternatives of conditions.
#[derive(Debug, Clone)]
pub struct Constraint(Vec<Vec<Condition>>);

#[derive(Debug, Clone)]
struct Condition {
    operator: Operator,
    version: Version,
    /// The minor number is missing or `x`.
    any_minor: bool,
    /// The patch number is missing or `x`, and the minor is not.
    any_patch: bool,
    /// Any of the numbers is.
    partial: bool,
}

#[derive(Debug, Clone, Copy)]
enum Operator {
    Is,
    Not,
    Greater,
    Less,
    AtLeast,
    AtMost,
    Tilde,
    Caret,
}

/// Bytes of a constraint, which is read in time by the square of them: our bound, the library has none.
const MAX_CONSTRAINT: usize = 4 << 10;

impl Constraint {
    /// Reads a constraint. Conditions are separated by blanks or commas, alternatives by `||`; `1 - 2` is a range.
    pub fn parse(text: &str) -> Result<Self, SemverError> {
        if text.len() > MAX_CONSTRAINT {
            return Err(SemverError::TooLong);
        }
        rewrite_ranges(text).split("||").map(alternative).collect::<Result<_, _>>().map(Self)
    }

    /// Whether `version` satisfies one of the alternatives. A pre-release satisfies only an alternative that names one.
    pub fn check(&self, version: &Version) -> bool {
        self.0.iter().any(|conditions| {
            let pre_allowed = version.pre.is_empty() || conditions.iter().any(|one| !one.version.pre.is_empty());
            pre_allowed && conditions.iter().all(|one| one.check(version))
        })
    }
}

/// Whether the version `version` satisfies `constraint`; false where one of them can't be read (helm/helm
/// `chartutil.IsCompatibleRange`).
pub fn is_compatible(constraint: &str, version: &str) -> bool {
    match (Constraint::parse(constraint), Version::parse(version)) {
        (Ok(constraint), Ok(version)) => constraint.check(&version),
        _ => false,
    }
}

fn rewrite_ranges(text: &str) -> String {
    let mut out = text.to_owned();
    for range in RANGE.captures_iter(text) {
        let part = |index: usize| range.get(index).map_or("", |part| part.as_str());
        out = out.replacen(part(0), &format!(">= {}, <= {} ", part(1), part(11)), 1);
    }
    out
}

fn alternative(text: &str) -> Result<Vec<Condition>, SemverError> {
    if !GROUP.is_match(text) {
        return Err(SemverError::Constraint(text.to_owned()));
    }
    FIND.find_iter(text).map(|one| condition(one.as_str())).collect()
}

fn condition(text: &str) -> Result<Condition, SemverError> {
    let improper = || SemverError::Constraint(text.to_owned());
    let parts = ONE.captures(text).ok_or_else(improper)?;
    let part = |index: usize| parts.get(index).map_or("", |part| part.as_str());
    let is_any = |part: &str| matches!(part.trim_start_matches('.'), "" | "x" | "X" | "*");
    let (major, minor, patch, pre) = (part(3), part(4), part(5), part(6));
    let any_major = is_any(major);
    let any_minor = !any_major && is_any(minor);
    let any_patch = !any_major && !any_minor && is_any(patch);
    let version = if any_major {
        format!("0.0.0{pre}")
    } else if any_minor {
        format!("{major}.0.0{pre}")
    } else if any_patch {
        format!("{major}{minor}.0{pre}")
    } else {
        part(2).to_owned()
    };
    let operator = match part(1) {
        "!=" => Operator::Not,
        ">" => Operator::Greater,
        "<" => Operator::Less,
        ">=" | "=>" => Operator::AtLeast,
        "<=" | "=<" => Operator::AtMost,
        "~" | "~>" => Operator::Tilde,
        "^" => Operator::Caret,
        _ => Operator::Is,
    };
    let version = Version::parse(&version).map_err(|_| improper())?;
    Ok(Condition { operator, version, any_minor, any_patch, partial: any_major || any_minor || any_patch })
}

impl Condition {
    fn check(&self, v: &Version) -> bool {
        let own = &self.version;
        match self.operator {
            Operator::Is if self.partial => self.tilde(v),
            Operator::Is => v == own,
            Operator::Not => self.not(v),
            Operator::Greater if self.partial && self.any_minor => v.major > own.major,
            Operator::Greater if self.partial && self.any_patch => (v.major, v.minor) > (own.major, own.minor),
            Operator::Greater => v > own,
            Operator::Less => v < own,
            Operator::AtLeast => v >= own,
            Operator::AtMost if self.partial => {
                v.major < own.major || v.major == own.major && (self.any_minor || v.minor <= own.minor)
            }
            Operator::AtMost => v <= own,
            Operator::Tilde => self.tilde(v),
            Operator::Caret => self.caret(v),
        }
    }

    fn not(&self, v: &Version) -> bool {
        let own = &self.version;
        if !self.partial {
            return v != own;
        }
        if v.major != own.major {
            return true;
        }
        if self.any_minor {
            return false;
        }
        if v.minor != own.minor {
            return true;
        }
        if self.any_patch {
            return (!v.pre.is_empty() || !own.pre.is_empty()) && v.pre != own.pre;
        }
        v.patch != own.patch || v != own
    }

    fn tilde(&self, v: &Version) -> bool {
        let own = &self.version;
        if v < own {
            return false;
        }
        let zero = (own.major, own.minor, own.patch) == (0, 0, 0);
        zero && !self.any_minor && !self.any_patch || v.major == own.major && (self.any_minor || v.minor == own.minor)
    }

    fn caret(&self, v: &Version) -> bool {
        let own = &self.version;
        if v < own {
            return false;
        }
        if own.major > 0 || self.any_minor {
            return v.major == own.major;
        }
        if own.minor > 0 || self.any_patch {
            return v.major == 0 && v.minor == own.minor;
        }
        v.major == 0 && v.minor == 0 && v.patch == own.patch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_of_charts() {
        for (constraint, version, fits) in [
            (">=1.19", "v1.19.3-gke.1", false),
            (">=1.19-0", "v1.19.3-gke.1", true),
            ("1.x", "1.9.9", true),
            ("^0.2.3", "0.3.0", false),
            ("~1.2", "1.2.9", true),
            ("1.0 - 2.0", "1.5.0", true),
            (">1.0, <2.0", "2.0.0", false),
            ("<1.0 || >2.0", "3.0.0", true),
            (">11", "11.1.0", false),
            ("*", "0.0.1", true),
        ] {
            assert_eq!(is_compatible(constraint, version), fits, "{constraint} {version}");
        }
        assert_eq!(Constraint::parse("").unwrap_err().to_string(), "improper constraint: ");
        assert_eq!(Version::parse("1.2.3-01").unwrap_err(), SemverError::LeadingZero);
    }

    #[test]
    fn versions_order_by_precedence() {
        let v = |text| Version::parse(text).unwrap();
        assert!(v("1.0.0-alpha.2") < v("1.0.0-alpha.10") && v("1.0.0-rc") < v("1") && v("v01.2") == v("1.2.0+x"));
        assert_eq!(v("v1.2.3-a").next(2).original, "v1.2.3");
        assert_eq!(v("1.2.3").next(1).to_string(), "1.3.0");
    }
}
