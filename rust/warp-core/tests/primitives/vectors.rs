//! Published test vectors, where the folder with them lies beside the repository.

use std::path::Path;

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use warp_core::digest::{Mode, extended};

/// The lines of a vector file, or `None`, saying so, where there is none.
fn lines(name: &str) -> Option<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors").join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(text.lines().map(str::to_owned).collect()),
        Err(_) => {
            println!("skipped: no {name} in shared/vectors beside the repository");
            None
        }
    }
}

/// The value of `"key": value` lines, one a line as these files are printed.
fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let (found, value) = line.trim().split_once(": ")?;
    (found.trim_matches('"') == key).then(|| value.trim_end_matches(',').trim_matches('"'))
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn blake3_in_all_modes() {
    let Some(lines) = lines("blake3.json") else {
        return;
    };
    let key: [u8; 32] = *b"whats the Elvish word for friend";
    let modes = [
        ("hash", Mode::Plain),
        ("keyed_hash", Mode::Keyed(&key)),
        ("derive_key", Mode::DeriveKey("BLAKE3 2019-12-27 16:29:52 test vectors context")),
    ];
    let (mut input, mut checked) = (Vec::new(), 0);
    for line in &lines {
        if let Some(length) = value(line, "input_len") {
            input = (0..length.parse().unwrap()).map(|i: u32| (i % 251) as u8).collect();
        }
        for (name, mode) in modes {
            if let Some(expected) = value(line, name).map(unhex) {
                let mut output = vec![0; expected.len()];
                extended(mode, &input).fill(&mut output);
                assert_eq!(output, expected, "{name} of {} bytes", input.len());
                checked += 1;
            }
        }
    }
    assert!(checked >= 100, "{checked} vectors");
}

#[derive(Default)]
struct AeadVector {
    key: Vec<u8>,
    iv: Vec<u8>,
    aad: Vec<u8>,
    msg: Vec<u8>,
    ct: Vec<u8>,
    tag: Vec<u8>,
}

impl AeadVector {
    fn field(&mut self, line: &str) {
        let fields = [
            ("key", &mut self.key),
            ("iv", &mut self.iv),
            ("aad", &mut self.aad),
            ("msg", &mut self.msg),
            ("ct", &mut self.ct),
            ("tag", &mut self.tag),
        ];
        for (name, field) in fields {
            if let Some(hex) = value(line, name) {
                *field = unhex(hex);
            }
        }
    }

    fn opened(&self) -> Option<Vec<u8>> {
        let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &self.key).ok()?);
        let nonce = Nonce::try_assume_unique_for_key(&self.iv).ok()?;
        let mut bytes = [&self.ct[..], &self.tag].concat();
        key.open_in_place(nonce, Aad::from(&self.aad), &mut bytes).ok().map(|message| message.to_vec())
    }
}

#[test]
fn chacha20_poly1305_of_wycheproof() {
    let Some(lines) = lines("wycheproof_chacha20_poly1305.json") else {
        return;
    };
    let (mut vector, mut checked) = (AeadVector::default(), 0);
    for line in &lines {
        vector.field(line);
        match value(line, "result") {
            Some("valid") => assert_eq!(vector.opened().as_ref(), Some(&vector.msg)),
            Some("invalid") => assert_eq!(vector.opened(), None),
            _ => continue,
        }
        checked += 1;
    }
    assert!(checked >= 300, "{checked} vectors");
}
