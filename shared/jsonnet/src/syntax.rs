//! Reads the syntax by `rsjsonnet-lang`, of which only files are given that its recursion can't overflow on.

use std::collections::BTreeSet;

use rsjsonnet_lang::arena::Arena;
use rsjsonnet_lang::interner::StrInterner;
use rsjsonnet_lang::lexer::{LexError, Lexer};
use rsjsonnet_lang::parser::{ActualToken, ParseError, Parser};
use rsjsonnet_lang::span::{SpanContextId, SpanId, SpanManager};
use rsjsonnet_lang::token::{STokenKind, Token, TokenKind};
use slipway_budget::Budget;

use crate::value::{Expr, Failure, Outcome};

/// Expressions within expressions, of which the parser takes some KiB of stack each.
pub(crate) const MAX_NESTING: usize = 2_000;
/// Bytes that the parser takes for each of the text.
const BYTES_OF_SYNTAX: usize = 40;

/// Operators without a space between them: the lexer looks at all that follow for each of them.
const MAX_OPERATORS: usize = 200;

/// The expression that `text`, the content of the file `path`, is.
pub(crate) fn parse<'p>(
    path: &str,
    text: &[u8],
    context: SpanContextId,
    (arena, interner, spans): (&'p Arena, &StrInterner<'p>, &mut SpanManager),
    budget: &Budget,
) -> Outcome<Expr<'p>> {
    budget.step(u64::try_from(text.len()).unwrap_or(u64::MAX))?;
    budget.bytes(text.len().saturating_mul(BYTES_OF_SYNTAX))?;
    let fail = |spans: &SpanManager, span: SpanId, problem: String| {
        let (line, column) = position(text, spans.get_span(span).1);
        Err(Box::new(Failure::Syntax { path: path.to_owned(), line, column, problem }))
    };
    if has_long_operators(text) {
        let problem = format!("more than {MAX_OPERATORS} operators follow each other");
        return Err(Box::new(Failure::Syntax { path: path.to_owned(), line: 1, column: 1, problem }));
    }
    let tokens = match Lexer::new(arena, arena, interner, spans, context, text).lex_to_eof(false) {
        Ok(tokens) => tokens,
        Err(error) => return fail(spans, lex_span(&error), lex_problem(&error).to_owned()),
    };
    if let Some(deep) = too_deep(&tokens) {
        return fail(spans, deep, format!("expressions are nested deeper than {MAX_NESTING}"));
    }
    match Parser::new(arena, arena, interner, spans, tokens).parse_root_expr() {
        Ok(expr) => Ok(expr),
        Err(ParseError::Expected { span, instead, .. }) => {
            fail(spans, span, format!("{} is not expected here", actual(&instead)))
        }
    }
}

fn has_long_operators(text: &[u8]) -> bool {
    let mut runs = text.split(|byte| !b"+-~!$:&|^=<>*/%".contains(byte));
    runs.any(|run| run.len() > MAX_OPERATORS)
}

/// The names of all imports of a text, whatever it is; none where it is no Jsonnet that can be read.
pub fn imports(text: &[u8]) -> BTreeSet<String> {
    if has_long_operators(text) {
        return BTreeSet::new();
    }
    let (arena, interner, mut spans) = (Arena::new(), StrInterner::new(), SpanManager::new());
    let (context, _) = spans.insert_source_context(text.len());
    let lexer = Lexer::new(&arena, &arena, &interner, &mut spans, context, text);
    let tokens = lexer.lex_to_eof(false).unwrap_or_default();
    let named =
        tokens.iter().zip(tokens.iter().skip(1)).filter_map(|(keyword, name)| match (keyword.kind, name.kind) {
            (
                TokenKind::Simple(STokenKind::Import | STokenKind::Importstr | STokenKind::Importbin),
                TokenKind::String(name),
            ) => Some(name.to_owned()),
            _ => None,
        });
    named.collect()
}

/// Line and column of a place in a text, from 1.
pub(crate) fn position(text: &[u8], at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.split(|byte| *byte == b'\n').count();
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    (line, String::from_utf8_lossy(before.get(start..).unwrap_or_default()).chars().count() + 1)
}

/// Where expressions are nested too deep: within brackets, and behind what an expression follows.
fn too_deep(tokens: &[Token<'_, '_>]) -> Option<SpanId> {
    use STokenKind as T;
    let (mut open, mut depth) = (vec![0_usize], 0_usize);
    for token in tokens {
        let TokenKind::Simple(kind) = token.kind else { continue };
        match kind {
            T::LeftBrace | T::LeftBracket | T::LeftParen => open.push(1),
            T::RightBrace | T::RightBracket | T::RightParen => {
                depth = depth.saturating_sub(open.pop().unwrap_or_default());
                continue;
            }
            T::Comma => {
                // Within brackets the next item begins; the binds of a `local` stay within it.
                if let Some(top) = open.last_mut().filter(|top| **top > 1) {
                    depth -= *top - 1;
                    *top = 1;
                }
                continue;
            }
            T::Assert
            | T::Else
            | T::Error
            | T::Function
            | T::If
            | T::Import
            | T::Importstr
            | T::Importbin
            | T::Local
            | T::Colon
            | T::ColonColon
            | T::ColonColonColon
            | T::PlusColon
            | T::PlusColonColon
            | T::PlusColonColonColon
            | T::Then
            | T::For
            | T::In
            | T::Eq
            | T::Super => {
                let Some(top) = open.last_mut() else { return Some(token.span) };
                *top += 1;
            }
            _ => continue,
        }
        depth += 1;
        if depth > MAX_NESTING {
            return Some(token.span);
        }
    }
    None
}

fn lex_span(error: &LexError) -> SpanId {
    match error {
        LexError::InvalidChar { span, .. }
        | LexError::InvalidUtf8 { span, .. }
        | LexError::UnfinishedMultilineComment { span }
        | LexError::LeadingZeroInNumber { span }
        | LexError::MissingFracDigits { span }
        | LexError::MissingExpDigits { span }
        | LexError::MissingDigitAfterUnderscore { span }
        | LexError::ExpOverflow { span }
        | LexError::InvalidEscapeInString { span, .. }
        | LexError::IncompleteUnicodeEscape { span }
        | LexError::InvalidUtf16EscapeSequence { span, .. }
        | LexError::UnfinishedString { span }
        | LexError::MissingLineBreakAfterTextBlockStart { span }
        | LexError::MissingWhitespaceTextBlockStart { span }
        | LexError::InvalidTextBlockTermination { span } => *span,
    }
}

fn lex_problem(error: &LexError) -> &'static str {
    match error {
        LexError::InvalidChar { .. } => "no token of Jsonnet begins with this character",
        LexError::InvalidUtf8 { .. } => "the text is not UTF-8",
        LexError::UnfinishedMultilineComment { .. } => "the comment has no end",
        LexError::LeadingZeroInNumber { .. }
        | LexError::MissingFracDigits { .. }
        | LexError::MissingExpDigits { .. }
        | LexError::MissingDigitAfterUnderscore { .. }
        | LexError::ExpOverflow { .. } => "the number is malformed",
        LexError::InvalidEscapeInString { .. }
        | LexError::IncompleteUnicodeEscape { .. }
        | LexError::InvalidUtf16EscapeSequence { .. } => "the string has an unknown escape sequence",
        LexError::UnfinishedString { .. } => "the string has no end",
        LexError::MissingLineBreakAfterTextBlockStart { .. }
        | LexError::MissingWhitespaceTextBlockStart { .. }
        | LexError::InvalidTextBlockTermination { .. } => "the text block is malformed",
    }
}

fn actual(token: &ActualToken) -> String {
    match token {
        ActualToken::EndOfFile => "the end of the file".to_owned(),
        ActualToken::Simple(kind) => format!("{kind:?}").to_lowercase(),
        ActualToken::OtherOp(name) | ActualToken::Ident(name) => format!("`{name}`"),
        ActualToken::Number => "a number".to_owned(),
        ActualToken::String | ActualToken::TextBlock => "a string".to_owned(),
    }
}
