//! Puts parameters into texts: fasttemplate's `{{name}}`, or Go's templates with sprig (argoproj/argo-cd
//! `applicationset/utils/utils.go`, `Replace`).

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use slipway_gotmpl::{Budget, FuncMap, Map, MissingKey, Set};
use slipway_helm::{FunctionState, pay_for_template};

use crate::ErrorKind;
use crate::functions::functions;
use crate::given::Given;

/// The name that Argo CD gives every template; it stands in Go's messages.
const NAME: &str = "base";

/// Parsed templates that are kept: those of a set are few, those that parameters are put into first may be many.
const MOST_PARSED: usize = 1_000;

/// The templates of one set.
pub(crate) struct Templates<'b> {
    /// What a missing parameter is in Go's templates; `None` for fasttemplate.
    missing_key: Option<MissingKey>,
    functions: Rc<FuncMap>,
    state: FunctionState,
    /// What templates draw from.
    pub(crate) budget: &'b Budget,
    /// By text, and whether a missing parameter is an error in any case.
    parsed: RefCell<HashMap<(String, bool), Rc<Set>>>,
}

impl<'b> Templates<'b> {
    /// For a set with `goTemplate` and these `goTemplateOptions`. Fails for an option that Go does not have.
    pub(crate) fn new(
        go_template: bool,
        options: &[String],
        given: &Given,
        budget: &'b Budget,
    ) -> Result<Self, ErrorKind> {
        let mut missing_key = MissingKey::Invalid;
        for option in options.iter().filter(|_| go_template) {
            missing_key = match option.as_str() {
                "missingkey=default" | "missingkey=invalid" => MissingKey::Invalid,
                "missingkey=zero" => MissingKey::Zero,
                "missingkey=error" => MissingKey::Error,
                other => {
                    let allowed = "missingkey=default, missingkey=invalid, missingkey=zero, missingkey=error";
                    return Err(ErrorKind::Unknown { found: other.to_owned(), allowed });
                }
            };
        }
        Ok(Self {
            missing_key: go_template.then_some(missing_key),
            functions: Rc::new(functions()),
            state: FunctionState::new(given.seed, given.now),
            budget,
            parsed: RefCell::default(),
        })
    }

    /// Whether these are Go's templates.
    pub(crate) fn is_go(&self) -> bool {
        self.missing_key.is_some()
    }

    /// `text` with the parameters put in. `strict`: a missing one is an error in Go's templates whatever the options
    /// say. Fails at the first mistake in the text, and at the first failure in it.
    pub(crate) fn replace(&self, text: &str, params: &Map, strict: bool) -> Result<String, ErrorKind> {
        self.budget.scan(text.len()).map_err(ErrorKind::Limit)?;
        let Some(missing_key) = self.missing_key else { return self.replace_tags(text, params) };
        if !text.contains("{{") {
            return Ok(text.to_owned());
        }
        let set = self.parse(text, if strict { MissingKey::Error } else { missing_key }, strict)?;
        let out = set.execute(NAME, params.clone().into(), self.budget, &self.state).map_err(|e| failure(&e))?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    fn parse(&self, text: &str, missing_key: MissingKey, strict: bool) -> Result<Rc<Set>, ErrorKind> {
        let key = (text.to_owned(), strict);
        if let Some(set) = self.parsed.borrow().get(&key) {
            return Ok(Rc::clone(set));
        }
        pay_for_template(self.budget.shared(), text)?;
        let mut set = Set::new(Rc::clone(&self.functions), missing_key);
        set.parse(NAME, text).map_err(|e| failure(&e))?;
        let set = Rc::new(set);
        let mut parsed = self.parsed.borrow_mut();
        if parsed.len() < MOST_PARSED {
            parsed.insert(key, Rc::clone(&set));
        }
        Ok(set)
    }

    /// Replaces `{{name}}` as fasttemplate does: a name that no parameter has, or whose value is no text, is left in
    /// place.
    fn replace_tags(&self, text: &str, params: &Map) -> Result<String, ErrorKind> {
        if !has_tag(text) {
            return Ok(text.to_owned());
        }
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, tagged)) = rest.split_once("{{") {
            let (tag, after) = tagged.split_once("}}").ok_or_else(|| ErrorKind::Tag(text.to_owned()))?;
            out.push_str(before);
            match params.get(tag.trim()).as_ref().and_then(|value| value.as_str()) {
                Some(value) if !tag.trim().is_empty() => {
                    self.budget.bytes(value.len()).map_err(ErrorKind::Limit)?;
                    out.push_str(&value.to_text());
                }
                _ => {
                    for part in ["{{", tag, "}}"] {
                        out.push_str(part);
                    }
                }
            }
            rest = after;
        }
        self.budget.bytes(text.len()).map_err(ErrorKind::Limit)?;
        Ok(out + rest)
    }
}

/// Whether a line has a tag: text without one may have any braces.
fn has_tag(text: &str) -> bool {
    text.split('\n').any(|line| line.split_once("{{").is_some_and(|(_, rest)| rest.contains("}}")))
}

fn failure(error: &slipway_gotmpl::Error) -> ErrorKind {
    error.limit().map_or_else(|| ErrorKind::Template(error.to_string()), ErrorKind::Limit)
}

/// Whether a template failed as a parameter is missing.
pub(crate) fn is_missing_key(error: &ErrorKind) -> bool {
    matches!(error, ErrorKind::Template(message)
        if message.contains("map has no entry for key") || message.contains("can't evaluate field"))
}

#[cfg(test)]
mod tests {
    use slipway_gotmpl::{Limits, Value};

    use super::*;

    fn replace(go: bool, options: &[&str], text: &str) -> Result<String, String> {
        let budget = Budget::new(slipway_budget::Budget::default(), Limits::default());
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        let params: Map = [("a", Value::from("x")), ("a.b", "y".into()), ("n", Value::Float(3.0)), ("", "z".into())]
            .into_iter()
            .collect();
        Templates::new(go, &options, &Given::default(), &budget)
            .and_then(|templates| templates.replace(text, &params, false))
            .map_err(|e| e.to_string())
    }

    #[test]
    fn tags_are_replaced_as_by_fasttemplate() {
        for (text, expected) in [
            ("{{a}}-{{ a.b }}", "x-y"),
            ("{{n}} {{ }} {{no}}", "{{n}} {{ }} {{no}}"),
            ("}} {{", "}} {{"),
            ("{{ a\n}}", "{{ a\n}}"),
            ("{{ a\n}} {{a}}", "x x"),
            ("{{{a}}}", "{{{a}}}"),
        ] {
            assert_eq!(replace(false, &[], text).as_deref(), Ok(expected), "{text:?}");
        }
        assert!(replace(false, &[], "{{a}} {{").unwrap_err().contains("cannot find end tag"));
    }

    #[test]
    fn options_are_those_of_go() {
        assert_eq!(replace(true, &[], "{{.a}} {{.no}}").as_deref(), Ok("x <no value>"));
        assert_eq!(replace(true, &["missingkey=zero"], "{{.no}}").as_deref(), Ok("<no value>"));
        assert!(replace(true, &["missingkey=error"], "{{.no}}").unwrap_err().contains("map has no entry for key"));
        assert!(replace(true, &["missingkey=none"], "").unwrap_err().starts_with("\"missingkey=none\" is not one of"));
        assert_eq!(replace(false, &["missingkey=none"], "").as_deref(), Ok(""), "fasttemplate has no options");
    }
}
