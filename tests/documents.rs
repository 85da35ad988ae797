//! What the documents say of the tree is true: paths, links, sections of the specification, lengths.

use std::fs;
use std::path::Path;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A text of the tree, by its path from the root.
struct Text {
    path: String,
    text: String,
}

impl Text {
    fn is(&self, extensions: &[&str]) -> bool {
        extensions.iter().any(|e| self.path.ends_with(&format!(".{e}")))
    }
}

/// Paths that `.gitignore` names: what builds and tests leave behind.
fn ignored(path: &str) -> bool {
    let rules = fs::read_to_string(Path::new(ROOT).join(".gitignore")).expect(".gitignore reads");
    path.split('/').any(|part| part == ".git")
        || rules.lines().any(|rule| match rule.strip_prefix('/') {
            Some(rule) => path == rule || path.starts_with(&format!("{rule}/")),
            None => path.split('/').any(|part| part == rule),
        })
}

/// Every path of the tree (folders end with `/`), without a need for git.
fn tree() -> Vec<String> {
    fn walk(folder: &str, list: &mut Vec<String>) {
        for entry in fs::read_dir(Path::new(ROOT).join(folder)).expect("the tree lists") {
            let entry = entry.expect("the tree lists");
            let path = format!("{folder}{}", entry.file_name().to_string_lossy());
            if ignored(&path) {
                continue;
            }
            if entry.file_type().expect("has a type").is_dir() {
                list.push(format!("{path}/"));
                walk(&format!("{path}/"), list);
            } else {
                list.push(path);
            }
        }
    }
    let mut list = Vec::new();
    walk("", &mut list);
    list
}

/// Every text of the tree; other files hold no UTF-8.
fn texts() -> Vec<Text> {
    let read = |path: &String| fs::read_to_string(Path::new(ROOT).join(path)).ok();
    let files = tree().into_iter().filter(|path| !path.ends_with('/'));
    files.filter_map(|path| read(&path).map(|text| Text { path, text })).collect()
}

/// Whether a path fits a pattern in which `*` and `<name>` stand for any part of a name.
fn fits(path: &str, pattern: &str) -> bool {
    let Some(at) = pattern.find(['*', '<']) else { return path == pattern };
    let rest = if pattern[at..].starts_with('<') {
        pattern[at..].split_once('>').map_or("", |(_, rest)| rest)
    } else {
        &pattern[at + 1..]
    };
    let Some(tail) = path.strip_prefix(&pattern[..at]) else { return false };
    let within = tail.find('/').unwrap_or(tail.len());
    (0..=within).filter(|i| tail.is_char_boundary(*i)).any(|i| fits(&tail[i..], rest))
}

/// Words in backticks that are paths: they begin in a folder of the root, or end as our sources do.
fn paths<'a>(text: &'a str, tree: &'a [String]) -> impl Iterator<Item = &'a str> {
    let code = text.split('`').skip(1).step_by(2).flat_map(str::split_whitespace);
    let words =
        code.map(|word| word.trim_matches(|c| "…,.:;()[]\"'".contains(c) && c != '.').trim_end_matches('.'));
    words.filter(|word| {
        let root = |folder: &String| folder.matches('/').count() == 1 && word.starts_with(folder.as_str());
        let source = [".rs", ".wgsl"].iter().any(|end| word.len() > end.len() && word.ends_with(end));
        !ignored(word) && (source || tree.iter().filter(|path| path.ends_with('/')).any(root))
    })
}

/// Whether a file or folder of the tree has this path, or ends with it where it is no path from the root.
fn exists(word: &str, tree: &[String]) -> bool {
    tree.iter().any(|path| {
        let path = path.trim_end_matches('/');
        let tails = path.match_indices('/').map(|(i, _)| &path[i + 1..]);
        [path].into_iter().chain(tails).any(|tail| fits(tail, word.trim_end_matches('/')))
    })
}

#[test]
fn every_path_in_a_document_exists() {
    let tree = tree();
    let mut missing = Vec::new();
    for document in texts().iter().filter(|text| text.is(&["md"])) {
        for path in paths(&document.text, &tree).filter(|path| !exists(path, &tree)) {
            missing.push(format!("{}: `{path}`", document.path));
        }
        let folder = Path::new(ROOT).join(&document.path);
        let folder = folder.parent().expect("a file lies in a folder");
        for link in document.text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            if !link.contains("://") && !folder.join(link).exists() {
                missing.push(format!("{}: link to {link}", document.path));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_cited_section_of_the_specification_exists() {
    let texts = texts();
    let spec = texts.iter().find(|text| text.path == "docs/SPEC.md").expect("docs/SPEC.md");
    let number = |text: &str| text.split(|c: char| !c.is_ascii_digit()).next().and_then(|n| n.parse().ok());
    let sections: Vec<u32> =
        spec.text.lines().filter_map(|line| line.strip_prefix("## ").and_then(number)).collect();
    let mut cited = 0;
    for text in texts.iter().filter(|text| text.is(&["rs", "wgsl", "ts", "js", "mjs", "md"])) {
        for section in text.text.split('§').skip(1).filter_map(number) {
            assert!(sections.contains(&section), "{}: SPEC §{section} does not exist", text.path);
            cited += 1;
        }
    }
    assert!(cited > 50, "only {cited} sections were found");
}

/// `module::Type`, and `module::Type::Variant`.
#[test]
fn every_type_in_the_architecture_exists() {
    let texts = texts();
    let architecture = texts.iter().find(|text| text.path == "ARCHITECTURE.md").expect("ARCHITECTURE.md");
    let mut found = 0;
    for path in architecture.text.split('`').skip(1).step_by(2) {
        let parts: Vec<&str> = path.split("::").collect();
        let module = parts[0].starts_with(char::is_lowercase);
        if parts.len() < 2 || !module || !path.chars().all(|c| c.is_alphanumeric() || "_:".contains(c)) {
            continue;
        }
        let of = |text: &&Text| text.path.starts_with(&format!("src/{}", parts[0])) && text.is(&["rs"]);
        let declared = ["struct", "enum", "trait"].map(|kind| format!("pub {kind} {}", parts[1]));
        let holds = |text: &Text| {
            declared.iter().any(|d| text.text.contains(d))
                && parts.get(2).is_none_or(|p| text.text.contains(p))
        };
        assert!(texts.iter().filter(of).any(holds), "ARCHITECTURE.md: `{path}` is not declared");
        found += 1;
    }
    assert!(found > 5, "only {found} types were found");
}

#[test]
fn every_test_of_the_workflow_exists() {
    let workflow = fs::read_to_string(Path::new(ROOT).join(".github/workflows/ci.yml")).expect("ci.yml");
    let tree = tree();
    let words: Vec<&str> = workflow.split_whitespace().collect();
    for name in words.windows(2).filter(|pair| pair[0] == "--test").map(|pair| pair[1]) {
        let files = [format!("tests/{name}.rs"), format!("tests/{name}/main.rs")];
        assert!(tree.iter().any(|path| files.contains(path)), "ci.yml: there is no test {name}");
    }
}

#[test]
fn the_readme_is_short() {
    let text = fs::read_to_string(Path::new(ROOT).join("README.md")).expect("README.md");
    let words = text.split_whitespace().count();
    assert!(words <= 1000, "README.md has {words} words, at most 1000 are read");
}

#[test]
fn nothing_outside_the_tree_is_named() {
    let outside = concat!("../", "shared");
    let named: Vec<String> =
        texts().into_iter().filter(|text| text.text.contains(outside)).map(|text| text.path).collect();
    assert!(named.is_empty(), "{outside} is named in {named:?}");
}

#[test]
fn patterns_fit_names() {
    assert!(fits("shaders/linear.wgsl", "shaders/<stem>.wgsl") && fits("a/b.rs", "a/*.rs"));
    assert!(!fits("shaders/shared/gelu.wgsl", "shaders/<stem>.wgsl") && !fits("a/b.rs", "a/*.md"));
    assert!(ignored("target/release") && ignored("web/node_modules/x") && !ignored("web/src"));
}
