//! A second implementation of docs/spec/selection.md, slow and written only from the page: every
//! candidate is collected, quotients are compared as fractions in 128 bits, and the list is sorted.

use std::cmp::Ordering;
use std::hash::Hasher as _;
use std::sync::LazyLock;

use siphasher::sip::{SipHasher13, SipHasher24};
use tokenpin::{Filter, Key, State, Strategy};

use crate::fleet::{Fleet, Token};
use tokenpin_test_support::paper;

/// The largest number of probes.
pub const PROBES: u32 = 16;

/// Returns the slot that serves.
pub fn serve(
    strategy: Strategy,
    fleet: &Fleet,
    filter: &Filter,
    h: u64,
    fnv1a: u32,
) -> Option<u32> {
    let mut candidates = candidates(fleet, filter, h);
    let weight_of = |slot| candidates.iter().find(|c| c.slot == slot).map(|c| c.weight);
    match strategy {
        Strategy::Jump => {
            for (slot, draw) in probes(h, u32::try_from(fleet.0.len()).unwrap()) {
                if weight_of(slot).is_some_and(|weight| u128::from(draw) < weight) {
                    return Some(slot);
                }
            }
        }
        Strategy::HigressFnv1aModulo => {
            let occupied = fleet.places();
            if !occupied.is_empty() {
                let home = occupied[fnv1a as usize % occupied.len()];
                let home = u32::try_from(home).unwrap();
                if weight_of(home).is_some() {
                    return Some(home);
                }
            }
        }
        Strategy::Rendezvous => {}
    }
    candidates.sort_by(Candidate::order);
    candidates.first().map(|candidate| candidate.slot)
}

/// Returns the slots that are probed among `n`, in order, each with the draw that has to be below
/// its weight.
pub fn probes(h: u64, n: u32) -> Vec<(u32, u64)> {
    let mut probes = Vec::new();
    let mut h_k = h;
    for k in 0..PROBES {
        let slot = match k {
            0 if n == 0 => break,
            0 => u32::try_from(paper::jump(h, i32::try_from(n).unwrap())).unwrap(),
            _ => probe(h_k, n),
        };
        if slot >= n {
            break;
        }
        h_k = mix(h_k ^ 0x9e37_79b9_7f4a_7c15);
        probes.push((slot, h_k >> 48));
    }
    probes
}

/// `probe(h, n)`: a slot number, or one that ends the probing.
#[expect(clippy::many_single_char_names, reason = "the names of the page")]
pub fn probe(h: u64, n: u32) -> u32 {
    let small = |x: u64| u32::try_from(x).unwrap();
    if n <= 64 {
        return small(h & 63);
    }
    let n = u64::from(n);
    let next = |x: u64| mix(x ^ 0xd6e8_feb8_6659_fd93);
    let v = next(h);
    let mut w = v;
    let mut u = (v ^ (v >> 32)) & (n.next_power_of_two() - 64);
    while u != 0 {
        let q = 1 << u.ilog2();
        let z = if u.count_ones() % 2 == 0 { v & 0xffff_ffff } else { v >> 32 };
        let mut b = q + (z & (q - 1));
        for _ in 0..64 {
            if b < n {
                return small(b);
            }
            w = next(w);
            b = w & (2 * q - 1);
            if b < q {
                break;
            }
            if b < n {
                return small(b);
            }
            b = (w >> 32) & (2 * q - 1);
            if b < q {
                break;
            }
        }
        u ^= q;
    }
    small(h & 63)
}

struct Candidate {
    slot: u32,
    weight: u128,
    r: u64,
}

impl Candidate {
    /// Orders by the smaller `L(r) / weight`, the larger `r`, the lower slot.
    fn order(&self, other: &Self) -> Ordering {
        (log(self.r) * other.weight)
            .cmp(&(log(other.r) * self.weight))
            .then(other.r.cmp(&self.r))
            .then(self.slot.cmp(&other.slot))
    }
}

fn candidates(fleet: &Fleet, filter: &Filter, h: u64) -> Vec<Candidate> {
    if !filter.anonymous {
        return in_state(fleet, filter, h, &[State::Up, State::Draining]);
    }
    let up = in_state(fleet, filter, h, &[State::Up]);
    if up.is_empty() { in_state(fleet, filter, h, &[State::Draining]) } else { up }
}

/// The slots in `which` states that have a weight and are not left out.
fn in_state(fleet: &Fleet, filter: &Filter, h: u64, which: &[State]) -> Vec<Candidate> {
    let candidate = |(slot, place): (u32, &Option<Token>)| {
        let token = place.as_ref()?;
        let status = token.status;
        let over = status.until != 0 && filter.now >= status.until;
        let state = if over { State::Up } else { status.state };
        let left_out = filter.tried.contains(&slot) || filter.pinned == Some(slot);
        let weight = u128::from(status.weight);
        let r = mix(h ^ identity_hash(token.identity().as_bytes()));
        let serves = which.contains(&state) && !left_out && weight > 0;
        serves.then_some(Candidate { slot, weight, r })
    };
    (0..).zip(&fleet.0).filter_map(candidate).collect()
}

/// `L(r)`.
#[expect(clippy::many_single_char_names, reason = "the names of the page")]
fn log(r: u64) -> u128 {
    let x = u128::from(r) + 1;
    if x == 1 << 64 {
        return 0;
    }
    let e = (0..64).rev().find(|&e| x >> e != 0).expect("x is not 0");
    let m = x << (63 - e);
    let k = usize::try_from(m >> 55 & 0xff).unwrap();
    let f = m >> 31 & 0xff_ffff;
    let t = &*TABLE;
    (64 << 40) - ((e << 40) + t[k] + (((t[k + 1] - t[k]) * f) >> 24))
}

/// `T`. A double is exact to 1e-3 in the last place kept; no entry is that near to a tie.
static TABLE: LazyLock<Vec<u128>> = LazyLock::new(|| {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 2^40")]
    let entry = |j| ((1.0 + f64::from(j) / 256.0).log2() * 40_f64.exp2()).round() as u128;
    (0..=256).map(entry).collect()
});

#[test]
fn the_table_has_the_entries_of_the_page() {
    let entries = [0, 1, 128, 255, 256].map(|j| TABLE[j]);
    assert_eq!(entries, [0, 6_184_257_240, 643_173_071_356, 1_096_410_434_271, 1 << 40]);
    for j in 1..256_u32 {
        let exact = (1.0 + f64::from(j) / 256.0).log2() * 40_f64.exp2();
        assert!((exact.fract() - 0.5).abs() > 0.0015, "entry {j} lies on a tie");
    }
}

pub fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

pub fn identity_hash(identity: &[u8]) -> u64 {
    let mut hasher = SipHasher24::new_with_key(b"tokenpin.v1.acct");
    hasher.write(identity);
    hasher.finish()
}

/// `h`.
pub fn key_hash(placement_key: [u8; 16], scope: &[u8], key: &Key) -> u64 {
    let prefixed = |bytes: &[u8]| {
        let length = u32::try_from(bytes.len()).unwrap();
        [&length.to_le_bytes(), bytes].concat()
    };
    let (tag, bytes) = match *key {
        Key::Consumer(name) => (1, name.to_vec()),
        Key::Anonymous(id) => (2, id.to_vec()),
        Key::Session(session) => (3, session.to_vec()),
        Key::Combined { consumer, session } => (4, [&prefixed(consumer), session].concat()),
    };
    let mut hasher = SipHasher13::new_with_key(&placement_key);
    hasher.write(&[&[tag], &prefixed(scope)[..], &bytes].concat());
    hasher.finish()
}

/// Returns `fnv1a32` of the key bytes. An anonymous id is written as text.
pub fn fnv1a32(key: &Key) -> u32 {
    let bytes = match *key {
        Key::Consumer(bytes) | Key::Session(bytes) => bytes.to_vec(),
        Key::Combined { consumer, session } => {
            let length = u32::try_from(consumer.len()).unwrap();
            [&length.to_le_bytes(), consumer, session].concat()
        }
        Key::Anonymous(id) => {
            let hex = format!("{:032x}", u128::from_be_bytes(*id));
            [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-").into_bytes()
        }
    };
    bytes
        .iter()
        .fold(0x811c_9dc5, |hash: u32, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
