//! IR3's assembly: labels `l9:`, an instruction a line, with what it waits for and how often it is repeated
//! in front: `(sy)(rpt2)mad.f32 r46.z, r23.z, r21.x, r46.z`.

use super::code::{Code, Count, Share};

/// The inner loop of a shader.
pub fn read(text: &str) -> Share {
    code(text).hot_loop()
}

fn code(text: &str) -> Code {
    let mut code = Code::default();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with([';', '@']) || line.starts_with("Native code") {
            continue;
        }
        if let Some(label) = line.strip_suffix(':') {
            code.label(label);
            continue;
        }
        let (flags, operation) = flags(line);
        let name = operation.split_whitespace().next().unwrap_or_default();
        let target = operation.rsplit('#').next().unwrap_or_default();
        let instruction = Count { instructions: 1, ..Count::default() };
        match name.split('.').next().unwrap_or_default() {
            "nop" => {}
            "end" => code.end(),
            "jump" => {
                code.count(instruction);
                code.branch(target, true);
            }
            word if word.starts_with("br") || matches!(word, "getone" | "shps") => {
                code.count(instruction);
                code.branch(target, false);
            }
            word => code.count(Count {
                instructions: repeats(flags),
                multiply_adds: if name == "mad.f32" { repeats(flags) } else { 0 },
                near: if word == "ldl" { words(operation) } else { 0 },
                far: if matches!(word, "ldg" | "ldib" | "isam") { words(operation) } else { 0 },
            }),
        }
    }
    code
}

/// What stands in parentheses in front, and the rest.
fn flags(line: &str) -> (&str, &str) {
    let mut at = 0;
    while let Some(end) = line[at..].strip_prefix('(').and_then(|rest| rest.find(')')) {
        at += end + 2;
    }
    (&line[..at], line[at..].trim_start())
}

fn repeats(flags: &str) -> u32 {
    let number = flags.split("(rpt").nth(1).and_then(|rest| rest.split(')').next());
    1 + number.and_then(|number| number.parse::<u32>().ok()).unwrap_or(0)
}

/// `ldl.u32 r20.w, l[r20.y], 4` reads four words, `isam.base0.1d (u32)(xyzw)r6.w, …` as many as its mask.
fn words(operation: &str) -> u32 {
    let last = operation.rsplit(',').next().and_then(|word| word.trim().parse().ok());
    let mask = operation.split(['(', ')']).find(|word| !word.is_empty() && "xyzw".starts_with(word));
    mask.map(|mask| mask.len() as u32).or(last).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_of_ir3() {
        let text = "
Native code for unnamed CL shader (null) with blake3 95af3b26:
; num_ubos:           0
@in(r48.x)\tin0 (wrmask=0x7)
shps #l9
stc.u32 c[16], r0.w, 1
l9:
(jp)mov.f32f32 r1.x, c1.y
l11:
isam.base0.1d (u32)(xyzw)r6.w, r6.y, s#0, t#0
(sy)(ss)ldl.u32 r20.w, l[r20.y], 2
(sy)(rpt2)mad.f32 r46.z, r23.z, (r)r21.x, (r)r46.z
(rpt2)nop
(nop3) mad.f32 r47.x, r24.x, r20.w, r47.x
(ss)madsh.m16 r25.y, c13.y, r25.y, r26.y
br p0.y, #l20
jump #l11
l20:
end
";
        // Three in one, and one.
        assert_eq!(
            read(text),
            Share { count: Count { instructions: 9, multiply_adds: 4, near: 2, far: 4 }, looped: true }
        );
    }
}
