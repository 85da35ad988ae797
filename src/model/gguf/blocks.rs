//! The types of a GGUF file's tensors, and their values: in f32, in the order of the format's own definition,
//! so that they are the same bits.

use half::{bf16, f16};

use crate::tensor::Quant;

/// A type of tensors that is understood here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the format's own")]
#[allow(non_camel_case_types, reason = "the names are the format's own")]
pub enum BlockType {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q4_K,
    Q5_K,
    Q6_K,
}

/// Every number that llama.cpp gives a type, with its name: for messages.
const NAMES: [(u32, &str); 38] = [
    (0, "F32"),
    (1, "F16"),
    (2, "Q4_0"),
    (3, "Q4_1"),
    (4, "Q4_2"),
    (5, "Q4_3"),
    (6, "Q5_0"),
    (7, "Q5_1"),
    (8, "Q8_0"),
    (9, "Q8_1"),
    (10, "Q2_K"),
    (11, "Q3_K"),
    (12, "Q4_K"),
    (13, "Q5_K"),
    (14, "Q6_K"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (30, "BF16"),
    (31, "Q4_0_4_4"),
    (32, "Q4_0_4_8"),
    (33, "Q4_0_8_8"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (39, "MXFP4"),
    (40, "NVFP4"),
];

/// Values of a block of the K-quants.
const SUPER: usize = 256;

impl BlockType {
    /// Every type.
    pub const ALL: [Self; 11] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q4_K,
        Self::Q5_K,
        Self::Q6_K,
    ];

    /// By the file's number; otherwise what the number is called.
    ///
    /// # Errors
    /// The name of the type, or its number.
    pub fn of(number: u32) -> Result<Self, String> {
        let name = NAMES.iter().find(|(n, _)| *n == number).map(|(_, name)| *name);
        let known = Self::ALL.into_iter().find(|t| Some(t.name()) == name);
        known.ok_or_else(|| name.map_or_else(|| number.to_string(), |name| format!("{name} ({number})")))
    }

    /// Its number in a file.
    pub fn number(self) -> u32 {
        NAMES.iter().find(|(_, name)| *name == self.name()).map_or(0, |(n, _)| *n)
    }

    /// The format's own name.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q4_K => "Q4_K",
            Self::Q5_K => "Q5_K",
            Self::Q6_K => "Q6_K",
        }
    }

    /// Values of a block.
    pub fn values(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::BF16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => 32,
            Self::Q4_K | Self::Q5_K | Self::Q6_K => SUPER,
        }
    }

    /// Bytes of a block.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::Q4_0 => 2 + 16,
            Self::Q4_1 => 4 + 16,
            Self::Q5_0 => 2 + 4 + 16,
            Self::Q5_1 => 4 + 4 + 16,
            Self::Q8_0 => 2 + 32,
            Self::Q4_K => 4 + 12 + 128,
            Self::Q5_K => 4 + 12 + 32 + 128,
            Self::Q6_K => 128 + 64 + 16 + 2,
        }
    }

    /// How rows of so many columns hold its values exactly in few bits; none for floats.
    pub fn quant(self, columns: usize) -> Option<Quant> {
        let (bits, block, wide, minimum) = match self {
            Self::F32 | Self::F16 | Self::BF16 => return None,
            Self::Q4_0 => (4, 32, false, false),
            Self::Q4_1 => (4, 32, false, true),
            Self::Q5_0 | Self::Q8_0 => (8, 32, false, false),
            Self::Q5_1 => (8, 32, false, true),
            Self::Q4_K => (4, 32, true, true),
            Self::Q5_K => (8, 32, true, true),
            Self::Q6_K => (8, 16, true, false),
        };
        Some(Quant { bits, block, wide, minimum, columns: u32::try_from(columns).ok()? })
    }

    /// Whether such rows hold its values exactly.
    pub fn fits(self, rows: &Quant) -> bool {
        self.quant(rows.columns()).is_some_and(|own| own.join(rows) == *rows)
    }

    /// Whether its values are floats, one by one.
    pub fn is_float(self) -> bool {
        self.values() == 1
    }

    /// The values of whole blocks; `out` has room for exactly so many.
    pub fn dequantize(self, raw: &[u8], out: &mut [f32]) {
        match self {
            Self::F32 => each(raw, out, |b: &[u8; 4], [x]| *x = f32::from_le_bytes(*b)),
            Self::F16 => each(raw, out, |b: &[u8; 2], [x]| *x = half(b, 0)),
            Self::BF16 => each(raw, out, |b: &[u8; 2], [x]| *x = bf16::from_le_bytes(*b).to_f32()),
            _ => {
                for (raw, out) in raw.chunks_exact(self.bytes()).zip(out.chunks_exact_mut(self.values())) {
                    let mut block = Block::default();
                    self.open(raw, &mut block);
                    block.values(out);
                }
            }
        }
    }

    /// Takes a block of a quantised type apart.
    pub fn open(self, raw: &[u8], block: &mut Block) {
        match self {
            Self::F32 | Self::F16 | Self::BF16 => unreachable!("{} has no blocks", self.name()),
            Self::Q4_0 => {
                block.shape(32, 32);
                block.scales[0] = half(raw, 0);
                nibbles(&raw[2..], &mut block.q, 8);
            }
            Self::Q4_1 => {
                block.shape(32, 32);
                (block.scales[0], block.minima[0]) = (half(raw, 0), half(raw, 2));
                nibbles(&raw[4..], &mut block.q, 0);
            }
            Self::Q5_0 | Self::Q5_1 => {
                block.shape(32, 32);
                block.scales[0] = half(raw, 0);
                let (at, offset) = if self == Self::Q5_1 { (4, 0) } else { (2, 16) };
                if self == Self::Q5_1 {
                    block.minima[0] = half(raw, 2);
                }
                nibbles(&raw[at + 4..], &mut block.q, offset);
                let high = u32::from_le_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]]);
                for (i, q) in block.q[..32].iter_mut().enumerate() {
                    *q += ((high >> i & 1) << 4) as i8;
                }
            }
            Self::Q8_0 => {
                block.shape(32, 32);
                block.scales[0] = half(raw, 0);
                block.q.iter_mut().zip(&raw[2..34]).for_each(|(q, b)| *q = *b as i8);
            }
            Self::Q4_K | Self::Q5_K => {
                block.shape(SUPER, 32);
                let (d, least) = (half(raw, 0), half(raw, 2));
                for i in 0..8 {
                    let (scale, minimum) = six_bits(&raw[4..16], i);
                    block.scales[i] = d * f32::from(scale);
                    block.minima[i] = -(least * f32::from(minimum));
                }
                let low = &raw[self.bytes() - 128..];
                for (pair, (low, q)) in low.chunks_exact(32).zip(block.q.chunks_exact_mut(64)).enumerate() {
                    for i in 0..32 {
                        let high = if self == Self::Q5_K { raw[16 + i] >> (2 * pair) } else { 0 };
                        q[i] = (low[i] & 15 | (high & 1) << 4) as i8;
                        q[32 + i] = (low[i] >> 4 | (high >> 1 & 1) << 4) as i8;
                    }
                }
            }
            Self::Q6_K => {
                block.shape(SUPER, 16);
                let (low, high, scales) = (&raw[..128], &raw[128..192], &raw[192..208]);
                let d = half(raw, 208);
                for (to, scale) in block.scales.iter_mut().zip(scales) {
                    *to = d * f32::from(*scale as i8);
                }
                for part in 0..2 {
                    let (low, high) = (&low[64 * part..], &high[32 * part..]);
                    for i in 0..32 {
                        let bits = [low[i] & 15, low[32 + i] & 15, low[i] >> 4, low[32 + i] >> 4];
                        for (j, bits) in bits.into_iter().enumerate() {
                            let q = bits | (high[i] >> (2 * j) & 3) << 4;
                            block.q[128 * part + 32 * j + i] = q as i8 - 32;
                        }
                    }
                }
            }
        }
    }
}

/// A block as integers: value `i` is `scales[i / step] · q[i] + minima[i / step]`, rounded once at the sum.
#[derive(Clone, Debug)]
pub struct Block {
    /// Integers.
    pub q: [i8; SUPER],
    /// Scales.
    pub scales: [f32; 16],
    /// What is added: minus the format's minimum, or -0, which changes nothing (0 would make 0 of -0).
    pub minima: [f32; 16],
    /// Values in all.
    pub len: usize,
    /// Values of one scale.
    pub step: usize,
}

impl Default for Block {
    fn default() -> Self {
        Self { q: [0; SUPER], scales: [0.0; 16], minima: [-0.0; 16], len: 0, step: 32 }
    }
}

impl Block {
    fn shape(&mut self, len: usize, step: usize) {
        (self.len, self.step, self.minima) = (len, step, [-0.0; 16]);
    }

    /// A scale or minimum that is no number, if there is one.
    pub fn bad_scale(&self) -> Option<f32> {
        let used = self.len / self.step;
        self.scales[..used].iter().chain(&self.minima[..used]).copied().find(|x| !x.is_finite())
    }

    /// Puts it into a row that holds it exactly, from a column on.
    pub fn put(&self, quant: &Quant, row: &mut [u32], column: usize) {
        let mut q = self.q;
        let (len, fewer) = (self.len, self.step / quant.block());
        // Integers around 0, in a row that counts from its minimum.
        let below = if quant.bits == 4 && quant.minimum && q[..len].iter().any(|q| *q < 0) { 8 } else { 0 };
        q[..len].iter_mut().for_each(|q| *q += below);
        quant.put_values(row, column, &q[..len]);
        for i in 0..len / self.step {
            let (scale, minimum) = (self.scales[i], self.minima[i]);
            let minimum = if below > 0 { -(f32::from(below) * scale) } else { minimum };
            for j in 0..fewer {
                quant.put_scale(row, column / quant.block() + i * fewer + j, scale, minimum);
            }
        }
    }

    /// Its values.
    pub fn values(&self, out: &mut [f32]) {
        for (i, (out, q)) in out.chunks_exact_mut(self.step).zip(self.q.chunks_exact(self.step)).enumerate() {
            let (scale, minimum) = (self.scales[i], self.minima[i]);
            out.iter_mut().zip(q).for_each(|(x, q)| *x = scale * f32::from(*q) + minimum);
        }
    }
}

fn each<const N: usize>(raw: &[u8], out: &mut [f32], value: impl Fn(&[u8; N], &mut [f32; 1])) {
    let out = out.as_chunks_mut::<1>().0;
    raw.as_chunks::<N>().0.iter().zip(out).for_each(|(raw, out)| value(raw, out));
}

fn half(raw: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([raw[at], raw[at + 1]]).to_f32()
}

/// 32 values of 4 bits: the low halves of 16 bytes, then their high halves.
fn nibbles(raw: &[u8], q: &mut [i8], offset: i8) {
    for (i, byte) in raw[..16].iter().enumerate() {
        q[i] = (byte & 15) as i8 - offset;
        q[16 + i] = (byte >> 4) as i8 - offset;
    }
}

/// Scale and minimum `i` of eight, six bits each, in twelve bytes.
fn six_bits(packed: &[u8], i: usize) -> (u8, u8) {
    if i < 4 {
        return (packed[i] & 63, packed[i + 4] & 63);
    }
    let scale = packed[i + 4] & 15 | (packed[i - 4] >> 6) << 4;
    let minimum = packed[i + 4] >> 4 | (packed[i] >> 6) << 4;
    (scale, minimum)
}
