//! Evaluates expressions.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};

use bumpalo::Bump;
use rsjsonnet_lang::arena::Arena;
use rsjsonnet_lang::ast::{self, ExprKind};
use rsjsonnet_lang::interner::{InternedStr, StrInterner};
use rsjsonnet_lang::span::{SourceId, SpanContext, SpanId, SpanManager};
use serde_json::Value as Json;
use slipway_budget::Budget;

use crate::object::Object;
use crate::value::{Expr, Failure, Outcome, Scope, State, This, Thunk, Value, Variable, fail};
use crate::{Files, JsonnetError, Variables, check, library, number, syntax};

/// Expressions that are evaluated for one another at a time: what fits in [`crate::STACK`], many times what go-jsonnet
/// allows (500 calls).
const MAX_DEPTH: usize = 6_000;

/// One evaluation of a program.
pub(crate) struct Eval<'p> {
    bump: &'p Bump,
    arena: &'p Arena,
    interner: StrInterner<'p>,
    spans: RefCell<SpanManager>,
    files: &'p dyn Files,
    variables: &'p Variables,
    budget: &'p Budget,
    depth: Cell<usize>,
    /// Paths and texts of the sources.
    sources: RefCell<Vec<(SourceId, String, &'p [u8])>>,
    imports: RefCell<HashMap<String, &'p Thunk<'p>>>,
    externals: RefCell<HashMap<String, &'p Thunk<'p>>>,
    imported: RefCell<HashMap<(String, String), Imported<'p>>>,
    /// What fields are, by object, layer and place.
    pub(crate) fields: RefCell<HashMap<(usize, usize, usize), &'p Thunk<'p>>>,
    /// The objects whose asserts are checked.
    pub(crate) asserted: RefCell<HashSet<usize>>,
    /// The scopes of the fields of a layer.
    pub(crate) scopes: RefCell<HashMap<(usize, usize), &'p Scope<'p>>>,
    library: Cell<Option<&'p Object<'p>>>,
}

/// The path and the content of an imported file.
type Imported<'p> = (String, &'p [u8]);

/// What an expression is: a value, or what another expression is.
pub(crate) enum Next<'p> {
    Value(Value<'p>),
    Tail(&'p Expr<'p>, &'p Scope<'p>),
}

impl<'p> Eval<'p> {
    pub(crate) fn new(
        bump: &'p Bump,
        arena: &'p Arena,
        files: &'p dyn Files,
        variables: &'p Variables,
        budget: &'p Budget,
    ) -> Self {
        Self {
            bump,
            arena,
            interner: StrInterner::new(),
            spans: RefCell::default(),
            files,
            variables,
            budget,
            depth: Cell::new(0),
            sources: RefCell::default(),
            imports: RefCell::default(),
            externals: RefCell::default(),
            imported: RefCell::default(),
            fields: RefCell::default(),
            scopes: RefCell::default(),
            asserted: RefCell::default(),
            library: Cell::new(None),
        }
    }

    /// The value of a whole program.
    pub(crate) fn program(&self, path: &str, text: &[u8]) -> Outcome<Json> {
        let text = self.bytes(text)?;
        let mut value = self.source(path, text)?;
        if let Value::Function(function) = value {
            let arguments: Vec<(InternedStr<'p>, &'p Thunk<'p>)> = self
                .variables
                .arguments
                .iter()
                .map(|(name, argument)| Ok((self.intern(name)?, self.variable(name, argument)?)))
                .collect::<Outcome<_>>()?;
            value = self.call(function, &[], &arguments)?;
        }
        library::manifest::to_json(self, value)
    }

    /// A failure with its place.
    pub(crate) fn error(&self, failure: Failure) -> JsonnetError {
        match failure {
            Failure::Exceeded(exceeded) => JsonnetError::Exceeded(exceeded),
            Failure::Syntax { path, line, column, problem } => {
                JsonnetError::Syntax { place: format!("{path}:{line}:{column}"), problem }
            }
            Failure::Failed { at, problem } => {
                let place = at.and_then(|at| self.source_of(at));
                let place = place.map(|(path, line, column)| format!("{path}:{line}:{column}"));
                let place = place.unwrap_or_else(|| "the result".to_owned());
                JsonnetError::Failed { place, problem }
            }
        }
    }

    /// File, line and column of an expression.
    fn source_of(&self, span: SpanId) -> Option<(String, usize, usize)> {
        let spans = self.spans.borrow();
        let (context, start, _) = spans.get_span(span);
        let SpanContext::Source(source) = spans.get_context(context);
        let sources = self.sources.borrow();
        let (_, path, text) = sources.iter().find(|(known, ..)| known == source)?;
        let (line, column) = syntax::position(text, start);
        Some((path.clone(), line, column))
    }

    /// Whether an expression stands in the library, where nobody looks for a mistake.
    fn is_library(&self, span: SpanId) -> bool {
        self.source_of(span).is_some_and(|(path, ..)| path == library::PRELUDE_PATH)
    }

    pub(crate) fn step(&self, count: usize) -> Outcome<()> {
        Ok(self.budget.step(u64::try_from(count).unwrap_or(u64::MAX))?)
    }

    pub(crate) fn budget(&self) -> &'p Budget {
        self.budget
    }

    /// What `std.extVar` knows by this name.
    pub(crate) fn external(&self, name: &str) -> Outcome<Option<&'p Thunk<'p>>> {
        let Some(given) = self.variables.external.get(name) else { return Ok(None) };
        let known = self.externals.borrow().get(name).copied();
        if known.is_some() {
            return Ok(known);
        }
        let thunk = self.variable(name, given)?;
        self.externals.borrow_mut().insert(name.to_owned(), thunk);
        Ok(Some(thunk))
    }

    /// Something in the arena.
    pub(crate) fn alloc<T>(&self, value: T) -> Outcome<&'p T> {
        self.budget.bytes(size_of::<T>())?;
        Ok(self.bump.alloc(value))
    }

    /// A list in the arena.
    pub(crate) fn list<T: Copy>(&self, items: &[T]) -> Outcome<&'p [T]> {
        self.budget.bytes(size_of_val(items))?;
        Ok(self.bump.alloc_slice_copy(items))
    }

    fn bytes(&self, bytes: &[u8]) -> Outcome<&'p [u8]> {
        self.list(bytes)
    }

    /// A string in the arena.
    pub(crate) fn text(&self, text: &str) -> Outcome<&'p str> {
        self.budget.scan(text.len())?;
        self.budget.bytes(text.len())?;
        Ok(self.bump.alloc_str(text))
    }

    pub(crate) fn string(&self, text: &str) -> Outcome<Value<'p>> {
        self.text(text).map(Value::String)
    }

    /// One string after another.
    pub(crate) fn joined(&self, left: &str, right: &str) -> Outcome<Value<'p>> {
        let length = left.len().saturating_add(right.len());
        self.budget.scan(length)?;
        self.budget.bytes(length)?;
        Ok(Value::String(self.bump.alloc_str(&[left, right].concat())))
    }

    /// A name as variables and fields have it.
    pub(crate) fn intern(&self, name: &str) -> Outcome<InternedStr<'p>> {
        if let Some(known) = self.interner.get_interned(name) {
            return Ok(known);
        }
        self.budget.bytes(name.len() + size_of::<&str>())?;
        Ok(self.interner.intern(self.arena, name))
    }

    pub(crate) fn thunk(&self, state: State<'p>) -> Outcome<&'p Thunk<'p>> {
        self.alloc(Thunk(Cell::new(state)))
    }

    pub(crate) fn done(&self, value: Value<'p>) -> Outcome<&'p Thunk<'p>> {
        self.thunk(State::Done(value))
    }

    /// An array of values.
    pub(crate) fn array(&self, values: &[Value<'p>]) -> Outcome<Value<'p>> {
        let items: Vec<&'p Thunk<'p>> = values.iter().map(|value| self.done(*value)).collect::<Outcome<_>>()?;
        self.list(&items).map(Value::Array)
    }

    pub(crate) fn scope(
        &self,
        outer: Option<&'p Scope<'p>>,
        variables: &[Variable<'p>],
        this: Option<This<'p>>,
    ) -> Outcome<&'p Scope<'p>> {
        let this = this.or_else(|| outer.and_then(|outer| outer.this));
        let variables = Cell::new(self.list(variables)?);
        self.alloc(Scope { variables, outer, this })
    }

    /// Does `work` one level deeper.
    pub(crate) fn nested<T>(&self, work: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
        let depth = self.depth.get();
        if depth >= MAX_DEPTH {
            return fail("the recursion is too deep (max stack frames exceeded)");
        }
        self.depth.set(depth + 1);
        let result = work();
        self.depth.set(depth);
        result
    }

    /// The value of an external variable or of a top-level argument.
    fn variable(&self, name: &str, given: &'p crate::Variable) -> Outcome<&'p Thunk<'p>> {
        match given {
            crate::Variable::Text(text) => self.done(Value::String(text)),
            crate::Variable::Code(code) => {
                let (expr, scope) = self.parse(&format!("<{name}>"), code.as_bytes())?;
                self.thunk(State::Expr(expr, scope))
            }
        }
    }

    fn parse(&self, path: &str, text: &'p [u8]) -> Outcome<(&'p Expr<'p>, &'p Scope<'p>)> {
        let this_file = library::this_file(self, path)?;
        self.parse_with(path, text, self.extend(self.library()?, this_file)?)
    }

    fn library(&self) -> Outcome<&'p Object<'p>> {
        if let Some(library) = self.library.get() {
            return Ok(library);
        }
        let natives = library::natives(self)?;
        let (prelude, scope) = self.parse_with(library::PRELUDE_PATH, library::PRELUDE, natives)?;
        let Value::Object(prelude) = self.eval(prelude, scope)? else { return fail("the library is broken") };
        let std = self.extend(natives, prelude)?;
        // The library calls itself by its own name.
        scope.variables.set(self.list(&[(self.intern("std")?, self.done(Value::Object(std))?)])?);
        self.library.set(Some(std));
        Ok(std)
    }

    fn parse_with(&self, path: &str, text: &'p [u8], std: &'p Object<'p>) -> Outcome<(&'p Expr<'p>, &'p Scope<'p>)> {
        let expr = {
            let mut spans = self.spans.borrow_mut();
            let (context, source) = spans.insert_source_context(text.len());
            self.sources.borrow_mut().push((source, path.to_owned(), text));
            syntax::parse(path, text, context, (self.arena, &self.interner, &mut spans), self.budget)?
        };
        let expr = self.alloc(expr)?;
        let name = self.intern("std")?;
        check::expr(expr, name)?;
        Ok((expr, self.scope(None, &[(name, self.done(Value::Object(std))?)], None)?))
    }

    fn source(&self, path: &str, text: &'p [u8]) -> Outcome<Value<'p>> {
        let (expr, scope) = self.parse(path, text)?;
        self.eval(expr, scope)
    }

    /// The value of a thunk.
    pub(crate) fn force(&self, thunk: &'p Thunk<'p>) -> Outcome<Value<'p>> {
        let state = thunk.0.get();
        if let State::Done(value) = state {
            return Ok(value);
        }
        thunk.0.set(State::Running);
        let value = match state {
            State::Done(value) => value,
            State::Running => return fail("the value needs itself (infinite recursion)"),
            State::Expr(expr, scope) => self.eval(expr, scope)?,
            State::Apply(function, arguments) => self.nested(|| self.call(function, arguments, &[]))?,
            State::Field(object, layer, place) => self.nested(|| self.field_at(object, layer, place))?,
        };
        thunk.0.set(State::Done(value));
        Ok(value)
    }

    /// The value of an expression.
    pub(crate) fn eval(&self, expr: &'p Expr<'p>, scope: &'p Scope<'p>) -> Outcome<Value<'p>> {
        self.nested(|| {
            let (mut expr, mut scope) = (expr, scope);
            loop {
                self.step(1)?;
                match self.next(expr, scope) {
                    Ok(Next::Value(value)) => return Ok(value),
                    Ok(Next::Tail(next, its)) => (expr, scope) = (next, its),
                    Err(mut failure) => {
                        self.locate(&mut failure, expr.span);
                        return Err(failure);
                    }
                }
            }
        })
    }

    /// Says where it failed, if that is not known yet.
    fn locate(&self, failure: &mut Failure, span: SpanId) {
        if let Failure::Failed { at: at @ None, .. } = failure
            && !self.is_library(span)
        {
            *at = Some(span);
        }
    }

    fn next(&self, expr: &'p Expr<'p>, scope: &'p Scope<'p>) -> Outcome<Next<'p>> {
        Ok(Next::Value(match &expr.kind {
            ExprKind::Paren(inner) => return Ok(Next::Tail(inner, scope)),
            ExprKind::Local(binds, body) => {
                let inner = self.scope(Some(scope), &[], None)?;
                let bound: Vec<Variable<'p>> =
                    binds.iter().map(|bind| self.bind(bind, inner)).collect::<Outcome<_>>()?;
                inner.variables.set(self.list(&bound)?);
                return Ok(Next::Tail(body, inner));
            }
            ExprKind::If(condition, then, otherwise) => match (self.condition(condition, scope)?, otherwise) {
                (true, _) => return Ok(Next::Tail(then, scope)),
                (false, Some(otherwise)) => return Ok(Next::Tail(otherwise, scope)),
                (false, None) => Value::Null,
            },
            ExprKind::Assert(assert, rest) => {
                self.assert(assert, scope, "Assertion failed.")?;
                return Ok(Next::Tail(rest, scope));
            }
            ExprKind::Call(function, arguments, is_strict) => {
                return self.call_expr(function, arguments, *is_strict, scope);
            }
            ExprKind::Null => Value::Null,
            ExprKind::Bool(value) => Value::Bool(*value),
            ExprKind::String(text) | ExprKind::TextBlock(text) => Value::String(text),
            ExprKind::Number(written) => Value::Number(number::parse(written)?),
            ExprKind::SelfObj => Value::Object(this(scope)?.object),
            ExprKind::Dollar => Value::Object(this(scope)?.root),
            ExprKind::Ident(name) => match scope.get(name.value) {
                Some(found) => self.force(found)?,
                None => return fail(format!("unknown variable: {}", name.value.value())),
            },
            ExprKind::Func(params, body) => self.closure(params, body, scope)?,
            ExprKind::Array(items) => {
                let items: Vec<&'p Thunk<'p>> =
                    items.iter().map(|item| self.lazily(item, scope)).collect::<Outcome<_>>()?;
                Value::Array(self.list(&items)?)
            }
            ExprKind::ArrayComp(item, parts) => {
                let mut items = Vec::new();
                self.comprehension(parts, scope, &mut |scope| {
                    items.push(self.lazily(item, scope)?);
                    Ok(())
                })?;
                Value::Array(self.list(&items)?)
            }
            ExprKind::Object(inside) => Value::Object(self.object(inside, scope)?),
            ExprKind::ObjExt(base, inside, _) => {
                let added = Value::Object(self.object(inside, scope)?);
                self.add(self.eval(base, scope)?, added)?
            }
            ExprKind::Field(object, name) => match self.eval(object, scope)? {
                Value::Object(object) => self.field(object, name.value)?,
                other => return unexpected(other, "object"),
            },
            ExprKind::Index(value, index) => self.index(self.eval(value, scope)?, self.eval(index, scope)?)?,
            ExprKind::Slice(value, from, to, step) => {
                let optional = |expr: Option<&'p Expr<'p>>| expr.map_or(Ok(Value::Null), |expr| self.eval(expr, scope));
                let value = self.eval(value, scope)?;
                library::arrays::slice(self, value, [optional(*from)?, optional(*to)?, optional(*step)?])?
            }
            ExprKind::SuperField(_, name) => self.super_field(name.value, scope)?,
            ExprKind::SuperIndex(_, index) => match self.eval(index, scope)? {
                Value::String(name) => self.super_field(self.intern(name)?, scope)?,
                other => return unexpected(other, "string"),
            },
            ExprKind::InSuper(name, _) => {
                let Value::String(name) = self.eval(name, scope)? else { return fail("expected a string before `in`") };
                let this = this(scope)?;
                Value::Bool(Self::find(this.object, self.intern(name)?, this.layer).is_some())
            }
            ExprKind::Unary(operator, value) => self.unary(*operator, value, scope)?,
            ExprKind::Binary(left, operator, right) => self.binary(left, *operator, right, scope)?,
            ExprKind::Import(name) => self.import(name)?,
            ExprKind::ImportStr(name) => {
                let (_, text) = self.imported(name)?;
                self.string(&String::from_utf8_lossy(text))?
            }
            ExprKind::ImportBin(name) => {
                let (_, bytes) = self.imported(name)?;
                let bytes: Vec<Value<'p>> = bytes.iter().map(|byte| Value::Number(f64::from(*byte))).collect();
                self.array(&bytes)?
            }
            ExprKind::Error(message) => {
                let message = self.eval(message, scope)?;
                return fail(library::manifest::to_string(self, message)?);
            }
        }))
    }

    /// An expression that is evaluated when it is needed.
    pub(crate) fn lazily(&self, expr: &'p Expr<'p>, scope: &'p Scope<'p>) -> Outcome<&'p Thunk<'p>> {
        self.thunk(State::Expr(expr, scope))
    }

    pub(crate) fn condition(&self, condition: &'p Expr<'p>, scope: &'p Scope<'p>) -> Outcome<bool> {
        match self.eval(condition, scope)? {
            Value::Bool(is_so) => Ok(is_so),
            other => unexpected(other, "boolean"),
        }
    }

    pub(crate) fn assert(&self, assert: &'p ast::Assert<'p, 'p>, scope: &'p Scope<'p>, otherwise: &str) -> Outcome<()> {
        if self.condition(&assert.cond, scope)? {
            return Ok(());
        }
        let problem = match &assert.msg {
            Some(message) => library::manifest::to_string(self, self.eval(message, scope)?)?,
            None => otherwise.to_owned(),
        };
        let at = Some(assert.span).filter(|span| !self.is_library(*span));
        Err(Box::new(Failure::Failed { at, problem }))
    }

    /// Goes through what a comprehension goes through: `visit` has the scope of each turn.
    pub(crate) fn comprehension(
        &self,
        parts: &'p [ast::CompSpecPart<'p, 'p>],
        scope: &'p Scope<'p>,
        visit: &mut dyn FnMut(&'p Scope<'p>) -> Outcome<()>,
    ) -> Outcome<()> {
        let Some((part, rest)) = parts.split_first() else { return visit(scope) };
        match part {
            ast::CompSpecPart::If(condition) => {
                if self.condition(&condition.cond, scope)? {
                    self.comprehension(rest, scope, visit)?;
                }
                Ok(())
            }
            ast::CompSpecPart::For(turns) => match self.eval(&turns.inner, scope)? {
                Value::Array(items) => items.iter().try_for_each(|item| {
                    self.step(1)?;
                    let inner = self.scope(Some(scope), &[(turns.var.value, item)], None)?;
                    self.nested(|| self.comprehension(rest, inner, visit))
                }),
                other => unexpected(other, "array"),
            },
        }
    }

    fn super_field(&self, name: InternedStr<'p>, scope: &'p Scope<'p>) -> Outcome<Value<'p>> {
        let this = this(scope)?;
        match Self::find(this.object, name, this.layer) {
            Some((layer, place)) => self.field_value(this.object, layer, place),
            None => fail(format!("field does not exist: {}", name.value())),
        }
    }

    fn index(&self, value: Value<'p>, index: Value<'p>) -> Outcome<Value<'p>> {
        match (value, index) {
            (Value::Object(object), Value::String(name)) => self.field(object, self.intern(name)?),
            (Value::Object(_), other) => unexpected(other, "string"),
            (Value::Array(items), Value::Number(at)) => {
                let place = number::to_index(at)?;
                match items.get(place) {
                    Some(item) => self.force(item),
                    None => fail(format!("index {place} out of bounds, not within [0, {})", items.len())),
                }
            }
            (Value::String(text), Value::Number(at)) => {
                let place = number::to_index(at)?;
                self.budget.scan(place)?;
                match text.chars().nth(place) {
                    Some(char) => self.string(char.encode_utf8(&mut [0; 4])),
                    None => fail(format!("index {place} out of bounds, not within [0, {})", text.chars().count())),
                }
            }
            (Value::Array(_) | Value::String(_), other) => unexpected(other, "number"),
            (other, _) => fail(format!("{} can't be indexed", other.type_name())),
        }
    }

    fn imported(&self, name: &'p Expr<'p>) -> Outcome<Imported<'p>> {
        let ExprKind::String(written) = name.kind else { return fail("computed imports are not allowed") };
        let from = self.source_of(name.span).map(|(path, ..)| path).unwrap_or_default();
        let key = (from, written.to_owned());
        if let Some(known) = self.imported.borrow().get(&key) {
            return Ok(known.clone());
        }
        let (path, content) = match self.files.import(&key.0, written) {
            Ok(found) => found,
            Err(problem) => return fail(problem),
        };
        let found = (path, self.bytes(&content)?);
        self.imported.borrow_mut().insert(key, found.clone());
        Ok(found)
    }

    fn import(&self, name: &'p Expr<'p>) -> Outcome<Value<'p>> {
        let (path, text) = self.imported(name)?;
        let known = self.imports.borrow().get(&path).copied();
        if let Some(known) = known {
            return self.force(known);
        }
        let (expr, scope) = self.parse(&path, text)?;
        let thunk = self.lazily(expr, scope)?;
        self.imports.borrow_mut().insert(path, thunk);
        self.force(thunk)
    }
}

/// What `self`, `super` and `$` are in a scope.
fn this<'p>(scope: &Scope<'p>) -> Outcome<This<'p>> {
    scope.this.map_or_else(|| fail("there is no object here"), Ok)
}

/// A failure for a value of another type than is needed.
pub(crate) fn unexpected<T>(value: Value<'_>, wanted: &str) -> Outcome<T> {
    fail(format!("unexpected type {}, expected {wanted}", value.type_name()))
}
