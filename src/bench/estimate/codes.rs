//! What the compilers made of each variant, as a text inside the program: an estimate needs no compiler.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use xxhash_rust::xxh3::xxh3_64;

use super::super::steps::variant;
use super::chip::CHIPS;
use crate::kernels::{Variant, Vendor};

/// What the cost model needs of a compiled shader.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Code {
    /// Instructions in all.
    pub instructions: u64,
    /// Invocations that one processor can hold, by registers.
    pub resident: usize,
    /// The share of a busy processor's peak that the inner loop allows.
    pub share: f64,
}

/// Codes by vendor and [`key`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Codes {
    /// Version of the compilers.
    pub compilers: String,
    codes: BTreeMap<(Vendor, u64), Code>,
}

/// The text inside the program, which `polysketch gauge --update` writes. Browsers check every index: they run
/// other code, and no estimates.
#[cfg(not(target_arch = "wasm32"))]
const OURS: &str = include_str!("codes.txt");
#[cfg(target_arch = "wasm32")]
const OURS: &str = "";

const HEAD: &str = "\
# What the compilers of four vendors make of the kernels, for the estimates beside measured times
# (docs/BENCHMARK.md): polysketch gauge --update writes this. Vendor; variant and WGSL, hashed; instructions;
# invocations that a processor can hold; share of its peak that the inner loop allows.
";
const COMPILERS: &str = "# compilers: ";

/// What code is made from: a variant's name, its overrides and its WGSL, in 64 bits. None for kernels without a
/// shader. A shader that was changed has another.
pub fn key(of: &Variant) -> Option<u64> {
    let source = of.source().ok()??;
    Some(xxh3_64(format!("{}\0{source}", variant(of)).as_bytes()))
}

impl Codes {
    /// Those inside the program.
    pub fn ours() -> Self {
        Self::parse(OURS)
    }

    /// No codes, yet, of these compilers.
    pub fn new(compilers: &str) -> Self {
        Self { compilers: compilers.into(), codes: BTreeMap::new() }
    }

    /// Adds what a vendor's compiler made.
    pub fn insert(&mut self, vendor: Vendor, key: u64, code: Code) {
        self.codes.insert((vendor, key), code);
    }

    /// What a vendor's compiler made of a variant.
    pub fn get(&self, vendor: Vendor, of: &Variant) -> Option<Code> {
        self.codes.get(&(vendor, key(of)?)).copied()
    }

    /// As a text.
    pub fn text(&self) -> String {
        let mut text = format!("{HEAD}{COMPILERS}{}\n", self.compilers);
        for ((vendor, key), code) in &self.codes {
            let Code { instructions, resident, share } = code;
            let _ = writeln!(text, "{vendor} {key:016x} {instructions} {resident} {share:.4}");
        }
        text
    }

    /// A text of [`Codes::text`]; a line that is none tells of no code.
    pub fn parse(text: &str) -> Self {
        let compilers = text.lines().find_map(|line| line.strip_prefix(COMPILERS)).unwrap_or_default();
        let codes = text.lines().filter_map(|line| {
            let [vendor, key, instructions, resident, share] =
                line.split(' ').collect::<Vec<_>>().try_into().ok()?;
            let vendor = CHIPS.iter().map(|chip| chip.vendor).find(|known| known.as_str() == vendor)?;
            let [instructions, resident] = [instructions.parse().ok()?, resident.parse().ok()?];
            let code = Code { instructions, resident: resident as usize, share: share.parse().ok()? };
            Some(((vendor, u64::from_str_radix(key, 16).ok()?), code))
        });
        Self { compilers: compilers.into(), codes: codes.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::contract::shader::PERMUTATIONS;

    #[test]
    fn codes_are_read_as_they_were_written() {
        let of = |value| Variant::of(&PERMUTATIONS[0], vec![value; PERMUTATIONS[0].overrides.len()]);
        let mut codes = Codes::new("Mesa 26");
        let code = Code { instructions: 1702, resident: 896, share: 0.4125 };
        codes.insert(Vendor::Amd, key(&of(1.0)).expect("a shader"), code);
        codes.insert(Vendor::Qualcomm, 7, Code::default());
        let read = Codes::parse(&codes.text());
        assert_eq!(read, codes);
        assert_eq!(read.get(Vendor::Amd, &of(1.0)), Some(code));
        // Neither another vendor's, nor of other overrides.
        assert_eq!([read.get(Vendor::Nvidia, &of(1.0)), read.get(Vendor::Amd, &of(2.0))], [None, None]);
        assert_eq!(Codes::parse("amd 7 1 1\nintel 7 1 1 1\namd x 1 1 1"), Codes::default());
        assert_eq!(Codes::ours().text(), OURS);
    }
}
