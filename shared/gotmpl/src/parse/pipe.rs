//! Pipelines, commands and operands.

use slipway_gocompat::strconv::{quote, unquote};

use super::{Error, Shared, Tree, number};
use crate::ast::{Callee, Decl, Expr, ExprKind, Pipe, Show, Stage, place};
use crate::budget::Limit;
use crate::builtin;
use crate::lex::{Token, TokenKind};
use crate::source::Span;
use crate::value::Str;

/// Variables with names of their own in one scope: each use looks through all of them.
const MAX_VARIABLES: usize = 1_000;

impl<'a> Tree<'_, 'a> {
    fn declare(&mut self, name: &'a str) -> Result<(), Error> {
        if self.variables.contains(&name) {
            return Ok(());
        }
        if self.variables.len() >= MAX_VARIABLES {
            let limit = Limit::Variables(MAX_VARIABLES);
            return Err(self.error(limit).limited(Some(limit)));
        }
        self.variables.push(name);
        Ok(())
    }

    /// `$v := command | command`, up to `end`.
    pub(super) fn pipeline(&mut self, context: &str, end: TokenKind) -> Result<Pipe, Error> {
        let at = self.peek_non_space().at;
        let (decl, assign) = self.declarations(context)?;
        let (mark, stages) = (self.shared.exprs.len(), self.shared.stages.len());
        loop {
            let token = self.next_non_space();
            match token.kind {
                kind if kind == end => break,
                TokenKind::Bool
                | TokenKind::CharConstant
                | TokenKind::Complex
                | TokenKind::Dot
                | TokenKind::Field
                | TokenKind::Identifier
                | TokenKind::Number
                | TokenKind::Nil
                | TokenKind::RawString
                | TokenKind::String
                | TokenKind::Variable
                | TokenKind::LeftParen => {
                    self.back(token);
                    let first = self.shared.exprs.len();
                    let at = self.command()?;
                    self.shared.stages.push(Stage { at, first: first - mark });
                }
                _ => return Err(self.unexpected(&token, context)),
            }
        }
        let Shared { ast, stages: open, exprs, .. } = &mut *self.shared;
        let Some(Stage { at: first_at, .. }) = open.get(stages).copied() else {
            return Err(self.error(format_args!("missing value for {context}")));
        };
        for (index, stage) in open.iter().skip(stages).enumerate().skip(1) {
            // A constant can't take what comes down the pipe.
            if let Some(
                ExprKind::Bool(_)
                | ExprKind::Dot
                | ExprKind::Nil
                | ExprKind::Number(_)
                | ExprKind::Text(_)
                | ExprKind::Escaped(..),
            ) = exprs.get(mark + stage.first).map(|operand| &operand.kind)
            {
                return Err(self.error(format_args!("non executable command in pipeline stage {}", index + 1)));
            }
        }
        let operands = ast.add_exprs(exprs.drain(mark..));
        let stages = ast.add_stages(open.drain(stages..).skip(1));
        Ok(Pipe { at: place(at), assign, decl, operands, stages, first_at })
    }

    /// `$v :=`, `$v =`, `$i, $v :=`; nothing if the variable is an operand. Also whether they are assigned to.
    fn declarations(&mut self, context: &str) -> Result<(Decl, bool), Error> {
        let mut decl = Decl::None;
        while self.peek_non_space().kind == TokenKind::Variable {
            let variable = self.next();
            // A space is a token: it must be put back where the variable turns out to be an operand.
            let space = (self.peek().kind == TokenKind::Space).then(|| self.next());
            let next = self.next_non_space();
            let is_comma = next.kind == TokenKind::Char && next.value == ",";
            if !is_comma && !matches!(next.kind, TokenKind::Assign | TokenKind::Declare) {
                self.back(next);
                if let Some(space) = space {
                    self.back(space);
                }
                self.back(variable);
                break;
            }
            self.declare(variable.value)?;
            decl = match decl {
                Decl::One(first) => Decl::Two(first, variable.span()),
                _ => Decl::One(variable.span()),
            };
            if !is_comma {
                return Ok((decl, next.kind == TokenKind::Assign));
            }
            if context != "range" || matches!(decl, Decl::Two(..)) {
                return Err(self.error(format_args!("too many declarations in {context}")));
            }
            if !matches!(
                self.peek_non_space().kind,
                TokenKind::Variable | TokenKind::RightDelim | TokenKind::RightParen
            ) {
                return Err(self.error("range can only initialize variables"));
            }
        }
        Ok((decl, false))
    }

    /// Operands up to a pipe or the end of the pipeline, put with the unfinished ones. Gives the command's position.
    fn command(&mut self) -> Result<u32, Error> {
        let at = self.peek_non_space().at;
        let mark = self.shared.exprs.len();
        loop {
            self.peek_non_space();
            if let Some(operand) = self.operand()? {
                self.shared.exprs.push(operand);
            }
            let token = self.next();
            match token.kind {
                TokenKind::Space => continue,
                TokenKind::RightDelim | TokenKind::RightParen => self.back(token),
                TokenKind::Pipe => {}
                _ => return Err(self.unexpected(&token, "operand")),
            }
            break;
        }
        if self.shared.exprs.len() == mark {
            return Err(self.error("empty command"));
        }
        Ok(place(at))
    }

    /// A term and the fields behind it.
    fn operand(&mut self) -> Result<Option<Expr>, Error> {
        let Some(term) = self.term()? else { return Ok(None) };
        if self.peek().kind != TokenKind::Field {
            return Ok(Some(term));
        }
        // Fields follow each other without a gap.
        let first = self.next().span();
        let mut fields = first;
        while self.peek().kind == TokenKind::Field {
            fields = fields.to(self.next().span());
        }
        let kind = match term.kind {
            ExprKind::Field(start) => ExprKind::Field(start.to(fields)),
            ExprKind::Variable(name, _) => ExprKind::Variable(name, fields),
            ExprKind::Bool(_)
            | ExprKind::Text(_)
            | ExprKind::Escaped(..)
            | ExprKind::Number(_)
            | ExprKind::Nil
            | ExprKind::Dot => {
                let term = quote(term.text(&self.shared.ast).as_bytes());
                return Err(self.error(format_args!("unexpected . after term {term}")));
            }
            _ => ExprKind::Chain(Box::new(term), fields),
        };
        Ok(Some(Expr { at: place(first.start()), kind }))
    }

    fn term(&mut self) -> Result<Option<Expr>, Error> {
        let token = self.next_non_space();
        // A pipeline is where its first token is, not its parenthesis.
        let mut at = place(token.at);
        let kind = match token.kind {
            TokenKind::Identifier => {
                let custom = self.shared.funcs.get(token.value).map(Callee::Custom);
                let callee = custom.or_else(|| builtin::find(token.value));
                ExprKind::Func(callee.ok_or_else(|| self.unknown_function(&token))?)
            }
            TokenKind::Dot => ExprKind::Dot,
            TokenKind::Nil => ExprKind::Nil,
            TokenKind::Variable => {
                if !self.variables.contains(&token.value) {
                    let name = quote(token.value.as_bytes());
                    return Err(self.error(format_args!("undefined variable {name}")));
                }
                ExprKind::Variable(token.span(), Span::default())
            }
            TokenKind::Field => ExprKind::Field(token.span()),
            TokenKind::Bool => ExprKind::Bool(token.value == "true"),
            TokenKind::CharConstant | TokenKind::Complex | TokenKind::Number => {
                let number = match token.kind {
                    TokenKind::CharConstant => number::char_constant(token.value),
                    TokenKind::Complex => number::complex(token.value),
                    _ => number::number(token.value),
                };
                ExprKind::Number(Box::new(number.map_err(|message| self.error(message))?))
            }
            TokenKind::LeftParen => {
                let pipe = self.nested(|tree| tree.pipeline("parenthesized pipeline", TokenKind::RightParen))?;
                at = pipe.at;
                ExprKind::Pipe(self.shared.ast.add_pipe(pipe))
            }
            TokenKind::String | TokenKind::RawString => self.literal(&token)?,
            _ => {
                self.back(token);
                return Ok(None);
            }
        };
        Ok(Some(Expr { at, kind }))
    }

    /// A quoted string; one without escapes is part of the template's text.
    fn literal(&self, token: &Token<'_>) -> Result<ExprKind, Error> {
        let inner = Span::new(token.at + 1, (token.at + token.value.len()).saturating_sub(1));
        if token.value.len() >= 2 && !self.shared.source.get(inner).contains(['\\', '\r', '\n']) {
            return Ok(ExprKind::Text(inner));
        }
        let text = unquote(token.value).ok_or_else(|| self.error("invalid syntax"))?;
        Ok(ExprKind::Escaped(Box::new(Str::from(text.as_ref())), token.span()))
    }
}
