//! What the attention kernels share: the layout of query and key rows and the vectors in them. CPU twin of
//! `shaders/shared/{head_layout,head_vector,rotation,lanes}.wgsl`.

use crate::error::{Error, ErrorKind, Result};
use crate::kernels::cpu::Norm;
use crate::kernels::shader::shared;
use crate::kernels::{DeviceTraits, Real, cpu};
use crate::shape;
use crate::tensor::{Capacity, Lane, Shape, TensorType, Unit};

/// Which vectors are rotated by position (SPEC §1, Position).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rotation {
    /// None.
    None,
    /// The raw projections, before anything else.
    Raw,
    /// The normed vectors, only where the exact kernel reads them.
    Normed,
}

/// Layout of one attention layer's projections, query rows and key rows.
///
/// H query heads share the keys, values and gates of G key heads, M = H / G neighbours each (grouped
/// queries). The queries of a group are rows of one key head, the M of a token side by side, so that what a
/// kernel loads of keys and states serves them all.
///
/// Projections `qkv [rows, (H + 2 G) h (+ G gate logits, padded to 4)]`; query rows `[lanes, G, tokens, M,
/// query_width]`, each `[x | s]`; key rows `[lanes, G, tokens, key_width]`, each `[x | s | v | gate sum (4)]`,
/// where `x` is the vector of the exact kernel and `s` the sketch.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadLayout {
    /// Key heads, G.
    pub heads: usize,
    /// Query heads of a key head, M.
    pub group: usize,
    /// Head size, h, a multiple of 4.
    pub head: usize,
    /// Elements of a head that are not padding. Softmax divides by its root.
    pub size: usize,
    /// Rows carry `x`.
    pub exact: bool,
    /// `x` is normed (false: the raw projection).
    pub normed: bool,
    /// Which norm, over the elements of a head.
    pub norm: Norm,
    /// Keys use the queries' norm.
    pub shared_norm: bool,
    /// Size of `s`, 0 without a sketch.
    pub sketch: usize,
    /// The sketch sees the normed vector.
    pub sketch_normed: bool,
    /// A scalar gate per head.
    pub gated: bool,
    /// Rotary position.
    pub rotation: Rotation,
    /// Elements of a head that are rotated, the first ones.
    pub rotated: usize,
    /// Pairs (2i, 2i+1) in, first halves then second halves out.
    pub interleaved: bool,
    /// Block size b.
    pub block: usize,
    /// Blocks that a query sees exactly: its own and those before it. The ring holds as many.
    pub near: usize,
    /// The first tokens of a text that every query sees exactly; never in the state. In a block at most.
    pub sinks: usize,
    /// Tokens from which on a query's block is no further from the sinks, by their rotation; 0: it always is
    /// as far as it is. At least the near blocks.
    pub sink_reach: usize,
    /// Blocks of a window before the one that its lane's ring is filling: `near - 1`, or none where every call
    /// starts a text.
    pub lead: usize,
}

/// Refuses a plan whose calls may go past a cache of so many rows: shaders find a token's row by its position,
/// and what [`Capacity::context`] bounds is checked of every call.
///
/// # Errors
/// [`ErrorKind::Limit`].
pub(in crate::kernels) fn check_cache(rows: usize, capacity: &Capacity) -> Result<()> {
    if (1..=rows).contains(&capacity.context) {
        return Ok(());
    }
    let text = format!("a cache of {rows} tokens in a plan for a context of {}", capacity.context);
    Err(Error::new(ErrorKind::Limit, text).help("give the plan's capacity a context that the cache holds"))
}

impl HeadLayout {
    /// Query heads, H.
    pub fn query_heads(&self) -> usize {
        self.heads * self.group
    }

    /// Columns of all query heads, H h.
    pub fn width(&self) -> usize {
        self.query_heads() * self.head
    }

    /// Vectors that a sketch sees of a token: its queries and keys.
    pub(in crate::kernels) fn vectors(&self) -> usize {
        self.query_heads() + self.heads
    }

    /// What a sketch gives: of queries `[lanes, G, tokens, M, r]`, then of keys `[lanes, G, tokens, r]`.
    pub(in crate::kernels) fn sketch_shape(&self) -> Shape {
        shape![self.vectors(), Unit::Lanes, Unit::Tokens, self.sketch]
    }

    /// Columns of `qkv`.
    pub fn qkv_width(&self) -> usize {
        self.gate_offset() + if self.gated { self.heads.next_multiple_of(4) } else { 0 }
    }

    /// Column of the first gate logit in `qkv`.
    pub fn gate_offset(&self) -> usize {
        (self.group + 2) * self.heads * self.head
    }

    /// Column of a query head's projection in `qkv` (part 0), or of a key head's key (1) or value (2).
    pub fn column(&self, part: usize, head: usize) -> usize {
        let before = if part == 0 { 0 } else { self.query_heads() + (part - 1) * self.heads };
        (before + head) * self.head
    }

    /// Column of `s` in query and key rows.
    pub fn sketch_offset(&self) -> usize {
        if self.exact { self.head } else { 0 }
    }

    /// Columns of a query row.
    pub fn query_width(&self) -> usize {
        self.sketch_offset() + self.sketch
    }

    /// Column of `v` in a key row.
    pub fn value_offset(&self) -> usize {
        self.query_width()
    }

    /// Column of the gate sum in a key row.
    pub fn sum_offset(&self) -> usize {
        self.value_offset() + self.head
    }

    /// Columns of a key row.
    pub fn key_width(&self) -> usize {
        self.sum_offset() + if self.gated { 4 } else { 0 }
    }

    /// Rows of a ring: blocks at their place modulo [`HeadLayout::near`], then the sinks.
    pub fn ring_rows(&self) -> usize {
        self.near * self.block + self.sinks
    }

    /// Rows of a lane's window: the blocks before the ring's last one, what that holds, the call's tokens, and
    /// at its end the sinks.
    pub fn window(&self) -> Unit {
        Unit::Window((self.lead + 1) * self.block + self.sinks)
    }

    /// Row of a window that holds the first token of a call.
    pub(in crate::kernels) fn window_row(&self, lane: Lane) -> usize {
        self.lead * self.block + lane.ring
    }

    /// Row of a ring that holds a token.
    pub(in crate::kernels) fn ring_row(&self, position: usize) -> usize {
        position % (self.near * self.block)
    }

    /// The block that the ring of a lane is filling, or has filled: what block 0 of a call is of the text.
    pub(in crate::kernels) fn first_block(&self, lane: Lane) -> usize {
        lane.position.saturating_sub(lane.ring) / self.block
    }

    /// Row of a window of so many that holds the first sink, where that is no longer near.
    pub(in crate::kernels) fn sink_row(&self, lane: Lane, window: usize) -> usize {
        // A window that begins with the text has its sinks in its blocks.
        match self.lead.checked_sub(self.first_block(lane)) {
            Some(before) => before * self.block,
            None => window - self.sinks,
        }
    }

    /// Tokens by which the keys of sinks are turned on for queries of a block of the text.
    pub(in crate::kernels) fn sink_turn(&self, block: usize) -> usize {
        if self.sink_reach == 0 { 0 } else { (block * self.block).saturating_sub(self.sink_reach) }
    }

    /// What [`Leaves::Far`](crate::kernels::scan::scan_output::Leaves) leaves, and `AttentionGradRows`.
    pub(in crate::kernels) fn gradient_rows(&self) -> TensorType {
        TensorType::f32(shape![Unit::Lanes, self.heads, Unit::Tokens, self.group, self.gradient_width()])
    }

    /// Columns of a row of `AttentionGradRows`.
    pub(in crate::kernels) fn gradient_width(&self) -> usize {
        self.head + 4
    }

    /// The `override`s of `shared/head_layout.wgsl`.
    pub(in crate::kernels) fn overrides(&self) -> shared::HeadLayout {
        shared::HeadLayout {
            heads: self.heads,
            group: self.group,
            head: self.head,
            block: self.block,
            qkv_width: self.qkv_width(),
            gate_offset: self.gate_offset(),
            query_width: self.query_width(),
            key_width: self.key_width(),
            s_offset: self.sketch_offset(),
            v_offset: self.value_offset(),
            g_offset: self.sum_offset(),
            gated: self.gated,
            near: self.near,
            sinks: self.sinks,
            sink_reach: self.sink_reach,
            lead: self.lead,
        }
    }

    /// The `override`s of `shared/head_vector.wgsl`.
    pub(in crate::kernels) fn vector_overrides(&self) -> shared::HeadVector {
        let rope = match self.rotation {
            Rotation::None => 0,
            Rotation::Raw => 1,
            Rotation::Normed => 2,
        };
        shared::HeadVector {
            rope,
            rotated: self.rotated,
            interleaved: self.interleaved,
            shared_norm: self.shared_norm,
            norm_centred: self.norm.centred,
            norm_eps: self.norm.eps,
        }
    }

    /// The gate sum of a key row.
    pub(in crate::kernels) fn gate_sum<R: Real>(&self, key: &[R]) -> [R; 2] {
        if self.gated { [key[self.sum_offset()], key[self.sum_offset() + 1]] } else { [R::ZERO; 2] }
    }
}

/// Frequencies of the rotation table of [`rotation_table`]: (cos, sin) for four base-256 digits.
pub const DIGITS: usize = 4;

/// What becomes of rotary frequencies for texts longer than those a model was first trained on.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum RopeScaling {
    /// Nothing.
    #[default]
    None,
    /// Every angle is divided.
    Linear {
        /// By this.
        factor: f64,
    },
    /// Llama 3's: wavelengths above `original / low` are divided, those below `original / high` stay, those
    /// between are blended.
    Llama3 {
        /// Divisor of the long wavelengths.
        factor: f64,
        /// Share of the original context from which a wavelength is long.
        low: f64,
        /// Share up to which it is short.
        high: f64,
        /// The original context.
        original: f64,
    },
    /// A divisor a pair, as GGUF files keep them.
    Divisors(Vec<f32>),
}

impl RopeScaling {
    /// The frequencies of `width` rotated elements: `theta^(-2 i / width)`, i < width / 2, scaled.
    pub fn frequencies(&self, width: usize, theta: f64) -> Vec<f64> {
        let plain = |i: usize| theta.powf(-2.0 * i as f64 / width as f64);
        let scaled = |i: usize| match self {
            Self::None => plain(i),
            Self::Linear { factor } => plain(i) / factor,
            Self::Divisors(divisors) => plain(i) / divisors.get(i).map_or(1.0, |d| f64::from(*d)),
            Self::Llama3 { factor, low, high, original } => {
                let turns = original * plain(i) / std::f64::consts::TAU;
                let share = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                plain(i) * (share + (1.0 - share) / factor)
            }
        };
        (0..width / 2).map(scaled).collect()
    }
}

/// The table of `shared/rotation.wgsl` for so many frequencies: `[DIGITS * 256, frequencies, 2]` floats,
/// computed in f64 and rounded once.
pub fn rotation_table(frequencies: &[f64]) -> Vec<f32> {
    let mut table = Vec::with_capacity(DIGITS * 256 * frequencies.len() * 2);
    for digit in 0..DIGITS {
        for value in 0..256u64 {
            for frequency in frequencies {
                let angle = (value << (8 * digit)) as f64 * frequency;
                table.push(angle.cos() as f32);
                table.push(angle.sin() as f32);
            }
        }
    }
    table
}

/// (cos, sin) of `position * frequency_i` from a rotation table.
pub(in crate::kernels) fn rotation<R: Real>(
    table: &[R],
    position: usize,
    i: usize,
    frequencies: usize,
) -> [R; 2] {
    let at = |digit: usize, value: usize| {
        let k = ((digit * 256 + value) * frequencies + i) * 2;
        [table[k], table[k + 1]]
    };
    let mut turn = at(0, position & 255);
    let (mut rest, mut digit) = (position >> 8, 1);
    while rest > 0 {
        let more = at(digit, rest & 255);
        turn = [turn[0] * more[0] - turn[1] * more[1], turn[1] * more[0] + turn[0] * more[1]];
        rest >>= 8;
        digit += 1;
    }
    turn
}

/// The turn of a position: a cosine a pair, then a sine a pair.
pub(in crate::kernels) fn turn_at<R: Real>(table: &[R], position: usize, turn: &mut [R]) {
    let half = turn.len() / 2;
    let (cos, sin) = turn.split_at_mut(half);
    for i in 0..half {
        [cos[i], sin[i]] = rotation(table, position, i, half);
    }
}

/// Turns the pairs (i, i + half) of a vector, as packed rows have them.
pub(in crate::kernels) fn turn_pairs<R: Real>(x: &mut [R], turn: &[R]) {
    let (cos, sin) = turn.split_at(turn.len() / 2);
    cpu::vectorized(
        #[inline(always)]
        || {
            let (first, second) = x.split_at_mut(cos.len());
            for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                (*a, *b) = (*a * *cos - *b * *sin, *b * *cos + *a * *sin);
            }
        },
    );
}

/// The tensors that the head vectors come from.
pub(in crate::kernels) struct HeadSource<'a, R> {
    pub layout: &'a HeadLayout,
    /// `[rows, qkv_width]`
    pub qkv: &'a [R],
    /// `[4, h]`: query weight, bias, key weight, bias
    pub norms: &'a [R],
    /// [`rotation_table`] of the rotated elements' frequencies
    pub rotations: &'a [R],
}

impl<R: Real> HeadSource<'_, R> {
    /// The projection of `part` (0 query, 1 key, 2 value) of a query head, or key head, in a row.
    pub fn projection(&self, row: usize, part: usize, head: usize) -> &[R] {
        let at = row * self.layout.qkv_width() + self.layout.column(part, head);
        &self.qkv[at..at + self.layout.head]
    }

    /// The turn of a position. One serves all heads of a token.
    pub fn turn_at(&self, position: usize, turn: &mut [R]) {
        turn_at(self.rotations, position, &mut turn[..self.layout.rotated / 2 * 2]);
    }

    fn turn(&self, x: &mut [R], turn: &[R]) {
        let half = self.layout.rotated / 2;
        let turn = &turn[..2 * half];
        let x = &mut x[..2 * half];
        if self.layout.interleaved {
            let (cos, sin) = turn.split_at(half);
            cpu::with_scratch(2 * half, |pairs: &mut [R]| {
                pairs.copy_from_slice(x);
                for i in 0..half {
                    let (a, b) = (pairs[2 * i], pairs[2 * i + 1]);
                    x[i] = a * cos[i] - b * sin[i];
                    x[i + half] = b * cos[i] + a * sin[i];
                }
            });
            return;
        }
        turn_pairs(x, turn);
    }

    /// The raw vector: the projection, rotated where raw vectors are.
    pub fn raw(&self, row: usize, part: usize, head: usize, turn: &[R], out: &mut [R]) {
        out.copy_from_slice(self.projection(row, part, head));
        if self.layout.rotation == Rotation::Raw {
            self.turn(out, turn);
        }
    }

    /// The normed raw vector, not rotated again.
    pub fn normed(&self, row: usize, part: usize, head: usize, turn: &[R], out: &mut [R]) {
        let h = self.layout.head;
        let at = if self.layout.shared_norm { 0 } else { part * 2 * h };
        let (weight, bias) = (&self.norms[at..at + h], &self.norms[at + h..at + 2 * h]);
        if self.layout.rotation == Rotation::Raw {
            cpu::with_scratch(h, |raw: &mut [R]| {
                self.raw(row, part, head, turn, raw);
                self.layout.norm.apply(raw, weight, bias, out);
            });
        } else {
            self.layout.norm.apply(self.projection(row, part, head), weight, bias, out);
        }
    }

    /// What the exact kernel reads.
    pub fn exact(&self, row: usize, part: usize, head: usize, turn: &[R], out: &mut [R]) {
        if !self.layout.normed {
            return self.raw(row, part, head, turn, out);
        }
        self.normed(row, part, head, turn, out);
        if self.layout.rotation == Rotation::Normed {
            self.turn(out, turn);
        }
    }

    /// What the sketch sees.
    pub fn sketch_input(&self, row: usize, part: usize, head: usize, turn: &[R], out: &mut [R]) {
        if self.layout.sketch_normed {
            self.normed(row, part, head, turn, out);
        } else {
            self.raw(row, part, head, turn, out);
        }
    }
}

/// The vector of the exact kernel of a query (0) or key (1) head, from a token's projections.
pub fn head_vector(
    layout: &HeadLayout,
    projections: &[f32],
    norms: &[f32],
    rotations: &[f32],
    position: usize,
    [part, head]: [usize; 2],
) -> Vec<f32> {
    let source = HeadSource { layout, qkv: projections, norms, rotations };
    let (mut turn, mut x) = (vec![0.0; layout.head], vec![0.0; layout.head]);
    if layout.rotation != Rotation::None {
        source.turn_at(position, &mut turn);
    }
    source.exact(0, part, head, &turn, &mut x);
    x
}

/// Queries of a token that a workgroup of a decoding kernel takes at once, so that it loads keys and states
/// once for them: the largest divisor of the group that an invocation has registers and a workgroup has memory
/// for.
pub(in crate::kernels) fn shared_queries(
    layout: &HeadLayout,
    device: &DeviceTraits,
    workgroup_bytes: impl Fn(usize) -> usize,
) -> usize {
    /// The arrays of the shaders have so many elements.
    const MOST: usize = 8;
    let fits = |share: &usize| {
        layout.group.is_multiple_of(*share) && workgroup_bytes(*share) <= device.workgroup_memory
    };
    (1..=MOST).rev().find(fits).unwrap_or(1)
}

/// The lane table as the kernels bind it: `[lanes, 4]` of slot, position, ring, 0.
pub(in crate::kernels) fn lane(table: &[u32], at: usize) -> Lane {
    Lane {
        slot: table[at * 4] as usize,
        position: table[at * 4 + 1] as usize,
        ring: table[at * 4 + 2] as usize,
    }
}
