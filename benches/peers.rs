//! What tokenpin is compared with, where no crate does it.

use std::hash::Hasher;

/// Hands an integer through: the crate `jumphash` always hashes first.
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
    /// `nodes` are a hash and a weight each; of weight 0 are those that serve nobody.
    pub fn new(nodes: &[(u64, u32)]) -> Self {
        // The paper asks for over 100 entries a node, and a prime.
        let size: u64 = if nodes.len() <= 655 { 65_537 } else { 655_373 };
        let heaviest = nodes.iter().map(|&(_, weight)| weight).max().unwrap_or(0);
        assert!(heaviest > 0, "nobody serves");
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

/// What Higress ai-proxy does with a consumer's name.
pub fn fnv1a32_modulo(key: &[u8], n: u32) -> u32 {
    let step = |hash: u32, &byte: &u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    key.iter().fold(0x811c_9dc5, step) % n
}
