//! What a longer past is worth to a model (SPEC §3, `report past`): names that occurred long before against names
//! that never did, after the whole text and after its last tokens alone; and loss by position.
//!
//! A *site* is a name within a sentence. Its sentence is scored from there on, four times: with the name and with
//! another text's name of as many tokens, and each after the whole text before it and after its last few tokens. Of a
//! name that the short past does not hold, `short` is what names cost as such; what `whole` is more is memory.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::ControlFlow;

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::model::buckets::Doubling;
use crate::model::{Model, Session, Tokenizer};

/// How it is measured.
#[derive(Clone, Debug)]
pub struct PastOptions {
    /// Least tokens to a name's last occurrence before, of each group; a group ends where the next begins.
    pub distances: Vec<usize>,
    /// Sites of a group and document, evenly spread over those that there are.
    pub sites: usize,
    /// Tokens of the short past; no distance is less.
    pub short: usize,
    /// Tokens of each document.
    pub tokens: usize,
}

/// Sites of one group.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Group {
    /// Least tokens to the last occurrence; none where there was none before.
    pub least: Option<usize>,
    /// Where the next group begins, if one does.
    pub end: Option<usize>,
    /// Sites.
    pub sites: usize,
    /// Of each site: nats by which the sentence with the other name costs more, after the whole past.
    #[serde(skip)]
    whole: Vec<f64>,
    /// The same after the short past.
    #[serde(skip)]
    short: Vec<f64>,
    /// Nats of the true name after the whole past.
    #[serde(skip)]
    name_whole: Vec<f64>,
    /// The same after the short past.
    #[serde(skip)]
    name_short: Vec<f64>,
}

/// A mean, and its standard error.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Mean.
    pub mean: f64,
    /// Standard error, as if sites were independent; none of a single one.
    pub error: Option<f64>,
}

impl Estimate {
    fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let n = values.clone().count().max(1) as f64;
        let mean = values.clone().sum::<f64>() / n;
        let squares = values.map(|x| (x - mean).powi(2)).sum::<f64>();
        Self { mean, error: (n > 1.0).then(|| (squares / (n - 1.0) / n).sqrt()) }
    }
}

impl Group {
    /// Nats by which the sentence with another name costs more, after the whole past.
    pub fn whole(&self) -> Estimate {
        Estimate::of(self.whole.iter().copied())
    }

    /// The same after the short past.
    pub fn short(&self) -> Estimate {
        Estimate::of(self.short.iter().copied())
    }

    /// What the longer past is worth to telling a name that occurred from one that did not, nats a sentence.
    pub fn worth(&self) -> Estimate {
        Estimate::of(self.whole.iter().zip(&self.short).map(|(whole, short)| whole - short))
    }

    /// Nats of the true name after the whole past and after the short one.
    pub fn names(&self) -> [Estimate; 2] {
        [&self.name_whole, &self.name_short].map(|all| Estimate::of(all.iter().copied()))
    }
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Past {
    /// Names that occurred before, by distance, then those that did not.
    pub groups: Vec<Group>,
    /// Tokens and their mean nats by position: of each of [`BUCKETS`].
    pub positions: Vec<Position>,
}

/// Tokens at some positions.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Position {
    /// Tokens.
    pub tokens: usize,
    /// Mean negative log-likelihood, in nats.
    pub nll: f64,
}

/// The buckets of [`Past::positions`].
pub const BUCKETS: Doubling = Doubling { first: 128 };

/// Most tokens of a sentence that are scored, its name among them.
const SENTENCE: usize = 40;
/// A name occurs at least as often in its text.
const OFTEN: usize = 5;

/// A name within a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Site {
    /// Index of its word.
    word: usize,
    /// Tokens between it and its last occurrence.
    distance: Option<usize>,
}

/// A document cut into words, each with the space before it, and their tokens.
struct Words<'t> {
    words: Vec<&'t str>,
    ids: Vec<u32>,
    /// Where the tokens of each word begin; one more than words.
    starts: Vec<usize>,
}

/// The letters of a word with what is no letter around them cut off, and `'s`.
fn bare(word: &str) -> &str {
    let word = word.trim_matches(|c: char| !c.is_alphabetic());
    word.strip_suffix("'s").or(word.strip_suffix("’s")).unwrap_or(word)
}

fn ends_sentence(word: &str) -> bool {
    word.trim_end_matches(['"', '\'', '”', '’', ')']).ends_with(['.', '!', '?', ':', ';'])
        || word.contains('\n')
}

impl<'t> Words<'t> {
    fn new(text: &'t str, tokenizer: &Tokenizer, most: usize) -> Result<Self> {
        let (mut words, mut ids, mut starts) = (Vec::new(), tokenizer.begin().to_vec(), Vec::new());
        let mut known: HashMap<&str, Vec<u32>> = HashMap::new();
        let cuts = text.char_indices().filter(|(_, c)| *c == ' ').map(|(at, _)| at);
        let mut first = 0;
        for end in cuts.chain([text.len()]) {
            if end == first {
                continue;
            }
            let word = &text[first..end];
            let of_word = match known.entry(word) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(tokenizer.encode(word)?),
            };
            if ids.len() + of_word.len() > most {
                break;
            }
            starts.push(ids.len());
            ids.extend(&*of_word);
            words.push(word);
            first = end;
        }
        starts.push(ids.len());
        Ok(Self { words, ids, starts })
    }

    /// Capitalised words within sentences that are never written small here, with how often they occur.
    fn names(&self) -> BTreeMap<&'t str, usize> {
        let mut small = HashSet::new();
        let mut counts = BTreeMap::new();
        for (i, word) in self.words.iter().enumerate() {
            let plain = bare(word);
            if plain.chars().next().is_some_and(char::is_lowercase) {
                small.insert(plain.to_lowercase());
            }
            if self.is_name(i) {
                *counts.entry(plain).or_insert(0) += 1;
            }
        }
        counts.retain(|name, n| *n >= OFTEN && !small.contains(&name.to_lowercase()));
        counts
    }

    /// Whether a word looks like a name: it is within a sentence, and letters alone but for what follows it.
    fn is_name(&self, i: usize) -> bool {
        let (word, plain) = (self.words[i], bare(self.words[i]));
        let mut letters = plain.chars();
        let capital = letters.next().is_some_and(char::is_uppercase);
        let within = i > 0 && !ends_sentence(self.words[i - 1]) && !word.contains('\n');
        within
            && capital
            && plain.len() >= 4
            && letters.all(|c| c.is_lowercase())
            && word.strip_prefix(' ').is_some_and(|word| word.starts_with(plain))
    }

    /// Every name in a sentence, with the tokens since its last occurrence anywhere.
    fn sites(&self, names: &BTreeMap<&str, usize>) -> Vec<Site> {
        let mut last: HashMap<&str, usize> = HashMap::new();
        let mut sites = Vec::new();
        for (i, word) in self.words.iter().enumerate() {
            let plain = bare(word);
            // A word with a line's end in it may hold a name too.
            let held = word.split(|c: char| !c.is_alphabetic()).filter(|part| names.contains_key(part));
            if names.contains_key(plain) && self.is_name(i) {
                sites.push(Site { word: i, distance: last.get(plain).map(|at| self.starts[i] - at) });
            }
            held.for_each(|part| _ = last.insert(part, self.starts[i + 1]));
        }
        sites
    }

    /// The rest of a sentence from a word on.
    fn sentence(&self, from: usize) -> &[u32] {
        let end =
            (from..self.words.len()).find(|i| ends_sentence(self.words[*i])).unwrap_or(self.words.len() - 1);
        let first = self.starts[from];
        &self.ids[first..self.starts[end + 1].min(first + SENTENCE)]
    }
}

/// Which sites are looked at: of each group as many as asked for, evenly spread. The groups' number, then the site;
/// in the order of the text.
fn choose(sites: Vec<Site>, options: &PastOptions) -> Vec<(usize, Site)> {
    let groups = options.distances.len() + 1;
    let group = |site: &Site| match site.distance {
        None => Some(groups - 1),
        Some(distance) => options.distances.iter().rposition(|least| distance >= *least),
    };
    let mut all: Vec<Vec<Site>> = vec![Vec::new(); groups];
    for site in sites {
        if let Some(at) = group(&site) {
            all[at].push(site);
        }
    }
    let mut chosen = Vec::new();
    for (at, sites) in all.into_iter().enumerate() {
        let (n, most) = (sites.len(), sites.len().min(options.sites));
        chosen.extend((0..most).map(|i| (at, sites[i * n / most].clone())));
    }
    chosen.sort_by_key(|(_, site)| site.word);
    chosen
}

/// The nats of tokens that go on a copy of a text: of the first few of them, and of all.
async fn nats(session: &Session, ids: &[u32], first: usize) -> Result<[f64; 2]> {
    let mut all = Vec::new();
    let mut copy = session.fork().await?;
    let mut tell = |_: usize, nll: &[f32]| {
        all.extend(nll.iter().map(|x| f64::from(*x)));
        ControlFlow::Continue(())
    };
    copy.score(0, ids, &mut tell).await?;
    Ok([all.iter().take(first).sum(), all.iter().sum()])
}

/// Measures a model on documents, of which each lends its names to the others. `progress` is told tokens read of
/// all documents.
///
/// # Errors
/// [`ErrorKind::Input`] for documents without names that recur, or a single document; [`ErrorKind::Cancelled`] where
/// `progress` says so; those of the model.
pub async fn past(
    model: &Model,
    documents: &[&str],
    options: &PastOptions,
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Past> {
    let tokenizer = model.tokenizer()?;
    let most = options.tokens;
    let texts = documents.iter().map(|text| Words::new(text, tokenizer, most)).collect::<Result<Vec<_>>>()?;
    let names: Vec<BTreeMap<&str, usize>> = texts.iter().map(Words::names).collect();
    let mut groups: Vec<Group> = Vec::new();
    for (i, least) in options.distances.iter().enumerate() {
        let end = options.distances.get(i + 1).copied();
        groups.push(Group { least: Some(*least), end, ..Group::default() });
    }
    groups.push(Group::default());
    let mut sums: Vec<(usize, f64)> = Vec::new();
    let (mut whole, mut short) = (Session::new(model).await?, Session::new(model).await?);
    let mut done = 0;
    for (at, text) in texts.iter().enumerate() {
        let others = Others::new(&texts, &names, at, tokenizer)?;
        whole.reset(0);
        let mut read = 0;
        for (turn, (group, site)) in choose(text.sites(&names[at]), options).into_iter().enumerate() {
            let from = text.starts[site.word];
            // At least two tokens before it: the first of a text is not predicted, and scoring goes on from one.
            if from < options.short || from <= read + 1 {
                continue;
            }
            let length = text.starts[site.word + 1] - from;
            let Some(other) = others.like(text.words[site.word], length, turn) else { continue };
            read_on(&mut whole, &text.ids, read..from, &mut sums).await?;
            (read, done) = (from, done + from - read);
            short.reset(0);
            let mut nothing = |_: usize, _: &[f32]| ControlFlow::Continue(());
            short.score(0, &text.ids[from - options.short..from], &mut nothing).await?;
            let own = text.sentence(site.word);
            let swapped = [&other[..], &own[length.min(own.len())..]].concat();
            let [name_whole, own_whole] = nats(&whole, own, length).await?;
            let [name_short, own_short] = nats(&short, own, length).await?;
            let [_, other_whole] = nats(&whole, &swapped, length).await?;
            let [_, other_short] = nats(&short, &swapped, length).await?;
            let group = &mut groups[group];
            group.sites += 1;
            group.whole.push(other_whole - own_whole);
            group.short.push(other_short - own_short);
            group.name_whole.push(name_whole);
            group.name_short.push(name_short);
            if progress(done).is_break() {
                return Err(Error::new(ErrorKind::Cancelled, "interrupted"));
            }
        }
        read_on(&mut whole, &text.ids, read..text.ids.len(), &mut sums).await?;
        done += text.ids.len() - read;
        if progress(done).is_break() {
            return Err(Error::new(ErrorKind::Cancelled, "interrupted"));
        }
    }
    if groups.iter().all(|group| group.sites == 0) {
        return Err(Error::new(ErrorKind::Input, "no name recurs at these distances in these texts")
            .help("give longer texts with people in them, or smaller --distances"));
    }
    let positions =
        sums.into_iter().map(|(tokens, nll)| Position { tokens, nll: nll / tokens.max(1) as f64 });
    Ok(Past { groups, positions: positions.collect() })
}

/// Reads a part of a text and adds its nats up by position.
async fn read_on(
    session: &mut Session,
    ids: &[u32],
    range: std::ops::Range<usize>,
    sums: &mut Vec<(usize, f64)>,
) -> Result<()> {
    let mut position = range.start.max(1);
    let mut tell = |_: usize, nll: &[f32]| {
        for nll in nll {
            let (tokens, sum) = BUCKETS.entry(sums, position);
            *tokens += 1;
            *sum += f64::from(*nll);
            position += 1;
        }
        ControlFlow::Continue(())
    };
    session.score(0, &ids[range], &mut tell).await
}

/// Names of other documents that one does not hold, by their number of tokens.
struct Others<'t> {
    by_length: HashMap<usize, Vec<&'t str>>,
    tokenizer: &'t Tokenizer,
}

impl<'t> Others<'t> {
    fn new(
        texts: &[Words<'t>],
        names: &[BTreeMap<&'t str, usize>],
        at: usize,
        tokenizer: &'t Tokenizer,
    ) -> Result<Self> {
        let own: HashSet<&str> =
            texts[at].words.iter().flat_map(|word| word.split(|c: char| !c.is_alphabetic())).collect();
        let mut by_length: HashMap<usize, Vec<&str>> = HashMap::new();
        for (_, of_text) in names.iter().enumerate().filter(|(i, _)| *i != at) {
            for &name in of_text.keys().filter(|name| !own.contains(*name)) {
                let length = tokenizer.encode(&format!(" {name}"))?.len();
                by_length.entry(length).or_default().push(name);
            }
        }
        if by_length.is_empty() {
            return Err(Error::new(ErrorKind::Input, "there are no names of other texts to compare with")
                .help("give several texts with people in them, `<|endoftext|>` between them"));
        }
        Ok(Self { by_length, tokenizer })
    }

    /// The tokens of a word in which another name stands for its own, if there is one of as many.
    fn like(&self, word: &str, length: usize, turn: usize) -> Option<Vec<u32>> {
        let plain = bare(word);
        let of_name = self.tokenizer.encode(&format!(" {plain}")).ok()?.len();
        let pool = self.by_length.get(&of_name)?;
        let with = |name: &str| self.tokenizer.encode(&word.replacen(plain, name, 1)).ok();
        // Not every one has as many together with what follows it.
        let names = (0..pool.len()).map(|i| pool[(7 * turn + i) % pool.len()]);
        names.filter_map(with).find(|ids| ids.len() == length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "It was Arthur who came. Then came the day when, as Arthur said, the old river rose; and \
        Arthur's house stood by the River. Nobody saw Arthur again, but Helen did. But Arthur was there. So was Arthur, \
        and Arthur again.";

    fn words(text: &str) -> Words<'_> {
        Words::new(text, &Tokenizer::bytes(), usize::MAX).expect("encodes")
    }

    #[test]
    fn names_are_within_sentences_and_never_small() {
        let text = words(TEXT);
        assert_eq!(text.words.concat(), TEXT);
        assert_eq!(text.ids.len(), TEXT.len());
        // River is written small too, Helen is rare.
        assert_eq!(text.names().into_iter().collect::<Vec<_>>(), [("Arthur", 7)]);
        let sites = text.sites(&text.names());
        assert_eq!(sites[0], Site { word: 2, distance: None });
        assert_eq!(sites[1].distance, Some(TEXT[10..].find(" Arthur").expect("is there") + 10 - 13));
        let rest = text.sentence(sites[0].word);
        assert_eq!(rest, &TEXT.as_bytes()[6..23].iter().map(|b| u32::from(*b)).collect::<Vec<_>>()[..]);
    }

    #[test]
    fn sites_are_spread_over_their_groups() {
        let site = |word: usize, distance: usize| Site { word, distance: Some(distance) };
        let sites = (0..100).map(|i| site(i, 10 * i)).chain([Site { word: 100, distance: None }]);
        let options = PastOptions { distances: vec![200, 500], sites: 10, short: 100, tokens: 1000 };
        let chosen = choose(sites.collect(), &options);
        let of = |group: usize| {
            chosen.iter().filter(|(g, _)| *g == group).map(|(_, s)| s.word).collect::<Vec<_>>()
        };
        assert_eq!(of(0), (20..50).step_by(3).collect::<Vec<_>>());
        assert_eq!(of(1), (50..100).step_by(5).collect::<Vec<_>>());
        assert_eq!(of(2), [100]);
    }

    #[test]
    fn estimates_are_means_with_errors() {
        let estimate = Estimate::of([1.0, 2.0, 3.0, 6.0].into_iter());
        assert_eq!(estimate.mean, 3.0);
        assert!((estimate.error.expect("of four") - (14.0f64 / 3.0 / 4.0).sqrt()).abs() < 1e-12);
        assert_eq!(Estimate::of([2.0].into_iter()), Estimate { mean: 2.0, error: None });
    }

    #[test]
    fn other_names_are_of_as_many_tokens() {
        let other = TEXT.replace("Arthur", "Edmund").replace("Helen", "Al");
        let texts = [words(TEXT), words(&other)];
        let names: Vec<_> = texts.iter().map(Words::names).collect();
        let tokenizer = Tokenizer::bytes();
        let others = Others::new(&texts, &names, 0, &tokenizer).expect("there are");
        let like = others.like(" Arthur's", 9, 3).expect("one is");
        assert_eq!(like, " Edmund's".bytes().map(u32::from).collect::<Vec<_>>());
        assert_eq!(others.like(" Helen", 6, 0), None);
        assert!(Others::new(&texts[..1], &names[..1], 0, &tokenizer).is_err());
    }
}
