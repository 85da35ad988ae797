//! Code as blocks, and the loop in it where most work is.

/// What a stretch of code holds. What only waits or hints (waits, delays, nops) issues to no unit and is not
/// counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Instructions that issue; a repeated one as often as it is repeated, a product of matrices as many as issue
    /// elsewhere meanwhile.
    pub instructions: u32,
    /// f32 multiply-adds: two in an instruction that does two.
    pub multiply_adds: u32,
    /// Words read from workgroup memory.
    pub near: u32,
    /// Words read from buffers.
    pub far: u32,
}

impl Count {
    fn add(&mut self, other: Count) {
        self.instructions += other.instructions;
        self.multiply_adds += other.multiply_adds;
        self.near += other.near;
        self.far += other.far;
    }
}

/// The loop in which a kernel spends its time, or where there is none all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// What it holds.
    pub count: Count,
    /// There is a loop.
    pub looped: bool,
}

impl Share {
    /// Multiply-adds an instruction, at most two where one does two.
    pub fn multiply_adds(&self) -> f64 {
        f64::from(self.count.multiply_adds) / f64::from(self.count.instructions.max(1))
    }

    /// Words read for a multiply-add, from workgroup memory and from buffers.
    pub fn words(&self) -> f64 {
        f64::from(self.count.near + self.count.far) / f64::from(self.count.multiply_adds.max(1))
    }
}

/// Straight code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    name: String,
    count: Count,
    /// Where it branches to, by name.
    targets: Vec<String>,
    /// Whether it may run on into the next block.
    falls: bool,
}

/// A shader as blocks, in the order of the text.
#[derive(Debug)]
pub(super) struct Code {
    pub blocks: Vec<Block>,
}

impl Default for Code {
    fn default() -> Self {
        Self { blocks: vec![Block { falls: true, ..Block::default() }] }
    }
}

impl Code {
    /// A new block begins.
    pub fn label(&mut self, name: &str) {
        self.blocks.push(Block { name: name.to_string(), falls: true, ..Block::default() });
    }

    fn last(&mut self) -> &mut Block {
        if self.blocks.is_empty() {
            self.label("");
        }
        let last = self.blocks.len() - 1;
        &mut self.blocks[last]
    }

    pub fn count(&mut self, count: Count) {
        self.last().count.add(count);
    }

    /// A branch; what follows it is another block.
    pub fn branch(&mut self, target: &str, always: bool) {
        let block = self.last();
        block.targets.push(target.to_string());
        block.falls = !always;
        self.label("");
    }

    /// The end of the program, or of one of its ways.
    pub fn end(&mut self) {
        self.last().falls = false;
        self.label("");
    }

    /// Where the text itself says where a block goes.
    pub fn goes_to(&mut self, targets: impl Iterator<Item = String>) {
        let block = self.last();
        block.targets = targets.collect();
        block.falls = false;
    }

    fn successors(&self) -> Vec<Vec<usize>> {
        let place = |name: &String| self.blocks.iter().position(|block| block.name == *name);
        let of = |(at, block): (usize, &Block)| {
            let next = (block.falls && at + 1 < self.blocks.len()).then_some(at + 1);
            block.targets.iter().filter_map(place).chain(next).collect()
        };
        self.blocks.iter().enumerate().map(of).collect()
    }

    /// The loop with most work: its own code, without that of loops inside it. Each level of nesting counts
    /// as many rounds as [`ROUNDS`].
    pub fn hot_loop(&self) -> Share {
        let loops = loops(&self.successors());
        let inside = |of: &[bool], at: usize| loops.iter().any(|l| l.len() < count(of) && l.holds(at, of));
        let own = |l: &Loop| {
            let mut sum = Count::default();
            let blocks = self.blocks.iter().enumerate();
            blocks
                .filter(|(at, _)| l.body[*at] && !inside(&l.body, *at))
                .for_each(|(_, block)| sum.add(block.count));
            sum
        };
        let depth =
            |l: &Loop| loops.iter().filter(|outer| outer.body[l.head] && outer.len() > l.len()).count();
        let work = |l: &Loop| {
            let (own, rounds) = (own(l), ROUNDS.saturating_pow(depth(l) as u32));
            // Where nothing multiplies, the loop with most instructions.
            (u64::from(own.multiply_adds) * rounds, u64::from(own.instructions) * rounds)
        };
        let all = || {
            let mut sum = Count::default();
            self.blocks.iter().for_each(|block| sum.add(block.count));
            sum
        };
        let hot = loops.iter().max_by_key(|l| work(l));
        Share { count: hot.map_or_else(all, own), looped: hot.is_some() }
    }
}

/// Rounds that an inner loop is taken to make within one of the loop around it.
const ROUNDS: u64 = 4;

/// A natural loop.
#[derive(Debug)]
struct Loop {
    head: usize,
    body: Vec<bool>,
}

impl Loop {
    fn len(&self) -> usize {
        count(&self.body)
    }

    /// Whether it holds a block, and lies in `outer` as a whole.
    fn holds(&self, at: usize, outer: &[bool]) -> bool {
        self.body[at] && self.body.iter().zip(outer).all(|(inner, outer)| !inner || *outer)
    }
}

fn count(blocks: &[bool]) -> usize {
    blocks.iter().filter(|block| **block).count()
}

/// The loops of a graph whose first block is its start: of each block that is branched back to, all blocks
/// from which it is reached again without leaving it.
fn loops(successors: &[Vec<usize>]) -> Vec<Loop> {
    let n = successors.len();
    let reached = |without: Option<usize>| {
        let (mut seen, mut todo) = (vec![false; n], vec![0]);
        while let Some(at) = todo.pop().filter(|_| n > 0) {
            if Some(at) == without || std::mem::replace(&mut seen[at], true) {
                continue;
            }
            todo.extend(&successors[at]);
        }
        seen
    };
    let reachable = reached(None);
    let mut found = Vec::new();
    for head in (0..n).filter(|at| reachable[*at]) {
        // Blocks that only the head leads to.
        let beside = reached(Some(head));
        let under = |at: usize| reachable[at] && !beside[at];
        let back: Vec<usize> = (0..n).filter(|at| under(*at) && successors[*at].contains(&head)).collect();
        if back.is_empty() {
            continue;
        }
        let mut body = vec![false; n];
        body[head] = true;
        let mut todo = back;
        while let Some(at) = todo.pop() {
            if !std::mem::replace(&mut body[at], true) {
                todo.extend((0..n).filter(|from| under(*from) && successors[*from].contains(&at)));
            }
        }
        found.push(Loop { head, body });
    }
    found
}

/// Words of a load of so many bits, as its name gives them; one where it gives none.
pub(super) fn words_of_bits(bits: &str) -> u32 {
    bits.parse::<u32>().map_or(1, |bits| bits.div_ceil(32))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(code: &mut Code, name: &str, multiply_adds: u32, instructions: u32) {
        code.label(name);
        code.count(Count { instructions, multiply_adds, near: 0, far: 0 });
    }

    #[test]
    fn the_hot_loop_is_the_inner_one_and_counts_its_own_code_only() {
        let mut code = Code::default();
        block(&mut code, "outer", 40, 100);
        block(&mut code, "inner", 16, 20);
        code.branch("inner", false);
        block(&mut code, "rest", 1, 50);
        code.branch("outer", false);
        block(&mut code, "end", 100, 100);
        assert_eq!(code.hot_loop().count, Count { instructions: 20, multiply_adds: 16, near: 0, far: 0 });
        // A staging loop within is no reason to overlook the work around it.
        let mut code = Code::default();
        block(&mut code, "outer", 40, 50);
        block(&mut code, "staging", 0, 8);
        code.branch("staging", false);
        block(&mut code, "rest", 24, 30);
        code.branch("outer", false);
        assert_eq!(code.hot_loop().count, Count { instructions: 80, multiply_adds: 64, near: 0, far: 0 });
    }

    #[test]
    fn blocks_out_of_line_and_two_ways_back_are_of_the_loop() {
        let mut code = Code::default();
        block(&mut code, "head", 1, 1);
        code.branch("out", false);
        block(&mut code, "a", 2, 2);
        code.branch("head", false);
        block(&mut code, "b", 4, 4);
        code.branch("far", true);
        block(&mut code, "out", 8, 8);
        code.end();
        block(&mut code, "far", 16, 16);
        code.branch("head", true);
        assert_eq!(code.hot_loop().count.multiply_adds, 1 + 2 + 4 + 16);
        assert!(!Code::default().hot_loop().looped);
    }
}
