//! Files that are sound, and files that are broken in one way each: every one of these gives one clear line.

use super::blocks::Block;
use super::*;
use crate::error::{ErrorKind, Result};
use crate::model::tensor_file::TensorFile;

/// Types of the key-value list.
pub(super) const U8: u32 = 0;
const U32: u32 = 4;
const F32: u32 = 6;
const BOOL: u32 = 7;
const TEXT: u32 = 8;
const LIST: u32 = 9;

/// A key-value list and tensors, of which a file is made.
#[derive(Clone, Default)]
pub(super) struct File {
    keys: Vec<(Vec<u8>, Vec<u8>)>,
    tensors: Vec<Entry>,
    version: u32,
    alignment: usize,
    /// Instead of the true numbers.
    tensor_count: Option<u64>,
    key_count: Option<u64>,
    raw_keys: Vec<u8>,
}

#[derive(Clone)]
struct Entry {
    name: String,
    dims: Vec<u64>,
    kind: u32,
    bytes: Vec<u8>,
    /// Instead of the true ones.
    dim_count: Option<u32>,
    offset: Option<u64>,
}

fn text(s: &[u8]) -> Vec<u8> {
    [&(s.len() as u64).to_le_bytes()[..], s].concat()
}

fn typed(kind: u32, value: &[u8]) -> Vec<u8> {
    [&kind.to_le_bytes()[..], value].concat()
}

fn list(kind: u32, values: &[Vec<u8>]) -> Vec<u8> {
    let count = (values.len() as u64).to_le_bytes();
    typed(LIST, &[&kind.to_le_bytes()[..], &count, &values.concat()].concat())
}

fn int(n: u32) -> Vec<u8> {
    typed(U32, &n.to_le_bytes())
}

fn float(x: f32) -> Vec<u8> {
    typed(F32, &x.to_le_bytes())
}

fn words(words: &[&str]) -> Vec<u8> {
    list(TEXT, &words.iter().map(|w| text(w.as_bytes())).collect::<Vec<_>>())
}

impl File {
    /// A complete model of one layer, of the architecture llama.
    pub(super) fn sound() -> Self {
        let (d, f, kv, vocabulary) = (32, 64, 16, 259);
        let mut file = Self { version: 3, alignment: 32, ..Self::default() };
        let tokens: Vec<String> = (0..vocabulary).map(|i| format!("t{i}")).collect();
        let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
        for (key, value) in [
            ("general.architecture", typed(TEXT, &text(b"llama"))),
            ("llama.context_length", int(64)),
            ("llama.embedding_length", int(d as u32)),
            ("llama.block_count", int(1)),
            ("llama.feed_forward_length", int(f as u32)),
            ("llama.attention.head_count", int(4)),
            ("llama.attention.head_count_kv", int(2)),
            ("llama.rope.freq_base", float(1e4)),
            ("llama.attention.layer_norm_rms_epsilon", float(1e-5)),
            ("llama.rope.dimension_count", int(8)),
            ("llama.vocab_size", int(vocabulary as u32)),
            ("tokenizer.ggml.model", typed(TEXT, &text(b"gpt2"))),
            ("tokenizer.ggml.pre", typed(TEXT, &text(b"gpt-2"))),
            ("tokenizer.ggml.tokens", words(&tokens)),
            ("tokenizer.ggml.merges", words(&[])),
            ("tokenizer.ggml.eos_token_id", int(0)),
            ("tokenizer.ggml.add_bos_token", typed(BOOL, &[0])),
        ] {
            file.set(key, value);
        }
        let mut add = |name: &str, dims: &[usize]| {
            let n: usize = dims.iter().product();
            let bytes = (0..n).flat_map(|i| ((i % 7) as f32 * 0.1 - 0.3).to_le_bytes()).collect();
            let dims = dims.iter().map(|n| *n as u64).collect();
            let name = name.to_string();
            file.tensors.push(Entry { name, dims, kind: 0, bytes, dim_count: None, offset: None });
        };
        add("token_embd.weight", &[d, vocabulary]);
        add("output_norm.weight", &[d]);
        for (name, i, o) in [
            ("attn_q", d, d),
            ("attn_k", d, kv),
            ("attn_v", d, kv),
            ("attn_output", d, d),
            ("ffn_gate", d, f),
            ("ffn_up", d, f),
            ("ffn_down", f, d),
        ] {
            add(&format!("blk.0.{name}.weight"), &[i, o]);
        }
        add("blk.0.attn_norm.weight", &[d]);
        add("blk.0.ffn_norm.weight", &[d]);
        file
    }

    /// Puts a value in the place of a key's, or adds it.
    fn set(&mut self, key: &str, value: Vec<u8>) {
        match self.keys.iter_mut().find(|(k, _)| k == key.as_bytes()) {
            Some(entry) => entry.1 = value,
            None => self.keys.push((key.into(), value)),
        }
    }

    fn tensor(&mut self, name: &str) -> &mut Entry {
        self.tensors.iter_mut().find(|t| t.name == name).expect("is there")
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend(self.tensor_count.unwrap_or(self.tensors.len() as u64).to_le_bytes());
        out.extend(self.key_count.unwrap_or(self.keys.len() as u64).to_le_bytes());
        for (key, value) in &self.keys {
            out.extend(text(key));
            out.extend(value);
        }
        out.extend(&self.raw_keys);
        let mut data = Vec::new();
        for t in &self.tensors {
            out.extend(text(t.name.as_bytes()));
            out.extend(t.dim_count.unwrap_or(t.dims.len() as u32).to_le_bytes());
            t.dims.iter().for_each(|n| out.extend(n.to_le_bytes()));
            out.extend(t.kind.to_le_bytes());
            out.extend(t.offset.unwrap_or(data.len() as u64).to_le_bytes());
            data.extend(&t.bytes);
            data.resize(data.len().next_multiple_of(self.alignment), 0);
        }
        out.resize(out.len().next_multiple_of(self.alignment), 0);
        [out, data].concat()
    }
}

const Q: &str = "blk.0.attn_q.weight";

/// What breaks the file, with words of the line that it must give.
fn broken() -> Vec<(&'static str, Vec<u8>)> {
    let sound = File::sound();
    let good = sound.bytes();
    let header = good.len() - sound.tensors.iter().map(|t| t.bytes.len()).sum::<usize>();
    let with = |change: &dyn Fn(&mut File)| {
        let mut file = sound.clone();
        change(&mut file);
        file.bytes()
    };
    let key = |name: &'static str, value: Vec<u8>| with(&|f| f.set(name, value.clone()));
    let without = |name: &str| with(&|f| f.keys.retain(|(k, _)| k != name.as_bytes()));
    let raw = |bytes: Vec<u8>| {
        with(&|f| {
            f.raw_keys.clone_from(&bytes);
            f.key_count = Some(f.keys.len() as u64 + 1);
        })
    };
    let q = |change: &dyn Fn(&mut Entry)| with(&|f| change(f.tensor(Q)));
    let dims = |dims: &[u64], kind: u32| {
        q(&|t| {
            t.dims = dims.to_vec();
            t.kind = kind;
        })
    };
    let huge = 1u64 << 60;
    let nested = [&typed(LIST, &[])[..], &[9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0].repeat(100_000)].concat();
    let old = |n: u32| [&good[..4], &n.to_be_bytes(), &good[8..]].concat();
    vec![
        ("no bytes", vec![]),
        ("ends at byte 4", b"GGUF".to_vec()),
        ("announces 11 tensors, but only 4 bytes", good[..20].to_vec()),
        ("within the key-value list", good[..300].to_vec()),
        ("a tensor's name is said to have", good[..header - 60].to_vec()),
        ("the file has", good[..good.len() - 100].to_vec()),
        ("\"GGML\"", [b"GGML", &good[4..]].concat()),
        ("PK", [&b"PK\x03\x04"[..], &[0; 2000]].concat()),
        ("version of the format is 1", with(&|f| f.version = 1)),
        ("version of the format is 77", with(&|f| f.version = 77)),
        ("3 in big-endian order", old(3)),
        ("1152921504606846976 tensors", with(&|f| f.tensor_count = Some(huge))),
        ("1152921504606846976 keys", with(&|f| f.key_count = Some(huge))),
        ("1152921504606846976 bytes", raw([&huge.to_le_bytes()[..], b"abc"].concat())),
        ("x.y", raw([&text(b"x.y")[..], &typed(LIST, &U8.to_le_bytes()), &huge.to_le_bytes()].concat())),
        ("x.y is a list of lists", raw([text(b"x.y"), nested].concat())),
        ("x.y has value type 99", raw([text(b"x.y"), typed(99, &[0; 4])].concat())),
        ("not UTF-8", with(&|f| f.keys.push((vec![0xff, 0xfe, 0xfd], int(1))))),
        (
            "llama.embedding_length stands twice",
            with(&|f| f.keys.push((b"llama.embedding_length".to_vec(), int(64)))),
        ),
        ("general.architecture is missing", without("general.architecture")),
        ("teapot", key("general.architecture", typed(TEXT, &text(b"teapot")))),
        ("llama.embedding_length is missing", without("llama.embedding_length")),
        ("llama.embedding_length is \"32\"", key("llama.embedding_length", typed(TEXT, &text(b"32")))),
        ("llama.embedding_length is 0", key("llama.embedding_length", int(0))),
        ("llama.attention.head_count is 0", key("llama.attention.head_count", int(0))),
        ("llama.attention.head_count is 5", key("llama.attention.head_count", int(5))),
        ("llama.attention.head_count_kv is 3", key("llama.attention.head_count_kv", int(3))),
        ("llama.block_count is 2147483648", key("llama.block_count", int(1 << 31))),
        (
            "llama.attention.layer_norm_rms_epsilon is NaN",
            key("llama.attention.layer_norm_rms_epsilon", float(f32::NAN)),
        ),
        ("general.alignment is 0", key("general.alignment", int(0))),
        ("general.alignment is 7", key("general.alignment", int(7))),
        ("tokenizer.ggml.tokens is missing", without("tokenizer.ggml.tokens")),
        ("2", key("tokenizer.ggml.tokens", words(&["a", "b"]))),
        (Q, with(&|f| f.tensors.retain(|t| t.name != Q))),
        (
            "blk.0.attn_q.weight stands twice",
            with(&|f| {
                let twice = f.tensor(Q).clone();
                f.tensors.push(twice);
            }),
        ),
        (Q, dims(&[16, 64], 0)),
        ("blk.0.attn_q.weight has dimensions", dims(&[1 << 40, 1 << 40], 0)),
        ("blk.0.attn_q.weight has dimensions", dims(&[1 << 33, 1 << 31, 1], 0)),
        ("5 dimensions", dims(&[32, 32, 1, 1, 1], 0)),
        ("2147483648 dimensions", q(&|t| t.dim_count = Some(1 << 31))),
        ("one of them 0", dims(&[0, 32], 0)),
        ("type 999", dims(&[32, 32], 999)),
        ("IQ2_XXS (16)", dims(&[256, 32], 16)),
        ("rows of 33", dims(&[33, 32], 2)),
        ("rows of 32", dims(&[32, 32], 12)),
        ("blk.0.attn_q.weight lies at", q(&|t| t.offset = Some(1 << 30))),
        ("beyond any file", q(&|t| t.offset = Some(u64::MAX - 31))),
        ("offset 33", q(&|t| t.offset = Some(33))),
        ("overlap", q(&|t| t.offset = Some(32))),
    ]
}

/// Reads a file as a model would be.
fn load(bytes: Vec<u8>) -> Result<()> {
    let file = Gguf::from_bytes(bytes, "f.gguf")?;
    file.tensors().keys().try_for_each(|name| file.raw(name).map(|_| ()).ok_or_else(|| unreachable!()))?;
    crate::model::ModelSource::from_gguf(file).map(|_| ())
}

#[test]
fn a_sound_file_is_read() {
    load(File::sound().bytes()).expect("is sound");
}

#[test]
fn every_broken_file_gives_one_clear_line() {
    let cases = broken();
    assert!(cases.len() >= 48);
    let wrong: Vec<String> = cases
        .into_iter()
        .filter_map(|(want, bytes)| {
            let e = load(bytes).err()?;
            let line = e.message();
            let clear = e.kind() == ErrorKind::ModelFormat
                && line.starts_with("f.gguf: ")
                && line.contains(want)
                && line.len() < 400
                && !line.contains('\n')
                && (e.advice().is_some() || line.contains("must be"));
            (!clear).then(|| format!("{want}: {line}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (want, bytes) in broken() {
        assert!(load(bytes).is_err(), "{want}: loads");
    }
}

/// No bytes make the reader panic: every byte of the header changed in turn, and every length.
#[test]
fn no_bytes_make_it_panic() {
    let mut file = File::sound();
    file.set("tokenizer.ggml.tokens", words(&["a", "b"]));
    file.tensors.truncate(3);
    let good = file.bytes();
    let header = good.len() - file.tensors.iter().map(|t| t.bytes.len()).sum::<usize>();
    for at in 0..header {
        for flip in [1, 0x80, 0xff] {
            let mut bytes = good.clone();
            bytes[at] ^= flip;
            let _ = load(bytes);
        }
        let _ = load(good[..at].to_vec());
    }
}

#[test]
fn blocks_are_those_of_the_format_bit_by_bit() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/public/gguf");
    let mut seen = 0;
    for kind in BlockType::ALL.into_iter().filter(|kind| !kind.is_float()) {
        let file =
            TensorFile::open(&folder.join(format!("blocks-{}.safetensors", kind.name()))).expect("opens");
        let (raw, want) = (file.raw("blocks").expect("is there"), file.f32("values").expect("floats"));
        assert_eq!(raw.len() / kind.bytes() * kind.values(), want.len());
        let mut got = vec![0.0; want.len()];
        kind.dequantize(raw, &mut got);
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            assert!(got.to_bits() == want.to_bits(), "{} {i}: {got:e} {want:e}", kind.name());
            seen += 1;
        }
        // Taken apart, they are the same.
        let mut block = Block::default();
        for (raw, want) in raw.chunks(kind.bytes()).zip(want.chunks(kind.values())) {
            kind.open(raw, &mut block);
            let value = |i: usize| {
                block.scales[i / block.step].mul_add(f32::from(block.q[i]), block.minima[i / block.step])
            };
            assert!(want.iter().enumerate().all(|(i, want)| value(i) == *want), "{}", kind.name());
        }
    }
    assert!(seen > 8000, "{seen}");
}
