//! The arrows between files: no circle of imports, none that runs up the layers of ARCHITECTURE.md.
//!
//! | file | what |
//! |---|---|
//! | `source.rs` | one file: its modules, `use` declarations and paths |
//! | `imports.rs` | all files: which needs which, and circles among them |
//! | `reader_tests.rs` | that the two above see what they should |

mod imports;
mod reader_tests;
mod source;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use imports::{Import, Tree, circles};

/// The layers, from the top; a module may use its own layer and those below.
const LAYERS: [&[&str]; 9] = [
    &["cli", "web"],
    &["report", "gauge", "bench", "check"],
    &["train"],
    &["model"],
    &["attention"],
    &["exec"],
    &["graph", "gpu"],
    &["kernels"],
    &["tensor", "text", "files", "error", "clock"],
];

/// Files that may name wgpu, beside all of `gpu/`.
const WGPU: [&str; 3] = ["attention/standalone.rs", "exec/memory.rs", "exec/wgpu.rs"];

/// Every Rust file below `src`, by its path there.
fn files() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut found) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let name: Vec<_> =
                    path.strip_prefix(&root).unwrap().iter().map(|part| part.to_string_lossy()).collect();
                found.push((name.join("/"), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

fn tree() -> Tree {
    Tree::new(&files(), "polysketch")
}

/// The layer of a file: 0 is the top. None for the crate's root and the program's.
fn layer(file: &str) -> Option<usize> {
    let first = file.split('/').next()?.trim_end_matches(".rs");
    LAYERS.iter().position(|layer| layer.contains(&first))
}

#[test]
fn every_file_has_a_layer() {
    let lost: Vec<String> = files()
        .into_iter()
        .map(|(file, _)| file)
        .filter(|file| layer(file).is_none() && !["lib.rs", "main.rs"].contains(&file.as_str()))
        .collect();
    assert!(lost.is_empty(), "in no layer of ARCHITECTURE.md: {lost:?}");
}

/// Also for tests: they may use what lies below, no more.
#[test]
fn no_import_runs_up() {
    let up = |import: &Import| layer(&import.from).zip(layer(&import.to)).is_some_and(|(from, to)| to < from);
    let found: Vec<String> = tree()
        .imports()
        .into_iter()
        .filter(up)
        .map(|import| format!("src/{} imports src/{}", import.from, import.to))
        .collect();
    assert!(found.is_empty(), "up the layers:\n{}", found.join("\n"));
}

#[test]
fn no_circle_of_files() {
    let edges = tree().imports().into_iter().filter(|i| !i.test).map(|i| (i.from, i.to)).collect();
    let circles: Vec<String> = circles(&edges).iter().map(|circle| told(circle)).collect();
    assert!(circles.is_empty(), "circles of imports:\n{}", circles.join("\n"));
}

/// Two folders of one layer must not need each other either.
#[test]
fn no_circle_of_folders() {
    let folder = |file: &str| file.split('/').next().unwrap_or_default().to_string();
    let edges: BTreeSet<(String, String)> = tree()
        .imports()
        .into_iter()
        .filter(|i| !i.test && layer(&i.from).is_some() && layer(&i.to).is_some())
        .map(|i| (folder(&i.from), folder(&i.to)))
        .filter(|(from, to)| from != to)
        .collect();
    let circles: Vec<String> = circles(&edges).iter().map(|circle| told(circle)).collect();
    assert!(circles.is_empty(), "circles of folders:\n{}", circles.join("\n"));
}

#[test]
fn only_the_files_for_it_name_wgpu() {
    let mut named = tree().files_that_name("wgpu");
    named.retain(|file| !file.starts_with("gpu/") && !WGPU.contains(&file.as_str()));
    assert!(named.is_empty(), "these name wgpu: {named:?}");
}

fn told(circle: &[String]) -> String {
    let files = circle.iter().chain(circle.first());
    files.map(|file| format!("src/{file}")).collect::<Vec<_>>().join(" -> ")
}
