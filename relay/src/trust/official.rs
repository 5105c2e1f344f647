//! Certificates of the Japanese HPKI by their fingerprints, so that an operator sees which of those listed are the known ones.
//!
//! The fingerprints were taken from the certificates that HPKI signing software ships and to which its test cards chain. A match
//! says that a certificate is that one; whether to trust it stays the operator's decision, after comparing it with what the
//! ministry publishes (<https://www.mhlw.go.jp/>, 保健医療福祉分野の公開鍵基盤).

/// One known certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Official {
    /// SHA-256 of its DER, hex.
    pub sha256: &'static str,
    /// What it is, Japanese then English.
    pub name: [&'static str; 2],
}

const OFFICIAL: [Official; 4] = [
    Official {
        sha256: "6ed2796b1b101736d952185787cb36da9ce80522cc8cb7b5ce728b61be1b674c",
        name: [
            "厚生労働省 HPKI ルート認証局 V2",
            "Ministry of Health, Labour and Welfare, HPKI Root CA V2",
        ],
    },
    Official {
        sha256: "5ebddc823cda0c1275f45ac8508ac28609e55bd5daa1d7da8d0d75b1a3c13360",
        name: [
            "日本医師会 電子認証センター 署名用認証局 (HPKI_JV2)",
            "Japan Medical Association, signing CA (HPKI_JV2)",
        ],
    },
    Official {
        sha256: "5f497e73f986c4503eb25eb94851a79193d2edc8f829f32e930a61f0b569e033",
        name: ["MEDIS 署名用認証局 (MedisSignCA2)", "MEDIS, signing CA (MedisSignCA2)"],
    },
    Official {
        sha256: "476b64ddd92129cad257906d206fff4e8e32390faf2f64892f6c810cfff54bc3",
        name: [
            "MEDIS 認証用(人)認証局 (MedisAuthCA2)",
            "MEDIS, person authentication CA (MedisAuthCA2)",
        ],
    },
];

/// The known certificate of this fingerprint (hex, lower case).
#[must_use]
pub fn official(sha256: &str) -> Option<&'static Official> {
    OFFICIAL.iter().find(|known| known.sha256 == sha256)
}

#[cfg(test)]
mod tests {
    use super::*;
    use formats::digest::sha256;

    #[test]
    fn the_real_certificates_have_these_fingerprints() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/fixtures/hpki-real");
        if !std::path::Path::new(folder).is_dir() {
            println!("skipped: the_real_certificates_have_these_fingerprints: no ../shared/fixtures");
            return;
        }
        for file in [
            "mhlw_hpki_root_ca_v2",
            "jma_jv2_sign_ca",
            "medis_sign_ca2",
            "medis_auth_ca2",
        ] {
            let bytes = std::fs::read(format!("{folder}/{file}.der")).unwrap();
            assert!(official(&hex::encode(sha256(&bytes))).is_some(), "{file}");
        }
        let card = std::fs::read(format!("{folder}/medis_test_ee_doctor_015e.der")).unwrap();
        assert_eq!(official(&hex::encode(sha256(&card))), None);
    }
}
