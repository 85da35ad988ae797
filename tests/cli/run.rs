//! Running the program.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The program, with nothing on stdin.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_polysketch"));
    command.args(arguments).stdin(Stdio::null()).env_remove("RUST_LOG");
    command
}

/// Runs it.
pub fn run(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

/// Runs it with a text on stdin.
pub fn run_with(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = command(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that fails early need not read it.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

/// Stdout of a run that must succeed.
pub fn stdout(arguments: &[&str]) -> String {
    succeeded(arguments, run(arguments))
}

/// Stdout of a run that must have succeeded.
pub fn succeeded(arguments: &[&str], output: Output) -> String {
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {stderr}");
    assert!(!stderr.contains("panicked") && !stderr.contains("error:"), "{arguments:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// The JSON that a run prints.
pub fn json(arguments: &[&str]) -> serde_json::Value {
    let text = stdout(&[arguments, &["--json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{arguments:?}: {e} in {text}"))
}

/// A failure: exit code 1, one line `error: …` with `words` in it, and a line of help if there is something
/// to do.
#[track_caller]
pub fn fails(output: Output, words: &[&str], help: bool) {
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(!stderr.contains("panicked") && !stderr.contains("internal fault"), "{stderr}");
    // A slow machine may have told how far it was.
    let progress =
        |line: &&str| !line.starts_with("error: ") && (line.contains(" of ") || line.ends_with(" so far"));
    let lines: Vec<&str> = stderr.lines().skip_while(progress).collect();
    assert_eq!(lines.iter().filter(|line| line.starts_with("error: ")).count(), 1, "{stderr}");
    assert_eq!(lines.iter().filter(|line| line.starts_with("help: ")).count(), usize::from(help), "{stderr}");
    assert_eq!(lines.len(), 1 + usize::from(help), "{stderr}");
    for word in words {
        assert!(lines[0].contains(word), "{word:?} is not in {stderr}");
    }
}

/// Options that choose the CPU and every usable adapter.
pub fn devices() -> Vec<Vec<String>> {
    let mut list = vec![vec!["--backend".to_string(), "cpu".into()]];
    for adapter in json(&["devices"])["adapters"].as_array().unwrap() {
        match adapter["unusable"].as_str() {
            None => list.push(vec!["--adapter".into(), adapter["index"].to_string()]),
            Some(reason) => println!("skipped {}: {reason}", adapter["name"]),
        }
    }
    list
}

/// A folder of the repository's.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A folder that goes away.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// A path as an argument.
pub fn arg(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Names in a folder, hidden ones included.
pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The built-in model as a folder, with one number of its configuration changed.
pub fn other_model(folder: &Path) {
    for name in ["model.safetensors", "tokenizer.json"] {
        fs::copy(repository("assets/novels-2m").join(name), folder.join(name)).unwrap();
    }
    let text = fs::read_to_string(repository("assets/novels-2m/config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
    config["attention"]["denominator_bias"] = 2.0.into();
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
}

/// Writes a file of token ids, i32 of that shape.
pub fn write_tokens(path: &Path, shape: &[usize], ids: &[i32]) {
    use polysketch::model::tensor_file::{Dtype, TensorData, write_safetensors};
    write_safetensors(path, &[TensorData::new("tokens", Dtype::I32, shape, ids)], &[]).unwrap();
}

/// Runs it on a terminal of its own (`script`), which is `term`, and returns what is shown there; none where
/// there is no `script`.
pub fn on_terminal(term: &str, environment: &[(&str, &str)], arguments: &[&str]) -> Option<String> {
    let quoted = |word: &str| format!("'{}'", word.replace('\'', r"'\''"));
    let words = [&[env!("CARGO_BIN_EXE_polysketch")][..], arguments].concat();
    let line = words.into_iter().map(quoted).collect::<Vec<_>>().join(" ");
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).stdin(Stdio::null());
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI", "RUST_LOG"] {
        command.env_remove(name);
    }
    let output = command.env("TERM", term).envs(environment.iter().copied()).output();
    let Ok(output) = output else {
        println!("skipped: no script of util-linux");
        return None;
    };
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}
