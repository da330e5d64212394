//! Calls of functions.

use rsjsonnet_lang::ast;

use crate::eval::{Eval, Next};
use crate::library::Arguments;
use crate::value::{Expr, Function, Outcome, Scope, Thunk, Value, Variable, fail};

impl<'p> Eval<'p> {
    pub(crate) fn closure(
        &self,
        params: &'p [ast::Param<'p, 'p>],
        body: &'p Expr<'p>,
        scope: &'p Scope<'p>,
    ) -> Outcome<Value<'p>> {
        self.alloc(Function::Closure { params, body, scope }).map(Value::Function)
    }

    pub(crate) fn bind(&self, bind: &'p ast::Bind<'p, 'p>, scope: &'p Scope<'p>) -> Outcome<Variable<'p>> {
        let thunk = match bind.params {
            Some((params, _)) => self.done(self.closure(params, &bind.value, scope)?)?,
            None => self.lazily(&bind.value, scope)?,
        };
        Ok((bind.name.value, thunk))
    }

    pub(crate) fn call_expr(
        &self,
        function: &'p Expr<'p>,
        arguments: &'p [ast::Arg<'p, 'p>],
        is_strict: bool,
        scope: &'p Scope<'p>,
    ) -> Outcome<Next<'p>> {
        let Value::Function(function) = self.eval(function, scope)? else {
            return fail("only a function can be called");
        };
        let (mut by_place, mut by_name) = (Vec::new(), Vec::new());
        for argument in arguments {
            match argument {
                ast::Arg::Positional(value) => by_place.push(self.lazily(value, scope)?),
                ast::Arg::Named(name, value) => by_name.push((name.value, self.lazily(value, scope)?)),
            }
        }
        if is_strict {
            for argument in by_place.iter().chain(by_name.iter().map(|(_, value)| value)) {
                self.force(argument)?;
            }
        }
        self.enter(function, &by_place, &by_name)
    }

    /// The value of a function for arguments.
    pub(crate) fn call(
        &self,
        function: &'p Function<'p>,
        by_place: &[&'p Thunk<'p>],
        by_name: &[Variable<'p>],
    ) -> Outcome<Value<'p>> {
        self.step(1)?;
        match self.enter(function, by_place, by_name)? {
            Next::Value(value) => Ok(value),
            Next::Tail(body, scope) => self.eval(body, scope),
        }
    }

    /// The value of a function for values.
    pub(crate) fn apply(&self, function: &'p Function<'p>, values: &[Value<'p>]) -> Outcome<Value<'p>> {
        let values: Vec<&'p Thunk<'p>> = values.iter().map(|value| self.done(*value)).collect::<Outcome<_>>()?;
        self.call(function, &values, &[])
    }

    fn enter(
        &self,
        function: &'p Function<'p>,
        by_place: &[&'p Thunk<'p>],
        by_name: &[Variable<'p>],
    ) -> Outcome<Next<'p>> {
        match function {
            Function::Native(native) => {
                let mut given = vec![None; native.params.len()];
                for (place, value) in by_place.iter().enumerate() {
                    let Some(slot) = given.get_mut(place) else { return fail("too many arguments for the function") };
                    *slot = Some(*value);
                }
                for (name, value) in by_name {
                    let place = native.params.iter().position(|param| param.trim_end_matches('?') == name.value());
                    give(place.and_then(|place| given.get_mut(place)), value, name.value())?;
                }
                if let Some((param, _)) =
                    native.params.iter().zip(&given).find(|(param, given)| given.is_none() && !param.ends_with('?'))
                {
                    return fail(format!("std.{}: the argument `{param}` is missing", native.name));
                }
                (native.call)(self, &Arguments { given }).map(Next::Value)
            }
            Function::Closure { params, body, scope } => {
                let mut given: Vec<Option<&'p Thunk<'p>>> = vec![None; params.len()];
                for (place, value) in by_place.iter().enumerate() {
                    let Some(slot) = given.get_mut(place) else { return fail("too many arguments for the function") };
                    *slot = Some(*value);
                }
                for (name, value) in by_name {
                    let place = params.iter().position(|param| param.name.value == *name);
                    give(place.and_then(|place| given.get_mut(place)), value, name.value())?;
                }
                let inner = self.scope(Some(scope), &[], None)?;
                let mut bound = Vec::with_capacity(params.len());
                for (param, given) in params.iter().zip(given) {
                    let value = match (given, &param.default_value) {
                        (Some(given), _) => given,
                        (None, Some(default)) => self.lazily(default, inner)?,
                        (None, None) => {
                            return fail(format!("the argument `{}` is missing", param.name.value.value()));
                        }
                    };
                    bound.push((param.name.value, value));
                }
                inner.variables.set(self.list(&bound)?);
                Ok(Next::Tail(body, inner))
            }
        }
    }
}

/// Puts an argument where the function takes it.
fn give<'p>(slot: Option<&mut Option<&'p Thunk<'p>>>, value: &'p Thunk<'p>, name: &str) -> Outcome<()> {
    match slot {
        Some(slot @ None) => {
            *slot = Some(value);
            Ok(())
        }
        Some(Some(_)) => fail(format!("the argument `{name}` is given twice")),
        None => fail(format!("the function has no parameter `{name}`")),
    }
}
