//! Random chains: a root, up to three CAs, a leaf, their lists, and what the user asks. Mostly right, so that every rule is met by
//! chains that keep it and by chains that do not. The same number gives the same plan.

use time::Duration;

use crate::NOW;
use crate::der::{Certificate, List, Signer, extension, name, number, tlv};

/// xorshift64*: enough for choosing.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    /// True in `percent` of 100.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// The keys: root, three CAs, the leaf, a signer of indirect lists, a stranger.
pub(crate) struct Keys(pub(crate) Vec<Signer>);

impl Keys {
    pub(crate) fn new() -> Self {
        Self((0..7).map(|_| Signer::new()).collect())
    }
}

/// What a judge is shown.
pub(crate) struct Chain {
    pub(crate) root: Vec<u8>,
    /// The root's own child first.
    pub(crate) authorities: Vec<Vec<u8>>,
    pub(crate) leaf: Vec<u8>,
    pub(crate) lists: Vec<Vec<u8>>,
    /// Certificates of signers of indirect lists.
    pub(crate) others: Vec<Vec<u8>>,
    pub(crate) policies: Vec<String>,
    pub(crate) explicit: bool,
    pub(crate) no_mapping: bool,
    pub(crate) no_any: bool,
    /// What is special about it, in words.
    pub(crate) traits: Vec<&'static str>,
}

const POLICY_ARC: &[u8] = &[0x2a, 3, 4, 5];

/// Policies 1 to 3; 0 stands for anyPolicy.
fn policy(which: u64) -> Vec<u8> {
    match which {
        0 => tlv(6, &[0x55, 0x1d, 0x20, 0]),
        other => tlv(6, &[POLICY_ARC, &[other as u8]].concat()),
    }
}

fn dotted(which: u64) -> String {
    format!("1.2.3.4.5.{which}")
}

fn authority_name(level: usize, dice: &mut Dice) -> Vec<u8> {
    let organisation = ["東京医療認証局", "大阪医療認証局"][dice.below(2) as usize];
    name(&[(6, "JP"), (10, organisation), (3, &format!("認証局 {level}"))])
}

/// Subtrees over one or two names of a form.
fn subtrees(tag: u8, dice: &mut Dice) -> Vec<u8> {
    let directory = |parts: &[(u8, &str)]| tlv(0xa4, &name(parts));
    let bases: Vec<Vec<u8>> = match dice.below(6) {
        0 | 1 => vec![directory(&[(6, "JP")])],
        2 => vec![
            directory(&[(6, "JP"), (10, "東京医療認証局")]),
            directory(&[(6, "JP"), (10, "診療所")]),
        ],
        3 => vec![tlv(0x82, b"example.jp")],
        4 => vec![tlv(0x81, b"example.jp")],
        _ => vec![tlv(0x87, &[10, 0, 0, 0, 255, 0, 0, 0])],
    };
    let bases: Vec<u8> = bases.iter().flat_map(|base| tlv(0x30, base)).collect();
    tlv(tag, &bases)
}

fn name_constraints(dice: &mut Dice) -> Vec<u8> {
    let mut value = Vec::new();
    if dice.chance(80) {
        value.extend(subtrees(0xa0, dice));
    }
    if value.is_empty() || dice.chance(20) {
        let elsewhere = match dice.below(4) {
            0 => tlv(0xa4, &name(&[(6, "JP"), (10, "大阪医療認証局")])),
            1 => tlv(0x82, b"bad.example.jp"),
            2 => tlv(0x81, b"bad@example.jp"),
            _ => tlv(0xa4, &name(&[(6, "US")])),
        };
        value.extend(tlv(0xa1, &tlv(0x30, &elsewhere)));
    }
    extension(30, true, &tlv(0x30, &value))
}

fn policies(dice: &mut Dice, of_leaf: bool) -> Option<Vec<u8>> {
    if dice.chance(8) {
        return None;
    }
    let mut chosen: Vec<u64> = (1..=3).filter(|_| dice.chance(60)).collect();
    if chosen.is_empty() || dice.chance(if of_leaf { 10 } else { 30 }) {
        chosen.push(0);
    }
    let all: Vec<u8> = chosen.iter().flat_map(|one| tlv(0x30, &policy(*one))).collect();
    Some(extension(32, dice.chance(50), &tlv(0x30, &all)))
}

fn common(dice: &mut Dice, traits: &mut Vec<&'static str>, of_leaf: bool) -> Vec<Vec<u8>> {
    let mut extensions = Vec::new();
    extensions.extend(policies(dice, of_leaf));
    if dice.chance(2) {
        traits.push("unknown critical extension");
        extensions.push(extension(99, true, &[5, 0]));
    }
    if dice.chance(5) {
        extensions.push(extension(98, false, &[5, 0]));
    }
    extensions
}

fn authority(dice: &mut Dice, traits: &mut Vec<&'static str>, below: u64) -> Vec<Vec<u8>> {
    let mut extensions = common(dice, traits, false);
    let mut basic = vec![1, 1, 0xff];
    if dice.chance(30) {
        let length = if dice.chance(85) {
            below + dice.below(2)
        } else {
            below.saturating_sub(1)
        };
        basic.extend([2, 1, length as u8]);
    }
    let basic = if dice.chance(2) { Vec::new() } else { basic };
    extensions.push(extension(19, true, &tlv(0x30, &basic)));
    let usage = match dice.below(60) {
        0 => 0x02,
        1 => 0x04,
        _ => 0x06,
    };
    if dice.chance(5) {
        traits.push("no keyUsage");
    } else {
        extensions.push(extension(15, true, &[3, 2, 1, usage]));
    }
    if dice.chance(25) {
        let more = dice.below(2);
        if more == 1 {
            traits.push("two mappings");
        }
        let pairs: Vec<u8> = (0..=more)
            .flat_map(|_| {
                let pair = [policy(1 + dice.below(3)), policy(1 + dice.below(3))];
                tlv(0x30, &pair.concat())
            })
            .collect();
        extensions.push(extension(33, true, &tlv(0x30, &pairs)));
    }
    if dice.chance(20) {
        let mut value = Vec::new();
        if dice.chance(70) {
            value.extend([0x80, 1, dice.below(3) as u8]);
        }
        if value.is_empty() || dice.chance(40) {
            value.extend([0x81, 1, dice.below(3) as u8]);
        }
        extensions.push(extension(36, true, &tlv(0x30, &value)));
    }
    if dice.chance(15) {
        extensions.push(extension(54, true, &[2, 1, dice.below(3) as u8]));
    }
    if dice.chance(25) {
        extensions.push(name_constraints(dice));
    }
    extensions
}

fn alternative_name(dice: &mut Dice) -> Option<Vec<u8>> {
    let names: Vec<u8> = [
        (0x82, &b"clinic.example.jp"[..]),
        (0x82, b"bad.example.jp"),
        (0x81, b"doctor@example.jp"),
        (0x81, b"bad@example.jp"),
        (0x87, &[10, 1, 2, 3]),
        (0x87, &[192, 168, 0, 1]),
    ]
    .iter()
    .filter(|_| dice.chance(15))
    .flat_map(|(tag, value)| tlv(*tag, value))
    .collect();
    (!names.is_empty()).then(|| extension(17, false, &tlv(0x30, &names)))
}

/// Where a certificate's list is, if it says so: by the name of the point, or by another issuer.
fn point(full_name: Option<&str>, crl_issuer: Option<&[u8]>) -> Vec<u8> {
    let mut fields = Vec::new();
    fields.extend(
        full_name
            .map(|uri| tlv(0xa0, &tlv(0xa0, &tlv(0x86, uri.as_bytes()))))
            .unwrap_or_default(),
    );
    fields.extend(
        crl_issuer
            .map(|issuer| tlv(0xa2, &tlv(0xa4, issuer)))
            .unwrap_or_default(),
    );
    extension(31, false, &tlv(0x30, &tlv(0x30, &fields)))
}

/// How the lists of one issuer are made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Full,
    OfItsKind,
    OfAPoint,
    ByReasons,
    Indirect,
    WithDelta,
    Missing,
}

pub(crate) fn chain(number_of_plan: u64, keys: &Keys) -> Chain {
    let dice = &mut Dice::new(number_of_plan + 1);
    for _ in 0..8 {
        dice.below(2);
    }
    let mut traits = Vec::new();
    let day = Duration::days(1);
    let usual = (NOW - day * 100, NOW + day * 100);
    let root_name = name(&[(6, "JP"), (10, "厚生労働省"), (3, "根")]);
    let depth = dice.below(4) as usize;
    let [root_key, rest @ ..] = keys.0.as_slice() else {
        unreachable!("seven keys");
    };
    let (leaf_key, list_key, stranger) = (&rest[3], &rest[4], &rest[5]);
    const OF_THE_ROOT: &str = "http://crl.example/root.crl";
    let of_root = vec![
        extension(19, true, &tlv(0x30, &[1, 1, 0xff])),
        extension(15, true, &[3, 2, 1, 6]),
        point(Some(OF_THE_ROOT), None),
    ];
    let root = Certificate {
        serial: 1,
        issuer: &root_name,
        subject: &root_name,
        validity: usual,
        extensions: of_root,
    }
    .signed(root_key, root_key);
    let list_issuer = name(&[(6, "JP"), (10, "厚生労働省"), (3, "失効リスト")]);

    let mut names = vec![root_name.clone()];
    let mut certificates: Vec<Vec<u8>> = Vec::new();
    let (mut lists, mut indirect) = (Vec::new(), false);
    // OpenSSL asks for the root's list about itself too; we do not check anchors.
    let about_itself = List {
        issuer: &root_name,
        updates: (NOW - Duration::hours(1), NOW + day),
        entries: Vec::new(),
        extensions: vec![
            extension(20, false, &number(1)),
            extension(
                28,
                true,
                &tlv(0x30, &tlv(0xa0, &tlv(0xa0, &tlv(0x86, OF_THE_ROOT.as_bytes())))),
            ),
        ],
    };
    lists.push(about_itself.signed(root_key, NOW));
    for level in 0..=depth {
        let is_leaf = level == depth;
        let issuer = names[level].clone();
        let issuer_key = if level == 0 { root_key } else { &rest[level - 1] };
        let subject = if is_leaf {
            name(&[(6, "JP"), (10, "診療所"), (3, "山田　太郎")])
        } else if dice.chance(6) && level > 0 {
            traits.push("self-issued");
            issuer.clone()
        } else {
            authority_name(level, dice)
        };
        let key = if is_leaf { leaf_key } else { &rest[level] };
        let serial = 100 + level as u16;
        let mut extensions = if is_leaf {
            let mut extensions = common(dice, &mut traits, true);
            extensions.extend(alternative_name(dice));
            extensions
        } else {
            authority(dice, &mut traits, (depth - level - 1) as u64)
        };
        let uri = format!("http://crl.example/{level}.crl");
        let manner = match dice.below(24) {
            0..12 => Manner::Full,
            12..15 => Manner::OfItsKind,
            15..17 => Manner::OfAPoint,
            17..19 => Manner::ByReasons,
            19..21 => Manner::Indirect,
            21..23 => Manner::WithDelta,
            _ => Manner::Missing,
        };
        match manner {
            Manner::Indirect => extensions.push(point(None, Some(&list_issuer))),
            Manner::OfAPoint => extensions.push(point(Some(&uri), None)),
            _ => {}
        }
        let validity = match dice.below(40) {
            0 => (NOW - day * 100, NOW - day),
            1 => (NOW + day, NOW + day * 100),
            _ => usual,
        };
        let signing = if dice.chance(2) { stranger } else { issuer_key };
        certificates.push(
            Certificate {
                serial,
                issuer: &issuer,
                subject: &subject,
                validity,
                extensions,
            }
            .signed(key, signing),
        );
        names.push(subject);

        // The list that speaks of it.
        let updates = match dice.below(30) {
            0 => (NOW - day * 10, NOW - day),
            1 => (NOW + day, NOW + day * 3),
            _ => (NOW - Duration::hours(1), NOW + day),
        };
        let revoked = dice.chance(6);
        let entry = |issuer: Option<Vec<u8>>| vec![(serial, Some(1), issuer)];
        let entries = if revoked { entry(None) } else { Vec::new() };
        let crl_number = |value: u16| extension(20, false, &number(value));
        let list_signer = if dice.chance(2) { stranger } else { issuer_key };
        let mut push =
            |issuer: &[u8], entries: Vec<(u16, Option<u8>, Option<Vec<u8>>)>, extensions: Vec<Vec<u8>>, by: &Signer| {
                let list = List {
                    issuer,
                    updates,
                    entries,
                    extensions,
                };
                lists.push(list.signed(by, NOW - day * 2));
            };
        let scope = |fields: &[u8]| extension(28, true, &tlv(0x30, fields));
        match manner {
            Manner::Missing => traits.push("missing list"),
            Manner::Full => push(&issuer, entries, vec![crl_number(5)], list_signer),
            Manner::OfItsKind => {
                let right = if is_leaf { 0x81 } else { 0x82 };
                let tag = if dice.chance(90) { right } else { right ^ 3 };
                push(
                    &issuer,
                    entries,
                    vec![crl_number(5), scope(&[tag, 1, 0xff])],
                    list_signer,
                );
            }
            Manner::OfAPoint => {
                traits.push("distribution point");
                let uri = if dice.chance(90) {
                    uri
                } else {
                    "http://crl.example/other.crl".to_owned()
                };
                let fields = tlv(0xa0, &tlv(0xa0, &tlv(0x86, uri.as_bytes())));
                push(&issuer, entries, vec![crl_number(5), scope(&fields)], list_signer);
            }
            Manner::ByReasons => {
                traits.push("reasons");
                // keyCompromise to superseded, and the rest; or the first part alone.
                push(
                    &issuer,
                    entries.clone(),
                    vec![crl_number(5), scope(&[0x83, 2, 3, 0x78])],
                    list_signer,
                );
                if dice.chance(70) {
                    push(
                        &issuer,
                        Vec::new(),
                        vec![crl_number(5), scope(&[0x83, 3, 7, 0x07, 0x80])],
                        list_signer,
                    );
                }
            }
            Manner::Indirect => {
                traits.push("indirect");
                indirect = true;
                let entries = if revoked {
                    entry(Some(issuer.clone()))
                } else {
                    Vec::new()
                };
                let extensions = vec![crl_number(5), scope(&[0x84, 1, 0xff])];
                push(
                    &list_issuer,
                    entries,
                    extensions,
                    if dice.chance(95) { list_key } else { stranger },
                );
            }
            Manner::WithDelta => {
                traits.push("delta");
                push(&issuer, Vec::new(), vec![crl_number(5)], list_signer);
                let delta = vec![crl_number(6), extension(27, true, &number(5))];
                push(&issuer, entries, delta, list_signer);
            }
        }
    }
    let mut others = Vec::new();
    if indirect {
        let extensions = vec![
            extension(19, true, &tlv(0x30, &[1, 1, 0xff])),
            extension(15, true, &[3, 2, 1, 6]),
            extension(32, false, &tlv(0x30, &tlv(0x30, &policy(0)))),
        ];
        let signer = Certificate {
            serial: 90,
            issuer: &root_name,
            subject: &list_issuer,
            validity: usual,
            extensions,
        };
        others.push(signer.signed(list_key, root_key));
        // Of the root, for the signer's own status.
        let list = List {
            issuer: &root_name,
            updates: (NOW - Duration::hours(1), NOW + day),
            entries: Vec::new(),
            extensions: vec![extension(20, false, &number(7))],
        };
        lists.push(list.signed(root_key, NOW));
        traits.push("the root's full list");
    }
    let leaf = certificates.pop().unwrap_or_default();
    let asks = dice.chance(35);
    Chain {
        root,
        authorities: certificates,
        leaf,
        lists,
        others,
        policies: if asks {
            (1..=3).filter(|_| dice.chance(60)).map(dotted).collect()
        } else {
            Vec::new()
        },
        explicit: dice.chance(30),
        no_mapping: dice.chance(15),
        no_any: dice.chance(15),
        traits,
    }
}
