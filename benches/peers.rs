//! The peers of tokenpin for which there is no crate.

use std::hash::Hasher;

use tokenpin::{Filter, Slot, State, Strategy, jump, mix, select};

/// Passes an integer through: the crate `jumphash` always hashes first.
#[derive(Clone, Copy, Default)]
pub struct Unhashed(u64);

impl Hasher for Unhashed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("integers only")
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", 2016, section
/// 3.4, with weights as Envoy has them: a lighter node skips turns.
pub struct Maglev {
    table: Vec<u32>,
}

impl Maglev {
    /// Builds the table. `nodes` are a hash and a weight each; a node of weight 0 serves no key.
    pub fn new(nodes: &[(u64, u32)]) -> Self {
        // The paper asks for over 100 entries a node, and a prime.
        let size: u64 = if nodes.len() <= 655 { 65_537 } else { 655_373 };
        let heaviest = nodes.iter().map(|&(_, weight)| weight).max().unwrap_or(0);
        assert!(heaviest > 0, "no node serves");
        let mut table = vec![u32::MAX; usize::try_from(size).unwrap()];
        let mut filled = 0;
        let mut next: Vec<(u64, u64)> = nodes
            .iter()
            .map(|&(hash, _)| (hash % size, tokenpin::mix(hash) % (size - 1) + 1))
            .collect();
        let mut credit = vec![0; nodes.len()];
        'fill: loop {
            for (node, &(_, weight)) in (0_u32..).zip(nodes) {
                let index = node as usize;
                credit[index] += weight;
                if weight == 0 || credit[index] < heaviest {
                    continue;
                }
                credit[index] -= heaviest;
                let (position, step) = &mut next[index];
                let entry = loop {
                    let entry = &mut table[usize::try_from(*position).unwrap()];
                    *position = (*position + *step) % size;
                    if *entry == u32::MAX {
                        break entry;
                    }
                };
                *entry = node;
                filled += 1;
                if filled == size {
                    break 'fill;
                }
            }
        }
        Self { table }
    }

    #[expect(clippy::cast_possible_truncation, reason = "below the length of the table")]
    pub fn lookup(&self, hash: u64) -> u32 {
        self.table[(hash % self.table.len() as u64) as usize]
    }
}

/// Selects without probes: the home slot by jump, if it serves, else weighted rendezvous over all
/// slots.
#[inline(never)]
pub fn home_and_pass(slots: &[Slot], filter: &Filter, hash: u64) -> Option<u32> {
    let home = jump(hash, u32::try_from(slots.len()).ok()?).ok()?;
    let status = slots.get(home as usize)?.status();
    let admitted = || match status.state_at(filter.now) {
        State::Up => true,
        State::Draining => !filter.anonymous,
        State::Down | State::Vacant => false,
    };
    let accepted = mix(hash ^ 0x9e37_79b9_7f4a_7c15) >> 48 < u64::from(status.weight);
    if accepted && admitted() && !filter.tried.contains(&home) && filter.pinned != Some(home) {
        return Some(home);
    }
    select(Strategy::Rendezvous, slots, filter, hash).unwrap_or_default()
}

/// Computes jump-back hash (Ertl, "`JumpBackHash`: Say Goodbye to the Modulo Operation to
/// Distribute Keys Uniformly to Buckets", 2024, arXiv:2403.18682) without an early end, with
/// splitmix64 as the generator. `buckets` is 1 to 2^31.
#[expect(clippy::cast_possible_truncation, reason = "halves are meant")]
pub fn jump_back(key: u64, buckets: u32) -> u32 {
    let mut state = key;
    let mut random = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(state)
    };
    let first = random();
    let mut jumps = (first ^ (first >> 32)) as u32 & (buckets.next_power_of_two() - 1);
    while let Some(exponent) = jumps.checked_ilog2() {
        let power = 1 << exponent;
        let half = (first >> (32 * (jumps.count_ones() & 1))) as u32;
        let mut bucket = power + (half & (power - 1));
        loop {
            if bucket < buckets {
                return bucket;
            }
            let word = random();
            bucket = word as u32 & (2 * power - 1);
            if bucket < power {
                break;
            }
            if bucket < buckets {
                return bucket;
            }
            bucket = (word >> 32) as u32 & (2 * power - 1);
            if bucket < power {
                break;
            }
        }
        jumps ^= power;
    }
    0
}

/// Maps a consumer's name as Higress ai-proxy does.
pub fn fnv1a32_modulo(key: &[u8], n: u32) -> u32 {
    let step = |hash: u32, &byte: &u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    key.iter().fold(0x811c_9dc5, step) % n
}
