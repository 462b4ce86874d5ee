//! Weighted rendezvous (highest random weight) hashing in integers.
//!
//! Every candidate draws `r_i = mix(h ^ id_i)`, uniform in 64 bits. With `u = (r + 1) / 2^64`,
//! `-ln(u) / w` is exponentially distributed with rate `w`, so the candidate with the smallest
//! value wins with probability `w_i / Σw` (Schindelhauer and Schomaker, "Weighted Distributed Hash
//! Tables", 2005). A logarithm to base 2 in fixed point gives the same order on every platform, and
//! comparing products instead of quotients needs no division.

use core::cmp::Ordering;

use arrayvec::ArrayVec;

use super::slot::{Filter, Slot, Word};

/// Fraction bits of the logarithm.
const FRACTION: u32 = 40;

/// `round(2^40 * log2(1 + j / 256))` for `j` in `0..=256`, of which 40 bits are stored: the last
/// entry is 0 instead of `2^40`.
static LOG2: Log2 = Log2::table();

struct Log2 {
    low: [u32; 257],
    high: [u8; 257],
}

/// Applies the finaliser of splitmix64: a bijection of the 64-bit integers.
#[must_use]
pub const fn mix(x: u64) -> u64 {
    finish(stir(fold(x)))
}

/// Computes the first of three parts of [`mix`]. `fold(x ^ y)` is `fold(x) ^ fold(y)`.
#[inline]
const fn fold(x: u64) -> u64 {
    x ^ (x >> 30)
}

#[inline]
const fn stir(x: u64) -> u64 {
    let x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb)
}

/// Computes the last part, which leaves the upper 31 bits unchanged.
#[inline]
const fn finish(x: u64) -> u64 {
    x ^ (x >> 31)
}

/// One candidate's draw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw {
    /// `mix(h ^ id)`.
    pub r: u64,
    /// `1..=65536`.
    pub weight: u32,
}

impl Draw {
    /// Returns whether this draw wins against `champion`, which has the lower slot. The smaller
    /// `L(r) / weight` wins, then the larger `r`, then the lower slot.
    ///
    /// `L` falls as `r` rises, so between equal weights the larger `r` has the smaller or the same
    /// quotient and wins either way; no logarithm is needed.
    #[inline]
    pub(crate) fn beats(self, champion: Self) -> bool {
        if self.weight == champion.weight {
            return self.r > champion.r;
        }
        // The logarithm is needed only if this draw may win.
        !self.is_hopeless(champion) && self.beats_by_logarithm(champion)
    }

    /// Returns whether two products suffice to show that this draw, of another weight, loses.
    ///
    /// With `v = 1 - u` in 32 bits, cut, `L` is 256 times as fine and at most 2 off. From below,
    /// `-log2(u) > 23 / 16 * v` by 1 part in 300; from above, where `u >= 1 / 2`, the chord
    /// `2 * v`, plus 1 for the cut and 1 for the 2.
    #[inline]
    fn is_hopeless(self, champion: Self) -> bool {
        let (mine, theirs) = (!self.r >> 32, !champion.r >> 32);
        champion.r >> 63 == 1
            && mine * u64::from(champion.weight) * 23 >= (theirs + 2) * u64::from(self.weight) * 32
    }

    /// Not inlined, so that a pass keeps its champion in registers. Cold: see
    /// [`Self::is_hopeless`].
    #[cold]
    #[inline(never)]
    fn beats_by_logarithm(self, champion: Self) -> bool {
        // Below 2^47 * 2^17: the products fit in 64 bits.
        let mine = neg_log2(self.r) * u64::from(champion.weight);
        let theirs = neg_log2(champion.r) * u64::from(self.weight);
        match mine.cmp(&theirs) {
            Ordering::Less => true,
            Ordering::Equal => self.r > champion.r,
            Ordering::Greater => false,
        }
    }
}

/// The slot that has won so far.
#[derive(Clone, Copy)]
pub(crate) struct Champion {
    /// The draw, then the complement of the slot. Between equal weights the larger rank wins.
    rank: u128,
    weight: u32,
}

impl Champion {
    /// No champion yet.
    pub(crate) const NONE: Self = Self { rank: 0, weight: 0 };

    #[inline]
    fn rank(index: u32, r: u64) -> u128 {
        u128::from(r) << 64 | u128::from(!index)
    }

    #[inline]
    fn draw(self) -> Draw {
        Draw { r: (self.rank >> 64) as u64, weight: self.weight }
    }

    /// Compares with the draw of the slot `index`, the next in order.
    #[inline]
    pub(crate) fn meet(&mut self, index: u32, weight: u32, r: u64) {
        // Every weight beats 0, without a logarithm.
        if self.weight == 0 || (Draw { r, weight }).beats(self.draw()) {
            *self = Self { rank: Self::rank(index, r), weight };
        }
    }

    /// Compares like [`Self::meet`], for equal weights. The winner is unpredictable, so this uses
    /// `max` instead of a branch.
    #[inline]
    pub(crate) fn meet_equal(&mut self, index: u32, r: u64) {
        self.rank = self.rank.max(Self::rank(index, r));
    }

    /// Returns the least `stirred` whose draw, `finish(stirred)`, may beat this one at equal
    /// weight.
    #[inline]
    pub(crate) fn bar(self) -> u64 {
        // Only the upper 31 bits of an unfinished draw are known.
        self.draw().r >> 33 << 33
    }

    pub(crate) const fn weight(&self) -> u32 {
        self.weight
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
    pub(crate) fn slot(&self) -> Option<u32> {
        if self.weight == 0 { None } else { Some(!(self.rank as u32)) }
    }
}

/// Returns `L(r) = -log2((r + 1) / 2^64)` with 40 fraction bits, from 0 (`r = 2^64 - 1`) to
/// `64 << 40` (`r = 0`). It never increases with `r`.
///
/// The mantissa's first 8 bits pick a cell of the table, the next 24 interpolate in it.
#[must_use]
pub fn neg_log2(r: u64) -> u64 {
    let Some(x) = r.checked_add(1) else { return 0 };
    let exponent = x.ilog2();
    let mantissa = x << (63 - exponent);
    let cell = ((mantissa >> 55) & 0xff) as usize;
    let rest = (mantissa >> 31) & 0x00ff_ffff;
    let low = LOG2.get(cell);
    let step = LOG2.get(cell + 1).wrapping_sub(low) & ((1 << FRACTION) - 1);
    let log2 = (u64::from(exponent) << FRACTION) + low + ((step * rest) >> 24);
    (64 << FRACTION) - log2
}

impl Log2 {
    #[inline]
    fn get(&self, j: usize) -> u64 {
        u64::from(self.high[j]) << 32 | u64::from(self.low[j])
    }

    /// Computes the table by integer arithmetic. Squaring a number doubles its logarithm, so each
    /// squaring of the mantissa (in `1..2`, with 63 fraction bits) shifts out one more binary digit
    /// of it.
    #[expect(clippy::cast_possible_truncation, reason = "the parts of 40 bits")]
    const fn table() -> Self {
        // 12 digits beyond those kept decide the rounding; no entry lies nearer to a tie.
        const EXTRA: u32 = 12;
        let mut table = Self { low: [0; 257], high: [0; 257] };
        let mut j = 0;
        while j < 256 {
            let mut mantissa: u128 = (256 + j as u128) << 55;
            let mut log2: u64 = 0;
            let mut digit = 0;
            while digit < FRACTION + EXTRA {
                mantissa = (mantissa * mantissa) >> 63;
                log2 <<= 1;
                if mantissa >> 64 != 0 {
                    mantissa >>= 1;
                    log2 |= 1;
                }
                digit += 1;
            }
            log2 = (log2 + (1 << (EXTRA - 1))) >> EXTRA;
            table.low[j] = log2 as u32;
            table.high[j] = (log2 >> 32) as u8;
            j += 1;
        }
        table
    }
}

/// The number of slots that are early in a pass. The champion of `k` slots loses to the next with
/// probability `1 / k`. Early on that is unpredictable and must not be a branch; later the
/// processor predicts it.
const EARLY: u32 = 64;

/// Runs weighted rendezvous over the candidates. If an anonymous id has none, `again` selects with
/// draining slots as candidates.
#[inline(never)]
pub(crate) fn rendezvous(
    slots: &[Slot],
    filter: &Filter<'_>,
    hash: u64,
    again: fn(&[Slot], &Filter<'_>, u64) -> Option<u32>,
) -> Option<u32> {
    let winner = if filter.leaves_none_out() {
        contest(slots, filter, hash, |_| false)
    } else {
        contest(slots, filter, hash, |slot| filter.leaves_out(slot))
    };
    winner.slot().or_else(|| again(slots, &filter.last_resort()?, hash))
}

/// Makes one pass for one key, champion against challengers. `left_out` is a parameter so that a
/// pass without tried slots does not search for them.
#[inline]
fn contest(
    slots: &[Slot],
    filter: &Filter<'_>,
    hash: u64,
    left_out: impl Fn(u32) -> bool,
) -> Champion {
    let hash = fold(hash);
    let mut champion = Champion::NONE;
    // The word of the champion, or another word with its weight.
    let mut common = Word::NONE;
    for (index, slot) in (0..).zip(slots) {
        if left_out(index) {
            continue;
        }
        // Nearly all slots have the same word, and they rarely change, so the processor predicts
        // this branch.
        let word = slot.word();
        let identity = fold(slot.identity_hash());
        if word == common {
            let stirred = stir(hash ^ identity);
            if index < EARLY || stirred >= champion.bar() {
                champion.meet_equal(index, finish(stirred));
            }
        } else if filter.admits(word) && word.weight() != 0 {
            champion.meet(index, word.weight(), finish(stir(hash ^ identity)));
            common = if champion.weight() == word.weight() { word } else { Word::NONE };
        }
    }
    champion
}

/// The candidates among a few slots, read once for many keys.
pub(crate) struct Few {
    list: ArrayVec<Candidate, { Self::MAX }>,
    same_weight: bool,
}

struct Candidate {
    /// The identity hash, folded.
    identity: u64,
    weight: u32,
    slot: u32,
}

impl Few {
    /// The number of places that a probe has.
    pub(crate) const MAX: usize = 64;

    /// Reads at most [`Self::MAX`] slots, the first of which has the number `first`.
    pub(crate) fn of(first: u32, slots: &[Slot], filter: &Filter<'_>) -> Self {
        let mut few = Self { list: ArrayVec::new(), same_weight: true };
        for (index, slot) in (first..).zip(slots) {
            let (word, identity) = (slot.word(), fold(slot.identity_hash()));
            let weight = word.weight();
            if weight != 0 && filter.admits(word) && !filter.leaves_out(index) {
                few.same_weight &= few.list.first().is_none_or(|first| first.weight == weight);
                // There is room for every slot.
                let _ = few.list.try_push(Candidate { identity, weight, slot: index });
            }
        }
        few
    }

    /// Returns the slot of the candidate, if there is one only.
    pub(crate) fn only(&self) -> Option<u32> {
        if let [only] = self.list.as_slice() { Some(only.slot) } else { None }
    }

    /// Compares the candidates with the champion of a key, which comes from earlier slots.
    #[inline]
    pub(crate) fn contest(&self, hash: u64, champion: &mut Champion) {
        let hash = fold(hash);
        // Copied into registers, because a reference could be aliased.
        let mut best = *champion;
        let weight = self.list.first().map_or(0, |first| first.weight);
        if self.same_weight && (best.weight == weight || best.weight == 0) {
            best.weight = weight;
            for candidate in &self.list {
                best.meet_equal(candidate.slot, finish(stir(hash ^ candidate.identity)));
            }
        } else {
            for candidate in &self.list {
                let r = finish(stir(hash ^ candidate.identity));
                best.meet(candidate.slot, candidate.weight, r);
            }
        }
        *champion = best;
    }
}

#[cfg(test)]
mod tests {
    use std::prelude::rust_2024::*;

    use super::*;

    /// Computes the table in floating point: 53 bits leave 12 below the last place, so an entry may
    /// differ only if the formula lies on a rounding tie.
    #[test]
    #[expect(clippy::cast_precision_loss, reason = "entries are below 2^41")]
    fn table_agrees_with_the_formula() {
        for j in 0..256 {
            let entry = LOG2.get(j);
            let exact = (1.0 + j as f64 / 256.0).log2() * (1_u64 << FRACTION) as f64;
            assert!((entry as f64 - exact).abs() <= 0.501, "j = {j}: {entry} against {exact}");
        }
        assert_eq!((LOG2.get(0), LOG2.get(256)), (0, 0));
        assert_eq!(LOG2.get(128), 643_173_071_356);
    }

    #[test]
    fn the_compiler_computes_the_table_as_the_machine_does() {
        let made = std::hint::black_box(Log2::table as fn() -> Log2)();
        assert_eq!((made.low, made.high), (LOG2.low, LOG2.high));
    }

    #[test]
    fn ends_of_the_logarithm() {
        assert_eq!(neg_log2(u64::MAX), 0);
        assert_eq!(neg_log2(0), 64 << FRACTION);
        assert_eq!(neg_log2(1), 63 << FRACTION);
        assert_eq!(neg_log2((1 << 63) - 1), 1 << FRACTION);
        // 2^64 - 1: the last cell, one step short of its end.
        let step = (1 << FRACTION) - LOG2.get(255);
        let last = (63 << FRACTION) + LOG2.get(255) + ((step * 0x00ff_ffff) >> 24);
        assert_eq!(neg_log2(u64::MAX - 1), (64 << FRACTION) - last);
    }

    /// Every edge of every cell at every exponent: exact on the edge, and monotone across it.
    #[test]
    fn edges_of_every_cell() {
        for exponent in 0..64_u32 {
            for cell in 0..256 {
                let entry = LOG2.get(cell);
                let scaled = (256 + cell as u128) << exponent;
                if scaled & 0xff != 0 {
                    continue; // Not an integer: no x lies on this edge.
                }
                let x = u64::try_from(scaled >> 8).unwrap();
                let expected = (64 << FRACTION) - ((u64::from(exponent) << FRACTION) + entry);
                assert_eq!(neg_log2(x - 1), expected, "x = {x}");
                if x > 1 {
                    assert!(neg_log2(x - 2) >= expected);
                }
                assert!(neg_log2(x) <= expected);
            }
        }
    }

    #[test]
    fn monotone_around_every_power_and_on_a_grid() {
        let mut points: Vec<u64> = (0..64)
            .flat_map(|bit| (0..5_u64).map(move |d| (1_u64 << bit).wrapping_add(d).wrapping_sub(2)))
            .chain((0..1_000_000_u64).map(|i| i.wrapping_mul(18_446_744_073_709)))
            .chain([u64::MAX - 1, u64::MAX])
            .collect();
        points.sort_unstable();
        for pair in points.windows(2) {
            assert!(neg_log2(pair[0]) >= neg_log2(pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn equal_weights_need_no_logarithm() {
        let draws = (0..2000_u64).map(|i| {
            let r = mix(i / 2) >> (i % 64); // neighbours, ties, small values
            let r = if i % 5 == 0 { r.wrapping_add(1) } else { r };
            Draw { r, weight: 1 + (i % 3) as u32 }
        });
        let draws: Vec<Draw> = draws.collect();
        for &a in &draws {
            for &b in &draws {
                let a = Draw { weight: b.weight, ..a };
                assert_eq!(a.beats(b), a.beats_by_logarithm(b), "{a:?} {b:?}");
            }
        }
    }

    /// Near the edge of the shortcut and of the logarithm, where `v * champion.weight` is from a
    /// fifth to twice `champion.v * weight`, from the smallest `v` to the largest.
    #[test]
    fn no_draw_is_hopeless_that_wins() {
        let mut numbers = (0_u64..).map(mix);
        let mut next = |bound: u64| numbers.next().unwrap() % bound;
        let (mut won, mut close) = (0, 0);
        for _ in 0..2_000_000 {
            let champion_v = next(u64::MAX) >> next(64);
            let weight = |random: u64| u32::try_from(1 + random).unwrap();
            let champion = Draw { r: !champion_v, weight: weight(next(65_536) >> next(17)) };
            let weight = weight(next(65_536) >> next(17));
            let ratio = u128::from(200 + next(1800)) * u128::from(weight);
            let v = u128::from(champion_v) * ratio / (1000 * u128::from(champion.weight));
            let Ok(v) = u64::try_from(v) else { continue };
            for r in [!v, !v & !0xffff_ffff, !v | 0xffff_ffff] {
                let draw = Draw { r, weight };
                let wins = draw.weight != champion.weight && draw.beats_by_logarithm(champion);
                won += u32::from(wins);
                close += u32::from(!wins);
                assert!(!wins || draw.beats(champion), "{draw:?} {champion:?}");
            }
        }
        assert!(won > 1_000_000 && close > 1_000_000, "{won} {close}");
    }

    /// The shortcuts save most logarithms.
    #[test]
    fn most_losers_are_known_without_a_logarithm() {
        let mut numbers = (0_u64..).map(mix);
        let (mut losers, mut hopeless) = (0, 0);
        for i in 0..100_000_u32 {
            // As in a pass: a champion of some slots, and any challenger.
            let best = numbers.by_ref().take(1 + i as usize % 50).max().unwrap();
            let weight = |number: u32| 65_536 >> (number % 4);
            let champion = Draw { r: best, weight: weight(i) };
            let draw = Draw { r: numbers.next().unwrap(), weight: weight(i / 4) };
            if draw.weight != champion.weight && !draw.beats_by_logarithm(champion) {
                losers += 1;
                hopeless += u32::from(draw.is_hopeless(champion));
            }
        }
        assert!(hopeless * 100 > losers * 93, "{hopeless} of {losers}");
    }

    /// Only the upper 31 bits of an unfinished draw are known.
    #[test]
    fn a_champion_is_safe_from_what_is_smaller_in_the_upper_bits() {
        let mut numbers = (0_u64..).map(mix);
        for r in numbers.by_ref().take(1000).collect::<Vec<_>>() {
            let mut champion = Champion::NONE;
            champion.meet(7, 3, r);
            assert_eq!((champion.weight(), champion.slot()), (3, Some(7)));
            let upper = r >> 33 << 33;
            for lower in [0, 1, (1 << 33) - 1] {
                let may_lose_to = |stirred: u64| stirred >= champion.bar();
                assert!(may_lose_to(upper | lower));
                assert!(!may_lose_to(upper.wrapping_sub(1 << 33) | lower) || upper == 0);
                assert!(may_lose_to(upper.saturating_add(1 << 33) | lower));
            }
        }
    }

    #[test]
    fn ties_go_to_the_larger_draw_then_to_the_champion() {
        // Two neighbours that the fixed point cannot tell apart, at unequal weights.
        let (r, s) = (u64::MAX / 3, u64::MAX / 3 + 1);
        assert_eq!(neg_log2(r), neg_log2(s));
        let draw = |r, weight| Draw { r, weight };
        assert!(draw(s, 7).beats(draw(r, 7)));
        assert!(!draw(r, 7).beats(draw(s, 7)));
        assert!(!draw(r, 7).beats(draw(r, 7)), "the lower slot keeps a full tie");
        // L = 0 ties at every pair of weights.
        assert!(!draw(u64::MAX, 9).beats(draw(u64::MAX, 1)));
        assert!(!draw(u64::MAX, 1).beats(draw(u64::MAX, 9)));
        // A heavier weight beats a slightly larger draw.
        assert!(draw(r, 8).beats(draw(s, 7)));
    }
}
