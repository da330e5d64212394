//! What the parser makes of a template, and how Go writes it back in messages.
//!
//! Names and literals are places in the template's text: most of a chart's templates never run, and copying all their
//! names would cost more than looking them up. For the same reason the parts of a text's templates lie in a few lists
//! ([`Ast`]) rather than each in an allocation of its own.

use std::marker::PhantomData;
use std::rc::Rc;

use slipway_gocompat::strconv::quote;

use crate::builtin::Builtin;
use crate::func::Function;
use crate::source::{Source, Span};
use crate::value::Str;

/// One template: a file's own text or a `define` in it.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) name: String,
    pub(crate) body: List<Node>,
    /// What it is made of, with the other templates of its text.
    pub(crate) ast: Rc<Ast>,
}

/// The parts of all templates of one text; inner ones come before what they are part of.
#[derive(Debug)]
pub(crate) struct Ast {
    pub(crate) source: Source,
    nodes: Vec<Node>,
    branches: Vec<Branch>,
    pipes: Vec<Pipe>,
    exprs: Vec<Expr>,
    stages: Vec<Stage>,
}

/// Parts that follow each other in an [`Ast`].
#[derive(Debug)]
pub(crate) struct List<T> {
    start: u32,
    end: u32,
    of: PhantomData<T>,
}

impl<T> Clone for List<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for List<T> {}

impl<T> List<T> {
    /// Nothing.
    pub(crate) const EMPTY: Self = Self { start: 0, end: 0, of: PhantomData };

    /// Moves `parts` behind `all`.
    fn of(all: &mut Vec<T>, parts: impl Iterator<Item = T>) -> Self {
        let start = place(all.len());
        all.extend(parts);
        Self { start, end: place(all.len()), of: PhantomData }
    }

    fn within(self, all: &[T]) -> &[T] {
        all.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// Where a part is in its list of an [`Ast`].
#[derive(Debug)]
pub(crate) struct Id<T>(u32, PhantomData<T>);

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Id<T> {}

impl Ast {
    pub(crate) fn new(source: Source) -> Self {
        let (nodes, branches, pipes) = (Vec::new(), Vec::new(), Vec::new());
        Self { source, nodes, branches, pipes, exprs: Vec::new(), stages: Vec::new() }
    }

    pub(crate) fn add_nodes(&mut self, nodes: impl Iterator<Item = Node>) -> List<Node> {
        List::of(&mut self.nodes, nodes)
    }

    pub(crate) fn add_exprs(&mut self, exprs: impl Iterator<Item = Expr>) -> List<Expr> {
        List::of(&mut self.exprs, exprs)
    }

    pub(crate) fn add_stages(&mut self, stages: impl Iterator<Item = Stage>) -> List<Stage> {
        List::of(&mut self.stages, stages)
    }

    pub(crate) fn add_branch(&mut self, branch: Branch) -> Id<Branch> {
        self.branches.push(branch);
        Id(place(self.branches.len() - 1), PhantomData)
    }

    pub(crate) fn add_pipe(&mut self, pipe: Pipe) -> Id<Pipe> {
        self.pipes.push(pipe);
        Id(place(self.pipes.len() - 1), PhantomData)
    }

    pub(crate) fn nodes(&self, list: List<Node>) -> &[Node] {
        list.within(&self.nodes)
    }

    pub(crate) fn exprs(&self, list: List<Expr>) -> &[Expr] {
        list.within(&self.exprs)
    }

    pub(crate) fn branch(&self, id: Id<Branch>) -> &Branch {
        self.branches.get(id.0 as usize).unwrap_or(&Branch::NONE)
    }

    pub(crate) fn pipe(&self, id: Id<Pipe>) -> &Pipe {
        self.pipes.get(id.0 as usize).unwrap_or(&Pipe::NONE)
    }

    /// The commands of a pipeline in order.
    pub(crate) fn commands(&self, pipe: &Pipe) -> impl Iterator<Item = Command<'_>> {
        let (operands, stages) = (self.exprs(pipe.operands), pipe.stages.within(&self.stages));
        let starts = std::iter::once(Stage { at: pipe.first_at, first: 0 }).chain(stages.iter().copied());
        let ends = stages.iter().map(|stage| stage.first).chain(std::iter::once(operands.len()));
        starts
            .zip(ends)
            .map(move |(start, end)| Command { at: start.at, args: operands.get(start.first..end).unwrap_or_default() })
    }

    /// Whether a template has nothing but space.
    pub(crate) fn is_blank(&self, body: List<Node>) -> bool {
        self.nodes(body).iter().all(|node| matches!(node, Node::Text(span) if self.source.get(*span).trim().is_empty()))
    }
}

/// Places fit, as the length of the text does.
pub(crate) fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// A piece of text or an action.
#[derive(Debug)]
pub(crate) enum Node {
    Text(Span),
    Action(Pipe),
    If(Id<Branch>),
    With(Id<Branch>),
    Range(Id<Branch>),
    Template(Box<Call>),
    Break,
    Continue,
}

/// `if`, `with` or `range`.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) pipe: Pipe,
    pub(crate) body: List<Node>,
    pub(crate) otherwise: Option<List<Node>>,
}

impl Branch {
    const NONE: Self = Self { pipe: Pipe::NONE, body: List::EMPTY, otherwise: None };
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
    pub(crate) operands: List<Expr>,
    /// The commands behind the first one.
    pub(crate) stages: List<Stage>,
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
    const NONE: Self =
        Self { at: 0, assign: false, decl: Decl::None, operands: List::EMPTY, stages: List::EMPTY, first_at: 0 };
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
    /// A string without escapes: what stands between its quotes.
    Text(Span),
    /// What any other string means, and how it is written.
    Escaped(Box<Str>, Span),
    /// `.a.b`
    Field(Span),
    /// `$v` and `.a.b`
    Variable(Span, Span),
    Func(Callee),
    Pipe(Id<Pipe>),
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
    /// Appends the part, which is of `ast`.
    fn show(&self, ast: &Ast, out: &mut String);

    /// The part on its own.
    fn text(&self, ast: &Ast) -> String {
        let mut out = String::new();
        self.show(ast, &mut out);
        out
    }
}

impl Show for Node {
    fn show(&self, ast: &Ast, out: &mut String) {
        let (keyword, branch) = match self {
            Self::Text(span) => return out.push_str(ast.source.get(*span)),
            Self::Action(pipe) => {
                out.push_str("{{");
                pipe.show(ast, out);
                return out.push_str("}}");
            }
            Self::Template(call) => return call.show(ast, out),
            Self::Break => return out.push_str("{{break}}"),
            Self::Continue => return out.push_str("{{continue}}"),
            Self::If(branch) => ("if", ast.branch(*branch)),
            Self::With(branch) => ("with", ast.branch(*branch)),
            Self::Range(branch) => ("range", ast.branch(*branch)),
        };
        out.push_str("{{");
        out.push_str(keyword);
        out.push(' ');
        branch.pipe.show(ast, out);
        out.push_str("}}");
        ast.nodes(branch.body).iter().for_each(|node| node.show(ast, out));
        if let Some(otherwise) = branch.otherwise {
            out.push_str("{{else}}");
            ast.nodes(otherwise).iter().for_each(|node| node.show(ast, out));
        }
        out.push_str("{{end}}");
    }
}

impl Show for Call {
    fn show(&self, ast: &Ast, out: &mut String) {
        out.push_str("{{template ");
        out.push_str(&quote(self.name.as_bytes()));
        if let Some(pipe) = &self.pipe {
            out.push(' ');
            pipe.show(ast, out);
        }
        out.push_str("}}");
    }
}

impl Show for Pipe {
    fn show(&self, ast: &Ast, out: &mut String) {
        match self.decl {
            Decl::None => {}
            Decl::One(name) => out.push_str(ast.source.get(name)),
            Decl::Two(first, second) => out.extend([ast.source.get(first), ", ", ast.source.get(second)]),
        }
        if !matches!(self.decl, Decl::None) {
            out.push_str(if self.assign { " = " } else { " := " });
        }
        for (index, command) in ast.commands(self).enumerate() {
            if index > 0 {
                out.push_str(" | ");
            }
            command.show(ast, out);
        }
    }
}

impl Show for Command<'_> {
    fn show(&self, ast: &Ast, out: &mut String) {
        for (index, arg) in self.args.iter().enumerate() {
            if index > 0 {
                out.push(' ');
            }
            arg.show_operand(ast, out);
        }
    }
}

impl Expr {
    /// A pipeline stands in parentheses where it is an operand, and without them on its own.
    fn show_operand(&self, ast: &Ast, out: &mut String) {
        if !matches!(self.kind, ExprKind::Pipe(_)) {
            return self.show(ast, out);
        }
        out.push('(');
        self.show(ast, out);
        out.push(')');
    }
}

impl Show for Expr {
    fn show(&self, ast: &Ast, out: &mut String) {
        match &self.kind {
            ExprKind::Dot => out.push('.'),
            ExprKind::Nil => out.push_str("nil"),
            ExprKind::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            ExprKind::Number(number) => out.push_str(&number.text),
            ExprKind::Text(inner) => out.push_str(ast.source.get(inner.quoted())),
            ExprKind::Escaped(_, span) | ExprKind::Field(span) => out.push_str(ast.source.get(*span)),
            ExprKind::Variable(name, fields) => out.extend([ast.source.get(*name), ast.source.get(*fields)]),
            ExprKind::Func(callee) => out.push_str(callee.name()),
            ExprKind::Pipe(pipe) => ast.pipe(*pipe).show(ast, out),
            ExprKind::Chain(operand, fields) => {
                operand.show_operand(ast, out);
                out.push_str(ast.source.get(*fields));
            }
        }
    }
}
