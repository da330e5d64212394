//! Objects: layers of fields, each of which may use those below (`super`) and those of the whole (`self`).

use std::collections::BTreeMap;

use rsjsonnet_lang::ast::{self, FieldName, Member, ObjInside, Visibility};
use rsjsonnet_lang::interner::InternedStr;

use crate::eval::{Eval, unexpected};
use crate::value::{Expr, Outcome, Scope, State, This, Thunk, Value, Variable, fail};

/// An object.
pub(crate) struct Object<'p> {
    /// From the base upwards.
    pub(crate) layers: &'p [&'p Layer<'p>],
}

/// What one `{…}` says.
#[derive(Clone, Copy)]
pub(crate) struct Layer<'p> {
    /// By the names' addresses.
    pub(crate) fields: &'p [Field<'p>],
    pub(crate) locals: &'p [&'p ast::Bind<'p, 'p>],
    pub(crate) asserts: &'p [&'p ast::Assert<'p, 'p>],
    pub(crate) scope: Option<&'p Scope<'p>>,
}

/// A field of a layer.
#[derive(Clone, Copy)]
pub(crate) struct Field<'p> {
    pub(crate) name: InternedStr<'p>,
    pub(crate) visibility: Visibility,
    /// Whether it is added to what lies below (`+:`).
    pub(crate) is_added: bool,
    pub(crate) body: Body<'p>,
}

/// What a field is.
#[derive(Clone, Copy)]
pub(crate) enum Body<'p> {
    Expr(&'p Expr<'p>),
    Method(&'p [ast::Param<'p, 'p>], &'p Expr<'p>),
    /// Of a comprehension, with its own scope.
    Turn(&'p Expr<'p>, &'p Scope<'p>),
    Given(&'p Thunk<'p>),
}

impl<'p> Eval<'p> {
    /// An object as it is written.
    pub(crate) fn object(&self, inside: &'p ObjInside<'p, 'p>, scope: &'p Scope<'p>) -> Outcome<&'p Object<'p>> {
        let (mut fields, mut locals, mut asserts) = (Vec::new(), Vec::new(), Vec::new());
        match inside {
            ObjInside::Members(members) => {
                for member in *members {
                    match member {
                        Member::Local(local) => locals.push(&local.bind),
                        Member::Assert(assert) => asserts.push(assert),
                        Member::Field(field) => {
                            let Some(name) = self.field_name(field.name(), scope)? else { continue };
                            fields.push(match field {
                                ast::Field::Value(_, is_added, visibility, value) => {
                                    let (visibility, is_added) = (*visibility, *is_added);
                                    Field { name, visibility, is_added, body: Body::Expr(value) }
                                }
                                ast::Field::Func(_, params, _, visibility, body) => {
                                    let (visibility, is_added) = (*visibility, false);
                                    Field { name, visibility, is_added, body: Body::Method(params, body) }
                                }
                            });
                        }
                    }
                }
            }
            ObjInside::Comp { locals1, name, plus, body, locals2, comp_spec } => {
                locals.extend(locals1.iter().chain(*locals2).map(|local| &local.bind));
                self.comprehension(comp_spec, scope, &mut |turn| {
                    let name = match self.eval(name, turn)? {
                        Value::Null => return Ok(()),
                        Value::String(name) => self.intern(name)?,
                        other => return unexpected(other, "string"),
                    };
                    let body = Body::Turn(body, turn);
                    fields.push(Field { name, visibility: Visibility::Default, is_added: *plus, body });
                    Ok(())
                })?;
            }
        }
        fields.sort_unstable_by_key(|field| field.name);
        if let Some(twice) = fields.iter().zip(fields.iter().skip(1)).find(|(one, next)| one.name == next.name) {
            return fail(format!("duplicate field name: {:?}", twice.0.name.value()));
        }
        let (locals, asserts) = (self.list(&locals)?, self.list(&asserts)?);
        self.of_layer(Layer { fields: self.list(&fields)?, locals, asserts, scope: Some(scope) })
    }

    fn of_layer(&self, layer: Layer<'p>) -> Outcome<&'p Object<'p>> {
        let layer = self.alloc(layer)?;
        self.alloc(Object { layers: self.list(&[layer])? })
    }

    /// An object of fields that are there already.
    pub(crate) fn object_of(
        &self,
        fields: Vec<(InternedStr<'p>, Visibility, &'p Thunk<'p>)>,
    ) -> Outcome<&'p Object<'p>> {
        let field = |(name, visibility, value)| Field { name, visibility, is_added: false, body: Body::Given(value) };
        let mut fields: Vec<Field<'p>> = fields.into_iter().map(field).collect();
        fields.sort_unstable_by_key(|field| field.name);
        self.of_layer(Layer { fields: self.list(&fields)?, locals: &[], asserts: &[], scope: None })
    }

    /// `base + top`.
    pub(crate) fn extend(&self, base: &'p Object<'p>, top: &'p Object<'p>) -> Outcome<&'p Object<'p>> {
        self.step(base.layers.len() + top.layers.len())?;
        self.budget().bytes(size_of_val(base.layers).saturating_add(size_of_val(top.layers)))?;
        self.alloc(Object { layers: self.list(&[base.layers, top.layers].concat())? })
    }

    fn field_name(&self, name: &'p FieldName<'p, 'p>, scope: &'p Scope<'p>) -> Outcome<Option<InternedStr<'p>>> {
        match name {
            FieldName::Ident(name) => Ok(Some(name.value)),
            FieldName::String(name, _) => Ok(Some(*name)),
            FieldName::Expr(name, _) => match self.eval(name, scope)? {
                Value::Null => Ok(None),
                Value::String(name) => self.intern(name).map(Some),
                other => unexpected(other, "string"),
            },
        }
    }

    /// Where the field `name` stands below the layer `upto`.
    pub(crate) fn find(object: &Object<'p>, name: InternedStr<'p>, upto: usize) -> Option<(usize, usize)> {
        let layers = object.layers.iter().enumerate().take(upto).rev();
        layers.into_iter().find_map(|(at, layer)| {
            let place = layer.fields.binary_search_by_key(&name, |field| field.name).ok()?;
            Some((at, place))
        })
    }

    /// The value of the field `name`.
    pub(crate) fn field(&self, object: &'p Object<'p>, name: InternedStr<'p>) -> Outcome<Value<'p>> {
        self.check_asserts(object)?;
        self.step(object.layers.len())?;
        match Self::find(object, name, object.layers.len()) {
            Some((layer, place)) => self.field_value(object, layer, place),
            None => fail(format!("field does not exist: {}", name.value())),
        }
    }

    /// The value of a field of a layer.
    pub(crate) fn field_value(&self, object: &'p Object<'p>, layer: usize, place: usize) -> Outcome<Value<'p>> {
        let key = (std::ptr::from_ref(object).addr(), layer, place);
        let known = self.fields.borrow().get(&key).copied();
        if let Some(known) = known {
            return self.force(known);
        }
        let thunk = self.thunk(State::Field(object, layer, place))?;
        self.budget().bytes(size_of::<((usize, usize, usize), &Thunk<'p>)>() * 2)?;
        self.fields.borrow_mut().insert(key, thunk);
        self.force(thunk)
    }

    /// Computes a field of a layer.
    pub(crate) fn field_at(&self, object: &'p Object<'p>, layer: usize, place: usize) -> Outcome<Value<'p>> {
        let Some(its) = object.layers.get(layer) else { return fail("no such layer") };
        let Some(field) = its.fields.get(place) else { return fail("no such field") };
        let below = if field.is_added { Self::find(object, field.name, layer) } else { None };
        let below = match below {
            Some((layer, place)) => Some(self.field_value(object, layer, place)?),
            None => None,
        };
        let own = match field.body {
            Body::Given(thunk) => self.force(thunk)?,
            Body::Expr(expr) => self.eval(expr, self.layer_scope(object, layer, its)?)?,
            Body::Method(params, body) => self.closure(params, body, self.layer_scope(object, layer, its)?)?,
            Body::Turn(expr, turn) => self.eval(expr, self.with_locals(object, layer, its, turn)?)?,
        };
        match below {
            Some(below) => self.add(below, own),
            None => Ok(own),
        }
    }

    fn layer_scope(&self, object: &'p Object<'p>, at: usize, layer: &'p Layer<'p>) -> Outcome<&'p Scope<'p>> {
        let key = (std::ptr::from_ref(object).addr(), at);
        let known = self.scopes.borrow().get(&key).copied();
        if let Some(known) = known {
            return Ok(known);
        }
        let Some(outer) = layer.scope else { return fail("the object has no scope") };
        let scope = self.with_locals(object, at, layer, outer)?;
        self.budget().bytes(size_of::<((usize, usize), &Scope<'p>)>() * 2)?;
        self.scopes.borrow_mut().insert(key, scope);
        Ok(scope)
    }

    fn with_locals(
        &self,
        object: &'p Object<'p>,
        at: usize,
        layer: &'p Layer<'p>,
        outer: &'p Scope<'p>,
    ) -> Outcome<&'p Scope<'p>> {
        let this = This { object, layer: at, root: outer.this.map_or(object, |this| this.root) };
        let scope = self.scope(Some(outer), &[], Some(this))?;
        let locals: Vec<Variable<'p>> =
            layer.locals.iter().map(|bind| self.bind(bind, scope)).collect::<Outcome<_>>()?;
        scope.variables.set(self.list(&locals)?);
        Ok(scope)
    }

    /// Checks the asserts of an object, once; they may use its fields meanwhile.
    pub(crate) fn check_asserts(&self, object: &'p Object<'p>) -> Outcome<()> {
        if object.layers.iter().all(|layer| layer.asserts.is_empty())
            || !self.asserted.borrow_mut().insert(std::ptr::from_ref(object).addr())
        {
            return Ok(());
        }
        for (at, layer) in object.layers.iter().enumerate() {
            for assert in layer.asserts {
                self.assert(assert, self.layer_scope(object, at, layer)?, "Object assertion failed.")?;
            }
        }
        Ok(())
    }

    /// The fields of an object by name, each with whether it is visible.
    pub(crate) fn names(&self, object: &'p Object<'p>) -> Outcome<BTreeMap<&'p str, (InternedStr<'p>, Visibility)>> {
        let mut names = BTreeMap::new();
        for layer in object.layers {
            self.step(layer.fields.len())?;
            for field in layer.fields {
                let entry = names.entry(field.name.value()).or_insert((field.name, field.visibility));
                if field.visibility != Visibility::Default {
                    entry.1 = field.visibility;
                }
            }
        }
        Ok(names)
    }

    /// The names of the visible fields, sorted.
    pub(crate) fn visible(&self, object: &'p Object<'p>) -> Outcome<Vec<InternedStr<'p>>> {
        self.check_asserts(object)?;
        let visible = self.names(object)?.into_values().filter(|(_, visibility)| *visibility != Visibility::Hidden);
        Ok(visible.map(|(name, _)| name).collect())
    }
}
