//! Pipelines, commands and operands.

use super::{Error, Tree, number, quote, unquote};
use crate::ast::{Callee, Command, Expr, ExprKind, Literal, Pipe, Variable};
use crate::builtin;
use crate::lex::{Token, TokenKind};

impl Tree<'_, '_> {
    /// `$v := command | command`, up to `end`.
    pub(super) fn pipeline(&mut self, context: &str, end: TokenKind) -> Result<Pipe, Error> {
        let at = self.peek_non_space().at;
        let mut pipe = Pipe { at, decl: Vec::new(), assign: false, commands: Vec::new() };
        self.declarations(&mut pipe, context)?;
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
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                _ => return Err(self.unexpected(&token, context)),
            }
        }
        if pipe.commands.is_empty() {
            return Err(self.error(format_args!("missing value for {context}")));
        }
        for (index, command) in pipe.commands.iter().enumerate().skip(1) {
            // A constant can't take what comes down the pipe.
            if let Some(ExprKind::Bool(_) | ExprKind::Dot | ExprKind::Nil | ExprKind::Number(_) | ExprKind::Text(_)) =
                command.args.first().map(|first| &first.kind)
            {
                return Err(self.error(format_args!("non executable command in pipeline stage {}", index + 1)));
            }
        }
        Ok(pipe)
    }

    /// `$v :=`, `$v =`, `$i, $v :=`; nothing if the variable is an operand.
    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Result<(), Error> {
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
                return Ok(());
            }
            let name = variable.value.into_owned();
            self.variables.push(name.clone());
            pipe.decl.push(Variable { name });
            if !is_comma {
                pipe.assign = next.kind == TokenKind::Assign;
                return Ok(());
            }
            if context != "range" || pipe.decl.len() >= 2 {
                return Err(self.error(format_args!("too many declarations in {context}")));
            }
            if !matches!(
                self.peek_non_space().kind,
                TokenKind::Variable | TokenKind::RightDelim | TokenKind::RightParen
            ) {
                return Err(self.error("range can only initialize variables"));
            }
        }
        Ok(())
    }

    /// Operands up to a pipe or the end of the pipeline.
    fn command(&mut self) -> Result<Command, Error> {
        let at = self.peek_non_space().at;
        let mut args = Vec::new();
        loop {
            self.peek_non_space();
            args.extend(self.operand()?);
            let token = self.next();
            match token.kind {
                TokenKind::Space => continue,
                TokenKind::RightDelim | TokenKind::RightParen => self.back(token),
                TokenKind::Pipe => {}
                _ => return Err(self.unexpected(&token, "operand")),
            }
            break;
        }
        if args.is_empty() {
            return Err(self.error("empty command"));
        }
        Ok(Command { at, args })
    }

    /// A term and the fields behind it.
    fn operand(&mut self) -> Result<Option<Expr>, Error> {
        let Some(term) = self.term()? else { return Ok(None) };
        if self.peek().kind != TokenKind::Field {
            return Ok(Some(term));
        }
        let at = self.peek().at;
        let mut fields = Vec::new();
        while self.peek().kind == TokenKind::Field {
            fields.push(field_name(&self.next()));
        }
        let kind = match term.kind {
            ExprKind::Field(mut path) => {
                path.append(&mut fields);
                ExprKind::Field(path)
            }
            ExprKind::Variable(name, mut path) => {
                path.append(&mut fields);
                ExprKind::Variable(name, path)
            }
            ExprKind::Bool(_) | ExprKind::Text(_) | ExprKind::Number(_) | ExprKind::Nil | ExprKind::Dot => {
                let term = quote(term.to_string().as_bytes());
                return Err(self.error(format_args!("unexpected . after term {term}")));
            }
            _ => ExprKind::Chain(Box::new(term), fields),
        };
        Ok(Some(Expr { at, kind }))
    }

    fn term(&mut self) -> Result<Option<Expr>, Error> {
        let token = self.next_non_space();
        let kind = match token.kind {
            TokenKind::Identifier => {
                let custom = self.shared.funcs.get(&token.value).map(Callee::Custom);
                let callee = custom.or_else(|| builtin::find(&token.value));
                ExprKind::Func(callee.ok_or_else(|| self.unknown_function(&token))?)
            }
            TokenKind::Dot => ExprKind::Dot,
            TokenKind::Nil => ExprKind::Nil,
            TokenKind::Variable => {
                if !self.variables.iter().any(|name| *name == token.value) {
                    let name = quote(token.value.as_bytes());
                    return Err(self.error(format_args!("undefined variable {name}")));
                }
                ExprKind::Variable(token.value.to_string(), Vec::new())
            }
            TokenKind::Field => ExprKind::Field(vec![field_name(&token)]),
            TokenKind::Bool => ExprKind::Bool(token.value == "true"),
            TokenKind::CharConstant | TokenKind::Complex | TokenKind::Number => {
                let number = match token.kind {
                    TokenKind::CharConstant => number::char_constant(&token.value),
                    TokenKind::Complex => number::complex(&token.value),
                    _ => number::number(&token.value),
                };
                ExprKind::Number(Box::new(number.map_err(|message| self.error(message))?))
            }
            TokenKind::LeftParen => ExprKind::Pipe(Box::new(
                self.nested(|tree| tree.pipeline("parenthesized pipeline", TokenKind::RightParen))?,
            )),
            TokenKind::String | TokenKind::RawString => {
                let text = unquote(&token.value).ok_or_else(|| self.error("invalid syntax"))?;
                ExprKind::Text(Box::new(Literal { quoted: token.value.to_string(), text }))
            }
            _ => {
                self.back(token);
                return Ok(None);
            }
        };
        let at = match &kind {
            // A pipeline is where its first token is, not its parenthesis.
            ExprKind::Pipe(pipe) => pipe.at,
            _ => token.at,
        };
        Ok(Some(Expr { at, kind }))
    }
}

fn field_name(token: &Token<'_>) -> String {
    token.value.strip_prefix('.').unwrap_or(&token.value).to_owned()
}
