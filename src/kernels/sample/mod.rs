//! The sampler: the next token of each lane from the logits of its slot.
//!
//! ```text
//! 1. penalty      l_i ← l_i / p if l_i > 0, else l_i p, for tokens i that occurred in the text
//! 2. temperature  l_i ← (l_i - max l) / t;  t = 0: the largest logit, lowest id first, and nothing of what
//!                 follows
//! 3. top-k        keep the k largest
//! 4. top-p        keep the fewest of them, largest first, whose softmax reaches p
//! 5. min-p        keep those with exp(l_i - max l) ≥ p
//! 6. draw         argmax of l_i - log(-log u_i) over what is kept, u_i = hash(seed, position, i)
//! ```
//!
//! Step 6 is a draw from the softmax of what is kept (Gumbel-max). Ties at a cut stay in. A draw depends on
//! seed, position and logits alone, not on the batch and not on the order of a sum. Every setting in its range
//! gives its limit: the smallest temperatures and k = 1 are greedy, and nothing overflows. Tokens that are
//! marked are never drawn. A logit that is no number gives a token that none is.

pub mod sample;
