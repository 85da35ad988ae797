//! From modules to the graph of imports between files.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::source::{Module, OUTSIDE, modules};

/// One file needs another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    /// The file that names something.
    pub from: String,
    /// The file that defines it.
    pub to: String,
    /// Only tests in `from` name it.
    pub test: bool,
}

/// All modules of a library and of the program beside it.
pub struct Tree {
    modules: BTreeMap<Vec<String>, Module>,
    /// What the program calls the library.
    library: String,
}

/// What a path leads to.
enum Target {
    /// A module, by its path.
    Module(Vec<String>),
    /// Something that a file defines.
    Item(String),
}

/// Longest chain of re-exports that is followed.
const DEPTH: usize = 8;

impl Tree {
    /// From files, each with its path below the source folder. `main.rs` and what only it declares is a
    /// program, which calls the library by its name.
    pub fn new(files: &[(String, String)], library: &str) -> Self {
        let program: Vec<String> = files
            .iter()
            .find(|(file, _)| file == "main.rs")
            .map(|(file, source)| modules(file, &["bin".into()], source))
            .and_then(|modules| Some(modules.last()?.children.keys().cloned().collect()))
            .unwrap_or_default();
        let mut found = BTreeMap::new();
        for (file, source) in files {
            for module in modules(file, &module_path(file, &program), source) {
                found.insert(module.path.clone(), module);
            }
        }
        let mut tree = Tree { modules: found, library: library.into() };
        tree.mark_tests();
        tree
    }

    /// What a module for tests declares is for tests too.
    fn mark_tests(&mut self) {
        let all: Vec<Vec<String>> = self.modules.keys().cloned().collect();
        // Parents come before their children.
        for path in all {
            let Some((name, parent)) = path.split_last() else { continue };
            let test = self
                .modules
                .get(parent)
                .is_some_and(|parent| parent.test || parent.children.get(name) == Some(&true));
            if test && let Some(module) = self.modules.get_mut(&path) {
                module.test = true;
            }
        }
    }

    /// Every import of one file by another.
    pub fn imports(&self) -> BTreeSet<Import> {
        let mut found: BTreeMap<(String, String), bool> = BTreeMap::new();
        for module in self.modules.values() {
            for (to, test) in self.needs(module) {
                if to != module.file {
                    let test = test || module.test;
                    found.entry((module.file.clone(), to)).and_modify(|t| *t &= test).or_insert(test);
                }
            }
        }
        found.into_iter().map(|((from, to), test)| Import { from, to, test }).collect()
    }

    /// Files that name this crate of others, outside tests.
    pub fn files_that_name(&self, outside: &str) -> BTreeSet<String> {
        let named = |module: &&Module| {
            let here = self.lookup(module, outside, DEPTH).is_some();
            let first = |path: &[String]| match path {
                [mark, word, ..] if mark == OUTSIDE => word == outside,
                [word, ..] => word == outside && !here,
                [] => false,
            };
            module.uses.iter().any(|u| !u.test && first(&u.path))
                || module.paths.iter().any(|(path, test)| !test && first(path))
        };
        let modules = self.modules.values().filter(|module| !module.test);
        modules.filter(named).map(|module| module.file.clone()).collect()
    }

    /// The files that a module needs, and whether for tests only.
    fn needs(&self, module: &Module) -> Vec<(String, bool)> {
        let mut needed = Vec::new();
        let mut need = |path: &[String], test: bool| {
            if let Some(Target::Item(file)) = self.resolve(module, path, DEPTH) {
                needed.push((file, test));
            }
        };
        for (path, test) in &module.paths {
            need(path, *test);
        }
        let says = |word: &str, test: bool| module.words.contains(&(word.to_string(), test));
        for import in &module.uses {
            if import.name == "*" {
                let Some(Target::Module(of)) = self.resolve(module, &import.path, DEPTH) else { continue };
                for (word, test) in module.words.iter().filter(|_| !import.public) {
                    let whole = [&import.path[..], std::slice::from_ref(word)].concat();
                    if self.modules.get(&of).is_some_and(|of| self.has(of, word)) {
                        need(&whole, *test || import.test);
                    }
                }
            } else if !import.public || says(&import.name, false) {
                // A name that is only handed on is no import: whoever asks for it is led to its file.
                need(&import.path, import.test);
            }
        }
        needed
    }

    fn has(&self, module: &Module, word: &str) -> bool {
        module.defined.contains(word)
            || module.uses.iter().any(|u| u.name == word)
            || module.children.contains_key(word)
    }

    /// Follows a path from a module to the file that defines what it names; nothing for what lies outside.
    fn resolve(&self, from: &Module, path: &[String], depth: usize) -> Option<Target> {
        let (first, mut rest) = path.split_first()?;
        let depth = depth.checked_sub(1)?;
        let mut at = match first.as_str() {
            "crate" => from.path[..1].to_vec(),
            "self" => from.path.clone(),
            "super" => from.path.split_last()?.1.to_vec(),
            name if name == self.library => vec!["crate".into()],
            name => match self.lookup(from, name, depth)? {
                Target::Module(path) => path,
                item => return Some(item),
            },
        };
        while let Some((name, after)) = rest.split_first() {
            rest = after;
            if name == "super" {
                at.pop();
                continue;
            }
            match self.lookup(self.modules.get(&at)?, name, depth) {
                Some(Target::Module(path)) => at = path,
                Some(item) => return Some(item),
                // A generated name, or one of a macro: the module's own.
                None => {
                    return Some(Target::Item(
                        self.macros(name).unwrap_or(&self.modules.get(&at)?.file).into(),
                    ));
                }
            }
        }
        Some(Target::Module(at))
    }

    /// What a name means in a module.
    fn lookup(&self, module: &Module, name: &str, depth: usize) -> Option<Target> {
        let child = [&module.path[..], &[name.to_string()]].concat();
        if self.modules.contains_key(&child) {
            return Some(Target::Module(child));
        }
        if module.defined.contains(name) {
            return Some(Target::Item(module.file.clone()));
        }
        let depth = depth.checked_sub(1)?;
        if let Some(import) = module.uses.iter().find(|u| u.name == name && u.path != [name]) {
            return self.resolve(module, &import.path, depth);
        }
        let globs = module.uses.iter().filter(|u| u.name == "*");
        let mut found = globs.filter_map(|u| match self.resolve(module, &u.path, depth)? {
            Target::Module(of) => self.lookup(self.modules.get(&of)?, name, depth),
            Target::Item(_) => None,
        });
        found.next()
    }

    /// The file of a macro that stands at the crate's root.
    fn macros(&self, name: &str) -> Option<&str> {
        let defines = |module: &&Module| {
            module.defined.contains(name) && module.words.contains(&("macro_rules".into(), false))
        };
        self.modules.values().find(defines).map(|module| module.file.as_str())
    }
}

/// `model/engine.rs` as `crate::model::engine`.
fn module_path(file: &str, program: &[String]) -> Vec<String> {
    let mut names: Vec<String> = file.trim_end_matches(".rs").split('/').map(String::from).collect();
    if names.last().is_some_and(|name| name == "mod") {
        names.pop();
    }
    match names[..].first().map(String::as_str) {
        Some("lib") => vec!["crate".into()],
        Some("main") => vec!["bin".into()],
        Some(first) if program.iter().any(|name| name == first) => [&["bin".into()], &names[..]].concat(),
        _ => [&["crate".into()], &names[..]].concat(),
    }
}

/// Groups of things that reach each other, each as its shortest circle: `a`, `b`, and back to `a`.
pub fn circles(edges: &BTreeSet<(String, String)>) -> Vec<Vec<String>> {
    let mut next: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (from, to) in edges {
        next.entry(from).or_default().push(to);
    }
    let mut found: Vec<Vec<String>> = Vec::new();
    for begin in next.keys() {
        if let Some(circle) = shortest(&next, begin) {
            let known = |other: &Vec<String>| circle.iter().all(|file| other.contains(file));
            if !found.iter().any(known) {
                found.push(circle);
            }
        }
    }
    found
}

/// The shortest way from a file back to itself.
fn shortest(next: &BTreeMap<&str, Vec<&str>>, begin: &str) -> Option<Vec<String>> {
    let mut came: BTreeMap<&str, &str> = BTreeMap::new();
    let mut queue = VecDeque::from([begin]);
    while let Some(at) = queue.pop_front() {
        for to in next.get(at).into_iter().flatten() {
            if *to == begin {
                let mut circle = vec![at.to_string()];
                let mut back = at;
                while back != begin {
                    back = came[back];
                    circle.push(back.to_string());
                }
                circle.reverse();
                return Some(circle);
            }
            if !came.contains_key(to) {
                came.insert(to, at);
                queue.push_back(to);
            }
        }
    }
    None
}
