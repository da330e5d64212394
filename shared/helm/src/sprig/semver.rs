//! Versions (Masterminds/sprig `semver.go`).

use std::cmp::Ordering;

use slipway_gocompat::semver::{Constraint, Version};
use slipway_gotmpl::{Context, FuncError, Function, Native, Str, Type, UintKind, Value};

use super::{Outcome, misused};

pub(super) const TABLE: &[Function] = &[
    Function::new("semver", &[Type::String], |_, args| match args {
        [Value::Str(text)] => Ok(version(text)?.into()),
        _ => misused(),
    }),
    Function::new("semverCompare", &[Type::String, Type::String], compare),
];

/// `*semver.Version`
#[derive(Debug, Clone)]
pub(super) struct Semver(pub(super) Version);

impl From<Semver> for Value {
    fn from(version: Semver) -> Self {
        Self::native(version)
    }
}

fn version(text: &Str) -> Result<Semver, FuncError> {
    Ok(Semver(Version::parse(&text.to_text()).map_err(|e| e.to_string())?))
}

fn compare(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [Value::Str(constraint), Value::Str(text)] = args else { return misused() };
    // Several expressions go over each condition.
    cx.budget().step(200 + 64 * constraint.len() as u64)?;
    let constraint = Constraint::parse(&constraint.to_text()).map_err(|e| e.to_string())?;
    Ok(constraint.check(&version(text)?.0).into())
}

fn own(args: &[Value]) -> Result<&Version, FuncError> {
    args.first().and_then(|value| value.downcast::<Semver>()).map_or_else(misused, |version| Ok(&version.0))
}

fn ordered(args: &[Value], test: fn(Ordering) -> bool) -> Outcome {
    let [receiver, other] = args else { return misused() };
    Ok(test(own(std::slice::from_ref(receiver))?.cmp(own(std::slice::from_ref(other))?)).into())
}

fn number(number: u64) -> Value {
    Value::Uint(UintKind::Uint64, number)
}

const OTHER: &[Type] = &[Type::Named("*semver.Version")];

const METHODS: &[Function] = &[
    Function::new("Major", &[], |_, args| Ok(number(own(args)?.major))),
    Function::new("Minor", &[], |_, args| Ok(number(own(args)?.minor))),
    Function::new("Patch", &[], |_, args| Ok(number(own(args)?.patch))),
    Function::new("Prerelease", &[], |_, args| Ok(own(args)?.pre.as_str().into())),
    Function::new("Metadata", &[], |_, args| Ok(own(args)?.metadata.as_str().into())),
    Function::new("Original", &[], |_, args| Ok(own(args)?.original.as_str().into())),
    Function::new("String", &[], |_, args| Ok(own(args)?.to_string().into())),
    Function::new("IncMajor", &[], |_, args| Ok(Semver(own(args)?.next(0)).into())),
    Function::new("IncMinor", &[], |_, args| Ok(Semver(own(args)?.next(1)).into())),
    Function::new("IncPatch", &[], |_, args| Ok(Semver(own(args)?.next(2)).into())),
    Function::new("LessThan", OTHER, |_, args| ordered(args, Ordering::is_lt)),
    Function::new("LessThanEqual", OTHER, |_, args| ordered(args, Ordering::is_le)),
    Function::new("GreaterThan", OTHER, |_, args| ordered(args, Ordering::is_gt)),
    Function::new("GreaterThanEqual", OTHER, |_, args| ordered(args, Ordering::is_ge)),
    Function::new("Equal", OTHER, |_, args| ordered(args, Ordering::is_eq)),
    Function::new("Compare", OTHER, |_, args| {
        let [receiver, other] = args else { return misused() };
        let order = own(std::slice::from_ref(receiver))?.cmp(own(std::slice::from_ref(other))?);
        Ok(Value::int(order as i64))
    }),
];

impl Native for Semver {
    fn type_name(&self) -> &'static str {
        "*semver.Version"
    }

    fn method(&self, name: &str) -> Option<&'static Function> {
        METHODS.iter().find(|method| method.name == name)
    }

    fn text(&self) -> Option<Str> {
        Some(self.0.to_string().into())
    }
}
