//! What the parser makes of a template, and how Go writes it back in messages.
//!
//! Names and literals are places in the template's text: most of a chart's templates never run, and copying all their
//! names would cost more than looking them up.

use crate::builtin::Builtin;
use crate::fmt::quote;
use crate::func::Function;
use crate::source::{Source, Span};
use crate::value::Str;

/// One template: a file's own text or a `define` in it.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) name: String,
    pub(crate) source: Source,
    pub(crate) body: Box<[Node]>,
}

/// A piece of text or an action.
#[derive(Debug)]
pub(crate) enum Node {
    Text(Span),
    Action(Pipe),
    If(Box<Branch>),
    With(Box<Branch>),
    Range(Box<Branch>),
    Template(Box<Call>),
    Break,
    Continue,
}

/// `if`, `with` or `range`.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) pipe: Pipe,
    pub(crate) body: Box<[Node]>,
    pub(crate) otherwise: Option<Box<[Node]>>,
}

/// `{{template "name" pipe}}`
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) at: usize,
    pub(crate) name: String,
    pub(crate) pipe: Option<Pipe>,
}

/// `$v := command | command`
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) at: u32,
    /// `=` rather than `:=`.
    pub(crate) assign: bool,
    /// The names of the variables.
    pub(crate) decl: Decl,
    /// The operands of all commands, one command after the other.
    pub(crate) operands: Box<[Expr]>,
    /// The commands behind the first one.
    pub(crate) stages: Box<[Stage]>,
    /// Where the first command is.
    pub(crate) first_at: u32,
}

/// Where a command is, and which operand is its first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stage {
    pub(crate) at: u32,
    pub(crate) first: usize,
}

/// A command of a pipeline: an operand and its arguments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Command<'a> {
    pub(crate) at: u32,
    pub(crate) args: &'a [Expr],
}

impl Pipe {
    /// The commands in order.
    pub(crate) fn commands(&self) -> impl Iterator<Item = Command<'_>> {
        let starts = std::iter::once(Stage { at: self.first_at, first: 0 }).chain(self.stages.iter().copied());
        let ends = self.stages.iter().map(|stage| stage.first).chain(std::iter::once(self.operands.len()));
        starts
            .zip(ends)
            .map(|(start, end)| Command { at: start.at, args: self.operands.get(start.first..end).unwrap_or_default() })
    }
}

/// The variables that a pipeline sets, of which there are at most two.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Decl {
    None,
    One(Span),
    Two(Span, Span),
}

/// An operand with its position.
#[derive(Debug)]
pub(crate) struct Expr {
    pub(crate) at: u32,
    pub(crate) kind: ExprKind,
}

#[derive(Debug)]
pub(crate) enum ExprKind {
    Dot,
    Nil,
    Bool(bool),
    Number(Box<Number>),
    /// What it means, and how it is written.
    Text(Str, Span),
    /// `.a.b`
    Field(Span),
    /// `$v` and `.a.b`
    Variable(Span, Span),
    Func(Callee),
    Pipe(Box<Pipe>),
    /// `(pipe)` and `.a.b`
    Chain(Box<Expr>, Span),
}

/// A number as every type that its syntax allows.
#[derive(Debug, Default)]
pub(crate) struct Number {
    pub(crate) text: String,
    pub(crate) int: Option<i64>,
    pub(crate) uint: Option<u64>,
    pub(crate) float: Option<f64>,
    pub(crate) complex: Option<(f64, f64)>,
}

/// A function's name, resolved.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Callee {
    Custom(&'static Function),
    Builtin(&'static Builtin),
}

impl Callee {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Custom(function) => function.name,
            Self::Builtin(builtin) => builtin.name,
        }
    }
}

/// A part of a template as Go writes it.
pub(crate) trait Show {
    /// Appends the part, which is from `source`.
    fn show(&self, source: &Source, out: &mut String);

    /// The part on its own.
    fn text(&self, source: &Source) -> String {
        let mut out = String::new();
        self.show(source, &mut out);
        out
    }
}

impl Show for Node {
    fn show(&self, source: &Source, out: &mut String) {
        let (keyword, branch) = match self {
            Self::Text(span) => return out.push_str(source.get(*span)),
            Self::Action(pipe) => {
                out.push_str("{{");
                pipe.show(source, out);
                return out.push_str("}}");
            }
            Self::Template(call) => return call.show(source, out),
            Self::Break => return out.push_str("{{break}}"),
            Self::Continue => return out.push_str("{{continue}}"),
            Self::If(branch) => ("if", branch),
            Self::With(branch) => ("with", branch),
            Self::Range(branch) => ("range", branch),
        };
        out.push_str("{{");
        out.push_str(keyword);
        out.push(' ');
        branch.pipe.show(source, out);
        out.push_str("}}");
        branch.body.iter().for_each(|node| node.show(source, out));
        if let Some(otherwise) = &branch.otherwise {
            out.push_str("{{else}}");
            otherwise.iter().for_each(|node| node.show(source, out));
        }
        out.push_str("{{end}}");
    }
}

impl Show for Call {
    fn show(&self, source: &Source, out: &mut String) {
        out.push_str("{{template ");
        out.push_str(&quote(self.name.as_bytes()));
        if let Some(pipe) = &self.pipe {
            out.push(' ');
            pipe.show(source, out);
        }
        out.push_str("}}");
    }
}

impl Show for Pipe {
    fn show(&self, source: &Source, out: &mut String) {
        match self.decl {
            Decl::None => {}
            Decl::One(name) => out.push_str(source.get(name)),
            Decl::Two(first, second) => out.extend([source.get(first), ", ", source.get(second)]),
        }
        if !matches!(self.decl, Decl::None) {
            out.push_str(if self.assign { " = " } else { " := " });
        }
        for (index, command) in self.commands().enumerate() {
            if index > 0 {
                out.push_str(" | ");
            }
            command.show(source, out);
        }
    }
}

impl Show for Command<'_> {
    fn show(&self, source: &Source, out: &mut String) {
        for (index, arg) in self.args.iter().enumerate() {
            if index > 0 {
                out.push(' ');
            }
            arg.show_operand(source, out);
        }
    }
}

impl Expr {
    /// A pipeline stands in parentheses where it is an operand, and without them on its own.
    fn show_operand(&self, source: &Source, out: &mut String) {
        if !matches!(self.kind, ExprKind::Pipe(_)) {
            return self.show(source, out);
        }
        out.push('(');
        self.show(source, out);
        out.push(')');
    }
}

impl Show for Expr {
    fn show(&self, source: &Source, out: &mut String) {
        match &self.kind {
            ExprKind::Dot => out.push('.'),
            ExprKind::Nil => out.push_str("nil"),
            ExprKind::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            ExprKind::Number(number) => out.push_str(&number.text),
            ExprKind::Text(_, span) | ExprKind::Field(span) => out.push_str(source.get(*span)),
            ExprKind::Variable(name, fields) => out.extend([source.get(*name), source.get(*fields)]),
            ExprKind::Func(callee) => out.push_str(callee.name()),
            ExprKind::Pipe(pipe) => pipe.show(source, out),
            ExprKind::Chain(operand, fields) => {
                operand.show_operand(source, out);
                out.push_str(source.get(*fields));
            }
        }
    }
}
