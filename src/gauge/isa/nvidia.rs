//! NAK's text. A block is `block.u 4 L6 [3, 4] -> {` … `} -> [5, 4]`, by number; behind `//` is the
//! schedule.

use super::code::{Code, Count, Share, words_of_bits};

/// The inner loop of a shader.
pub fn read(text: &str) -> Share {
    code(text).hot_loop()
}

fn code(text: &str) -> Code {
    let mut code = Code { blocks: Vec::new() };
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or_default().trim();
        if let Some(rest) = line.strip_prefix("block") {
            let number = rest.split_whitespace().find(|word| word.parse::<usize>().is_ok());
            code.label(number.unwrap_or_default());
        } else if let Some(rest) = line.strip_prefix('}') {
            let list = rest.trim_start_matches([' ', '-', '>', '[']).trim_end_matches(']');
            code.goes_to(list.split(',').map(|number| number.trim().to_string()));
        } else if !line.is_empty() && !code.blocks.is_empty() {
            code.count(instruction(line));
        }
    }
    code
}

fn instruction(line: &str) -> Count {
    let operation = line.split_once(" = ").map_or(line, |(_, right)| right).trim();
    let name = operation.split_whitespace().find(|word| !word.starts_with('@')).unwrap_or_default();
    let mut parts = name.split('.');
    let mut count =
        Count { instructions: 1, multiply_adds: name.starts_with("ffma").into(), ..Count::default() };
    match (parts.next().unwrap_or_default(), parts.next().unwrap_or_default()) {
        ("nop", _) => return Count::default(),
        // 16 x 8 x 16 by 32 invocations. It holds its unit as long as eight others do theirs: an H100's does twice
        // as much at best, of which this form reaches a part.
        ("hmma", "m16n8k16") => (count.instructions, count.multiply_adds) = (8, 64),
        ("ld", space) => {
            let words = parts.next_back().and_then(|last| last.strip_prefix('b')).map_or(1, words_of_bits);
            *(if space == "shared" { &mut count.near } else { &mut count.far }) = words;
        }
        _ => {}
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_of_matrices_is_64_multiply_adds_in_the_time_of_eight() {
        let count = instruction("r24..28 = hmma.m16n8k16.f32 r48..52 r44..46 r24..28");
        assert_eq!(count, Count { instructions: 8, multiply_adds: 64, ..Count::default() });
    }

    #[test]
    fn a_loop_of_nak() {
        let text = "
block.u 0 L2 [] -> {
      r108      = mov rZ                                          // delay=1
      ur3       = mov rZ                                          // delay=2
} -> [1]
block.u 1 L1 [0, 3] -> {
                  nop L0                                          // delay=1
      r112..116 = ld.shared.strong.cta.b128 [r110.x16], pT        // delay=1 wt=001000 rd:0 wr:3
      r43       = ld.global.a64.constant.b32 [r110..112], p0      // delay=2 wt=100000 rd:0 wr:5
      r55       = ffma.ftz r126 r118 r55                          // delay=1
      r56       = ffma.ftz r127 r118 r56                          // delay=1
      up0       = isetp.ge.u32 ur0 0x10                           // delay=4
                  bra !up0 L3                                     // delay=1 wt=000110
} -> [2, 3]
block.u 2 L4 [1] -> {
@!p0              st.global.a64.strong.gpu.b32 [r6..8] r105       // delay=2 rd:0
                  exit                                            // delay=1 wt=000001
} -> []
block.u 3 L3 [1] -> {
                  bra pT L1                                       // delay=1
} -> [1]
";
        assert_eq!(
            read(text),
            Share { count: Count { instructions: 7, multiply_adds: 2, near: 4, far: 1 }, looped: true }
        );
    }
}
