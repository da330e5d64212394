//! Runs templates. (Go: src/text/template/exec.go)

mod call;
mod field;

use std::any::Any;
use std::fmt::Display;
use std::rc::Rc;

use slipway_gocompat::strconv::quote;

use crate::ast::{self, Branch, Decl, Expr, ExprKind, List, Node, Number, Pipe, Show, Template};
use crate::budget::{Budget, Limit};
use crate::error::Error;
use crate::fmt::{print_to, sprintf};
use crate::operand::Operand;
use crate::set::Set;
use crate::source::Span;
use crate::suggest::nearest;
use crate::value::{Kind, Str, Value};

/// What all templates of one execution share.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a> {
    pub(crate) set: &'a Rc<Set>,
    pub(crate) budget: &'a Budget,
    pub(crate) state: &'a dyn Any,
}

/// Runs one template and appends what it writes. Fails at the first mistake.
pub(crate) fn run(shared: Shared<'_>, template: &Template, dot: Value, out: &mut Vec<u8>) -> Result<(), Error> {
    let dot = Operand::from(dot).unboxed();
    Exec::new(shared, template, &dot, out).template(&dot)
}

/// What a node, a turn of a loop or a call takes.
const STEPS: u64 = 3;

/// One template being run.
struct Exec<'a, 'o> {
    shared: Shared<'a>,
    template: &'a Template,
    /// What is being evaluated, for errors.
    at: At<'a>,
    variables: Vec<(&'a str, Operand)>,
    out: &'o mut Vec<u8>,
}

/// A part of the template that an error can be at.
#[derive(Clone, Copy)]
enum At<'a> {
    /// Before the first node.
    Start,
    Action(&'a Node, &'a Pipe),
    Call(&'a ast::Call),
    Pipe(&'a Pipe),
    Command(ast::Command<'a>),
    Expr(&'a Expr),
}

/// How a list of nodes ended.
enum Flow {
    Next,
    Break,
    Continue,
}

impl<'a, 'o> Exec<'a, 'o> {
    fn new(shared: Shared<'a>, template: &'a Template, dot: &Operand, out: &'o mut Vec<u8>) -> Self {
        Self { shared, template, at: At::Start, variables: vec![("$", dot.clone())], out }
    }

    fn template(&mut self, dot: &Operand) -> Result<(), Error> {
        self.shared.budget.enter().map_err(|limit| self.limit(limit))?;
        let result = self.walk(dot, self.template.body);
        self.shared.budget.leave();
        result.map(drop)
    }

    /// The error at the current place, in Go's words.
    fn error(&self, message: impl Display) -> Error {
        let (ast, source) = (&*self.template.ast, &self.template.ast.source);
        let (at, context) = match self.at {
            At::Start => self.start_of_template(),
            At::Action(node, pipe) => (pipe.at as usize, node.text(ast)),
            At::Call(call) => (call.at, call.text(ast)),
            At::Pipe(pipe) => (pipe.at as usize, pipe.text(ast)),
            At::Command(command) => (command.at as usize, command.text(ast)),
            At::Expr(expr) => (expr.at as usize, expr.text(ast)),
        };
        let (line, column) = source.line_column(at);
        let name = quote(self.template.name.as_bytes());
        let text = format!("template: {}:{line}:{column}: executing {name} at <{context}>: {message}", source.name());
        // The place of `.a.b` is its last field; what it means is all of it.
        let start = self.start().unwrap_or(at);
        Error::new(text).at(source, start, context.len())
    }

    /// Where the text of the current place begins, if that is not its position.
    fn start(&self) -> Option<usize> {
        let At::Expr(expr) = self.at else { return None };
        let context = expr.text(&self.template.ast);
        let (text, at) = (self.template.ast.source.text(), expr.at as usize);
        (at.saturating_sub(context.len())..=at)
            .find(|start| text.get(*start..).is_some_and(|text| text.starts_with(&context)))
    }

    /// Where the template's first node is, and how that begins.
    fn start_of_template(&self) -> (usize, String) {
        /// A block's text would be all that is in it.
        const MOST_CHARS: usize = 40;
        let Some(node) = self.template.ast.nodes(self.template.body).first() else { return (0, String::new()) };
        let at = match node {
            Node::Text(span) => span.start(),
            Node::Action(pipe) => pipe.at as usize,
            Node::If(branch) | Node::With(branch) | Node::Range(branch) => {
                self.template.ast.branch(*branch).pipe.at as usize
            }
            Node::Template(call) => call.at,
            Node::Break | Node::Continue => 0,
        };
        (at, node.text(&self.template.ast).chars().take(MOST_CHARS).collect())
    }

    fn limit(&self, limit: Limit) -> Error {
        self.error(limit).limited(Some(limit))
    }

    fn step(&self) -> Result<(), Error> {
        let budget = self.shared.budget;
        budget.step(STEPS).and_then(|()| budget.settle()).map_err(|limit| self.limit(limit))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.shared.budget.bytes(bytes.len()).map_err(|limit| self.limit(limit))?;
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn walk(&mut self, dot: &Operand, nodes: List<Node>) -> Result<Flow, Error> {
        self.shared.budget.stack().map_err(|limit| self.limit(limit))?;
        let ast = &self.template.ast;
        for node in ast.nodes(nodes) {
            self.step()?;
            match node {
                Node::Text(span) => self.write(ast.source.get(*span).as_bytes())?,
                Node::Action(pipe) => {
                    let value = self.pipeline(dot, pipe)?;
                    if let Decl::None = pipe.decl {
                        self.at = At::Action(node, pipe);
                        self.print(&value)?;
                    }
                }
                Node::If(branch) => match self.branch(dot, ast.branch(*branch), false)? {
                    Flow::Next => {}
                    flow => return Ok(flow),
                },
                Node::With(branch) => match self.branch(dot, ast.branch(*branch), true)? {
                    Flow::Next => {}
                    flow => return Ok(flow),
                },
                Node::Range(branch) => match self.range(dot, ast.branch(*branch))? {
                    Flow::Next => {}
                    flow => return Ok(flow),
                },
                Node::Template(call) => self.call_template(dot, call)?,
                Node::Break => return Ok(Flow::Break),
                Node::Continue => return Ok(Flow::Continue),
            }
        }
        Ok(Flow::Next)
    }

    fn print(&mut self, value: &Operand) -> Result<(), Error> {
        match &value.value {
            None => self.write(b"<no value>"),
            Some(Value::Str(text)) => self.write(text.as_bytes()),
            Some(value @ Value::Func(_)) => {
                let At::Action(node, _) = self.at else { return Err(self.error("can't print a function")) };
                let node = node.text(&self.template.ast);
                Err(self.error(format_args!("can't print {node} of type {}", value.type_name())))
            }
            // A pointer prints as what it points to, but for its methods.
            Some(value) => {
                if let Value::Native(native) = value
                    && let Some(text) = native.pointer_text()
                {
                    return self.write(text.as_bytes());
                }
                let result = print_to(self.out, self.shared.budget, value);
                result.map_err(|limit| self.limit(limit))
            }
        }
    }

    fn branch(&mut self, dot: &Operand, branch: &'a Branch, with: bool) -> Result<Flow, Error> {
        let mark = self.variables.len();
        let value = self.pipeline(dot, &branch.pipe)?;
        let flow = if value.truth() {
            self.walk(if with { &value } else { dot }, branch.body)?
        } else if let Some(otherwise) = branch.otherwise {
            self.walk(dot, otherwise)?
        } else {
            Flow::Next
        };
        self.variables.truncate(mark);
        Ok(flow)
    }

    fn range(&mut self, dot: &Operand, branch: &'a Branch) -> Result<Flow, Error> {
        let outer = self.variables.len();
        let value = self.pipeline(dot, &branch.pipe)?;
        let mut turns = 0;
        let mut turn = |exec: &mut Self, key: Operand, item: Operand| {
            turns += 1;
            exec.turn(branch, key, &item)
        };
        let plain = value.value.as_ref().map(|value| value.plain().into_owned());
        match &plain {
            None | Some(Value::Nil) => {}
            Some(Value::Int(..) | Value::Uint(..)) if matches!(branch.pipe.decl, Decl::Two(..)) => {
                return Err(self.cannot("can't use %v to iterate over more than one variable", &value));
            }
            Some(Value::Int(kind, count)) => {
                for number in 0..*count {
                    if !turn(self, Operand::NONE, Value::Int(*kind, number).into())? {
                        break;
                    }
                }
            }
            Some(Value::Uint(kind, count)) => {
                for number in 0..*count {
                    if !turn(self, Operand::NONE, Value::Uint(*kind, number).into())? {
                        break;
                    }
                }
            }
            Some(Value::List(list)) => {
                // As in Go the list may change on the way.
                let mut at = 0;
                while let Some(item) = list.get(at) {
                    if !turn(self, Value::from(at).into(), Operand::element(item, list.elem()))? {
                        break;
                    }
                    at += 1;
                }
            }
            Some(Value::Map(map)) => {
                self.shared.budget.step(map.len() as u64).map_err(|limit| self.limit(limit))?;
                for (key, item) in map.entries() {
                    if !turn(self, Value::Str(key).into(), Operand::element(item, &map.of().elem))? {
                        break;
                    }
                }
            }
            Some(_) => return Err(self.cannot("range can't iterate over %v", &value)),
        }
        let flow = match branch.otherwise {
            Some(otherwise) if turns == 0 => self.walk(dot, otherwise)?,
            _ => Flow::Next,
        };
        self.variables.truncate(outer);
        Ok(flow)
    }

    /// One turn of a loop; gives false to end it.
    fn turn(&mut self, branch: &'a Branch, key: Operand, item: &Operand) -> Result<bool, Error> {
        self.step()?;
        let mark = self.variables.len();
        let source = &self.template.ast.source;
        match branch.pipe.decl {
            Decl::None => {}
            Decl::One(name) if branch.pipe.assign => self.assign(source.get(name), item.clone())?,
            Decl::Two(first, second) if branch.pipe.assign => {
                self.assign(source.get(first), key)?;
                self.assign(source.get(second), item.clone())?;
            }
            // The pipeline has pushed the variables: the item is on top, the key below it.
            decl => {
                let mut slots = self.variables.iter_mut().rev();
                if let Some(slot) = slots.next() {
                    slot.1 = item.clone();
                }
                if let (Decl::Two(..), Some(slot)) = (decl, slots.next()) {
                    slot.1 = key;
                }
            }
        }
        let flow = self.walk(item, branch.body)?;
        self.variables.truncate(mark);
        Ok(!matches!(flow, Flow::Break))
    }

    fn cannot(&self, format: &str, value: &Operand) -> Error {
        let args = [value.value.clone().unwrap_or_default()];
        match sprintf(self.shared.budget, format.as_bytes(), &args) {
            Ok(message) => self.error(message),
            Err(limit) => self.limit(limit),
        }
    }

    fn call_template(&mut self, dot: &Operand, call: &'a ast::Call) -> Result<(), Error> {
        self.at = At::Call(call);
        let Some(template) = self.shared.set.lookup(&call.name) else {
            let names = self.shared.set.names();
            let near = nearest(&call.name, names.iter().map(String::as_str));
            let hint = near.map(|near| format!("did you mean the template `{near}`?"));
            return Err(self.error(format_args!("template {} not defined", quote(call.name.as_bytes()))).hint(hint));
        };
        let dot = match &call.pipe {
            Some(pipe) => self.pipeline(dot, pipe)?,
            None => Operand::NONE,
        };
        let at = self.at;
        self.at = At::Call(call);
        self.shared.budget.stack().map_err(|limit| self.limit(limit))?;
        self.at = at;
        Exec::new(self.shared, &template, &dot, self.out).template(&dot)
    }

    fn assign(&mut self, name: &str, value: Operand) -> Result<(), Error> {
        self.look_through()?;
        match self.variables.iter_mut().rev().find(|(own, _)| *own == name) {
            Some(slot) => slot.1 = value,
            None => return Err(self.error(format_args!("undefined variable: {name}"))),
        }
        Ok(())
    }

    /// Assigns to a variable or declares it.
    fn set(&mut self, assign: bool, name: Span, value: &Operand) -> Result<(), Error> {
        let name = self.template.ast.source.get(name);
        if assign {
            return self.assign(name, value.clone());
        }
        self.variables.push((name, value.clone()));
        Ok(())
    }

    fn pipeline(&mut self, dot: &Operand, pipe: &'a Pipe) -> Result<Operand, Error> {
        self.at = At::Pipe(pipe);
        self.shared.budget.stack().map_err(|limit| self.limit(limit))?;
        let mut last = None;
        for command in self.template.ast.commands(pipe) {
            last = Some(self.command(dot, command, last)?.unboxed());
        }
        let value = last.unwrap_or(Operand::NONE);
        match pipe.decl {
            Decl::None => {}
            Decl::One(name) => self.set(pipe.assign, name, &value)?,
            Decl::Two(first, second) => {
                self.set(pipe.assign, first, &value)?;
                self.set(pipe.assign, second, &value)?;
            }
        }
        Ok(value)
    }

    /// One command of a pipeline; `last` is what the one before it gave.
    fn command(&mut self, dot: &Operand, command: ast::Command<'a>, last: Option<Operand>) -> Result<Operand, Error> {
        self.step()?;
        let Some((first, args)) = command.args.split_first() else { return Ok(Operand::NONE) };
        if !matches!(first.kind, ExprKind::Pipe(_)) {
            self.at = At::Expr(first);
        }
        match &first.kind {
            ExprKind::Field(fields) => self.fields(dot, dot, *fields, args, last),
            ExprKind::Chain(..) => self.chain(dot, first, args, last),
            ExprKind::Func(callee) => self.function(dot, *callee, At::Command(command), args, last),
            ExprKind::Variable(name, fields) => {
                let value = self.variable(*name)?;
                if *fields == Span::default() {
                    self.not_a_function(first, args, last.as_ref())?;
                    return Ok(value);
                }
                self.fields(dot, &value, *fields, args, last)
            }
            _ => {
                self.not_a_function(first, args, last.as_ref())?;
                match &first.kind {
                    ExprKind::Pipe(pipe) => self.pipeline(dot, self.template.ast.pipe(*pipe)),
                    ExprKind::Nil => Err(self.error("nil is not a command")),
                    _ => self.constant(dot, first),
                }
            }
        }
    }

    fn not_a_function(&self, first: &Expr, args: &[Expr], last: Option<&Operand>) -> Result<(), Error> {
        if args.is_empty() && last.is_none() {
            return Ok(());
        }
        let first = first.text(&self.template.ast);
        Err(self.error(format_args!("can't give argument to non-function {first}")))
    }

    /// Variables are looked through one by one.
    fn look_through(&self) -> Result<(), Error> {
        self.shared.budget.step(self.variables.len() as u64 / 16).map_err(|limit| self.limit(limit))
    }

    fn variable(&self, name: Span) -> Result<Operand, Error> {
        self.look_through()?;
        let name = self.template.ast.source.get(name);
        let found = self.variables.iter().rev().find(|(own, _)| *own == name);
        found.map(|(_, value)| value.clone()).ok_or_else(|| self.error(format_args!("undefined variable: {name}")))
    }

    /// Dot or a literal where no type is asked for: its syntax says which it is.
    fn constant(&mut self, dot: &Operand, expr: &'a Expr) -> Result<Operand, Error> {
        self.at = At::Expr(expr);
        Ok(match &expr.kind {
            ExprKind::Dot => dot.clone(),
            ExprKind::Bool(value) => Value::Bool(*value).into(),
            ExprKind::Text(inner) => Value::Str(Str::from_source(&self.template.ast.source, *inner)).into(),
            ExprKind::Escaped(text, _) => Value::Str(Str::clone(text)).into(),
            ExprKind::Number(number) => {
                ideal(number).ok_or_else(|| self.error(format_args!("{} overflows int", number.text)))?.into()
            }
            _ => {
                let text = expr.text(&self.template.ast);
                return Err(self.error(format_args!("can't evaluate command {}", quote(text.as_bytes()))));
            }
        })
    }
}

/// The value of a literal by its looks alone; nothing if it is an integer beyond Go's `int`.
fn ideal(number: &Number) -> Option<Value> {
    if let Some((re, im)) = number.complex {
        return Some(Value::Complex(re, im));
    }
    let text = number.text.as_str();
    let hex_int = text.starts_with("0x") || text.starts_with("0X");
    let hex_int = hex_int && !text.contains(['p', 'P']);
    if !hex_int && !text.starts_with('\'') && text.contains(['.', 'e', 'E', 'p', 'P']) {
        return number.float.map(Value::Float);
    }
    number.int.map(Value::int)
}

/// Whether a native is a struct, or a pointer to one.
fn is_struct(kind: Kind) -> bool {
    matches!(kind, Kind::Struct | Kind::Ptr)
}
