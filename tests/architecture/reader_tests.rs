//! The reader of imports, on small files.

use super::imports::{Tree, circles};

/// `from > to` of every import, with `?` where only tests need it.
fn imports(files: &[(&str, &str)]) -> Vec<String> {
    let files: Vec<(String, String)> =
        files.iter().map(|(file, text)| (file.to_string(), text.to_string())).collect();
    let found = Tree::new(&files, "house").imports();
    found.iter().map(|i| format!("{} > {}{}", i.from, i.to, if i.test { "?" } else { "" })).collect()
}

const LIB: (&str, &str) = ("lib.rs", "pub mod a; pub mod b; mod c; pub use c::deep::Thing;");
const B: (&str, &str) = ("b.rs", "pub struct B; pub fn build() {}");
const C: (&str, &str) = ("c/mod.rs", "pub mod deep;\nmod other;\npub use other::Named;\npub struct Own;");
const DEEP: (&str, &str) = ("c/deep.rs", "pub struct Thing; pub struct Other;");
const OTHER: (&str, &str) = ("c/other.rs", "pub struct Named;");

fn of_a(text: &str) -> Vec<String> {
    imports(&[LIB, ("a.rs", text), B, C, DEEP, OTHER])
}

#[test]
fn paths_from_the_root_and_from_the_parent() {
    for text in [
        "use crate::b::B;",
        "use super::b::B;",
        "pub(crate) use crate::b::B; fn f(_: B) {}",
        "fn f() { crate::b::build() }",
        "fn f() { super::b::build() }",
        "use crate::b; fn f() { b::build() }",
        "use crate::b as short; fn f() { short::build() }",
        "fn f() { use crate::b::build; build() }",
        "use crate::b::*; fn f() { build() }",
    ] {
        assert_eq!(of_a(text), ["a.rs > b.rs"], "{text}");
    }
}

#[test]
fn groups() {
    let text = "use crate::{b::{self, B}, c::{deep::Other, Own}, Unknown as U};";
    assert_eq!(of_a(text), ["a.rs > b.rs", "a.rs > c/deep.rs", "a.rs > c/mod.rs", "a.rs > lib.rs"]);
}

#[test]
fn what_is_handed_on_counts_where_it_is_defined() {
    assert_eq!(of_a("use crate::Thing;"), ["a.rs > c/deep.rs"]);
    assert_eq!(of_a("use crate::c::Named;"), ["a.rs > c/other.rs"]);
    // The module that hands a name on imports it only if it uses it.
    let used = ("c/mod.rs", "pub mod deep; mod other; pub use other::Named; pub struct Own(Named);");
    assert_eq!(imports(&[LIB, B, used, DEEP, OTHER]), ["c/mod.rs > c/other.rs"]);
}

#[test]
fn no_imports() {
    for text in [
        "// use crate::b::B;\n/* use crate::b::B; /* and */ crate::b::build() */",
        "const A: &str = \"crate::b::B\"; const C: &str = r#\"use crate::b::B;\"#; const D: char = '\"';",
        "use std::fmt; fn f<'a>(x: &'a str) -> fmt::Result { Vec::new(); Ok(()) }",
        "use crate::b;",
        "use self::inner::X; mod inner { pub struct X; }",
    ] {
        assert_eq!(of_a(text), [""; 0], "{text}");
    }
}

#[test]
fn tests_are_apart() {
    for text in [
        "#[cfg(test)] mod tests { use super::*; use crate::b::B; }",
        "#[cfg(test)] use crate::b::{B};\nfn f() {}",
        "#[cfg(test)]\n#[allow(unused)]\nfn f() { crate::b::build() }\nfn g() {}",
        "#[cfg(all(test, not(unix)))] impl A { fn f() { crate::b::build() } }",
    ] {
        assert_eq!(of_a(text), ["a.rs > b.rs?"], "{text}");
    }
    let declared = [("lib.rs", "mod b; #[cfg(test)] mod a;"), ("a.rs", "use super::b::B;"), B];
    assert_eq!(imports(&declared), ["a.rs > b.rs?"]);
    let both = "#[cfg(test)] mod tests { use crate::b::B; } #[cfg(not(test))] fn f() { crate::b::build() }";
    assert_eq!(of_a(both), ["a.rs > b.rs"]);
}

#[test]
fn a_program_and_its_library() {
    let program = ("main.rs", "mod tool; fn main() { tool::run() }");
    let tool = ("tool/mod.rs", "mod part; pub fn run() { part::go() } use part::Kind;");
    let part = ("tool/part.rs", "use house::Thing; pub enum Kind {} pub fn go() {}");
    assert_eq!(
        imports(&[LIB, B, C, DEEP, OTHER, program, tool, part]),
        ["main.rs > tool/mod.rs", "tool/mod.rs > tool/part.rs", "tool/part.rs > c/deep.rs"]
    );
}

#[test]
fn macros_at_the_root() {
    let b = ("b.rs", "#[macro_export] macro_rules! made { () => { $crate::a::A } }");
    assert_eq!(
        imports(&[LIB, ("a.rs", "pub struct A; fn f() { crate::made!() }"), b]),
        ["a.rs > b.rs", "b.rs > a.rs"]
    );
}

#[test]
fn crates_outside() {
    let named = |text: &str, more: &[(&str, &str)]| {
        let mut files = vec![("lib.rs".to_string(), "mod a;".to_string()), ("a.rs".into(), text.into())];
        files.extend(more.iter().map(|(file, text)| (file.to_string(), text.to_string())));
        !Tree::new(&files, "house").files_that_name("wgpu").is_empty()
    };
    for text in ["use wgpu::Buffer;", "fn f(_: &wgpu::Buffer) {}", "fn f(_: Vec<::wgpu::Buffer>) {}"] {
        assert!(named(text, &[]), "{text}");
    }
    assert!(!named("#[cfg(test)] mod tests { use wgpu::Buffer; }", &[]));
    assert!(!named("mod wgpu; fn f(_: wgpu::Own) {}", &[("a/wgpu.rs", "pub struct Own;")]));
    assert!(named("mod wgpu; fn f(_: ::wgpu::Buffer) {}", &[("a/wgpu.rs", "pub struct Own;")]));
}

#[test]
fn circles_are_found() {
    let found = |edges: &[(&str, &str)]| {
        circles(&edges.iter().map(|(from, to)| (from.to_string(), to.to_string())).collect())
    };
    assert!(found(&[("a", "b"), ("b", "c"), ("a", "c")]).is_empty());
    assert_eq!(found(&[("a", "b"), ("b", "a"), ("b", "c")]), [["a", "b"]]);
    let two = found(&[("a", "b"), ("b", "c"), ("c", "a"), ("d", "e"), ("e", "d")]);
    assert_eq!(two, [vec!["a", "b", "c"], vec!["d", "e"]]);
}
