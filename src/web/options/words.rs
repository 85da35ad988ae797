//! The library speaks to whoever types a command; a page's author knows the package's options.

use std::borrow::Cow;

/// Phrases, and what they are to whoever uses the package; the longest first. A flag that is left is the
/// option of that name.
const PHRASES: [(&str, &str); 11] = [
    (
        "say it as the model's template wants it; /reset begins anew",
        "give messages as the model's template wants them",
    ),
    ("continue it as a text, or give a template", "continue texts with generate, or give chat a template"),
    ("write another template and give that one", "give chat another template"),
    ("or a smaller --segment, --max-context or --slots", "or a smaller maxContext"),
    (
        "a smaller --segment, --recompute layers, or a smaller --context or --batch",
        "a smaller context or batch",
    ),
    ("give a file that --state-out wrote", "give the bytes that saveState returned"),
    ("give either --backend cpu or --adapter", "give backend \"cpu\""),
    ("give --adapter or --backend gpu", "give backend \"gpu\""),
    (" (--model, --adapter)", ""),
    ("--backend cpu", "backend \"cpu\""),
    ("--task-vocab", "vocabulary"),
];

/// A message or an advice in the package's words.
pub(in crate::web) fn of_the_package(text: &str) -> Cow<'_, str> {
    if !text.contains("--") && !PHRASES.iter().any(|(phrase, _)| text.contains(phrase)) {
        return text.into();
    }
    let text = PHRASES.iter().fold(text.to_string(), |text, (phrase, said)| text.replace(phrase, said));
    let mut parts = text.split("--");
    let mut said = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let end = part.find(|c: char| !(c.is_ascii_lowercase() || c == '-')).unwrap_or(part.len());
        for (i, word) in part[..end].split('-').enumerate() {
            let mut letters = word.chars();
            match letters.next().filter(|_| i > 0) {
                Some(first) => said.extend(first.to_uppercase().chain(letters)),
                None => said += word,
            }
        }
        said += &part[end..];
    }
    said.into()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn flags_are_options() {
        for (said, in_a_page) in [
            ("raise --max-context, shorten the text", "raise maxContext, shorten the text"),
            ("another adapter, or --backend cpu", "another adapter, or backend \"cpu\""),
            ("load the model that saved it (--model, --adapter)", "load the model that saved it"),
            ("use a smaller --lr or --clip", "use a smaller lr or clip"),
            ("nothing to say -- so", "nothing to say  so"),
            ("as it is", "as it is"),
        ] {
            assert_eq!(of_the_package(said), in_a_page);
        }
    }

    /// The flags in a line of Rust that is no comment.
    fn flags(line: &str) -> Vec<&str> {
        let line = if line.trim_start().starts_with("//") { "" } else { line };
        let parts = line.split("--").skip(1);
        let flags = parts.map(|part| {
            let end = part.find(|c: char| !(c.is_ascii_lowercase() || c == '-')).unwrap_or(part.len());
            &part[..end]
        });
        flags.filter(|flag| !flag.is_empty()).collect()
    }

    fn read(folder: &Path, with: &mut dyn FnMut(&str, &str)) {
        for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path())
        {
            if entry.is_dir() {
                read(&entry, with);
            } else {
                with(&entry.display().to_string(), &std::fs::read_to_string(&entry).expect("text"));
            }
        }
    }

    /// Whatever the layers beneath say to a page names an option that the package has.
    #[test]
    fn what_the_library_says_names_options_of_the_package() {
        let types = include_str!("../../../web/src/types.ts");
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut seen = 0;
        for layer in ["model", "gpu", "exec", "graph", "kernels", "tensor"] {
            read(&src.join(layer), &mut |path, text| {
                for line in text.lines().filter(|line| !flags(line).is_empty()) {
                    seen += 1;
                    let said = of_the_package(line);
                    assert!(!said.contains("--"), "{path}: {said}");
                    for flag in flags(line) {
                        let named = of_the_package(&format!("--{flag}")).into_owned();
                        let known = types.contains(&format!("  {named}?: ")) || !said.contains(&named);
                        // What a phrase covers is said in other words.
                        let covered = PHRASES.iter().any(|(phrase, _)| phrase.contains(&format!("--{flag}")));
                        assert!(known || covered, "{path}: the package has no {named}: {line}");
                    }
                }
            });
        }
        assert!(seen > 10, "{seen} lines with flags");
    }
}
