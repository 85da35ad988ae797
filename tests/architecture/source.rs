//! Reads Rust files as far as imports go: modules, `use` declarations and paths, with no compiler.

use std::collections::{BTreeMap, BTreeSet};

/// A word or a sign of Rust source; `::` is one sign. Comments, strings and characters are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Sign(char),
    Path,
}

impl Token {
    fn is(&self, word: &str) -> bool {
        matches!(self, Token::Word(w) if w == word)
    }

    fn word(&self) -> Option<&str> {
        match self {
            Token::Word(word) => Some(word),
            _ => None,
        }
    }
}

/// One module: a file, or a `mod name { … }` within one.
#[derive(Debug, Default)]
pub struct Module {
    /// `crate`, or `crate` of the program as `bin`, and the names below it.
    pub path: Vec<String>,
    /// The file it stands in.
    pub file: String,
    /// Compiled for tests only.
    pub test: bool,
    /// What `use` brings in.
    pub uses: Vec<Use>,
    /// Paths of two words or more in the code itself; whether tests alone name them.
    pub paths: BTreeSet<(Vec<String>, bool)>,
    /// Words of the code outside `use`; whether tests alone say them.
    pub words: BTreeSet<(String, bool)>,
    /// Items at the module's top.
    pub defined: BTreeSet<String>,
    /// `mod name;` or `mod name { … }`, and whether it is for tests only.
    pub children: BTreeMap<String, bool>,
}

/// One name that a `use` declaration brings in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// The whole path.
    pub path: Vec<String>,
    /// What it is called from here on: `*` for everything.
    pub name: String,
    /// Handed on by `pub`.
    pub public: bool,
    /// In code for tests only.
    pub test: bool,
}

/// The modules of a file whose own module has this path.
pub fn modules(file: &str, path: &[String], source: &str) -> Vec<Module> {
    let mut reader = Reader { file: file.into(), found: Vec::new() };
    reader.module(&tokens(source), path.to_vec(), false);
    reader.found
}

struct Reader {
    file: String,
    found: Vec<Module>,
}

impl Reader {
    fn module(&mut self, tokens: &[Token], path: Vec<String>, test: bool) {
        let mut module = Module { path, file: self.file.clone(), test, ..Module::default() };
        self.items(&mut module, tokens, test);
        self.found.push(module);
    }

    /// Reads what stands between a module's braces, or one item of it.
    fn items(&mut self, module: &mut Module, tokens: &[Token], test: bool) {
        let (mut at, mut depth) = (0, 0usize);
        while let Some(token) = tokens.get(at) {
            let next = tokens.get(at + 1);
            match token {
                Token::Sign('#') if next == Some(&Token::Sign('[')) => {
                    let end = close(tokens, at + 1);
                    if for_tests(&tokens[at..end]) {
                        let item = item_end(tokens, end);
                        self.items(module, &tokens[end..item], true);
                        at = item;
                    } else {
                        at = end;
                    }
                    continue;
                }
                Token::Sign('{') => depth += 1,
                Token::Sign('}') => depth = depth.saturating_sub(1),
                Token::Word(word) if word == "use" && next != Some(&Token::Sign('<')) => {
                    let end = tokens[at..].iter().position(|t| *t == Token::Sign(';'));
                    let end = at + end.unwrap_or(tokens.len() - at);
                    let public = is_public(&tokens[..at]);
                    for (path, name) in use_tree(&tokens[at + 1..end], &[]) {
                        module.uses.push(Use { path, name, public, test });
                    }
                    at = end;
                    continue;
                }
                Token::Word(word) if word == "mod" && depth == 0 => {
                    if let Some(name) = next.and_then(Token::word) {
                        module.children.insert(name.into(), test);
                        if tokens.get(at + 2) == Some(&Token::Sign('{')) {
                            let end = close(tokens, at + 2);
                            let path = [&module.path[..], &[name.to_string()]].concat();
                            self.module(&tokens[at + 3..end.max(at + 4) - 1], path, test);
                            at = end;
                            continue;
                        }
                    }
                }
                Token::Word(word) => {
                    module.words.insert((word.clone(), test));
                    if next == Some(&Token::Path) {
                        let mut path = inline_path(&tokens[at..]);
                        module.words.extend(path.iter().map(|word| (word.clone(), test)));
                        let begin = at;
                        at += 2 * path.len() - 1;
                        if is_outside(&tokens[..begin]) {
                            path.insert(0, OUTSIDE.into());
                        }
                        if path.len() > 1 {
                            module.paths.insert((path, test));
                        }
                        continue;
                    }
                    if depth == 0 {
                        module.defined.extend(defined(word, &tokens[at + 1..]));
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }
}

/// The first name of a path such as `::wgpu::Buffer`, which never leads into the crate itself.
pub const OUTSIDE: &str = "::";

/// Whether a path whose first word comes after these tokens begins with `::`.
fn is_outside(before: &[Token]) -> bool {
    let mut back = before.iter().rev();
    back.next() == Some(&Token::Path) && !matches!(back.next(), Some(Token::Word(_) | Token::Sign('>')))
}

/// The name of the item that begins with this keyword.
fn defined(keyword: &str, after: &[Token]) -> Option<String> {
    const ITEMS: [&str; 9] =
        ["fn", "struct", "enum", "trait", "type", "const", "static", "union", "macro_rules"];
    let skip = |token: &&Token| ["mut", "unsafe", "async", "fn"].iter().any(|word| token.is(word));
    let mut after = after.iter().skip_while(|token| **token == Token::Sign('!') || skip(token));
    ITEMS.contains(&keyword).then(|| after.next()?.word().map(String::from))?
}

/// `a::b::C` at the head of these tokens.
fn inline_path(tokens: &[Token]) -> Vec<String> {
    let mut path = Vec::new();
    for pair in tokens.chunks(2) {
        match pair {
            [Token::Word(word), Token::Path] => path.push(word.clone()),
            [Token::Word(word), ..] => {
                path.push(word.clone());
                break;
            }
            _ => break,
        }
    }
    path
}

/// The names that a tree such as `a::{b, c::{self, D as E}, f::*}` brings in.
fn use_tree(tokens: &[Token], before: &[String]) -> Vec<(Vec<String>, String)> {
    let mut path = before.to_vec();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token {
            Token::Sign('*') => return vec![(path, "*".into())],
            Token::Sign('{') => {
                let inside = &tokens[at + 1..close(tokens, at) - 1];
                return split(inside).into_iter().flat_map(|part| use_tree(part, &path)).collect();
            }
            Token::Word(word) if word == "as" => {
                let name = tokens.get(at + 1).and_then(Token::word).unwrap_or("_").to_string();
                return vec![(path, name)];
            }
            Token::Word(word) if word == "self" && !path.is_empty() => {}
            Token::Word(word) => path.push(word.clone()),
            _ => {}
        }
        at += 1;
    }
    let name = path.last().cloned();
    name.map(|name| (path, name)).into_iter().collect()
}

/// Parts between commas that stand in no braces of their own.
fn split(tokens: &[Token]) -> Vec<&[Token]> {
    let (mut depth, mut parts, mut begin) = (0usize, Vec::new(), 0);
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Sign('{') => depth += 1,
            Token::Sign('}') => depth -= 1,
            Token::Sign(',') if depth == 0 => {
                parts.push(&tokens[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&tokens[begin..]);
    parts.retain(|part| !part.is_empty());
    parts
}

/// Whether `pub`, or `pub(crate)` and the like, ends these tokens.
fn is_public(before: &[Token]) -> bool {
    let mut back = before.iter().rev();
    match back.next() {
        Some(Token::Sign(')')) => {
            back.any(|t| *t == Token::Sign('(')) && back.next().is_some_and(|t| t.is("pub"))
        }
        last => last.is_some_and(|t| t.is("pub")),
    }
}

/// Whether an attribute keeps its item for tests: `#[cfg(test)]`, `#[cfg(all(test, …))]`.
fn for_tests(attribute: &[Token]) -> bool {
    let not = |part: &[Token]| part[0].is("not") && part[2].is("test");
    attribute.get(2).is_some_and(|t| t.is("cfg"))
        && attribute.iter().any(|t| t.is("test"))
        && !attribute.windows(3).any(not)
}

/// The index behind the item, or statement, that begins here (behind its attributes).
fn item_end(tokens: &[Token], begin: usize) -> usize {
    let (mut at, mut depth) = (begin, 0usize);
    while let Some(token) = tokens.get(at) {
        match token {
            Token::Sign('(' | '[') => depth += 1,
            Token::Sign(')' | ']') => depth = depth.saturating_sub(1),
            Token::Sign('{') => {
                let end = close(tokens, at);
                // A tree of imports ends with `;`, an item's body with its brace.
                if depth == 0 && tokens.get(end) != Some(&Token::Sign(';')) {
                    return end;
                }
                at = end;
                continue;
            }
            Token::Sign(';') if depth == 0 => return at + 1,
            _ => {}
        }
        at += 1;
    }
    at
}

/// The index behind the bracket that closes the one at `open`.
fn close(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token {
            Token::Sign('(' | '[' | '{') => depth += 1,
            Token::Sign(')' | ']' | '}') => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    tokens.len()
}

fn tokens(source: &str) -> Vec<Token> {
    let text: Vec<char> = source.chars().collect();
    let (mut at, mut found) = (0, Vec::new());
    let char_at = |i: usize| text.get(i).copied().unwrap_or('\0');
    while at < text.len() {
        let c = text[at];
        if c == '/' && char_at(at + 1) == '/' {
            while at < text.len() && text[at] != '\n' {
                at += 1;
            }
        } else if c == '/' && char_at(at + 1) == '*' {
            at = block_comment_end(&text, at);
        } else if let Some(end) = string_end(&text, at) {
            at = end;
        } else if c == '\'' {
            at = quote_end(&text, at);
        } else if c.is_alphanumeric() || c == '_' {
            let end = (at..).find(|i| !(char_at(*i).is_alphanumeric() || char_at(*i) == '_')).unwrap_or(at);
            found.push(Token::Word(text[at..end].iter().collect()));
            at = end;
        } else if c == ':' && char_at(at + 1) == ':' {
            found.push(Token::Path);
            at += 2;
        } else {
            if !c.is_whitespace() {
                found.push(Token::Sign(c));
            }
            at += 1;
        }
    }
    found
}

fn block_comment_end(text: &[char], begin: usize) -> usize {
    let (mut at, mut depth) = (begin, 0usize);
    while at < text.len() {
        match text[at..] {
            ['/', '*', ..] => depth += 1,
            ['*', '/', ..] => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            break;
        }
    }
    at
}

/// The index behind a string that begins here: `"…"`, `b"…"`, `r#"…"#`.
fn string_end(text: &[char], begin: usize) -> Option<usize> {
    let word = |c: &char| c.is_alphanumeric() || *c == '_';
    if begin > 0 && word(&text[begin - 1]) && text[begin] != '"' {
        return None;
    }
    let mut at = begin;
    while at < begin + 2 && matches!(text.get(at), Some('b' | 'c')) {
        at += 1;
    }
    let raw = text.get(at) == Some(&'r');
    at += usize::from(raw);
    let marks = if raw { text[at..].iter().take_while(|c| **c == '#').count() } else { 0 };
    at += marks;
    if text.get(at) != Some(&'"') {
        return None;
    }
    at += 1;
    while at < text.len() {
        match text[at] {
            '\\' if !raw => at += 1,
            '"' if text[at + 1..].iter().take(marks).filter(|c| **c == '#').count() == marks => {
                return Some(at + 1 + marks);
            }
            _ => {}
        }
        at += 1;
    }
    Some(at)
}

/// The index behind a character, or behind the mark of a lifetime.
fn quote_end(text: &[char], begin: usize) -> usize {
    match text.get(begin + 1) {
        Some('\\') => (begin + 3..text.len()).find(|i| text[*i] == '\'').map_or(text.len(), |i| i + 1),
        Some(_) if text.get(begin + 2) == Some(&'\'') => begin + 3,
        _ => begin + 1,
    }
}
