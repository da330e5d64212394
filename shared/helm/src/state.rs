//! Holds what functions find and leave during a render: the caller's seed, clock and answers, what was used of them,
//! and what is kept compiled.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use jiff::Timestamp;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use sha2::{Digest, Sha256};
use slipway_gocompat::regexp::{self, Regex};
use slipway_gotmpl::{Context, FuncError, Limit, Map, Numbers, Set, Str, Value, sprint};

use crate::cost;
use crate::options::{Lookup, Options};

/// What functions find and leave during a render.
pub struct State {
    pub(crate) regexes: Regexes,
    /// How often each template is inside itself.
    pub(crate) includes: RefCell<HashMap<Str, usize>>,
    pub(crate) parsed: ParsedTexts,
    seed: [u8; 32],
    clock: Timestamp,
    lookups: BTreeMap<Lookup, serde_json::Value>,
    /// The file that is rendered.
    file: RefCell<String>,
    /// How often each kind of random value was drawn.
    draws: RefCell<HashMap<[u8; 32], u64>>,
    used_random: Cell<bool>,
    used_time: Cell<bool>,
    needs: RefCell<BTreeSet<Lookup>>,
}

impl State {
    /// For templates outside of charts: random values come from `seed`, the time is `now`.
    pub fn new(seed: [u8; 32], now: Timestamp) -> Self {
        Self::of(&Options { seed, now, ..Options::default() })
    }

    pub(crate) fn of(options: &Options) -> Self {
        Self {
            regexes: Regexes::default(),
            includes: RefCell::default(),
            parsed: ParsedTexts::default(),
            seed: options.seed,
            clock: options.now,
            lookups: options.lookups.clone(),
            file: RefCell::default(),
            draws: RefCell::default(),
            used_random: Cell::default(),
            used_time: Cell::default(),
            needs: RefCell::default(),
        }
    }

    /// Templates of the file `name` follow.
    pub(crate) fn enter_file(&self, name: &str) {
        name.clone_into(&mut self.file.borrow_mut());
    }

    /// The caller's clock; the render is not repeatable without it.
    pub(crate) fn now(&self) -> Timestamp {
        self.used_time.set(true);
        self.clock
    }

    /// Random numbers for this call of `function`: from the seed, the file, the arguments, and how often it came.
    pub(crate) fn random(&self, cx: &Context<'_>, function: &str, args: &[Value]) -> Result<ChaCha20Rng, FuncError> {
        self.used_random.set(true);
        let mut key = Sha256::new();
        key.update(self.seed);
        for part in [self.file.borrow().as_bytes(), function.as_bytes(), sprint(cx.budget(), args)?.as_bytes()] {
            key.update((part.len() as u64).to_le_bytes());
            key.update(part);
        }
        let key: [u8; 32] = key.finalize().into();
        let mut draws = self.draws.borrow_mut();
        let count = draws.entry(key).or_default();
        *count += 1;
        Ok(ChaCha20Rng::from_seed(Sha256::new().chain_update(key).chain_update(count.to_le_bytes()).finalize().into()))
    }

    /// The caller's answer; without one nothing, and a need.
    pub(crate) fn lookup(&self, lookup: Lookup) -> Value {
        match self.lookups.get(&lookup) {
            Some(answer @ serde_json::Value::Object(_)) => Value::from_json(answer, Numbers::Int64),
            Some(_) => Map::new().into(),
            None => {
                self.needs.borrow_mut().insert(lookup);
                Map::new().into()
            }
        }
    }

    pub(crate) fn used_random(&self) -> bool {
        self.used_random.get()
    }

    pub(crate) fn used_time(&self) -> bool {
        self.used_time.get()
    }

    pub(crate) fn take_needs(&self) -> BTreeSet<Lookup> {
        self.needs.take()
    }
}

/// What `tpl` has parsed, by the templates in scope and the text: charts put the same values through it often.
#[derive(Default)]
pub(crate) struct ParsedTexts(RefCell<HashMap<Str, Vec<InScope>>>);

/// The templates in scope, and with them what was parsed.
type InScope = (Rc<Set>, Rc<Set>);

impl ParsedTexts {
    /// Texts kept.
    const MOST: usize = 2_000;

    pub(crate) fn get(&self, scope: &Rc<Set>, text: &Str) -> Option<Rc<Set>> {
        let known = self.0.borrow();
        known.get(text)?.iter().find(|(own, _)| Rc::ptr_eq(own, scope)).map(|(_, set)| Rc::clone(set))
    }

    pub(crate) fn put(&self, scope: &Rc<Set>, text: &Str, set: &Rc<Set>) {
        let mut known = self.0.borrow_mut();
        if known.len() < Self::MOST {
            known.entry(text.clone()).or_default().push((Rc::clone(scope), Rc::clone(set)));
        }
    }
}

/// The compiled patterns of one render.
#[derive(Debug, Default)]
pub(crate) struct Regexes(RefCell<HashMap<Str, Rc<Regex>>>);

impl Regexes {
    /// Patterns kept.
    const MOST: usize = 256;

    pub(crate) fn compile(&self, cx: &Context<'_>, pattern: &Str) -> Result<Rc<Regex>, FuncError> {
        if let Some(regex) = self.0.borrow().get(pattern) {
            return Ok(Rc::clone(regex));
        }
        cost::of_pattern(cx.budget().shared(), &pattern.to_text()).map_err(Limit::from)?;
        let regex = regexp::compile(&pattern.to_text()).map_err(|e| FuncError::from(e.to_string()))?;
        let regex = Rc::new(regex);
        let mut known = self.0.borrow_mut();
        if known.len() < Self::MOST {
            known.insert(pattern.clone(), Rc::clone(&regex));
        }
        Ok(regex)
    }
}
