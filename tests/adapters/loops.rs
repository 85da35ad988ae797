//! How often an invocation's loops go round, counted by the shaders themselves. llvmpipe ends all loops of an
//! invocation after 65 535 iterations, silently; kernels whose loops grow with the text cut their work by
//! counts of their loops that are kept by hand ([`DeviceTraits::loop_iterations`]). Here every such kernel
//! runs at sizes where it cuts, with a counter in each loop: an edit of a loop that its count does not follow
//! fails.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use pollster::block_on;
use polysketch::attention::{Attention, HeadLayout, Kind, LocalAffinity, Mode, Sketch};
use polysketch::check::attention_cases::{attention, from_packed_rows, of_rows, with_sketch};
use polysketch::check::case::{Data, bits};
use polysketch::check::linearized_cases;
use polysketch::check::random::Rng;
use polysketch::check::{Case, Check, Record, slug};
use polysketch::exec::{Memory, Program, Submission};
use polysketch::graph::{Graph, Purpose, Role};
use polysketch::kernels::contract::OwnShader;
use polysketch::kernels::dense::attention_dense::{AttentionDense, Keys};
use polysketch::kernels::pairs::pair_affinity::PairAffinity;
use polysketch::kernels::{DeviceTraits, Dispatch, Kernel, Variant, Views};
use polysketch::tensor::{Call, Capacity, Lane, TensorId, TensorType, Unit, shape};
use polysketch::{ErrorKind, Result};

use crate::places::{Place, Tests};
use crate::wrapped::{bare, closes, roomy, with_main};

/// Iterations after which llvmpipe ends an invocation's loops.
const MOST: usize = 65_535;
/// Counters of a kernel: all its loops together, then each of them.
const COUNTERS: usize = 64;

/// Iterations up to which Mesa writes a loop out whose number it knows.
const WRITTEN_OUT: i64 = 32;

/// The value of an expression of numbers and names; none where a name is not known.
fn value(text: &str, known: &HashMap<String, i64>) -> Option<i64> {
    let text = text.trim();
    let (mut depth, mut split) = (0, None);
    // The last operator of the lowest rank outside brackets.
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            '+' | '-' if depth == 0 && at > 0 => split = Some((at, c)),
            '*' | '/' | '%' if depth == 0 && !matches!(split, Some((_, '+' | '-'))) => split = Some((at, c)),
            _ => {}
        }
    }
    if let Some((at, operator)) = split {
        let (a, b) = (value(&text[..at], known)?, value(&text[at + 1..], known)?);
        return match operator {
            '+' => Some(a + b),
            '-' => Some(a - b),
            '*' => Some(a * b),
            '/' => a.checked_div(b),
            _ => a.checked_rem(b),
        };
    }
    match text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        Some(inner) => value(inner, known),
        None => text.trim_end_matches(['u', 'i']).parse().ok().or_else(|| known.get(text).copied()),
    }
}

/// Whether a driver writes a loop out, so that nothing goes round: `for (var k = 0u; k < 8u; k++)`, or with
/// an override for the bound.
fn written_out(header: &str, known: &HashMap<String, i64>) -> bool {
    let parts: Vec<&str> = header.split(';').collect();
    let [start, condition, _] = parts[..] else { return false };
    let Some((_, start)) = start.split_once('=') else { return false };
    let Some((_, bound)) = condition.split_once('<') else { return false };
    let rounds = value(start, known).zip(value(bound, known)).map(|(start, bound)| bound - start);
    rounds.is_some_and(|rounds| rounds <= WRITTEN_OUT)
}

/// The constants of a shader that are numbers.
fn constants(source: &str) -> HashMap<String, i64> {
    let mut known = HashMap::new();
    for line in source.lines() {
        if let Some((name, rest)) = line.trim().strip_prefix("const ").and_then(|l| l.split_once(':'))
            && let Some((_, number)) = rest.trim_end_matches(';').split_once('=')
            && let Some(number) = value(number.trim_end_matches(';'), &known)
        {
            known.insert(name.trim().to_string(), number);
        }
    }
    known
}

/// Adds the functions that only name a number: `fn vectors_sum() -> u32 { return COLUMNS / 4u; }`.
fn name_numbers(source: &str, known: &mut HashMap<String, i64>) {
    // One may return another, in any order.
    for _ in 0..3 {
        for line in source.lines() {
            if let Some((name, rest)) =
                line.trim().strip_prefix("fn ").and_then(|l| l.split_once("() -> u32"))
                && let Some((_, rest)) = rest.split_once("return ")
                && let Some(number) = rest.split_once(';').and_then(|(number, _)| value(number, known))
            {
                known.insert(format!("{name}()"), number);
            }
        }
    }
}

/// Counts every entry of a loop, and every iteration: a driver goes once more to the head of a loop than
/// through its body. Loops that drivers write out are left alone. Returns the text and the number of loops.
fn with_counters(source: &str, known: &HashMap<String, i64>) -> (String, usize) {
    let text = source.as_bytes();
    let word = |at: usize| text.get(at).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    let (mut out, mut at, mut loops) = (String::new(), 0, 0);
    while at < text.len() {
        let found = ["for", "while", "loop"]
            .into_iter()
            .find(|key| source[at..].starts_with(key) && !word(at + key.len()) && (at == 0 || !word(at - 1)));
        let Some(key) = found else {
            out.push(char::from(text[at]));
            at += 1;
            continue;
        };
        let open = at + source[at..].find(['(', '{']).unwrap();
        let header = if key == "for" { closes(text, open) } else { at };
        let body = header + source[header..].find('{').unwrap();
        if key == "for" && written_out(&source[open + 1..header], known) {
            out += &source[at..=body];
        } else {
            let counter = format!("counted[{loops}] += 1u;");
            out += &format!("{counter} {} {counter}", &source[at..=body]);
            loops += 1;
        }
        at = body + 1;
    }
    (out, loops)
}

/// A shader that counts its loops, and keeps the most that any invocation counted in the storage binding
/// after its own.
fn counting(source: &str, binding: usize, overrides: &[(&str, f64)]) -> String {
    let source = bare(source);
    let mut known: HashMap<String, i64> =
        overrides.iter().map(|(name, value)| (name.to_string(), *value as i64)).collect();
    known.extend(constants(&source));
    name_numbers(&source, &mut known);
    let (text, loops) = with_counters(&source, &known);
    assert!(loops < COUNTERS, "{loops} loops");
    let each = |at: usize| format!("sum += counted[{at}]; atomicMax(&counts[{}], counted[{at}]);\n", at + 1);
    let globals = format!(
        "@group(0) @binding({binding}) var<storage, read_write> counts: array<atomic<u32>>;\n\
         var<private> counted: array<u32, {}>;",
        loops.max(1)
    );
    let all: String = (0..loops).map(each).collect();
    with_main(&text, &globals, &format!("var sum = 0u;\n{all}atomicMax(&counts[0], sum);\n"))
}

/// A kernel whose shader counts; the counters are one more tensor that it updates.
#[derive(Debug)]
struct Counting {
    kernel: Arc<dyn Kernel>,
    variant: OnceLock<Variant>,
    edit: Edit,
}

/// A text in a shader, and what somebody might put in its place.
type Edit = Option<(&'static str, &'static str)>;

impl Kernel for Counting {
    fn stem(&self) -> &'static str {
        self.kernel.stem()
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        self.kernel.infer(inputs)
    }
    fn variant(&self, device: &DeviceTraits, capacity: &Capacity) -> Variant {
        let variant = self.variant.get_or_init(|| self.kernel.variant(device, capacity));
        let written = variant.written().unwrap();
        let constants: Vec<(&str, f64)> = variant.constants().collect();
        let mut source = variant.source().unwrap().unwrap();
        if let Some((text, other)) = self.edit {
            assert!(source.contains(text), "{text} is not in {}", variant.name());
            source = source.replace(text, other);
        }
        let source = counting(&source, written.len() + 1, &constants);
        let (names, values): (Vec<&str>, Vec<f64>) = constants.into_iter().unzip();
        let shader = OwnShader {
            name: format!("{} counting", variant.name()),
            source,
            written: [written, &[true]].concat(),
            overrides: names.iter().map(|name| name.to_string()).collect(),
        };
        Variant::own(Arc::new(shader), &values)
    }
    fn runs(&self, call: &Call) -> bool {
        self.kernel.runs(call)
    }
    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        self.kernel.dispatches(self.variant.get().unwrap(), call)
    }
    fn twin_f32(&self, _: &mut Views<'_, f32>, _: &Call) {}
    fn twin_f64(&self, _: &mut Views<'_, f64>, _: &Call) {}
}

/// What a kernel's loops came to.
#[derive(Debug)]
#[allow(dead_code, reason = "for messages")]
struct Count {
    kernel: &'static str,
    dispatches: usize,
    /// The most iterations of one invocation.
    most: usize,
    /// The same, where every loop is as long as its longest in any invocation: a driver runs several
    /// invocations as one vector, for as long as one of them needs.
    vector: usize,
    loops: Vec<u32>,
}

/// Random numbers for all that a graph reads and none of its nodes writes.
fn numbers(graph: &mut Graph, capacity: &Capacity) -> Data {
    let outputs: Vec<usize> = graph.nodes.iter().flat_map(|node| &node.outputs).map(|id| id.0).collect();
    let given = |ids: &[TensorId]| -> Vec<usize> {
        ids.iter().map(|id| id.0).filter(|id| !outputs.contains(id)).collect()
    };
    let read: Vec<usize> = graph.nodes.iter().flat_map(|node| given(&node.inputs)).collect();
    let updated: Vec<usize> = graph.nodes.iter().flat_map(|node| given(&node.updates)).collect();
    let mut data = Data::new();
    let mut rng = Rng(9);
    for at in read {
        let t = &mut graph.tensors[at];
        if matches!(t.role, Role::Constant(_) | Role::Lanes) || data.contains_key(&t.name) {
            continue;
        }
        (t.role, t.name) = (Role::Parameter, format!("given {at}"));
        data.insert(t.name.clone(), bits(rng.normals(t.ty.shape.elements(capacity))).into());
    }
    for at in updated {
        graph.tensors[at].role = Role::State(Purpose::Exposed);
    }
    data
}

/// Runs the kernels of these stems of a case, with counters.
fn count(place: &Place, case: Case, stems: &[&str], edit: Edit) -> Vec<Count> {
    let (executor, traits) = (&roomy(place), &bounded(place));
    let Case { mut graph, call, capacity, .. } = case;
    graph.nodes.retain(|node| stems.contains(&node.kernel.stem()));
    let mut counters: Vec<(usize, TensorId)> = Vec::new();
    for at in 0..graph.nodes.len() {
        let ty = TensorType::u32(shape![COUNTERS]);
        let id = graph.state(&format!("counts {at}"), Purpose::Exposed, ty);
        let node = &mut graph.nodes[at];
        node.kernel = Arc::new(Counting { kernel: node.kernel.clone(), variant: OnceLock::new(), edit });
        node.updates.push(id);
        counters.push((at, id));
    }
    let data = numbers(&mut graph, &capacity);
    assert!(!counters.is_empty(), "no such kernel: {stems:?}");
    let plan = graph.lower("counting", traits, capacity).unwrap();
    let memory = Memory::new(executor);
    block_on(async {
        let kept = |role: &Role| matches!(role, Role::Parameter | Role::State(_));
        for t in plan.tensors.iter().filter(|t| t.bytes > 0 && kept(&t.tensor.role)) {
            if let Some(words) = data.get(&t.tensor.name) {
                memory.store(&t.tensor.name, t.tensor.ty.dtype, words).await.unwrap();
            }
        }
        let mut program = Program::new(plan, &memory).await.unwrap();
        let calls = std::slice::from_ref(&call);
        program.run(Submission { calls, inputs: &[], reads: &[] }).await.unwrap();
        let mut list = Vec::new();
        for (at, id) in counters {
            let node = &graph.nodes[at];
            let name = &graph.tensors[id.0].name;
            let counted = memory.read(name, 0..COUNTERS).await.unwrap();
            let variant = node.kernel.variant(traits, &capacity);
            list.push(Count {
                kernel: node.kernel.stem(),
                dispatches: node.kernel.dispatches(&variant, &call).len(),
                most: counted[0] as usize,
                vector: counted[1..].iter().map(|n| *n as usize).sum(),
                loops: counted[1..].iter().copied().filter(|n| *n > 0).collect(),
            });
        }
        list
    })
}

/// Fails where an invocation goes round too often, or where the sizes are too small to tell. Half of what is
/// allowed is left to loops that a driver does not write out after all.
fn judge(counts: &[Count], cut: bool) {
    for count in counts {
        assert!(count.most > 0, "nothing was counted: {count:?}");
        assert!(count.vector <= MOST / 2, "loops of more than {} iterations: {count:?}", MOST / 2);
        assert!(!cut || count.dispatches > 1, "the work is not cut at this size: {count:?}");
    }
}

/// Dense attention over a cache of `keys` rows, for the last few tokens of it.
fn cached(head: usize, affinity: PairAffinity, keys: usize) -> Case {
    const TOKENS: usize = 70;
    let l = HeadLayout { ..attention(1, head, 0, 64, Kind::Softmax, false).layout };
    let mut g = Graph::new();
    let lanes = g.lanes(1);
    let rows = shape![Unit::Lanes, l.heads, Unit::Tokens, l.query_width()];
    let queries = g.input("queries", TensorType::f32(rows));
    let rows = shape![Unit::Slots, l.heads, keys, l.key_width()];
    let cache = g.input("keys", TensorType::f32(rows));
    let bias = if affinity == PairAffinity::Softmax { 0.0 } else { 1.0 };
    let kernel = AttentionDense { layout: l, affinity, bias, keys: Keys::Cache(keys) };
    let o = g.apply1("o", kernel, &[queries, cache, lanes]).unwrap();
    g.output(o, "o");
    let capacity = Capacity { lanes: 1, tokens: TOKENS, slots: 1, context: keys };
    let lane = Lane { slot: 0, position: keys - TOKENS, ring: 0 };
    let call = Call { lanes: vec![lane], tokens: TOKENS, lane_base: 0 };
    let given = g.clone();
    Case::new("cached", g, capacity, call, move || {
        let mut rng = Rng(3);
        let mut data = Data::new();
        for t in given.tensors.iter().filter(|t| t.role == Role::Input) {
            data.insert(t.name.clone(), bits(rng.normals(t.ty.shape.elements(&capacity))).into());
        }
        Ok(data)
    })
}

/// The longest cache that a device whose loops are bounded is let have.
fn longest(head: usize, affinity: PairAffinity, traits: &DeviceTraits) -> usize {
    let fits = |blocks: usize| match cached(head, affinity, 32 * blocks).plan(traits) {
        Ok(_) => true,
        Err(e) if e.kind() == ErrorKind::Limit => false,
        Err(e) => panic!("{e}"),
    };
    let (mut least, mut most) = (3, 1 << 12);
    assert!(fits(least) && !fits(most), "nothing bounds the cache");
    while most - least > 1 {
        let middle = usize::midpoint(least, most);
        *if fits(middle) { &mut least } else { &mut most } = middle;
    }
    32 * least
}

/// Tokens at which the gradients of pairs need a second dispatch.
fn gradient_case(a: &Attention, traits: &DeviceTraits) -> Case {
    let graph = from_packed_rows(a, Mode::Train).unwrap();
    let capacity = Capacity { lanes: 1, tokens: 1, slots: 1, context: 0 };
    let node = graph.nodes.iter().find(|node| node.kernel.stem() == "attention_grad_keys").unwrap();
    let variant = node.kernel.variant(traits, &capacity);
    let at_once = variant.constants().find(|(name, _)| *name == "AT_ONCE").unwrap().1 as usize;
    of_rows("gradient", graph, &a.layout, true, 1, at_once + 70)
}

/// A traits of llvmpipe, whatever the device.
fn bounded(place: &Place) -> DeviceTraits {
    DeviceTraits { loop_iterations: Some(MOST), ..place.executor().traits() }
}

/// Dense attention: size of a head, affinity.
fn dense() -> [(usize, PairAffinity); 4] {
    let taylor = PairAffinity::Kernel(LocalAffinity::Taylor { scale: 0.1, degree: 2 });
    [(16, PairAffinity::Softmax), (64, PairAffinity::Softmax), (128, taylor), (256, PairAffinity::Softmax)]
}

/// Attention whose pairs are differentiated.
fn pairs() -> Vec<Attention> {
    let pairs = |head, kind| attention(1, head, 0, 64, kind, false);
    vec![
        pairs(16, Kind::Polynomial { degree: 4, scale: 0.3 }),
        pairs(64, Kind::Softmax),
        pairs(128, Kind::Softmax),
        pairs(256, Kind::Softmax),
    ]
}

/// The kernels that the gradients of pairs cut.
const GRADIENTS: [&str; 2] = ["attention_grad_queries", "attention_grad_keys"];

fn too_long_a_loop_is_found(place: &Place) {
    let edit = Some(("jj < min(TILE, keys_end - start)", "jj < 64u * min(TILE, keys_end - start)"));
    let case = gradient_case(&pairs()[1], &bounded(place));
    let counts = count(place, case, &GRADIENTS[..1], edit);
    assert!(counts.iter().all(|count| count.vector > MOST / 2), "{counts:?}");
}

/// At the longest that is allowed, a driver that bounds loops still goes through all of them.
fn right_at_the_bound(place: &Place, case: Case, kernel: &str) {
    let (executor, devices) = (place.executor(), [place.executor().traits()]);
    let check = Check { executor, devices: &devices, kernel: Some(kernel), variant: None, time: false };
    let findings = check.run(&Record::new(case).unwrap()).unwrap();
    assert!(!findings.is_empty() && findings.iter().all(|f| !f.wrong()), "{findings:#?}");
}

pub fn add(tests: &mut Tests) {
    tests.add("cpu", "loops", "are_found", loops_are_found);
    let bounds = |place: &Place| place.adapter().is_some_and(|a| a.report.traits().loop_iterations.is_some());
    for (head, affinity) in dense() {
        let name = slug(&format!("cache h={head} {affinity:?}"));
        tests.each(bounds, "loops_at_the_bound", &name, move |place| {
            let keys = longest(head, affinity, &bounded(place));
            right_at_the_bound(place, cached(head, affinity, keys), "attention_dense");
        });
    }
    for a in pairs() {
        let name = slug(&format!("gradients of pairs h={}", a.layout.head));
        tests.each(bounds, "loops_at_the_bound", &name, move |place| {
            let traits = bounded(place);
            GRADIENTS.iter().for_each(|kernel| right_at_the_bound(place, gradient_case(&a, &traits), kernel));
        });
    }
    // What is counted does not depend on the device; one is enough; best one that does not end the
    // loops itself.
    let adapters = tests.adapters();
    let Some(place) = adapters.iter().find(|place| !bounds(place)).or(adapters.first()).cloned() else {
        return;
    };
    let mut add = |name: &str, test: Box<dyn FnOnce(&Place) + Send>| {
        tests.on(&place, "loops", &slug(name), test);
    };
    add("too long a one is found", Box::new(too_long_a_loop_is_found));
    for (head, affinity) in dense() {
        add(
            &format!("cache h={head} {affinity:?}"),
            Box::new(move |place| {
                let case = cached(head, affinity, longest(head, affinity, &bounded(place)));
                judge(&count(place, case, &["attention_dense"], None), false);
            }),
        );
    }
    for a in pairs() {
        add(
            &format!("gradients of pairs h={}", a.layout.head),
            Box::new(move |place| {
                judge(&count(place, gradient_case(&a, &bounded(place)), &GRADIENTS, None), true);
            }),
        );
    }
    linearized(&mut add);
    for (head, r, sketch, tokens) in [
        (16, 8, Sketch::Random { leaves: 2, gain: 1.0 }, 31_000),
        (64, 32, Sketch::Random { leaves: 1, gain: 0.2 }, 7_400),
        (64, 32, Sketch::Learned { levels: 2, expansion: 8 }, 5_500),
    ] {
        add(
            &format!("gradient of sketch h={head} {sketch:?}"),
            Box::new(move |place| {
                let case = with_sketch(head, r, sketch, false, tokens).unwrap();
                judge(&count(place, case, &["sketch_learned_grad", "sketch_random_grad"], None), true);
            }),
        );
    }
}

/// What is run on an adapter.
type Test = Box<dyn FnOnce(&Place) + Send>;

/// Linearised attention: the gradients of near pairs, and its sketch, of so many hidden units.
fn linearized(add: &mut dyn FnMut(&str, Test)) {
    let layer = |group, head, hidden| {
        let mut a = linearized_cases::layer([1, group, head, 16], [64, 2, 4], false);
        a.kind = Kind::Linearized { hidden, turned: 1000.0 };
        a
    };
    add(
        "gradients of near pairs",
        Box::new(move |place| {
            let case = gradient_case(&layer(1, 64, 64), &bounded(place));
            let counts = count(place, case, &GRADIENTS, None);
            judge(&counts, false);
            assert!(counts.iter().any(|count| count.dispatches > 1), "the work is not cut: {counts:?}");
        }),
    );
    for (group, head, hidden, tokens) in [(3, 64, 64, 4000), (1, 256, 1024, 2000)] {
        add(
            &format!("gradient of affine sketch h={head} hidden={hidden}"),
            Box::new(move |place| {
                let a = layer(group, head, hidden);
                let case = linearized_cases::with_sketch(&a, Mode::Train, tokens, "").unwrap();
                judge(&count(place, case, &["sketch_affine_grad"], None), true);
            }),
        );
    }
    for (head, hidden, tokens) in [(64, 64, 1), (64, 64, 100), (256, 4096, 1), (256, 4096, 100)] {
        add(
            &format!("affine sketch h={head} hidden={hidden} of {tokens}"),
            Box::new(move |place| {
                let a = layer(1, head, hidden);
                let case = linearized_cases::with_sketch(&a, Mode::Transfer, tokens, "").unwrap();
                judge(&count(place, case, &["sketch_affine"], None), false);
            }),
        );
    }
}

fn loops_are_found() {
    let source = "fn f(n: u32) {\n  for (var i = 0u; i < min(n, 4u); i++) { loop { break; } } // for\n}\n";
    let (text, loops) = with_counters(&bare(source), &HashMap::new());
    assert_eq!(loops, 2);
    assert_eq!(text.matches("counted[0] += 1u;").count(), 2);
    assert!(text.contains("counted[1] += 1u; loop { counted[1] += 1u; break; }"), "{text}");
    let known = HashMap::from([("ROWS".to_string(), 8)]);
    assert!(written_out("var k = 0u; k < (ROWS + 8u) / 2u; k++", &known));
    assert!(!written_out("var k = 0u; k < ROWS * 5u; k++", &known), "too many");
    assert!(!written_out("var k = 0u; k < params.tokens; k++", &known), "not known");
    assert!(!written_out("var k = local; k < ROWS; k += 4u", &known), "each invocation begins elsewhere");
    let main = "@compute @workgroup_size(4, X)\nfn main(@builtin(workgroup_id) g: vec3<u32>, \
                @builtin(local_invocation_index) i: u32) { let form = 1; }";
    let text = counting(main, 3, &[]);
    assert!(text.contains("fn watched_main(g: vec3<u32>, i: u32) { let form = 1; }"), "{text}");
    assert!(text.contains("@workgroup_size(4, X)\nfn main(@builtin(workgroup_id) g"), "{text}");
    assert!(text.contains("watched_main(g, i);"), "{text}");
}
