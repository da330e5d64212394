//! What is random (Masterminds/sprig `strings.go`, `numeric.go`, `crypto.go`): drawn from the caller's seed, so that a
//! render can be repeated. A draw is keyed by the file that is rendered, the function, its arguments and how often it
//! came before, so that a change elsewhere in the chart does not change a password.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand_core::RngCore;
use slipway_gotmpl::{Context, FuncError, Function, INT, Type, Value};

use super::{Outcome, misused, state};

const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const ALPHANUMERIC: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const DIGITS: &[u8] = b"0123456789";

pub(super) const TABLE: &[Function] = &[
    Function::new("randAlphaNum", &[INT], |cx, args| text(cx, "randAlphaNum", args, ALPHANUMERIC)),
    Function::new("randAlpha", &[INT], |cx, args| text(cx, "randAlpha", args, LETTERS)),
    Function::new("randNumeric", &[INT], |cx, args| text(cx, "randNumeric", args, DIGITS)),
    Function::new("randAscii", &[INT], |cx, args| {
        let printable: Vec<u8> = (b' '..=b'~').collect();
        text(cx, "randAscii", args, &printable)
    }),
    Function::new("randBytes", &[INT], bytes),
    Function::new("randInt", &[INT, INT], int),
    Function::new("uuidv4", &[], uuid),
    Function::new("shuffle", &[Type::String], shuffle),
];

fn count(cx: &Context<'_>, args: &[Value]) -> Result<usize, FuncError> {
    let [Value::Int(_, count)] = args else { return misused() };
    let count = usize::try_from(*count).unwrap_or(0);
    cx.budget().step(count as u64)?;
    cx.budget().bytes(count.saturating_mul(2))?;
    Ok(count)
}

fn text(cx: &mut Context<'_>, function: &str, args: &[Value], alphabet: &[u8]) -> Outcome {
    let count = count(cx, args)?;
    let mut random = state(cx)?.random(cx, function, args)?;
    let text: String = (0..count)
        .filter_map(|_| alphabet.get(below(&mut random, alphabet.len())))
        .map(|byte| char::from(*byte))
        .collect();
    Ok(text.into())
}

/// A number below `limit`, each equally likely.
fn below(random: &mut impl RngCore, limit: usize) -> usize {
    let limit = limit.max(1) as u64;
    let fair = u64::MAX - u64::MAX % limit;
    loop {
        let number = random.next_u64();
        if number < fair {
            return usize::try_from(number % limit).unwrap_or_default();
        }
    }
}

fn bytes(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let mut bytes = vec![0; count(cx, args)?];
    state(cx)?.random(cx, "randBytes", args)?.fill_bytes(&mut bytes);
    Ok(STANDARD.encode(bytes).into())
}

fn int(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [Value::Int(_, min), Value::Int(_, max)] = args else { return misused() };
    let range = max.wrapping_sub(*min);
    let Some(range) = usize::try_from(range).ok().filter(|range| *range > 0) else {
        return Err("invalid argument to Intn".into());
    };
    let mut random = state(cx)?.random(cx, "randInt", args)?;
    let offset = i64::try_from(below(&mut random, range)).unwrap_or_default();
    Ok(Value::int(min.wrapping_add(offset)))
}

fn uuid(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let mut bytes = [0u8; 16];
    state(cx)?.random(cx, "uuidv4", args)?.fill_bytes(&mut bytes);
    let number = u128::from_be_bytes(bytes);
    // Version 4 and the variant of RFC 9562.
    let number = number & !(0xf << 76) | 4 << 76;
    let number = number & !(0b11 << 62) | 0b10 << 62;
    let hex = format!("{number:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    Ok(format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)).into())
}

fn shuffle(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [Value::Str(text)] = args else { return misused() };
    cx.budget().step(2 * text.len() as u64)?;
    let mut chars: Vec<char> = text.to_text().chars().collect();
    let mut random = state(cx)?.random(cx, "shuffle", args)?;
    for last in (1..chars.len()).rev() {
        chars.swap(last, below(&mut random, last + 1));
    }
    Ok(chars.into_iter().collect::<String>().into())
}
