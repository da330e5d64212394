//! Go's `fmt`: printing with and without a format. (Go: src/fmt/print.go, src/fmt/format.go)

mod format;
mod pad;
mod print;

use crate::budget::{Budget, Limit};
use crate::value::{Str, Value};
use print::Printer;

/// Go's `fmt.Sprint`: values side by side, a space between two that are not strings.
/// Fails beyond the budget (a map that contains itself never ends).
pub fn sprint(budget: &Budget, args: &[Value]) -> Result<Str, Limit> {
    if let [Value::Str(only)] = args {
        return Ok(only.clone());
    }
    let mut out = Vec::new();
    let mut printer = Printer::new(&mut out, budget);
    let mut after_string = true;
    for (index, arg) in args.iter().enumerate() {
        let is_string = matches!(arg, Value::Str(_));
        if index > 0 && !is_string && !after_string {
            printer.write(b" ")?;
        }
        printer.print_arg(arg, 'v')?;
        after_string = is_string;
    }
    Ok(out.into())
}

/// Go's `fmt.Sprintln`: values with spaces between them and a newline at the end. Fails as [`sprint`] does.
pub fn sprintln(budget: &Budget, args: &[Value]) -> Result<Str, Limit> {
    let mut out = Vec::new();
    let mut printer = Printer::new(&mut out, budget);
    for (index, arg) in args.iter().enumerate() {
        if index > 0 {
            printer.write(b" ")?;
        }
        printer.print_arg(arg, 'v')?;
    }
    printer.write(b"\n")?;
    Ok(out.into())
}

/// Go's `fmt.Sprintf`, mistakes in the format included (`%!d(string=x)`). Fails as [`sprint`] does.
pub fn sprintf(budget: &Budget, format: &[u8], args: &[Value]) -> Result<Str, Limit> {
    let mut out = Vec::new();
    format::printf(&mut Printer::new(&mut out, budget), format, args)?;
    Ok(out.into())
}

/// Appends what `fmt.Fprint` prints for one value. Fails as [`sprint`] does.
pub(crate) fn print_to(out: &mut Vec<u8>, budget: &Budget, value: &Value) -> Result<(), Limit> {
    Printer::new(out, budget).print_arg(value, 'v')
}
