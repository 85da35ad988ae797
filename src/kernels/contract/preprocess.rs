//! The WGSL preprocessor: `#import name` pastes `shaders/shared/name.wgsl` once, `#import name word` once for
//! each word, with `$` in the piece replaced by the word (WGSL has neither templates nor function pointers),
//! `#ifdef FLAG` / `#ifndef FLAG` / `#else` / `#endif` choose lines by the flags of a permutation. The build
//! script includes this file too, so what it validates is what runs.

/// Expands `source` for `flags`; `import` finds a shared piece by name.
pub fn preprocess(
    source: &str,
    flags: &[&str],
    import: &dyn Fn(&str) -> Option<String>,
) -> Result<String, String> {
    let mut out = String::with_capacity(source.len());
    let mut imported = Vec::new();
    expand(source, flags, import, &mut imported, &mut out)?;
    Ok(out)
}

fn expand(
    source: &str,
    flags: &[&str],
    import: &dyn Fn(&str) -> Option<String>,
    imported: &mut Vec<String>,
    out: &mut String,
) -> Result<(), String> {
    // One entry for each open #ifdef: whether its lines are taken.
    let mut taken: Vec<bool> = Vec::new();
    for (number, line) in source.lines().enumerate() {
        let fail = |what: &str| Err(format!("line {}: {what}: {line}", number + 1));
        let mut words = line.split_whitespace();
        match words.next() {
            Some(directive @ ("#ifdef" | "#ifndef")) => match words.next() {
                Some(flag) => taken.push(flags.contains(&flag) == (directive == "#ifdef")),
                None => return fail("needs a flag"),
            },
            Some("#else") => match taken.last_mut() {
                Some(top) => *top = !*top,
                None => return fail("without #ifdef"),
            },
            Some("#endif") => match taken.pop() {
                Some(_) => {}
                None => return fail("without #ifdef"),
            },
            Some("#import") if taken.iter().all(|t| *t) => {
                let Some(name) = words.next() else { return fail("needs a name") };
                let word = words.next().unwrap_or_default();
                let once = format!("{name} {word}");
                if !imported.contains(&once) {
                    imported.push(once);
                    let Some(piece) = import(name) else { return fail("no such shared shader") };
                    expand(&piece.replace('$', word), flags, import, imported, out)?;
                }
            }
            _ if taken.iter().all(|t| *t) => {
                out.push_str(line);
                out.push('\n');
            }
            _ => {}
        }
    }
    if taken.is_empty() { Ok(()) } else { Err("an #ifdef is not closed".to_string()) }
}
