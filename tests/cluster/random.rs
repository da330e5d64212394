//! Randomness from a seed: the same cases each time.

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore as _, SeedableRng as _};
use serde_json::{Map, Value, json};

pub(crate) struct Random(ChaCha8Rng);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A seed for another one.
    pub(crate) fn seed(&mut self) -> u64 {
        self.0.next_u64()
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.0.next_u64() % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }

    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    /// Some of `names`, each with a value.
    pub(crate) fn some(
        &mut self,
        names: &[&str],
        mut value: impl FnMut(&mut Self, &str) -> Value,
    ) -> Map<String, Value> {
        let mut chosen = Map::new();
        for name in names {
            if self.chance(50) {
                chosen.insert((*name).to_owned(), value(self, name));
            }
        }
        chosen
    }

    pub(crate) fn digit(&mut self) -> Value {
        json!(self.below(4).to_string())
    }
}
