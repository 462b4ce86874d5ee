//! A batch equals many selections.

use tokenpin::{Filter, Slot, SlotStatus, State, Strategy, mix, select, select_batch};

use tokenpin_test_support::random::Random;

#[test]
fn a_batch_selects_like_one_by_one() {
    let mut random = Random::new("a_batch_selects_like_one_by_one");
    for round in 0..400 {
        let n = 1 + random.below(if round % 4 == 0 { 300 } else { 9 });
        let slots = slots(n, |_| {
            let all = [State::Up, State::Up, State::Draining, State::Down];
            let state = all[usize::try_from(random.below(4)).unwrap()];
            let weight = [65_536, 65_536, 30_000, 1, 0][usize::try_from(random.below(5)).unwrap()];
            SlotStatus { state, weight, until: random.below(3) }
        });
        let tried = [0];
        let tried = if round % 3 == 0 { &tried[..] } else { &[] };
        let filter = Filter { now: 1, anonymous: round % 2 == 0, tried, pinned: None };
        let hashes: Vec<u64> = (0..random.below(600)).map(|_| random.word()).collect();
        for strategy in [Strategy::Jump, Strategy::Rendezvous] {
            let mut out = vec![Some(u32::MAX); hashes.len() + 1];
            select_batch(strategy, &slots, &filter, &hashes, &mut out).unwrap();
            assert_eq!(out.pop(), Some(Some(u32::MAX)), "beyond the hashes");
            for (&hash, &got) in hashes.iter().zip(&out) {
                let one = select(strategy, &slots, &filter, hash);
                assert_eq!(Ok(got), one, "{strategy:?} {hash:#x}");
            }
            let mut short = [None; 1];
            select_batch(strategy, &slots, &filter, &hashes, &mut short).unwrap();
            let one = |&hash: &u64| select(strategy, &slots, &filter, hash).unwrap();
            let first = hashes.first().and_then(one);
            assert_eq!(short[0], first);
        }
    }
    let mut none = [Some(1); 2];
    select_batch(Strategy::Jump, &[], &Filter::default(), &[1, 2], &mut none).unwrap();
    assert_eq!(none, [None; 2]);
}

fn slots(n: u64, mut status: impl FnMut(u64) -> SlotStatus) -> Vec<Slot> {
    (0..n).map(|i| Slot::new(format!("account-{i}").as_bytes(), status(i)).unwrap()).collect()
}

/// Sizes around those at which the probes change, with few slots that can serve. Keys of one batch
/// are settled by different probes, by the pass, and by the last resort.
#[test]
fn a_batch_probes_like_one_by_one() {
    let mut random = Random::new("a_batch_probes_like_one_by_one");
    let pick = |random: &mut Random, from: &[u32]| {
        from[usize::try_from(random.below(from.len() as u64)).unwrap()]
    };
    for round in 0..600 {
        let n = pick(&mut random, &[1, 2, 5, 63, 64, 65, 66, 127, 128, 129, 1000]);
        let up = pick(&mut random, &[0, 2, 10, 25, 50, 75, 100]);
        let weights: &[u32] =
            [&[65_536][..], &[1], &[0, 1], &[32_768], &[0, 1, 30_000, 65_536]][round % 5];
        let slots = slots(u64::from(n), |_| {
            let others = [State::Down, State::Down, State::Draining];
            let other = others[usize::try_from(random.below(3)).unwrap()];
            let state = if random.below(100) < u64::from(up) { State::Up } else { other };
            SlotStatus { state, weight: pick(&mut random, weights), until: 0 }
        });
        let tried = [n / 2];
        let filter = Filter { now: 0, anonymous: round % 2 == 0, tried: &tried, pinned: None };
        let hashes: Vec<u64> = (0..300).map(|_| random.word()).collect();
        let mut out = vec![None; hashes.len()];
        select_batch(Strategy::Jump, &slots, &filter, &hashes, &mut out).unwrap();
        for (&hash, &got) in hashes.iter().zip(&out) {
            let one = select(Strategy::Jump, &slots, &filter, hash);
            assert_eq!(Ok(got), one, "{hash:#x} of {n}, {up} % up, {weights:?}");
        }
    }
}

/// Returns 500 hashes and their winners, which equal those of single selections.
fn winners(random: &mut Random, slots: &[Slot]) -> Vec<(u64, Option<u32>)> {
    let hashes: Vec<u64> = (0..500).map(|_| random.word()).collect();
    let mut out = vec![None; hashes.len()];
    let filter = Filter::default();
    select_batch(Strategy::Rendezvous, slots, &filter, &hashes, &mut out).unwrap();
    for (&hash, &got) in hashes.iter().zip(&out) {
        assert_eq!(Ok(got), select(Strategy::Rendezvous, slots, &filter, hash), "{hash:#x}");
    }
    hashes.into_iter().zip(out).collect()
}

/// At equal weights the largest draw wins, also in the tail of a long list, where it is found in
/// another way.
#[test]
fn a_long_list_at_equal_weights() {
    let mut random = Random::new("a_long_list_at_equal_weights");
    for n in [63, 64, 65, 200, 1500] {
        let slots = slots(n, |_| {
            let state = if random.below(4) == 0 { State::Down } else { State::Up };
            SlotStatus { state, weight: 40_000, until: 0 }
        });
        for (hash, got) in winners(&mut random, &slots) {
            let up = (0..).zip(&slots).filter(|(_, slot)| slot.status().state == State::Up);
            let best = up.max_by_key(|(_, slot)| mix(hash ^ slot.identity_hash()));
            assert_eq!(got, best.map(|(index, _)| index), "{n} {hash:#x}");
        }
    }
}

/// The draw needed to win falls again when a heavier slot wins with a smaller draw.
#[test]
fn a_long_list_whose_weight_rises() {
    let mut random = Random::new("a_long_list_whose_weight_rises");
    let slots =
        slots(200, |i| SlotStatus { weight: if i < 70 { 1 } else { 65_536 }, ..SlotStatus::UP });
    winners(&mut random, &slots);
}
