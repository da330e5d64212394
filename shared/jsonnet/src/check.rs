//! Finds what is wrong with a program whatever its values (go-jsonnet `internal/program/static_analyzer.go`): unknown
//! variables, `self` and `super` outside of objects, what is defined twice.

use std::collections::BTreeSet;

use rsjsonnet_lang::ast::{self, Arg, CompSpecPart, ExprKind, FieldName, Member, ObjInside};
use rsjsonnet_lang::interner::InternedStr;
use rsjsonnet_lang::span::SpanId;

use crate::syntax::MAX_NESTING;
use crate::value::{Expr, Failure, Outcome};

/// What is known where an expression stands.
struct Checker<'p> {
    depth: usize,
    variables: Vec<InternedStr<'p>>,
    is_in_object: bool,
}

/// Checks a file, in which only `std` is known.
pub(crate) fn expr<'p>(expr: &'p Expr<'p>, std: InternedStr<'p>) -> Outcome<()> {
    Checker { depth: 0, variables: vec![std], is_in_object: false }.expr(expr)
}

fn wrong<T>(span: SpanId, problem: String) -> Outcome<T> {
    Err(Box::new(Failure::Failed { at: Some(span), problem }))
}

impl<'p> Checker<'p> {
    /// Does `work` with more variables.
    fn with(&mut self, names: &[ast::Ident<'p>], work: impl FnOnce(&mut Self) -> Outcome<()>) -> Outcome<()> {
        let mut seen = BTreeSet::new();
        if let Some(twice) = names.iter().find(|name| !seen.insert(name.value)) {
            return wrong(twice.span, format!("`{}` is defined twice", twice.value.value()));
        }
        let before = self.variables.len();
        self.variables.extend(names.iter().map(|name| name.value));
        let result = work(self);
        self.variables.truncate(before);
        result
    }

    fn all(&mut self, exprs: impl IntoIterator<Item = &'p Expr<'p>>) -> Outcome<()> {
        exprs.into_iter().try_for_each(|one| self.expr(one))
    }

    fn expr(&mut self, expr: &'p Expr<'p>) -> Outcome<()> {
        if self.depth > MAX_NESTING {
            return wrong(expr.span, format!("expressions are nested deeper than {MAX_NESTING}"));
        }
        self.depth += 1;
        let result = self.one(expr);
        self.depth -= 1;
        result
    }

    fn one(&mut self, expr: &'p Expr<'p>) -> Outcome<()> {
        // Operators follow each other without nesting: the left side is gone down in a loop.
        let mut expr = expr;
        while let ExprKind::Binary(left, _, right) = &expr.kind {
            self.expr(right)?;
            expr = left;
        }
        match &expr.kind {
            ExprKind::Null
            | ExprKind::Bool(_)
            | ExprKind::String(_)
            | ExprKind::TextBlock(_)
            | ExprKind::Number(_)
            | ExprKind::Binary(..) => Ok(()),
            ExprKind::Import(name) | ExprKind::ImportStr(name) | ExprKind::ImportBin(name) => match name.kind {
                ExprKind::String(_) => Ok(()),
                ExprKind::TextBlock(_) => wrong(name.span, "text blocks are not allowed in imports".to_owned()),
                _ => wrong(name.span, "computed imports are not allowed".to_owned()),
            },
            ExprKind::SelfObj | ExprKind::Dollar | ExprKind::SuperField(..) => self.in_object(expr.span),
            ExprKind::SuperIndex(_, name) | ExprKind::InSuper(name, _) => {
                self.in_object(expr.span)?;
                self.expr(name)
            }
            ExprKind::Ident(name) if self.variables.contains(&name.value) => Ok(()),
            ExprKind::Ident(name) => wrong(name.span, format!("unknown variable: {}", name.value.value())),
            ExprKind::Paren(one) | ExprKind::Field(one, _) | ExprKind::Unary(_, one) | ExprKind::Error(one) => {
                self.expr(one)
            }
            ExprKind::Array(items) => self.all(*items),
            ExprKind::Index(value, index) => self.all([*value, *index]),
            ExprKind::Slice(value, from, to, step) => self.all([Some(*value), *from, *to, *step].into_iter().flatten()),
            ExprKind::If(condition, then, otherwise) => {
                self.all([Some(*condition), Some(*then), *otherwise].into_iter().flatten())
            }
            ExprKind::Assert(assert, rest) => {
                self.assert(assert)?;
                self.expr(rest)
            }
            ExprKind::Call(function, arguments, _) => {
                self.expr(function)?;
                self.arguments(arguments)
            }
            ExprKind::Func(params, body) => self.function(params, body),
            ExprKind::Local(binds, body) => {
                let names: Vec<ast::Ident<'p>> = binds.iter().map(|bind| bind.name).collect();
                self.with(&names, |inner| {
                    binds.iter().try_for_each(|bind| inner.bind(bind))?;
                    inner.expr(body)
                })
            }
            ExprKind::ArrayComp(item, parts) => self.comprehension(parts, &mut |inner| inner.expr(item)),
            ExprKind::Object(inside) => self.object(inside),
            ExprKind::ObjExt(base, inside, _) => {
                self.expr(base)?;
                self.object(inside)
            }
        }
    }

    fn in_object(&self, span: SpanId) -> Outcome<()> {
        if self.is_in_object { Ok(()) } else { wrong(span, "there is no object here".to_owned()) }
    }

    fn arguments(&mut self, arguments: &'p [Arg<'p, 'p>]) -> Outcome<()> {
        let mut is_named = false;
        for argument in arguments {
            match argument {
                Arg::Positional(value) if is_named => {
                    return wrong(value.span, "an argument without a name follows one with a name".to_owned());
                }
                Arg::Positional(value) => self.expr(value)?,
                Arg::Named(_, value) => {
                    is_named = true;
                    self.expr(value)?;
                }
            }
        }
        Ok(())
    }

    fn assert(&mut self, assert: &'p ast::Assert<'p, 'p>) -> Outcome<()> {
        self.expr(&assert.cond)?;
        self.all(&assert.msg)
    }

    fn bind(&mut self, bind: &'p ast::Bind<'p, 'p>) -> Outcome<()> {
        match bind.params {
            Some((params, _)) => self.function(params, &bind.value),
            None => self.expr(&bind.value),
        }
    }

    fn function(&mut self, params: &'p [ast::Param<'p, 'p>], body: &'p Expr<'p>) -> Outcome<()> {
        let names: Vec<ast::Ident<'p>> = params.iter().map(|param| param.name).collect();
        self.with(&names, |inner| {
            inner.all(params.iter().filter_map(|param| param.default_value.as_ref()))?;
            inner.expr(body)
        })
    }

    fn comprehension(
        &mut self,
        parts: &'p [CompSpecPart<'p, 'p>],
        work: &mut dyn FnMut(&mut Self) -> Outcome<()>,
    ) -> Outcome<()> {
        match parts.split_first() {
            None => work(self),
            Some((CompSpecPart::If(condition), rest)) => {
                self.expr(&condition.cond)?;
                self.comprehension(rest, work)
            }
            Some((CompSpecPart::For(turns), rest)) => {
                self.expr(&turns.inner)?;
                self.with(&[turns.var], |inner| inner.comprehension(rest, work))
            }
        }
    }

    fn object(&mut self, inside: &'p ObjInside<'p, 'p>) -> Outcome<()> {
        let outside = self.is_in_object;
        let result = match inside {
            ObjInside::Members(members) => {
                let mut names = BTreeSet::new();
                for member in *members {
                    let Member::Field(field) = member else { continue };
                    let known = match field.name() {
                        FieldName::Ident(name) => Some((name.value, name.span)),
                        FieldName::String(name, span) => Some((*name, *span)),
                        FieldName::Expr(name, _) => {
                            self.expr(name)?;
                            None
                        }
                    };
                    if let Some((name, span)) = known.filter(|(name, _)| !names.insert(*name)) {
                        return wrong(span, format!("duplicate field: {}", name.value()));
                    }
                }
                self.is_in_object = true;
                let locals = members.iter().filter_map(|member| match member {
                    Member::Local(local) => Some(local.bind.name),
                    _ => None,
                });
                self.with(&locals.collect::<Vec<_>>(), |inner| {
                    members.iter().try_for_each(|member| match member {
                        Member::Local(local) => inner.bind(&local.bind),
                        Member::Assert(assert) => inner.assert(assert),
                        Member::Field(ast::Field::Value(_, _, _, value)) => inner.expr(value),
                        Member::Field(ast::Field::Func(_, params, _, _, body)) => inner.function(params, body),
                    })
                })
            }
            ObjInside::Comp { locals1, name, body, locals2, comp_spec, .. } => {
                let locals = || locals1.iter().chain(*locals2).map(|local| &local.bind);
                let names: Vec<ast::Ident<'p>> = locals().map(|bind| bind.name).collect();
                self.comprehension(comp_spec, &mut |inner| {
                    inner.expr(name)?;
                    inner.is_in_object = true;
                    let result = inner.with(&names, |inner| {
                        locals().try_for_each(|bind| inner.bind(bind))?;
                        inner.expr(body)
                    });
                    inner.is_in_object = outside;
                    result
                })
            }
        };
        self.is_in_object = outside;
        result
    }
}
