//! Tokens to templates. (Go: src/text/template/parse/parse.go)

mod number;
mod pipe;

use std::collections::HashMap;
use std::rc::Rc;

use slipway_gocompat::strconv::{quote, unquote};

use crate::ast::{Ast, Branch, Call, Expr, Id, List, Node, Pipe, Stage, Template};
use crate::budget::{Limit, StackMark};
use crate::builtin;
use crate::error::Error;
use crate::func::FuncMap;
use crate::lex::{Keyword, Lexer, Token, TokenKind};
use crate::source::Source;
use crate::suggest::nearest;

/// Blocks in blocks and parentheses in parentheses; `else if` counts as a block.
const MAX_NESTING: usize = 400;

/// Bytes of the real stack that parsing may use, for builds whose frames are large.
const MAX_STACK: usize = 512 << 10;

/// Parses a text: the templates it defines, the text's own last.
/// Fails at the first mistake.
pub(crate) fn parse(name: &str, text: &str, funcs: &FuncMap) -> Result<Vec<Template>, Error> {
    let source = Source::new(name, text);
    if u32::try_from(text.len()).is_err() {
        return Err(Error::new(format!("template: {name}:1: text is longer than 4 GiB")));
    }
    let (nodes, stages, exprs) = (Vec::new(), Vec::new(), Vec::new());
    let mut shared = Shared {
        nodes,
        stages,
        exprs,
        lexer: Lexer::new(text),
        funcs,
        source: &source,
        ast: Ast::new(source.clone()),
        done: Vec::new(),
        names: HashMap::new(),
        nesting: 0,
        stack: StackMark::here(),
    };
    let mut tree = Tree::new(&mut shared);
    let body = tree.file()?;
    tree.add(name.to_owned(), body)?;
    let ast = Rc::new(shared.ast);
    Ok(shared.done.into_iter().map(|(name, body)| Template { name, body, ast: Rc::clone(&ast) }).collect())
}

/// What all templates of one text share.
struct Shared<'a> {
    lexer: Lexer<'a>,
    funcs: &'a FuncMap,
    source: &'a Source,
    /// What is finished.
    ast: Ast,
    done: Vec<(String, List<Node>)>,
    /// Where in `done` each name is.
    names: HashMap<String, usize>,
    nesting: usize,
    stack: StackMark,
    /// Nodes of unfinished lists, innermost last.
    nodes: Vec<Node>,
    /// Commands of unfinished pipelines.
    stages: Vec<Stage>,
    /// Operands of unfinished commands.
    exprs: Vec<Expr>,
}

/// One template in the making.
struct Tree<'s, 'a> {
    shared: &'s mut Shared<'a>,
    /// Tokens read ahead, the next one last.
    ahead: Vec<Token<'a>>,
    /// Where the last token came from that the lexer gave: errors are reported for its line.
    latest: usize,
    variables: Vec<&'a str>,
    ranges: usize,
    /// Where the action began that is being parsed.
    action_at: Option<usize>,
}

/// What ended a list of nodes.
enum End {
    End,
    Else,
}

impl End {
    fn text(&self) -> &'static str {
        match self {
            Self::End => "{{end}}",
            Self::Else => "{{else}}",
        }
    }
}

/// A node, or what ends the list it would have been in.
enum Item {
    Node(Node),
    End(End),
}

impl<'s, 'a> Tree<'s, 'a> {
    fn new(shared: &'s mut Shared<'a>) -> Self {
        Self { shared, ahead: Vec::new(), latest: 0, variables: vec!["$"], ranges: 0, action_at: None }
    }

    fn next(&mut self) -> Token<'a> {
        self.ahead.pop().unwrap_or_else(|| {
            let token = self.shared.lexer.next();
            self.latest = token.at;
            token
        })
    }

    fn back(&mut self, token: Token<'a>) {
        self.ahead.push(token);
    }

    fn peek(&mut self) -> Token<'a> {
        if let Some(token) = self.ahead.last() {
            return *token;
        }
        let token = self.next();
        self.back(token);
        token
    }

    fn next_non_space(&mut self) -> Token<'a> {
        loop {
            let token = self.next();
            if token.kind != TokenKind::Space {
                return token;
            }
        }
    }

    fn peek_non_space(&mut self) -> Token<'a> {
        loop {
            let token = self.peek();
            if token.kind != TokenKind::Space {
                return token;
            }
            self.ahead.pop();
        }
    }

    fn line(&self, at: usize) -> usize {
        self.shared.source.line_column(at).0
    }

    fn error(&self, message: impl std::fmt::Display) -> Error {
        let source = self.shared.source;
        Error::new(format!("template: {}:{}: {message}", source.name(), self.line(self.latest))).at(
            source,
            self.latest,
            1,
        )
    }

    fn expect(&mut self, kind: TokenKind, context: &str) -> Result<Token<'a>, Error> {
        let token = self.next_non_space();
        if token.kind == kind { Ok(token) } else { Err(self.unexpected(&token, context)) }
    }

    fn unexpected(&self, token: &Token<'_>, context: &str) -> Error {
        if token.kind != TokenKind::Error {
            return self.error(format_args!("unexpected {} in {context}", describe(token)));
        }
        let mut message = self.shared.lexer.message().to_owned();
        if let Some(line) = self.action_at.map(|at| self.line(at)).filter(|line| *line != self.line(token.at)) {
            let what = if message.ends_with(" action") { "" } else { " in action" };
            message = format!("{message}{what} started at {}:{line}", self.shared.source.name());
        }
        self.error(message)
    }

    /// Runs `parse` one level further in. Fails beyond the limit.
    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        self.check_nesting(0)?;
        self.shared.nesting += 1;
        let result = parse(self);
        self.shared.nesting -= 1;
        result
    }

    /// Fails if the nesting, and some levels more, is too deep.
    fn check_nesting(&self, more: usize) -> Result<(), Error> {
        if self.shared.nesting + more < MAX_NESTING && self.shared.stack.used() < MAX_STACK {
            return Ok(());
        }
        let limit = Limit::Nesting(MAX_NESTING);
        Err(self.error(limit).limited(Some(limit)))
    }

    fn add(&mut self, name: String, body: List<Node>) -> Result<(), Error> {
        let Shared { ast, done, names, .. } = &mut *self.shared;
        if let Some((_, old)) = names.get(&name).and_then(|place| done.get_mut(*place)) {
            if ast.is_blank(*old) {
                *old = body;
            } else if !ast.is_blank(body) {
                let name = quote(name.as_bytes());
                return Err(self.error(format_args!("template: multiple definition of template {name}")));
            }
            return Ok(());
        }
        names.insert(name.clone(), done.len());
        done.push((name, body));
        Ok(())
    }

    /// The unfinished nodes from `mark` on are a list.
    fn finish_nodes(&mut self, mark: usize) -> List<Node> {
        let Shared { ast, nodes, .. } = &mut *self.shared;
        ast.add_nodes(nodes.drain(mark..))
    }

    /// The whole text, with the `define`s in it.
    fn file(&mut self) -> Result<List<Node>, Error> {
        loop {
            let token = self.next();
            match token.kind {
                TokenKind::Eof => return Ok(self.finish_nodes(0)),
                TokenKind::LeftDelim => {
                    let first = self.next_non_space();
                    if first.kind == TokenKind::Keyword(Keyword::Define) {
                        Tree::new(self.shared).definition()?;
                        continue;
                    }
                    self.back(first);
                    self.back(token);
                }
                _ => self.back(token),
            }
            match self.text_or_action()? {
                Item::Node(node) => self.shared.nodes.push(node),
                Item::End(end) => return Err(self.error(format_args!("unexpected {}", end.text()))),
            }
        }
    }

    fn definition(&mut self) -> Result<(), Error> {
        let context = "define clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, context)?;
        self.expect(TokenKind::RightDelim, context)?;
        let body = self.body_to_end(context)?;
        self.add(name, body)
    }

    fn body_to_end(&mut self, context: &str) -> Result<List<Node>, Error> {
        match self.list()? {
            (body, End::End) => Ok(body),
            (_, end) => Err(self.error(format_args!("unexpected {} in {context}", end.text()))),
        }
    }

    fn template_name(&mut self, token: &Token<'_>, context: &str) -> Result<String, Error> {
        if !matches!(token.kind, TokenKind::String | TokenKind::RawString) {
            return Err(self.unexpected(token, context));
        }
        let name = unquote(token.value).ok_or_else(|| self.error("invalid syntax"))?;
        Ok(String::from_utf8_lossy(&name).into_owned())
    }

    /// Nodes up to `end` or `else`.
    fn list(&mut self) -> Result<(List<Node>, End), Error> {
        let mark = self.shared.nodes.len();
        while self.peek_non_space().kind != TokenKind::Eof {
            match self.text_or_action()? {
                Item::Node(node) => self.shared.nodes.push(node),
                Item::End(end) => return Ok((self.finish_nodes(mark), end)),
            }
        }
        Err(self.error("unexpected EOF"))
    }

    fn text_or_action(&mut self) -> Result<Item, Error> {
        let token = self.next_non_space();
        match token.kind {
            TokenKind::Text => Ok(Item::Node(Node::Text(token.span()))),
            TokenKind::LeftDelim => {
                self.action_at = Some(token.at);
                let item = self.nested(Self::action);
                self.action_at = None;
                item
            }
            _ => Err(self.unexpected(&token, "input")),
        }
    }

    fn action(&mut self) -> Result<Item, Error> {
        let token = self.next_non_space();
        let node = match token.kind {
            TokenKind::Keyword(Keyword::Block) => self.block()?,
            TokenKind::Keyword(Keyword::Break) => self.loop_control("{{break}}", Node::Break)?,
            TokenKind::Keyword(Keyword::Continue) => self.loop_control("{{continue}}", Node::Continue)?,
            TokenKind::Keyword(Keyword::Else) => {
                let next = self.peek_non_space().kind;
                // `else if` and `else with` are for the block to see.
                if !matches!(next, TokenKind::Keyword(Keyword::If | Keyword::With)) {
                    self.expect(TokenKind::RightDelim, "else")?;
                }
                return Ok(Item::End(End::Else));
            }
            TokenKind::Keyword(Keyword::End) => {
                self.expect(TokenKind::RightDelim, "end")?;
                return Ok(Item::End(End::End));
            }
            TokenKind::Keyword(Keyword::If) => Node::If(self.branch("if")?),
            TokenKind::Keyword(Keyword::Range) => Node::Range(self.branch("range")?),
            TokenKind::Keyword(Keyword::Template) => self.template()?,
            TokenKind::Keyword(Keyword::With) => Node::With(self.branch("with")?),
            _ => {
                self.back(token);
                Node::Action(self.pipeline("command", TokenKind::RightDelim)?)
            }
        };
        Ok(Item::Node(node))
    }

    fn loop_control(&mut self, name: &str, node: Node) -> Result<Node, Error> {
        self.expect(TokenKind::RightDelim, name)?;
        if self.ranges == 0 {
            return Err(self.error(format_args!("{name} outside {{{{range}}}}")));
        }
        Ok(node)
    }

    /// What follows `if`, `with` or `range`, up to its `end`, which it shares with every `else if` on the way.
    fn branch(&mut self, context: &str) -> Result<Id<Branch>, Error> {
        let outer = self.variables.len();
        let mut chain = Vec::new();
        let mut otherwise = loop {
            let pipe = self.pipeline(context, TokenKind::RightDelim)?;
            let is_range = usize::from(context == "range");
            self.ranges += is_range;
            let (body, end) = self.list()?;
            self.ranges -= is_range;
            chain.push((pipe, body));
            if let End::End = end {
                break None;
            }
            let same_again = match self.peek().kind {
                TokenKind::Keyword(Keyword::If) => context == "if",
                TokenKind::Keyword(Keyword::With) => context == "with",
                _ => false,
            };
            if !same_again {
                let (body, end) = self.list()?;
                if let End::Else = end {
                    return Err(self.error(format_args!("expected end; found {}", end.text())));
                }
                break Some(body);
            }
            self.check_nesting(chain.len())?;
            self.next();
        };
        self.variables.truncate(outer);
        // `else if` is an `if` in an `else`.
        while let Some((pipe, body)) = chain.pop() {
            let branch = self.shared.ast.add_branch(Branch { pipe, body, otherwise });
            if chain.is_empty() {
                return Ok(branch);
            }
            let node = if context == "if" { Node::If(branch) } else { Node::With(branch) };
            otherwise = Some(self.shared.ast.add_nodes(std::iter::once(node)));
        }
        Err(self.error(format_args!("missing value for {context}")))
    }

    /// `block` is `define` and `template` in one.
    fn block(&mut self) -> Result<Node, Error> {
        let context = "block clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, context)?;
        let pipe = self.pipeline(context, TokenKind::RightDelim)?;
        let mut tree = Tree::new(self.shared);
        let body = tree.body_to_end(context)?;
        tree.add(name.clone(), body)?;
        Ok(Node::Template(Box::new(Call { at: token.at, name, pipe: Some(pipe) })))
    }

    fn template(&mut self) -> Result<Node, Error> {
        let context = "template clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, context)?;
        let next = self.next_non_space();
        let pipe: Option<Pipe> = if next.kind == TokenKind::RightDelim {
            None
        } else {
            self.back(next);
            Some(self.pipeline(context, TokenKind::RightDelim)?)
        };
        Ok(Node::Template(Box::new(Call { at: token.at, name, pipe })))
    }

    /// A function that does not exist, with the names that come near.
    fn unknown_function(&self, token: &Token<'_>) -> Error {
        let names = self.shared.funcs.names().chain(builtin::names());
        let hint = nearest(token.value, names).map(|near| format!("did you mean the function `{near}`?"));
        let name = quote(token.value.as_bytes());
        let source = self.shared.source;
        self.error(format_args!("function {name} not defined")).at(source, token.at, token.value.len()).hint(hint)
    }
}

/// Go's `%s` of a token.
fn describe(token: &Token<'_>) -> String {
    let value = token.value;
    match token.kind {
        TokenKind::Eof => "EOF".into(),
        TokenKind::Error => value.into(),
        TokenKind::Keyword(_) | TokenKind::Dot | TokenKind::Nil => format!("<{value}>"),
        _ if value.len() > 10 => {
            let start: String = value.chars().take(10).collect();
            format!("{}...", quote(start.as_bytes()))
        }
        _ => quote(value.as_bytes()),
    }
}
