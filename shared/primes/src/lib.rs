//! Finds primes for RSA keys: candidates above a random start are sieved by small primes, what is left is tested by
//! Miller and Rabin's test in as many rounds as Go takes (golang/go `src/crypto/internal/fips140/rsa/keygen.go`).
//!
//! Stands in for `crypto-primes`, whose generation is not that of the other crates. A crate of its own, whose functions
//! have no type parameters, as these numbers are compiled where their length is given: the renderer around them is
//! built for its size, and took three times as long for a key.

#![forbid(unsafe_code)]

use crypto_bigint::modular::runtime_mod::{DynResidue, DynResidueParams};
use crypto_bigint::{Uint, Word};
use rand_core::RngCore;

/// Primes below this sieve.
const SMALL: usize = 1 << 16;
/// Odd numbers that are looked at from one start: a few primes are among them.
const WINDOW: usize = 1 << 12;
/// Rounds with a random base, after one with base 2: fewer than one error in 2¹⁰⁰ for numbers of 1,024 bits and more
/// (FIPS 186-5, table B.1).
const ROUNDS: usize = 5;

/// A prime of 1,024 bits, big-endian, of which the two highest are set. One less than it is no multiple of `exponent`,
/// a prime.
pub fn of_1024_bits(random: &mut dyn RngCore, exponent: u64) -> Vec<u8> {
    bytes(&prime::<16>(random, exponent))
}

/// Like [`of_1024_bits`], of 2,048 bits.
pub fn of_2048_bits(random: &mut dyn RngCore, exponent: u64) -> Vec<u8> {
    bytes(&prime::<32>(random, exponent))
}

fn bytes<const L: usize>(number: &Uint<L>) -> Vec<u8> {
    number.as_words().iter().rev().flat_map(|word| word.to_be_bytes()).collect()
}

/// A prime of `64 * L` bits, of which the two highest are set, so that the product of two has twice as many. One less
/// than it is no multiple of `exponent`, a prime.
fn prime<const L: usize>(random: &mut dyn RngCore, exponent: u64) -> Uint<L> {
    let small = small_primes();
    loop {
        let mut words = [0; L];
        words.fill_with(|| random.next_u64());
        if let Some(lowest) = words.first_mut() {
            *lowest |= 1;
        }
        if let Some(highest) = words.last_mut() {
            *highest |= 0b11 << (Word::BITS - 2);
        }
        let start = Uint::<L>::from_words(words);
        let mut composite = [false; WINDOW];
        for &prime in &small {
            // start + 2k is a multiple of the prime for k = -start/2, and the half of 1 is (prime + 1)/2.
            let half = usize::try_from((prime - remainder(&start, prime)) * prime.div_ceil(2) % prime);
            let step = usize::try_from(prime).unwrap_or(WINDOW);
            composite.iter_mut().skip(half.unwrap_or(WINDOW)).step_by(step).for_each(|slot| *slot = true);
        }
        let candidates = (0u64..).zip(composite).filter(|(_, composite)| !composite);
        let mut candidates = candidates.map(|(k, _)| start.wrapping_add(&Uint::from_u64(2 * k)));
        let fits = |one: &Uint<L>| *one >= start && remainder(one, exponent) != 1;
        if let Some(found) = candidates.find(|one| fits(one) && is_prime(one, random)) {
            return found;
        }
    }
}

/// The odd primes below [`SMALL`].
fn small_primes() -> Vec<u64> {
    let mut composite = vec![false; SMALL];
    let mut primes = Vec::new();
    for number in (3..SMALL).step_by(2) {
        if composite.get(number) == Some(&false) {
            composite.iter_mut().skip(number * number).step_by(number).for_each(|slot| *slot = true);
            primes.push(number as u64);
        }
    }
    primes
}

/// The rest of a division by a number below 2³².
fn remainder<const L: usize>(number: &Uint<L>, divisor: u64) -> u64 {
    let halves = number.as_words().iter().rev().flat_map(|word| [word >> 32, word & u64::from(u32::MAX)]);
    halves.fold(0, |rest, half| (rest << 32 | half) % divisor)
}

/// Whether an odd number passes Miller and Rabin's test.
fn is_prime<const L: usize>(number: &Uint<L>, random: &mut dyn RngCore) -> bool {
    let field = DynResidueParams::new(number);
    let (one, even) = (DynResidue::one(field), number.wrapping_sub(&Uint::ONE));
    let twos = even.trailing_zeros();
    let odd = even.shr_vartime(twos);
    // A power of two takes squares and sums alone, and most candidates end here.
    let power_of_two = || {
        (0..odd.bits_vartime()).rev().fold(one, |power, bit| {
            let square = power.square();
            if odd.bit_vartime(bit) { square.add(&square) } else { square }
        })
    };
    let passes = |mut power: DynResidue<L>| {
        let mut squares = 1;
        while power != one.neg() {
            if squares == 1 && power == one {
                return true;
            }
            if squares == twos {
                return false;
            }
            power = power.square();
            squares += 1;
        }
        true
    };
    let mut random_base = || {
        let mut words = [0; L];
        words.fill_with(|| random.next_u64());
        // Below any number that has its highest bit, and neither 0 nor 1.
        if let Some(lowest) = words.first_mut() {
            *lowest |= 2;
        }
        if let Some(highest) = words.last_mut() {
            *highest >>= 1;
        }
        Uint::from_words(words)
    };
    passes(power_of_two()) && (0..ROUNDS).all(|_| passes(DynResidue::new(&random_base(), field).pow(&odd)))
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn primes_are_told_from_what_looks_like_them() {
        let mut random = ChaCha20Rng::from_seed([7; 32]);
        let number = |bits: usize, below: u64| Uint::<2>::ONE.shl_vartime(bits).wrapping_sub(&Uint::from_u64(below));
        for prime in [number(127, 1), number(127, 25), number(128, 159), number(128, 173)] {
            assert!(is_prime(&prime, &mut random), "{prime}");
        }
        // 2^128-1 and others with factors; 2047·… pass the test for base 2 alone.
        for composite in [number(127, 3), number(128, 161), number(11, 1), number(128, 171)] {
            assert!(!is_prime(&composite, &mut random), "{composite}");
        }
        assert_eq!(small_primes().len(), 6541);
    }

    #[test]
    fn primes_have_all_their_bits() {
        let mut random = ChaCha20Rng::from_seed([1; 32]);
        let found = prime::<8>(&mut random, 65_537);
        assert_eq!(found.bits_vartime(), 512);
        assert_eq!(found.shr_vartime(510), Uint::from_u8(3));
        assert_eq!(found, prime::<8>(&mut ChaCha20Rng::from_seed([1; 32]), 65_537));
    }
}
