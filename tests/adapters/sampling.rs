//! The sampler against a straightforward one on the host: which tokens may be drawn (Hugging Face's warpers),
//! how often each is (on the CPU, where many draws are cheap; the shader draws the same ids), and that a draw
//! depends on nothing but logits, settings, seed and position.

use std::sync::Arc;

use pollster::block_on;
use polysketch::check::random::Rng;
use polysketch::exec::{Executor, Memory, Program, Submission};
use polysketch::graph::{Graph, Purpose, TensorId};
use polysketch::kernels::DeviceTraits;
use polysketch::kernels::sample::sample::{NEVER, NO_TOKEN, OCCURRED, SETTINGS, STEPS, Sample};
use polysketch::tensor::shape;
use polysketch::tensor::{Call, Capacity, Lane, TensorType, Unit};

use crate::places::{Place, Tests};

/// Draws of one dispatch.
const LANES: usize = 16;

#[derive(Clone, Copy, Debug)]
struct Settings {
    temperature: f32,
    top_k: u32,
    top_p: f32,
    min_p: f32,
    penalty: f32,
    holes: bool,
}

const PLAIN: Settings =
    Settings { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, penalty: 1.0, holes: false };

impl Settings {
    fn words(&self, seed: u64) -> [u32; SETTINGS] {
        let bits = f32::to_bits;
        [
            bits(self.temperature),
            self.top_k,
            bits(self.top_p),
            bits(self.min_p),
            bits(self.penalty),
            seed as u32,
            (seed >> 32) as u32,
            u32::from(self.holes),
        ]
    }
}

/// The sampler alone on an executor: `LANES` texts, each in a slot of its own.
struct Sampler {
    program: Program,
    settings: TensorId,
    logits: TensorId,
    seen: TensorId,
    sampled: TensorId,
    vocabulary: usize,
}

impl Sampler {
    fn new(executor: &Executor, vocabulary: usize) -> Self {
        let mut g = Graph::new();
        let lanes = g.lanes(1);
        let settings = g.state("settings", Purpose::Sampler, TensorType::u32(shape![Unit::Slots, SETTINGS]));
        let logits = g.state("logits", Purpose::Logits, TensorType::f32(shape![Unit::Slots, vocabulary]));
        let seen = g.state("seen", Purpose::Sampler, TensorType::u32(shape![Unit::Slots, vocabulary]));
        let token = g.state("token", Purpose::Sampler, TensorType::u32(shape![Unit::Slots]));
        let sampled = g.state("sampled", Purpose::Sampler, TensorType::u32(shape![STEPS, Unit::Slots]));
        g.apply(
            "sample",
            Sample { vocabulary, slots: LANES },
            &[lanes, settings, logits],
            &[seen, token, sampled],
        )
        .unwrap();
        let plan = g
            .lower(
                "sampler",
                &DeviceTraits::floor(),
                Capacity { lanes: LANES, tokens: 1, slots: LANES, context: 0 },
            )
            .unwrap();
        let program = block_on(Program::new(plan, &Memory::new(executor))).unwrap();
        Self { program, settings, logits, seen, sampled, vocabulary }
    }

    /// One draw in each slot, at position `first + slot`, with seed `seed`.
    fn draw(
        &mut self,
        logits: &[f32],
        seen: &[bool],
        settings: &Settings,
        seed: u64,
        first: usize,
    ) -> Vec<u32> {
        let marks: Vec<u32> = seen.iter().map(|s| u32::from(*s) * OCCURRED).collect();
        self.draw_marked(logits, &marks, settings, seed, first)
    }

    /// The same with any marks of the tokens.
    fn draw_marked(
        &mut self,
        logits: &[f32],
        marks: &[u32],
        settings: &Settings,
        seed: u64,
        first: usize,
    ) -> Vec<u32> {
        assert_eq!(logits.len(), self.vocabulary);
        let repeated = |words: Vec<u32>| words.repeat(LANES);
        block_on(async {
            let words = repeated(settings.words(seed).to_vec());
            self.program.write(self.settings, 0, &words).await.unwrap();
            let words = repeated(logits.iter().map(|x| x.to_bits()).collect());
            self.program.write(self.logits, 0, &words).await.unwrap();
            self.program.write(self.seen, 0, &repeated(marks.to_vec())).await.unwrap();
            let lanes: Vec<Lane> =
                (0..LANES).map(|slot| Lane { slot, position: first + slot, ring: 0 }).collect();
            let calls = [Call { lanes, tokens: 1, lane_base: 0 }];
            let reads = [(self.sampled, LANES)];
            let submission = Submission { calls: &calls, inputs: &[], reads: &reads };
            self.program.run(submission).await.unwrap().swap_remove(0)
        })
    }
}

/// Probabilities after penalty, temperature, top-k, top-p and min-p, as Hugging Face's processors give them;
/// none where one of the cuts is too close to call in f32.
fn probabilities(logits: &[f32], seen: &[bool], s: &Settings) -> Option<Vec<f64>> {
    let penalized = |(l, seen): (&f32, &bool)| match (*seen, *l > 0.0) {
        (false, _) => f64::from(*l),
        (true, true) => f64::from(*l) / f64::from(s.penalty),
        (true, false) => f64::from(*l) * f64::from(s.penalty),
    };
    let mut scores: Vec<f64> =
        logits.iter().zip(seen).map(penalized).map(|l| l / f64::from(s.temperature)).collect();
    let sorted = |scores: &[f64]| {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        order
    };
    if s.top_k > 0 && (s.top_k as usize) < scores.len() {
        let lowest = scores[sorted(&scores)[s.top_k as usize - 1]];
        scores.iter_mut().filter(|x| **x < lowest).for_each(|x| *x = f64::NEG_INFINITY);
    }
    let mut close = false;
    if s.top_p < 1.0 {
        let p = softmax(&scores);
        let mut mass = 0.0;
        for i in sorted(&scores) {
            // The smallest set whose mass is top_p: tokens after it go.
            if mass >= f64::from(s.top_p) {
                scores[i] = f64::NEG_INFINITY;
            }
            mass += p[i];
            close |= (mass - f64::from(s.top_p)).abs() < 1e-5;
        }
    }
    if s.min_p > 0.0 {
        let p = softmax(&scores);
        let high = p.iter().copied().fold(0.0, f64::max);
        close |= p.iter().any(|p| (p / high - f64::from(s.min_p)).abs() < 1e-5);
        scores
            .iter_mut()
            .zip(&p)
            .filter(|(_, p)| **p < f64::from(s.min_p) * high)
            .for_each(|(x, _)| *x = f64::NEG_INFINITY);
    }
    (!close).then(|| softmax(&scores))
}

fn softmax(scores: &[f64]) -> Vec<f64> {
    let high = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let e: Vec<f64> = scores.iter().map(|x| (x - high).exp()).collect();
    let total: f64 = e.iter().sum();
    e.into_iter().map(|x| x / total).collect()
}

/// Pearson's statistic of draws against probabilities (rare tokens counted as one), and its degrees of
/// freedom.
fn chi_square(counts: &[usize], p: &[f64]) -> (f64, usize) {
    let n: usize = counts.iter().sum();
    let (mut statistic, mut cells, mut rare) = (0.0, 0, (0.0, 0.0));
    for (count, p) in counts.iter().zip(p) {
        let expected = p * n as f64;
        if expected < 5.0 {
            rare = (rare.0 + expected, rare.1 + *count as f64);
        } else {
            statistic += (*count as f64 - expected).powi(2) / expected;
            cells += 1;
        }
    }
    if rare.0 >= 1.0 {
        statistic += (rare.1 - rare.0).powi(2) / rare.0;
        cells += 1;
    }
    (statistic, cells - 1)
}

fn logits(rng: &mut Rng, n: usize) -> Vec<f32> {
    (0..n).map(|_| (2.0 * rng.normal()) as f32).collect()
}

fn greedy_takes_the_largest_and_the_first_of_equals(executor: &Executor) {
    let mut rng = Rng(1);
    for vocabulary in [1, 7, 255, 257, 1000] {
        let mut sampler = Sampler::new(executor, vocabulary);
        let mut values = logits(&mut rng, vocabulary);
        let greedy = Settings { temperature: 0.0, ..PLAIN };
        let argmax = |values: &[f32]| {
            (0..values.len()).rev().max_by(|a, b| values[*a].total_cmp(&values[*b])).unwrap() as u32
        };
        assert_eq!(
            sampler.draw(&values, &vec![false; vocabulary], &greedy, 3, 0),
            vec![argmax(&values); LANES],
            "{vocabulary}"
        );
        let high = values[argmax(&values) as usize];
        for _ in 0..3 {
            values[rng.below(vocabulary)] = high;
        }
        assert_eq!(
            sampler.draw(&values, &vec![false; vocabulary], &greedy, 3, 0),
            vec![argmax(&values); LANES],
            "{vocabulary}, ties"
        );
        // Only negative logits, and the penalty turned on for the best.
        let low: Vec<f32> = values.iter().map(|x| x - 100.0).collect();
        let seen: Vec<bool> = (0..vocabulary).map(|i| i as u32 == argmax(&low)).collect();
        let penalty = Settings { penalty: 2.0, ..greedy };
        let want =
            argmax(&low.iter().zip(&seen).map(|(l, s)| if *s { l * 2.0 } else { *l }).collect::<Vec<f32>>());
        assert_eq!(sampler.draw(&low, &seen, &penalty, 3, 0)[0], want, "{vocabulary}, penalty");
    }
}

fn only_allowed_tokens_are_drawn_and_all_of_them(executor: &Executor) {
    const VOCABULARY: usize = 41;
    let mut rng = Rng(2);
    let mut tried = 0;
    let mut sampler = Sampler::new(executor, VOCABULARY);
    for _ in 0..60 {
        let settings = Settings {
            temperature: rng.pick(&[0.7, 1.0, 2.5]),
            top_k: rng.pick(&[0, 1, 5, 20, 41, 100]),
            top_p: rng.pick(&[1.0, 0.9, 0.5, 0.05]),
            min_p: rng.pick(&[0.0, 0.05, 0.3]),
            penalty: rng.pick(&[1.0, 1.3, 0.8]),
            holes: false,
        };
        let values = logits(&mut rng, VOCABULARY);
        let seen: Vec<bool> = (0..VOCABULARY).map(|_| rng.below(3) == 0).collect();
        let Some(p) = probabilities(&values, &seen, &settings) else { continue };
        tried += 1;
        let mut counts = [0; VOCABULARY];
        for round in 0..32 {
            sampler
                .draw(&values, &seen, &settings, rng.bits(), round * 1000)
                .iter()
                .for_each(|id| counts[*id as usize] += 1);
        }
        for (id, (count, p)) in counts.iter().zip(&p).enumerate() {
            assert!(*p > 0.0 || *count == 0, "{settings:?}: token {id} is cut, and drawn {count} times");
            // A token of 4% misses 512 draws once in a billion times.
            assert!(*p < 0.04 || *count > 0, "{settings:?}: token {id} of probability {p} is never drawn");
        }
    }
    assert!(tried > 45, "{tried}");
}

fn draws_follow_the_distribution(executor: &Executor) {
    const VOCABULARY: usize = 23;
    let mut rng = Rng(3);
    let mut sampler = Sampler::new(executor, VOCABULARY);
    for settings in [PLAIN, Settings { temperature: 1.7, top_k: 12, min_p: 0.02, ..PLAIN }] {
        let values = logits(&mut rng, VOCABULARY);
        let seen = vec![false; VOCABULARY];
        let p = probabilities(&values, &seen, &settings).unwrap();
        let mut counts = [0; VOCABULARY];
        // Consecutive seeds and positions: what a user does.
        for seed in 0..400 {
            sampler
                .draw(&values, &seen, &settings, seed, seed as usize)
                .iter()
                .for_each(|id| counts[*id as usize] += 1);
        }
        let (statistic, freedom) = chi_square(&counts, &p);
        // Wilson and Hilferty: a normal deviate. The seeds are fixed, so that this passes always or
        // never.
        let k = freedom as f64;
        let deviate = ((statistic / k).cbrt() - (1.0 - 2.0 / (9.0 * k))) / (2.0 / (9.0 * k)).sqrt();
        assert!(
            deviate.abs() < 4.0,
            "{settings:?}: chi square {statistic:.1} with {freedom} degrees of freedom: {counts:?} {p:?}"
        );
    }
}

fn the_same_seed_draws_the_same(places: &[Arc<Place>]) {
    let _turns: Vec<_> = places.iter().map(|place| place.turn()).collect();
    const VOCABULARY: usize = 517;
    let cut = Settings { temperature: 0.8, top_k: 40, top_p: 0.95, min_p: 0.05, penalty: 1.1, holes: false };
    let settings = [
        PLAIN,
        cut,
        Settings { top_k: 3, ..PLAIN },
        Settings { top_p: 0.6, penalty: 1.5, ..PLAIN },
        Settings { min_p: 0.2, ..PLAIN },
    ];
    for settings in settings {
        let mut want: Option<Vec<u32>> = None;
        for place in places {
            let (name, executor) = (&place.name, place.executor());
            let mut rng = Rng(4);
            let values = logits(&mut rng, VOCABULARY);
            let seen: Vec<bool> = (0..VOCABULARY).map(|_| rng.below(4) == 0).collect();
            let mut sampler = Sampler::new(executor, VOCABULARY);
            let drawn: Vec<u32> = (0..2)
                .flat_map(|seed| sampler.draw(&values, &seen, &settings, seed << 33 | 5, 100))
                .collect();
            assert!(drawn.iter().any(|id| *id != drawn[0]), "{name}: always token {}", drawn[0]);
            match &want {
                None => want = Some(drawn),
                Some(want) => assert_eq!(&drawn, want, "{name} and the CPU differ with {settings:?}"),
            }
        }
    }
}

/// Another seed, another slot's text or another position is another draw; the slot itself is not.
fn a_draw_depends_on_seed_and_position_only(executor: &Executor) {
    const VOCABULARY: usize = 101;
    let mut sampler = Sampler::new(executor, VOCABULARY);
    let values = logits(&mut Rng(5), VOCABULARY);
    let seen = vec![false; VOCABULARY];
    let first = sampler.draw(&values, &seen, &PLAIN, 9, 0);
    assert_eq!(first, sampler.draw(&values, &seen, &PLAIN, 9, 0), "not repeatable");
    // Slot i at position 10 + i draws what slot 10 + i drew at that position.
    let shifted = sampler.draw(&values, &seen, &PLAIN, 9, 10);
    assert_eq!(first[10..], shifted[..LANES - 10], "the slot matters");
    for seed in [8, 10, 9 | 1 << 32] {
        assert_ne!(first, sampler.draw(&values, &seen, &PLAIN, seed, 0), "seed {seed} is the same as 9");
    }
}

const SMALL: [f32; 4] = [f32::from_bits(1), 1e-38, 1e-30, 1e-20];

/// Every setting at the end of its range gives what it tends to there, and no device makes infinities of it.
fn every_setting_has_its_limit(executor: &Executor) {
    const VOCABULARY: usize = 300;
    let mut sampler = Sampler::new(executor, VOCABULARY);
    let mut values = logits(&mut Rng(6), VOCABULARY);
    let best =
        |of: &dyn Fn(usize) -> f32| (0..VOCABULARY).rev().max_by(|a, b| of(*a).total_cmp(&of(*b))).unwrap();
    let likeliest = best(&|i| values[i]);
    let none = vec![false; VOCABULARY];
    let usual = Settings { top_k: 40, top_p: 0.95, min_p: 0.05, ..PLAIN };
    let mut alone: Vec<Settings> = vec![
        Settings { top_k: 1, ..PLAIN },
        Settings { top_k: 1, temperature: f32::MAX, ..PLAIN },
        Settings { min_p: 1.0, ..PLAIN },
        Settings { min_p: 1.0, ..usual },
    ];
    for small in SMALL {
        alone.push(Settings { temperature: small, ..PLAIN });
        alone.push(Settings { temperature: small, ..usual });
        alone.push(Settings { top_p: small, ..PLAIN });
        alone.push(Settings { top_p: small, min_p: small, ..usual });
    }
    for settings in &alone {
        assert_eq!(sampler.draw(&values, &none, settings, 1, 0), [likeliest as u32; LANES], "{settings:?}");
    }
    // What cuts nothing off leaves all.
    let open = Settings { temperature: f32::MAX, min_p: f32::from_bits(1), top_k: u32::MAX, ..PLAIN };
    let drawn = sampler.draw(&values, &none, &open, 1, 0);
    assert!(
        drawn.iter().all(|id| (*id as usize) < VOCABULARY) && drawn[1..].iter().any(|id| *id != drawn[0])
    );
    // A penalty that tends to 0 makes of what occurred the likeliest, one without end the least likely.
    let seen: Vec<bool> = (0..VOCABULARY).map(|i| i % 3 == 0).collect();
    let again = best(&|i| if seen[i] { values[i] } else { f32::MIN }) as u32;
    let other = best(&|i| if seen[i] { f32::MIN } else { values[i] }) as u32;
    for temperature in [0.0, f32::from_bits(1), 1e-3] {
        for (penalty, want) in
            SMALL.map(|p| (p, again)).into_iter().chain([1e30, f32::MAX].map(|p| (p, other)))
        {
            let settings = Settings { penalty, temperature, ..PLAIN };
            assert_eq!(sampler.draw(&values, &seen, &settings, 1, 0), [want; LANES], "{settings:?}");
        }
    }
    // The largest numbers are numbers.
    (values[7], values[8]) = (f32::MAX, f32::MIN);
    for settings in alone.into_iter().chain([PLAIN, usual]) {
        assert_eq!(sampler.draw(&values, &none, &settings, 1, 0), [7; LANES], "{settings:?}");
    }
    // Of equals the first.
    let equal = vec![2.5; VOCABULARY];
    assert_eq!(sampler.draw(&equal, &none, &Settings { top_k: 1, ..PLAIN }, 1, 0), [0; LANES]);
}

/// Logits that are no numbers give a token that none is, never one of the vocabulary.
fn no_numbers_give_no_token(executor: &Executor) {
    const VOCABULARY: usize = 300;
    let mut sampler = Sampler::new(executor, VOCABULARY);
    let values = logits(&mut Rng(7), VOCABULARY);
    let seen: Vec<bool> = (0..VOCABULARY).map(|i| i % 2 == 0).collect();
    let usual = Settings { top_k: 40, top_p: 0.95, min_p: 0.05, penalty: 1.1, ..PLAIN };
    for settings in [Settings { temperature: 0.0, ..PLAIN }, PLAIN, usual] {
        for bits in [0x7f80_0000, 0xff80_0000, 0x7fc0_0000, 0xffc0_0001, 0x7f80_0001] {
            for at in [0, 131, VOCABULARY - 1] {
                let mut values = values.clone();
                values[at] = f32::from_bits(bits);
                let drawn = sampler.draw(&values, &seen, &settings, 1, 0);
                assert_eq!(drawn, [NO_TOKEN; LANES], "{settings:?}: {bits:x} at {at}");
            }
        }
        let drawn = sampler.draw(&[f32::NAN; VOCABULARY], &seen, &settings, 1, 0);
        assert_eq!(drawn, [NO_TOKEN; LANES], "{settings:?}");
        // Nothing of it stays.
        assert!(sampler.draw(&values, &seen, &settings, 1, 0).iter().all(|id| *id < VOCABULARY as u32));
    }
}

/// A token that is marked is never drawn, however likely it is.
fn marked_tokens_are_never_drawn(executor: &Executor) {
    const VOCABULARY: usize = 300;
    let mut sampler = Sampler::new(executor, VOCABULARY);
    let mut values = logits(&mut Rng(8), VOCABULARY);
    let marks: Vec<u32> =
        (0..VOCABULARY).map(|i| (i % 2) as u32 * OCCURRED + u32::from(i % 5 != 0) * NEVER).collect();
    values[1] = f32::MAX;
    let usual = Settings { top_k: 40, top_p: 0.95, min_p: 0.05, penalty: 1.1, holes: true, ..PLAIN };
    let plain = Settings { holes: true, ..PLAIN };
    for settings in [
        Settings { temperature: 0.0, ..plain },
        plain,
        usual,
        Settings { temperature: f32::MAX, ..plain },
        Settings { top_k: 200, penalty: f32::MAX, ..plain },
        Settings { penalty: f32::MIN_POSITIVE, top_p: 0.999, ..plain },
    ] {
        for seed in 0..4 {
            let drawn = sampler.draw_marked(&values, &marks, &settings, seed, 0);
            assert!(drawn.iter().all(|id| id % 5 == 0), "{settings:?}: {drawn:?}");
        }
    }
}

pub fn add(tests: &mut Tests) {
    for (name, test) in [
        ("every_setting_has_its_limit", every_setting_has_its_limit as fn(&Executor)),
        ("no_numbers_give_no_token", no_numbers_give_no_token),
        ("marked_tokens_are_never_drawn", marked_tokens_are_never_drawn),
    ] {
        tests.each(|_| true, "sample", name, move |place| test(place.executor()));
    }
    tests.each(
        |_| true,
        "sample",
        "greedy_takes_the_largest_and_the_first_of_equals",
        |place| {
            greedy_takes_the_largest_and_the_first_of_equals(place.executor());
        },
    );
    let of_cpu = |place: &Place| !place.is_gpu();
    tests.each(of_cpu, "sample", "only_allowed_tokens_are_drawn_and_all_of_them", |place| {
        only_allowed_tokens_are_drawn_and_all_of_them(place.executor());
    });
    tests.each(of_cpu, "sample", "draws_follow_the_distribution", |place| {
        draws_follow_the_distribution(place.executor());
    });
    tests.each(
        |_| true,
        "sample",
        "a_draw_depends_on_seed_and_position_only",
        |place| {
            a_draw_depends_on_seed_and_position_only(place.executor());
        },
    );
    let places = tests.places.clone();
    tests.add("all", "sample", "the_same_seed_draws_the_same", move || the_same_seed_draws_the_same(&places));
}
