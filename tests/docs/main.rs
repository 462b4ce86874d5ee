//! The worked examples in docs/ are the code's answers. They are written again when
//! `TOKENPIN_WRITE_VECTORS` is set.

mod figures;
mod links;
mod readme;
mod rules;

use std::fmt::Write as _;

use data_encoding::BASE64URL_NOPAD;
use siphasher::sip128::SipHasher24;
use tokenpin::{
    Audience, Cookie, CookieKey, Filter, IdRing, IdSealer, IdVerdict, Key, KeyRing, Kind, Role,
    Secret, Slot, SlotStatus, State, Strategy, identity_hash, jump, key_hash, mix, neg_log2,
    select,
};
use tokenpin_test_support::{hex, page};

#[test]
fn selection() {
    let placement = Secret::new(std::array::from_fn(|i| u8::try_from(i).unwrap()));
    let identities = ["account-a", "account-b", "account-c"];
    let slots = |weights: [u32; 3]| -> Vec<Slot> {
        let slot = |(identity, weight): (&&str, u32)| {
            Slot::new(identity.as_bytes(), SlotStatus { weight, ..SlotStatus::UP }).unwrap()
        };
        identities.iter().zip(weights).map(slot).collect()
    };
    let mut out = String::from("    identity     id hash\n");
    for identity in identities {
        let _ = writeln!(out, "    {identity:12} {:016x}", identity_hash(identity.as_bytes()));
    }
    out.push_str("\nAs consumer names, empty scope:\n\n");
    out.push_str("    key          h                 home  accept bits  serves  and with slot 2 at weight 16384\n");
    let (equal, unequal) = (slots([65_536; 3]), slots([65_536, 65_536, 16_384]));
    let mut step_3 = Vec::new();
    for name in ["alice", "bob", "carol", "dave", "erin", "frank"] {
        let h = key_hash(&placement, b"", &Key::Consumer(name.as_bytes())).unwrap();
        let serves = |slots| select(Strategy::Jump, slots, &Filter::default(), h).unwrap().unwrap();
        let home = jump(h, 3).unwrap();
        let accept = next(h) >> 48;
        let _ = writeln!(
            out,
            "    {name:12} {h:016x}  {home:4}  {accept:11}  {:6}  {}",
            serves(&equal),
            serves(&unequal)
        );
        if home == 2 && accept >= 16_384 {
            step_3.push((name, h));
        }
    }
    out.push_str("\nSlot 2 at weight 16384 refuses these. The next probe finds no slot:\n\n");
    out.push_str("    key    h_1               h_1 & 63\n");
    for &(name, h) in &step_3 {
        assert!(next(h) & 63 >= 3, "the probing ends");
        let _ = writeln!(out, "    {name:6} {:016x}  {:8}", next(h), next(h) & 63);
    }
    out.push_str("\nSo step 3 serves them, in full:\n\n");
    out.push_str("    key    slot  r                 L(r)            weight  L / weight\n");
    for (name, h) in step_3 {
        for (i, slot) in unequal.iter().enumerate() {
            let (r, weight) = (mix(h ^ slot.identity_hash()), slot.status().weight);
            let cost = neg_log2(r);
            let quotient = cost / u64::from(weight);
            let _ =
                writeln!(out, "    {name:6} {i:4}  {r:016x}  {cost:14}  {weight:6}  {quotient:10}");
        }
    }
    out.push_str("\nThe key of alice in 100 slots, all up at full weight. Each that serves goes down in turn:\n\n");
    out.push_str("     k  h_k               slot\n");
    let slot = |i| Slot::new(format!("account-{i}").as_bytes(), SlotStatus::UP).unwrap();
    let slots: Vec<Slot> = (0..100).map(slot).collect();
    let mut h = key_hash(&placement, b"", &Key::Consumer(b"alice")).unwrap();
    let first = h;
    for k in 0..7 {
        let serves = select(Strategy::Jump, &slots, &Filter::default(), first).unwrap().unwrap();
        let _ = writeln!(out, "    {k:2}  {h:016x}  {serves:4}");
        let down = SlotStatus { state: State::Down, ..SlotStatus::UP };
        slots[serves as usize].set(down).unwrap();
        h = next(h);
    }
    page::compare("spec/selection.md", "worked example", &out);
}

/// `h_(k+1)` of `h_k`.
fn next(h: u64) -> u64 {
    mix(h ^ 0x9e37_79b9_7f4a_7c15)
}

#[test]
fn sealed_ids() {
    let secret = [0x22; 16];
    let key = CookieKey { id: 1, role: Role::Sign, secret: Secret::new(secret) };
    let ring = IdRing::new(&[key], None).unwrap();
    let pin = identity_hash(b"account-a");
    let derived = |label: &[u8]| SipHasher24::new_with_key(&secret).hash(label).as_bytes();
    let (seal_key, mask_key) = (derived(b"tokenpin.v1.sid"), derived(b"tokenpin.v1.sim"));
    let mut out = format!(
        "Key id 1, secret `{}`, empty scope, no owner, in `account-a`.\n\
         Its id hash is the integer `{pin:016x}`. E has its least significant byte first.\n\n    \
         seal key  {}\n    mask key  {}\n\n",
        hex(&secret),
        hex(&seal_key),
        hex(&mask_key),
    );
    let resp = "resp_67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d41";
    let uuid = "batch_0494a322-8b14-42a0-be43-71fc2ddb9af2";
    let ids = IdSealer::new(&ring, b"", b"").unwrap();
    for native in ["file-AbCdEfGhIjKlMnOpQrStUv", resp, uuid] {
        let sealed = ids.seal(native.as_bytes(), pin).unwrap();
        let sealed = std::str::from_utf8(sealed.as_bytes()).unwrap();
        assert_eq!(ids.open(sealed.as_bytes()).1.unwrap().native(), native.as_bytes());
        let _ = write!(out, "    native    {native}\n    sealed    {sealed}\n");
        let part = &sealed.as_bytes()[..sealed.len() - 3];
        let part = match sealed.as_bytes().last() {
            Some(b'0') => &part[native.len()..],
            _ => &part[native.find('_').unwrap() + 1..],
        };
        let mut envelope = vec![0; part.len() * 3 / 4];
        BASE64URL_NOPAD.decode_mut(part, &mut envelope).unwrap();
        let envelope = &envelope[envelope.len() - 17..];
        let mut mask = siphasher::sip::SipHasher24::new_with_key(&mask_key).hash(&envelope[9..]);
        mask ^= u64::from_le_bytes(envelope[1..9].try_into().unwrap());
        assert_eq!(mask, pin, "the printed key masks");
        let _ = writeln!(out, "    envelope  {}\n", hex(envelope));
    }
    let owned = IdSealer::new(&ring, b"openai", b"alice").unwrap().seal(resp.as_bytes(), pin);
    let owned = owned.unwrap();
    let owned = std::str::from_utf8(owned.as_bytes()).unwrap();
    let _ = write!(
        out,
        "With the scope `openai` and the owner `alice`, the second is\n\n    sealed    {owned}\n\n"
    );
    let mark = ids.mark(b"gAAAAABo", pin).unwrap();
    let _ = write!(
        out,
        "The encrypted content `gAAAAABo` is marked\n\n    marked    gAAAAABo{}\n\n",
        std::str::from_utf8(&mark).unwrap()
    );
    let forged = "file-AbCdEfGhIjKlMnOpQrStUwAYY6LwmZI43_KzSLQ6xiQtItp0";
    assert_eq!(ids.open(forged.as_bytes()).0, IdVerdict::BadSeal);
    let _ = write!(
        out,
        "The first seal on another id is refused, as `bad_seal`\n\n    refused   {forged}\n\n"
    );
    page::compare("spec/sealed-ids.md", "worked example", &out);
}

#[test]
fn cookie_format() {
    let secret = [0x22; 16];
    let key = CookieKey { id: 1, role: Role::Sign, secret: Secret::new(secret) };
    let ring = KeyRing::new(&[key], None).unwrap();
    let audience = Audience { name: b"__Host-tokenpin", scope: b"" };
    let mut out = format!(
        "Key id 1, secret `{}`, name `__Host-tokenpin`, empty scope, pinned\n\
         to `account-a` (id hash `{:016x}`), issued at 1800000000, refreshed at 1800003600.\n\n",
        hex(&secret),
        identity_hash(b"account-a"),
    );
    let alice = Key::Consumer(b"alice");
    for (what, key) in
        [("An anonymous cookie", Key::Anonymous(&[0; 16])), ("One of the consumer `alice`", alice)]
    {
        let cookie = Cookie {
            kind: key.kind(),
            issued_at: 1_800_000_000,
            refreshed_at: 1_800_003_600,
            id: std::array::from_fn(|i| 0xa0 + u8::try_from(i).unwrap()),
            pin: identity_hash(b"account-a"),
        };
        let value = tokenpin::cookie::encode(&ring, &audience, &key, &cookie).unwrap();
        let text = std::str::from_utf8(&value).unwrap();
        let mut raw = [0; 50];
        BASE64URL_NOPAD.decode_mut(&value, &mut raw).unwrap();
        assert_eq!(raw[0], 0x10 | u8::from(key.kind() != Kind::Anonymous));
        let _ = write!(
            out,
            "{what}:\n\n    head   {}\n    pin    {}\n    tag    {}\n    value  {text}\n\n",
            hex(&raw[..26]),
            hex(&raw[26..34]),
            hex(&raw[34..])
        );
    }
    page::compare("spec/cookie-format.md", "worked example", &out);
}
