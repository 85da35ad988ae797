//! Models by their names on the hub, against one on this machine.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::hub_server::*;
use crate::run::*;

const FOLDER: &str = "tests/public/llama-hf";
const WEIGHTS: &str = "model.safetensors";
const MODEL: &str = "hf:tiny/llama";

fn inspect(model: &str) -> [&str; 7] {
    ["inspect", "--backend", "cpu", "--quiet", "--json", "--model", model]
}

/// The folder of the model in a cache.
fn cache(home: &Path) -> PathBuf {
    home.join("hub/models--tiny--llama")
}

/// The bytes of a file at a commit in a cache.
fn cached(home: &Path, commit: &str, file: &str) -> Vec<u8> {
    fs::read(cache(home).join("snapshots").join(commit).join(file)).unwrap()
}

/// What there is of files that are not whole: their names and lengths.
fn parts(home: &Path) -> Vec<(String, u64)> {
    let blobs = cache(home).join("blobs");
    let names = names(&blobs).into_iter().filter(|name| name.ends_with(".incomplete"));
    names.map(|name| (name.clone(), fs::metadata(blobs.join(name)).unwrap().len())).collect()
}

/// A repository with GGUF files.
fn ggufs(files: &[(&str, &str)]) -> Hub {
    let read = |file: &str| fs::read(repository("tests/public/gguf").join(file)).unwrap();
    let files = files.iter().map(|(name, file)| (name.to_string(), read(file)));
    Hub::new(files.chain([("README.md".to_string(), b"a model".to_vec())]).collect())
}

#[test]
fn a_folder_is_fetched_once_and_works_offline() {
    let dir = folder();
    let mut all = files(FOLDER);
    all.insert("README.md".into(), b"a model".to_vec());
    let hub = Hub::new(all);
    let fetched = hub.inspect(dir.path(), MODEL);
    let local = json(&["inspect", "--backend", "cpu", "--model", arg(&repository(FOLDER))]);
    assert_eq!(fetched["model"], "tiny/llama");
    for part in ["config", "parameters", "memory"] {
        assert_eq!(fetched[part], local[part], "{part}");
    }
    // As others lay a cache out, and nothing else.
    let (root, commit) = (cache(dir.path()), hub.commit());
    assert_eq!(names(&root), ["blobs", "refs", "snapshots"]);
    assert_eq!(fs::read_to_string(root.join("refs/main")).unwrap(), commit);
    assert_eq!(names(&root.join("snapshots").join(&commit)), names(&repository(FOLDER)));
    for (name, bytes) in files(FOLDER) {
        assert!(cached(dir.path(), &commit, &name) == bytes, "{name}");
    }
    let blob = root.join("blobs").join(sha256(&files(FOLDER)[WEIGHTS]));
    let link = root.join("snapshots").join(&commit).join(WEIGHTS);
    assert_eq!(link.canonicalize().unwrap(), blob.canonicalize().unwrap());
    #[cfg(unix)]
    assert!(fs::read_link(link).unwrap().is_relative());

    // The second time only what is new is asked for.
    hub.log();
    let text = |model: &str| {
        let arguments =
            ["generate", "--backend", "cpu", "--temperature", "0", "--prompt", "a", "-n", "4", "--json"];
        let arguments = [&arguments[..], &["--model", model]].concat();
        let text = succeeded(&arguments, hub.run(dir.path(), &arguments));
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["text"].clone()
    };
    assert_eq!(text(MODEL), text(arg(&repository(FOLDER))));
    assert_eq!(hub.log().len(), 1);

    // Without a connection.
    let nowhere = "http://127.0.0.1:9";
    let arguments = ["inspect", "--backend", "cpu", "--model", MODEL];
    let output = on_hub(nowhere, dir.path(), &arguments).output().unwrap();
    let warning = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(warning.contains("cannot be reached") && warning.contains("fetched before"), "{warning}");
    succeeded(&arguments, output);
    let offline = hub.command(dir.path(), &arguments).env("HF_HUB_OFFLINE", "1").output().unwrap();
    succeeded(&arguments, offline);
    assert!(hub.log().is_empty());
    let elsewhere = folder();
    let output = hub.command(elsewhere.path(), &inspect(MODEL)).env("HF_HUB_OFFLINE", "1").output().unwrap();
    fails(output, &[MODEL, "is not in the cache"], true);
    fails(
        on_hub(nowhere, elsewhere.path(), &inspect(MODEL)).output().unwrap(),
        &["127.0.0.1:9", "reached"],
        true,
    );
    let mut command = hub.command(elsewhere.path(), &inspect(MODEL));
    command.env("HF_HUB_CACHE", dir.path().join("hub")).env("HF_HUB_OFFLINE", "1");
    succeeded(&inspect(MODEL), command.output().unwrap());
}

#[test]
fn shards_are_those_of_the_index() {
    let dir = folder();
    let hub = Hub::of_folder("tests/public/llama-sharded");
    hub.inspect(dir.path(), MODEL);
    let fetched = names(&cache(dir.path()).join("snapshots").join(hub.commit()));
    assert!(fetched.iter().filter(|name| name.starts_with("model-0000")).count() == 2, "{fetched:?}");
    assert!(!fetched.iter().any(|name| name.starts_with("golden")), "{fetched:?}");
    // A shard that is not there is missed before the model is opened.
    let shard = "model-00002-of-00002.safetensors";
    fs::remove_file(cache(dir.path()).join("snapshots").join(hub.commit()).join(shard)).unwrap();
    let output = hub.command(dir.path(), &inspect(MODEL)).env("HF_HUB_OFFLINE", "1").output().unwrap();
    fails(output, &["is not in the cache"], true);
    hub.inspect(dir.path(), MODEL);
}

#[test]
fn gguf_files() {
    let dir = folder();
    let hub = ggufs(&[("one-F16.gguf", "llama-F16.gguf"), ("two-Q8_0.gguf", "llama-Q8_0.gguf")]);
    fails(hub.run(dir.path(), &inspect(MODEL)), &["one-F16.gguf, two-Q8_0.gguf"], true);
    let model = "hf:tiny/llama:two-Q8_0.gguf";
    let fetched = hub.inspect(dir.path(), model);
    let local = repository("tests/public/gguf/llama-Q8_0.gguf");
    assert_eq!(fetched["memory"], json(&["inspect", "--backend", "cpu", "--model", arg(&local)])["memory"]);
    assert_eq!(names(&cache(dir.path()).join("snapshots").join(hub.commit())), ["two-Q8_0.gguf"]);
    let output = hub.run(dir.path(), &inspect("hf:tiny/llama:three.gguf"));
    let help = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(help.contains("its .gguf files are one-F16.gguf, two-Q8_0.gguf"), "{help}");
    fails(output, &["hf:tiny/llama: has no file three.gguf"], true);
    // A file at a commit cannot change: nobody is asked.
    hub.log();
    hub.inspect(dir.path(), &format!("hf:tiny/llama@{}:two-Q8_0.gguf", hub.commit()));
    assert!(hub.log().is_empty());

    let elsewhere = folder();
    let hub = ggufs(&[("only.gguf", "llama-Q4_0.gguf")]);
    assert_eq!(hub.inspect(elsewhere.path(), MODEL)["model"], "tiny/llama");
    let output = hub.command(elsewhere.path(), &inspect(MODEL)).env("HF_HUB_OFFLINE", "1").output().unwrap();
    succeeded(&inspect(MODEL), output);
}

#[test]
fn what_breaks_off_goes_on() {
    let dir = folder();
    let hub = Hub::of_folder(FOLDER);
    hub.rule(WEIGHTS, 1, Instead::Break(10_000));
    hub.inspect(dir.path(), MODEL);
    assert_eq!(hub.ranges(WEIGHTS), [None, Some("bytes=10000-".into())]);
    assert!(parts(dir.path()).is_empty());

    // It breaks off again and again, until the program gives up; the next one goes on.
    let dir = folder();
    hub.rule(WEIGHTS, 1, Instead::Break(5_000));
    hub.rule(WEIGHTS, 100, Instead::Break(0));
    let output = hub.run(dir.path(), &inspect(MODEL));
    let size = files(FOLDER)[WEIGHTS].len();
    assert!(String::from_utf8_lossy(&output.stderr).contains("run it again: it goes on"));
    fails(output, &[MODEL, WEIGHTS, &format!("broke off at 5000 of {size} bytes")], true);
    assert!(hub.ranges(WEIGHTS).len() > 2);
    assert_eq!(parts(dir.path()), [(format!("{}.incomplete", sha256(&files(FOLDER)[WEIGHTS])), 5000)]);
    assert!(!cache(dir.path()).join("refs").exists(), "a part is no model");
    hub.behave();
    hub.inspect(dir.path(), MODEL);
    assert_eq!(hub.ranges(WEIGHTS), [Some("bytes=5000-".into())]);
    assert!(cached(dir.path(), &hub.commit(), WEIGHTS) == files(FOLDER)[WEIGHTS]);
}

#[test]
fn a_server_without_ranges_sends_the_whole_again() {
    let dir = folder();
    let hub = Hub::of_folder(FOLDER).plain();
    hub.rule(WEIGHTS, 1, Instead::Break(5_000));
    hub.rule(WEIGHTS, 1, Instead::Whole);
    hub.inspect(dir.path(), MODEL);
    assert_eq!(hub.ranges(WEIGHTS), [None, Some("bytes=5000-".into())]);
    assert!(cached(dir.path(), &hub.commit(), WEIGHTS) == files(FOLDER)[WEIGHTS]);
}

#[test]
fn a_file_that_changed_is_begun_anew() {
    let other: BTreeMap<_, _> = {
        let mut files = files(FOLDER);
        // The same length: only what is in it tells.
        let weights = files.get_mut(WEIGHTS).unwrap();
        let last = weights.len() - 1;
        weights[last] ^= 1;
        files
    };
    for plain in [false, true] {
        let dir = folder();
        let hub = Hub::of_folder(FOLDER);
        let hub = if plain { hub.plain() } else { hub };
        hub.rule(WEIGHTS, 1, Instead::Break(5_000));
        hub.rule(WEIGHTS, 100, Instead::Break(0));
        fails(hub.run(dir.path(), &inspect(MODEL)), &["broke off"], true);
        // Between two runs.
        hub.behave();
        hub.put("main", other.clone());
        hub.log();
        hub.inspect(dir.path(), MODEL);
        assert_eq!(hub.ranges(WEIGHTS), [None]);
        assert!(cached(dir.path(), &hub.commit(), WEIGHTS) == other[WEIGHTS]);
    }
    // Within a run.
    let dir = folder();
    let hub = Hub::of_folder(FOLDER).plain();
    hub.rule(WEIGHTS, 1, Instead::Break(5_000));
    hub.rule(WEIGHTS, 1, Instead::Other(other[WEIGHTS].clone()));
    let arguments = ["inspect", "--backend", "cpu", "--model", MODEL];
    let output = hub.run(dir.path(), &arguments);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("model.safetensors has changed: starting over"), "{told}");
    succeeded(&arguments, output);
    assert_eq!(hub.ranges(WEIGHTS), [None, Some("bytes=5000-".into()), None]);
    assert!(cached(dir.path(), &hub.commit(), WEIGHTS) == files(FOLDER)[WEIGHTS]);
}

#[test]
fn damage_is_found() {
    let dir = folder();
    let hub = Hub::of_folder(FOLDER);
    let weights = &files(FOLDER)[WEIGHTS];
    let blobs = cache(dir.path()).join("blobs");
    fs::create_dir_all(&blobs).unwrap();
    let part = blobs.join(format!("{}.incomplete", sha256(weights)));
    // Too long, as long as the whole, a part of it.
    for length in [weights.len() + 1, weights.len(), 1000] {
        fs::write(&part, vec![7; length]).unwrap();
        hub.inspect(dir.path(), MODEL);
        assert!(cached(dir.path(), &hub.commit(), WEIGHTS) == *weights && !part.exists(), "{length}");
        fs::remove_dir_all(cache(dir.path()).join("snapshots")).unwrap();
        fs::remove_file(blobs.join(sha256(weights))).unwrap();
    }
    let mut wrong = weights.clone();
    wrong[9] ^= 1;
    hub.rule(WEIGHTS, 1, Instead::Other(wrong.clone()));
    fails(hub.run(dir.path(), &inspect(MODEL)), &[WEIGHTS, "came damaged", &sha256(&wrong)], true);
    hub.inspect(dir.path(), MODEL);
}

#[test]
fn what_the_hub_refuses() {
    let dir = folder();
    let hub = Hub::of_folder(FOLDER);
    let run = |model: &str| hub.run(dir.path(), &inspect(model));
    fails(run("hf:tiny/other"), &["hf:tiny/other", "has no model tiny/other (404)"], true);
    fails(run("hf:tiny/other:x.gguf"), &["has no model tiny/other (404)"], true);
    fails(run("hf:tiny/llama@v9"), &["tiny/llama has no revision v9 (404)"], true);
    fails(run("hf:tiny/llama@v9:x.gguf"), &["tiny/llama has no revision v9 (404)"], true);
    fails(run("hf:llama"), &["\"llama\" is not OWNER/NAME"], true);
    let status = |status: u16, headers: &[(&'static str, &str)]| {
        hub.behave();
        let headers = headers.iter().map(|(key, value)| (*key, value.to_string())).collect();
        hub.rule("", 1, Instead::Status(status, headers));
    };
    status(401, &[]);
    let output = run(MODEL);
    assert!(String::from_utf8_lossy(&output.stderr).contains("HF_TOKEN"));
    fails(output, &["no such model, or it is private or gated (401)"], true);
    status(403, &[("X-Error-Code", "GatedRepo")]);
    fails(run(MODEL), &["is gated"], true);
    status(403, &[]);
    let output = hub.command(dir.path(), &inspect(MODEL)).env("HF_TOKEN", "hf_mine").output().unwrap();
    fails(output, &["owner of this token (403)"], true);
    // One file of a gated model.
    hub.behave();
    hub.rule("/resolve/", 1, Instead::Status(401, vec![("X-Error-Code", "GatedRepo".into())]));
    fails(run(MODEL), &["is gated"], true);
    status(404, &[]);
    fails(run("hf:tiny/llama@v9"), &["no model tiny/llama, or not its revision v9"], true);
    status(418, &[]);
    fails(run(MODEL), &["answers 418"], true);
    // An answer that is none.
    hub.behave();
    hub.rule("/api/", 1, Instead::Status(200, Vec::new()));
    fails(run(MODEL), &["does not answer as a hub"], true);
    assert!(names(dir.path()).is_empty());
    hub.behave();
    let bad = dir.path().join("certificates");
    fs::write(&bad, "none").unwrap();
    let output = hub.command(dir.path(), &inspect(MODEL)).env("SSL_CERT_FILE", &bad).output().unwrap();
    fails(output, &["SSL_CERT_FILE", "has no certificate"], true);
}

#[test]
fn who_is_busy_is_waited_for() {
    let dir = folder();
    let hub = Hub::of_folder(FOLDER);
    let busy = |seconds: &str| Instead::Status(429, vec![("Retry-After", seconds.into())]);
    hub.rule("/api/models/", 1, busy("300"));
    fails(hub.run(dir.path(), &inspect(MODEL)), &["(429)", "asks to wait 300 s"], true);
    hub.rule("/api/models/", 1, busy("1"));
    hub.rule(WEIGHTS, 1, Instead::Status(503, Vec::new()));
    let began = std::time::Instant::now();
    let arguments = ["inspect", "--backend", "cpu", "--model", MODEL];
    let output = hub.run(dir.path(), &arguments);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("asks for patience (429): waiting 1.0 s"), "{told}");
    assert!(began.elapsed() > Duration::from_secs(1));
    succeeded(&arguments, output);
    // What is there need not wait; what is new does.
    hub.rule("", 1, busy("50"));
    hub.inspect(dir.path(), MODEL);
    let mut newer = files(FOLDER);
    newer.insert(WEIGHTS.into(), files("tests/public/llama-bf16")[WEIGHTS].clone());
    newer.insert("config.json".into(), files("tests/public/llama-bf16")["config.json"].clone());
    hub.put("main", newer.clone());
    hub.rule(WEIGHTS, 1, Instead::Status(503, Vec::new()));
    hub.inspect(dir.path(), MODEL);
    assert!(cached(dir.path(), &hub.commit(), WEIGHTS) == newer[WEIGHTS]);
}

#[test]
fn a_token_is_for_the_hub_only() {
    let dir = folder();
    let hub = Hub::of_folder(FOLDER);
    let tokens = |home: &Path, given: Option<&str>| {
        hub.log();
        let mut command = hub.command(home, &inspect(MODEL));
        given.map(|token| command.env("HF_TOKEN", token));
        succeeded(&inspect(MODEL), command.output().unwrap());
        let (cdn, own): (Vec<_>, Vec<_>) =
            hub.log().into_iter().partition(|request| request.path.starts_with("/cdn/"));
        assert!(cdn.iter().all(|request| request.token.is_none()), "{cdn:?}");
        let mut tokens: Vec<_> = own.into_iter().map(|request| request.token).collect();
        tokens.dedup();
        tokens
    };
    assert_eq!(tokens(&dir.path().join("none"), None), [None]);
    assert_eq!(tokens(&dir.path().join("given"), Some("hf_mine")), [Some("Bearer hf_mine".into())]);
    let home = dir.path().join("kept");
    fs::create_dir(&home).unwrap();
    fs::write(home.join("token"), "hf_kept\n").unwrap();
    assert_eq!(tokens(&home, None), [Some("Bearer hf_kept".into())]);
    let output = hub.command(dir.path(), &inspect(MODEL)).env("HF_TOKEN", "a b").output().unwrap();
    fails(output, &["HF_TOKEN"], true);
}

#[test]
fn revisions_lie_side_by_side() {
    let dir = folder();
    let hub = Hub::of_folder(FOLDER);
    let mut old = files(FOLDER);
    old.insert("config.json".into(), files("tests/public/llama-bf16")["config.json"].clone());
    old.insert(WEIGHTS.into(), files("tests/public/llama-bf16")[WEIGHTS].clone());
    let commit = hub.put("refs/pr/1", old.clone());
    hub.inspect(dir.path(), "hf:tiny/llama@refs/pr/1");
    assert!(cached(dir.path(), &commit, WEIGHTS) == old[WEIGHTS]);
    assert_eq!(fs::read_to_string(cache(dir.path()).join("refs/refs/pr/1")).unwrap(), commit);
    hub.log();
    hub.inspect(dir.path(), MODEL);
    // What both have comes once.
    assert!(hub.ranges("tokenizer.json").is_empty());
    hub.inspect(dir.path(), &format!("{MODEL}@{commit}"));
    assert_eq!(names(&cache(dir.path()).join("refs")), ["main", "refs"]);
    // `main` moves on.
    let commit = hub.put("main", old.clone());
    hub.inspect(dir.path(), MODEL);
    assert_eq!(fs::read_to_string(cache(dir.path()).join("refs/main")).unwrap(), commit);
}

#[test]
fn two_at_once_fetch_once() {
    let dir = folder();
    let hub = Hub::of_folder(FOLDER);
    hub.rule(WEIGHTS, 1, Instead::Stall(10_000, Duration::from_secs(2)));
    let start = || {
        let mut command = hub.command(dir.path(), &inspect(MODEL));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    for child in [start(), start(), start()] {
        succeeded(&inspect(MODEL), child.wait_with_output().unwrap());
    }
    assert_eq!(hub.ranges(WEIGHTS), [None]);
    assert!(cached(dir.path(), &hub.commit(), WEIGHTS) == files(FOLDER)[WEIGHTS]);
}

#[cfg(target_os = "linux")]
#[test]
fn who_is_stopped_goes_on() {
    use std::os::unix::process::ExitStatusExt as _;
    let dir = folder();
    let hub = Hub::of_folder(FOLDER);
    hub.rule(WEIGHTS, 1, Instead::Stall(10_000, Duration::from_secs(30)));
    let child = hub.command(dir.path(), &inspect(MODEL)).stderr(Stdio::piped()).spawn().unwrap();
    let began = std::time::Instant::now();
    while !cache(dir.path()).join("blobs").exists() || !parts(dir.path()).iter().any(|(_, n)| *n == 10_000) {
        assert!(began.elapsed() < Duration::from_secs(60), "nothing comes");
        std::thread::sleep(Duration::from_millis(20));
    }
    let kill =
        |signal: &str| std::process::Command::new("kill").args([signal, &child.id().to_string()]).status();
    // A shell that runs the tests in the background hands down that SIGINT is ignored.
    assert!(kill("-TERM").unwrap().success());
    assert_eq!(child.wait_with_output().unwrap().status.signal(), Some(15));
    hub.log();
    hub.inspect(dir.path(), MODEL);
    assert_eq!(hub.ranges(WEIGHTS), [Some("bytes=10000-".into())]);
    assert!(cached(dir.path(), &hub.commit(), WEIGHTS) == files(FOLDER)[WEIGHTS]);
}

#[cfg(target_os = "linux")]
#[test]
fn what_there_is_no_room_for_is_not_begun() {
    let dir = folder();
    let hub = Hub::of_folder(FOLDER);
    let program = hub.command(dir.path(), &inspect(MODEL));
    let mut limited = std::process::Command::new("sh");
    limited
        .args(["-c", "ulimit -f 8; exec \"$@\"", "sh"])
        .arg(program.get_program())
        .args(program.get_args());
    limited.envs(program.get_envs().filter_map(|(key, value)| Some((key, value?))));
    program.get_envs().filter(|(_, value)| value.is_none()).for_each(|(key, _)| _ = limited.env_remove(key));
    fails(limited.output().unwrap(), &["the limit (ulimit -f)"], true);
    assert!(!cache(dir.path()).join("snapshots").exists());
}

/// What is there under the name comes first.
#[cfg(unix)]
#[test]
fn a_folder_of_that_name_is_a_folder() {
    let dir = folder();
    let model = dir.path().join("hf:here");
    fs::create_dir(&model).unwrap();
    other_model(&model);
    let mut command = on_hub("http://127.0.0.1:9", dir.path(), &inspect("hf:here"));
    succeeded(&inspect("hf:here"), command.current_dir(dir.path()).output().unwrap());
}

/// Wherever a model is named.
#[test]
fn every_command_takes_such_a_name() {
    let dir = folder();
    let file = dir.path().join("tokens.safetensors");
    write_tokens(&file, &[1, 4], &[1; 4]);
    let text = repository("tests/data/openings.txt");
    let (text, tokens, out) = (arg(&text), arg(&file), arg(dir.path()).to_string() + "/out");
    for arguments in [
        &["inspect"][..],
        &["generate", "--prompt", "a"],
        &["chat"],
        &["eval", "--data", text],
        &["logits", "--tokens", tokens, "--out", &out],
        &["grad", "--tokens", tokens, "--out", &out],
        &["train", "--data", text, "--out", &out],
        &["check", "embed", "--time"],
        &["bench", "model", "--quick"],
        &["bench", "tune", "--quick"],
        &["report", "sketch", "--quick", "--out", &out],
    ] {
        let arguments = [arguments, &["--backend", "cpu", "--quiet", "--model", "hf:tiny/nothing"]].concat();
        let mut command = on_hub("http://127.0.0.1:9", dir.path(), &arguments);
        let output = command.env("HF_HUB_OFFLINE", "1").output().unwrap();
        fails(output, &["hf:tiny/nothing: is not in the cache"], true);
    }
}

#[test]
fn what_cannot_be_what_it_should_is_not_kept() {
    let dir = folder();
    let good = files(FOLDER);
    let with = |name: &str, bytes: &[u8]| {
        let mut all = good.clone();
        all.insert(name.into(), bytes.to_vec());
        all
    };
    let hub = Hub::new(with("config.json", b"<!doctype html><title>Log in</title>"));
    fails(
        hub.run(dir.path(), &inspect(MODEL)),
        &["hf:tiny/llama: config.json is a web page", "not kept"],
        true,
    );
    hub.put("main", with("tokenizer.json", b"{\"version\": "));
    fails(hub.run(dir.path(), &inspect(MODEL)), &["tokenizer.json is no JSON", "not kept"], true);
    hub.put("main", good.clone());
    hub.inspect(dir.path(), MODEL);
    // What is in the cache already is not looked at again; but it is told how to get rid of it.
    let config = cache(dir.path()).join("snapshots").join(hub.commit()).join("config.json");
    fs::write(config.canonicalize().unwrap(), "<html>").unwrap();
    let root = cache(dir.path());
    fails(hub.run(dir.path(), &inspect(MODEL)), &["config.json", "not valid JSON"], true);
    let output = hub.run(dir.path(), &inspect(MODEL));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains(&format!("remove {}", root.display())), "{text}");
    fs::remove_dir_all(root).unwrap();
    hub.inspect(dir.path(), MODEL);
}

#[test]
fn names_that_come_near() {
    for (given, name) in [
        ("HF:tiny/llama", MODEL),
        ("tiny/llama", MODEL),
        ("https://huggingface.co/tiny/llama", MODEL),
        ("https://huggingface.co/tiny/llama/resolve/main/x.gguf", "hf:tiny/llama:x.gguf"),
    ] {
        fails(run(&inspect(given)), &[given, "no such folder or file", name], true);
    }
    fails(run(&inspect("https://example.com/x.gguf")), &["https://example.com/x.gguf", "no such"], true);
    fails(run(&inspect("nowhere")), &["nowhere"], true);
}
