//! Which files of a repository make a model.

use super::name::{HubName, is_gguf};
use crate::error::{Error, ErrorKind, Result};
use crate::model::checkpoint::{INDEX, SINGLE};

/// Names that a message shows at most.
const SHOWN: usize = 20;

/// What is to be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// A model folder: these files, the weights last.
    Folder {
        files: Vec<String>,
        /// Whether the last is the index of shards that are to be fetched too.
        sharded: bool,
    },
    /// A GGUF file.
    Gguf(String),
}

/// Chooses among the files of a repository: those of a model folder, or the GGUF file, if it is one.
///
/// # Errors
/// `ErrorKind::Input` if there is no model among them, or several.
pub fn choose(name: &HubName, names: &[String]) -> Result<Choice> {
    let has = |file: &str| names.iter().any(|name| name == file);
    let weights = [SINGLE, INDEX].into_iter().find(|file| has(file));
    let refuse =
        |what: String, help: String| Err(Error::new(ErrorKind::Input, format!("{name}: {what}")).help(help));
    if let Some(weights) = weights {
        if !has("config.json") {
            let help = "it is of another library, or a part of a model: take another repository";
            return refuse(format!("has a {weights} but no config.json"), help.into());
        }
        let mut files = vec!["config.json"];
        files.extend(["generation_config.json", "tokenizer_config.json", "chat_template.jinja"]);
        // In the order in which a folder's tokenizer is looked for.
        files.extend(match (has("tokenizer.json"), has("vocab.json") && has("merges.txt")) {
            (true, _) => &["tokenizer.json"][..],
            (_, true) => &["vocab.json", "merges.txt"],
            _ => &["tokenizer.model"],
        });
        files.push(weights);
        let files = files.into_iter().filter(|file| has(file)).map(Into::into).collect();
        return Ok(Choice::Folder { files, sharded: weights == INDEX });
    }
    match &ggufs(names)[..] {
        [one] => Ok(Choice::Gguf((*one).into())),
        [] => refuse(
            format!(
                "has neither {SINGLE} nor a .gguf file; it has {}",
                list(names.iter().map(String::as_str))
            ),
            "take a repository that has one of them, or another revision: hf:OWNER/NAME@REVISION".into(),
        ),
        several => refuse(
            format!("has {} .gguf files: {}", several.len(), list(several.iter().copied())),
            format!("name one of them: hf:{}:{}", name.repository, several[0]),
        ),
    }
}

/// The GGUF files among these.
pub fn ggufs(names: &[String]) -> Vec<&str> {
    let mut list: Vec<&str> = names.iter().map(String::as_str).filter(|file| is_gguf(file)).collect();
    list.sort_unstable();
    list
}

/// Names for a message.
pub fn list<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let all = names.len();
    if all == 0 {
        return "no files".into();
    }
    let more = if all > SHOWN { format!(" and {} more", all - SHOWN) } else { String::new() };
    names.take(SHOWN).collect::<Vec<_>>().join(", ") + &more
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_model() {
        let name = HubName::parse("hf:a/b").expect("a name");
        let of = |text: &str| choose(&name, &text.split(' ').map(String::from).collect::<Vec<_>>());
        let folder = |text: &str| match of(text).expect("a model") {
            Choice::Folder { files, sharded } => (files.join(" "), sharded),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            folder("README.md model.safetensors tokenizer.json vocab.json merges.txt config.json x.gguf"),
            ("config.json tokenizer.json model.safetensors".into(), false)
        );
        assert_eq!(
            folder("config.json merges.txt model.safetensors.index.json vocab.json model-1.safetensors"),
            ("config.json vocab.json merges.txt model.safetensors.index.json".into(), true)
        );
        // So that the folder is refused for it when it is opened.
        assert!(folder("config.json tokenizer.model model.safetensors").0.contains("tokenizer.model"));
        assert_eq!(of("config.json sub/x.Q4.gguf").expect("one"), Choice::Gguf("sub/x.Q4.gguf".into()));
        for (files, words) in [
            ("b.gguf a.gguf", "has 2 .gguf files: a.gguf, b.gguf"),
            ("config.json pytorch_model.bin", "it has config.json, pytorch_model.bin"),
            ("model.safetensors", "no config.json"),
            ("../x.gguf", "neither model.safetensors nor a .gguf"),
        ] {
            let error = of(files).expect_err(files);
            assert!(error.message().contains(words) && error.advice().is_some(), "{error}");
        }
        let error = of("b.gguf a.gguf").expect_err("two");
        assert_eq!(error.advice(), Some("name one of them: hf:a/b:a.gguf"));
    }
}
