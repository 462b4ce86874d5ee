//! Keys, ids and accounts that the tests share.

use tokenpin::{CookieKey, IdRing, Role, Secret, identity_hash};
use tokenpin_test_support::random::Random;

pub fn key(id: u8, role: Role) -> CookieKey {
    CookieKey { id, role, secret: Secret::new([id ^ 0x5a; 16]) }
}

pub fn ring() -> IdRing {
    IdRing::new(&[key(1, Role::Sign), key(2, Role::Accept)], None).unwrap()
}

pub fn pin(account: &str) -> u64 {
    identity_hash(account.as_bytes())
}

pub const HEX: &[u8] = b"0123456789abcdef";
pub const ALNUM: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

pub fn characters(random: &mut Random, from: &[u8], len: usize) -> String {
    let mut one = || from[usize::try_from(random.below(from.len() as u64)).unwrap()];
    (0..len).map(|_| char::from(one())).collect()
}

pub fn uuid(random: &mut Random) -> String {
    [8, 4, 4, 4, 12].map(|len| characters(random, HEX, len)).join("-")
}
