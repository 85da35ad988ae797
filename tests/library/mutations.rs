//! Fuzzing of what reads files that others made: sound files with a few bytes changed are read, or refused in
//! one line. Nothing panics, and nothing takes more memory than the file has bytes, whatever it claims.
//!
//! A run of the tests tries a few seconds' worth from a fixed seed; `POLYSKETCH_FUZZ_SECONDS=600` goes on with
//! other seeds for so long.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pollster::block_on;
use polysketch::Result;
use polysketch::check::random::Rng;
use polysketch::exec::{CpuExecutor, Executor};
use polysketch::model::gguf::Gguf;
use polysketch::model::{Engine, LoadOptions, ModelSource, Session};

/// Counts, for each thread, the largest piece of memory that was asked for.
struct Watched;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

fn saw(bytes: usize) {
    // A thread that ends has no cell any more.
    let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(bytes)));
}

// SAFETY: all of it is the system's; only sizes are noted, in a cell that takes no memory.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        saw(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        saw(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        saw(size);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watched = Watched;

/// What a claim in a file may cost: some copies of it, and what readers need anyway.
fn allowance(file: usize) -> usize {
    64 * file + (4 << 20)
}

/// Changes a few bytes, more often at the start, where headers are.
fn mutated(sound: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = sound.to_vec();
    for _ in 0..rng.within(1, 4) {
        let reach = if rng.below(4) > 0 { bytes.len().min(4096) } else { bytes.len() };
        if reach == 0 {
            break;
        }
        let at = rng.below(reach);
        match rng.below(8) {
            0 => bytes[at] ^= 1 << rng.below(8),
            1 => bytes[at] = rng.bits() as u8,
            // Lengths and offsets at their limits.
            2 | 3 => {
                let n = rng.pick(&[
                    0,
                    1,
                    0x7f,
                    0xff,
                    0xffff,
                    0x7fff_ffff,
                    0xffff_ffff,
                    u64::MAX,
                    1 << 40,
                    1 << 63,
                ]);
                let width = rng.pick(&[1, 4, 8]);
                let end = (at + width).min(bytes.len());
                bytes[at..end].copy_from_slice(&n.to_le_bytes()[..end - at]);
            }
            4 => bytes.truncate(at),
            5 => bytes.insert(at, rng.bits() as u8),
            6 => _ = bytes.remove(at),
            _ => {
                // Something that stands elsewhere in it.
                let (from, n) = (rng.below(bytes.len()), rng.within(1, 24));
                let piece: Vec<u8> = bytes[from..].iter().copied().take(n).collect();
                let end = (at + piece.len()).min(bytes.len());
                bytes[at..end].copy_from_slice(&piece[..end - at]);
            }
        }
    }
    bytes
}

/// Tries mutations of sound files.
fn try_all(sound: &[(String, Vec<u8>)], rounds: usize, read: impl Fn(&str, Vec<u8>) -> Result<()>) {
    let seconds = std::env::var("POLYSKETCH_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok());
    let until = Instant::now() + Duration::from_secs(seconds.unwrap_or(0));
    let mut refused = 0;
    let mut round = 0;
    while round < rounds || Instant::now() < until {
        let (name, bytes) = &sound[round % sound.len()];
        let bytes = mutated(bytes, &mut Rng(round as u64 + 1));
        round += 1;
        let (most, n) = (allowance(bytes.len()), bytes.len());
        let copy = bytes.clone();
        LARGEST.set(0);
        let outcome = catch_unwind(AssertUnwindSafe(|| read(name, bytes)));
        let largest = LARGEST.get();
        let kept = || {
            let path = std::env::temp_dir().join(format!("mutated-{round}-{name}"));
            std::fs::write(&path, &copy).unwrap();
            path
        };
        let Ok(outcome) = outcome else { panic!("{name}, round {round}: kept in {}", kept().display()) };
        assert!(
            largest <= most,
            "{name}, round {round}: {largest} bytes for a file of {n}; {}",
            kept().display()
        );
        if let Err(error) = outcome {
            refused += 1;
            let one_line = !error.message().contains('\n') && !error.message().is_empty();
            assert!(one_line && error.message().len() < 1000, "{name}, round {round}: {error}");
        }
    }
    assert!(refused > rounds / 4, "only {refused} of {round} were refused");
}

fn public(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/public").join(name)
}

fn files(folder: &str, names: &[&str]) -> Vec<(String, Vec<u8>)> {
    names
        .iter()
        .map(|name| ((*name).to_string(), std::fs::read(public(folder).join(name)).unwrap()))
        .collect()
}

/// A model that was read is loaded too, and runs a token.
fn runs(source: ModelSource) -> Result<()> {
    let options = LoadOptions { segment: Some(8), max_context: 16, ..LoadOptions::default() };
    let engine = Engine::on(Executor::Cpu(CpuExecutor::default()));
    let model = block_on(engine.load(source, &options, &mut |_, _| {}))?;
    let mut session = block_on(Session::new(&model))?;
    block_on(session.prefill(0, &[0, 0], &mut |_| std::ops::ControlFlow::Continue(())))?;
    block_on(session.logits(0)).map(|_| ())
}

#[test]
fn gguf_files() {
    let names =
        ["llama-Q4_1_smol.gguf", "qwen3-Q4_1.gguf", "starcoder2-Q5_0.gguf", "llama-rope-linear-F16.gguf"];
    try_all(&files("gguf", &names), 1500, |_, bytes| {
        runs(ModelSource::from_gguf(Gguf::from_bytes(bytes, "mutated.gguf")?)?)
    });
}

#[test]
fn safetensors_files() {
    let config = |name: &str| std::fs::read_to_string(public(name).join("config.json")).unwrap();
    let [llama, powercoder] = ["llama-bias", "powercoder"].map(config);
    let weights =
        |name: &str| (name.to_string(), std::fs::read(public(name).join("model.safetensors")).unwrap());
    let sound = [weights("llama-bias"), weights("powercoder")];
    try_all(&sound, 600, |name, bytes| {
        let config = if name == "powercoder" { &powercoder } else { &llama };
        runs(ModelSource::from_bytes(config, bytes, None)?)
    });
}

#[test]
fn configurations_and_tokenizers() {
    let config = std::fs::read(public("llama-hf/config.json")).unwrap();
    let tokenizer = std::fs::read(public("llama-hf/tokenizer.json")).unwrap();
    let sound = [("config.json".to_string(), config), ("tokenizer.json".to_string(), tokenizer)];
    let weights = std::fs::read(public("llama-hf/model.safetensors")).unwrap();
    let config = String::from_utf8(sound[0].1.clone()).unwrap();
    try_all(&sound, 600, |name, bytes| {
        let source = if name == "config.json" {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            ModelSource::from_bytes(&text, weights.clone(), Some(&sound[1].1))?
        } else {
            ModelSource::from_bytes(&config, weights.clone(), Some(&bytes))?
        };
        if source.config.vocab_size < 1 << 16 { runs(source) } else { Ok(()) }
    });
}

#[test]
fn states() {
    let model = || {
        let engine = Engine::on(Executor::Cpu(CpuExecutor::default()));
        let options = LoadOptions { segment: Some(8), max_context: 16, ..LoadOptions::default() };
        let source = ModelSource::open(&public("llama-hf")).unwrap();
        block_on(engine.load(source, &options, &mut |_, _| {})).unwrap()
    };
    let model = model();
    let mut session = block_on(Session::new(&model)).unwrap();
    block_on(session.prefill(0, &[1, 2, 3], &mut |_| std::ops::ControlFlow::Continue(()))).unwrap();
    let sound = [("state".to_string(), block_on(session.save(0)).unwrap())];
    let session = std::cell::RefCell::new(session);
    try_all(&sound, 600, |_, bytes| block_on(session.borrow_mut().load(0, &bytes, "mutated")));
}
