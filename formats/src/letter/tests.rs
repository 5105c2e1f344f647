//! Letters of each form, and bytes that only look like one.

use super::*;

const FHIR: &str = r#"{"resourceType":"Bundle","type":"document","timestamp":"2026-11-22T10:00:00.000+09:00","entry":[
 {"resource":{"resourceType":"Composition","status":"final","title":"診療情報提供書","date":"2026-11-22",
  "identifier":{"value":"1310000001^2026^1"},"type":{"coding":[{"code":"57133-1"}]},
  "section":[{"code":{"coding":[{"code":"920"}]}},{"code":{"coding":[{"code":"910"}]}}]}},
 {"resource":{"resourceType":"Patient","identifier":[{"value":"12345"}],"birthDate":"1970-01-01","gender":"male","name":[
  {"extension":[{"valueCode":"IDE"}],"text":"山田　太郎"},{"extension":[{"valueCode":"SYL"}],"family":"ヤマダ","given":["タロウ"]}]}},
 {"resource":{"resourceType":"Organization","name":"テスト医院"}}]}"#;

const CDA: &str = r#"<?xml version="1.0" encoding="UTF-8"?><ClinicalDocument xmlns="urn:hl7-org:v3">
<code code="MD0020730"/><title>診療情報提供書</title><effectiveTime value="20261122"/>
<recordTarget><patientRole><id extension="12345"/><patient><name><family>山田</family><given>太郎</given></name>
<administrativeGenderCode code="M"/><birthTime value="19700101"/></patient></patientRole></recordTarget>
<custodian><assignedCustodian><representedCustodianOrganization><name>テスト医院</name></representedCustodianOrganization></assignedCustodian></custodian>
</ClinicalDocument>"#;

fn letter(bytes: &[u8]) -> Letter {
    describe(bytes).unwrap().unwrap()
}

#[test]
fn a_fhir_letter_is_described() {
    let letter = letter(FHIR.as_bytes());
    assert_eq!(letter.form, LetterForm::Fhir);
    assert_eq!(letter.title.as_deref(), Some("診療情報提供書"));
    assert_eq!(letter.patient.name.as_deref(), Some("山田　太郎"));
    assert_eq!(letter.patient.kana.as_deref(), Some("ヤマダ タロウ"));
    assert_eq!(letter.institutions, ["テスト医院"]);
    assert_eq!(letter.warnings, Vec::<String>::new());
    assert!(
        !format!("{letter:?}").contains("山田"),
        "Debug must not show the patient"
    );
}

#[test]
fn a_placeholder_identifier_is_a_warning() {
    let letter = letter(FHIR.replace("1310000001^2026^1", "ARGcode").as_bytes());
    assert!(
        letter
            .warnings
            .iter()
            .any(|warning| warning.contains("Composition.identifier"))
    );
}

#[test]
fn a_cda_letter_is_described() {
    let letter = letter(CDA.as_bytes());
    assert_eq!(letter.form, LetterForm::Cda);
    assert_eq!(letter.type_code.as_deref(), Some("MD0020730"));
    assert_eq!(letter.patient.id.as_deref(), Some("12345"));
    assert_eq!(letter.patient.name.as_deref(), Some("山田 太郎"));
    assert_eq!(letter.institutions, ["テスト医院"]);
}

#[test]
fn a_pdf_letter_is_described() {
    let letter = letter(b"%PDF-1.7\n<</Type/Sig/SubFilter/ETSI.CAdES.detached/ByteRange[0 1 2 3]>>\n%%EOF\n");
    assert_eq!(letter.inner_signature, Some("PAdES signature"));
    assert_eq!(letter.warnings, Vec::<String>::new());
    assert_eq!(describe(b"%PDF-1.7\ncut").unwrap().unwrap().warnings.len(), 1);
}

#[test]
fn a_signature_inside_or_around_a_letter_is_named() {
    let signature = r#"<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:Object>"#;
    let end = "</ds:Object></ds:Signature>";
    let body = CDA.split_once("?>").unwrap().1;
    let enveloped = body.replace("<custodian>", &format!("{signature}{end}<custodian>"));
    let enveloping = format!("{signature}{body}{end}");
    let advanced = enveloped.replace(
        "<ds:Object>",
        r#"<ds:Object><x xmlns="http://uri.etsi.org/01903/v1.3.2#"/>"#,
    );
    for (text, kind) in [
        (body, None),
        (enveloped.as_str(), Some("XML signature")),
        (enveloping.as_str(), Some("XML signature")),
        (advanced.as_str(), Some("XML signature (XAdES)")),
    ] {
        assert_eq!(letter(text.as_bytes()).inner_signature, kind);
        assert_eq!(letter(text.as_bytes()).patient.id.as_deref(), Some("12345"));
        assert_eq!(inner_signature(text.as_bytes()), kind);
    }
    // What is not described is looked through all the same.
    for broken in [
        format!("{signature}<other/>{end}"),
        enveloped.replace("</ClinicalDocument>", ""),
        format!("<!DOCTYPE a>{enveloped}"),
    ] {
        assert_eq!(inner_signature(broken.as_bytes()), Some("XML signature"));
        let wide: Vec<u8> = broken.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(inner_signature(&wide), Some("XML signature"));
    }
    let bundle = FHIR.replacen('{', r#"{"signature":{"who":{}},"#, 1);
    assert_eq!(inner_signature(bundle.as_bytes()), Some("FHIR Bundle.signature"));
}

#[test]
fn what_is_no_letter_is_none_and_what_breaks_is_an_error() {
    for other in ["", "hello", r#"{"resourceType":"Patient"}"#, "<html></html>", "<a/>"] {
        assert_eq!(describe(other.as_bytes()), Ok(None), "{other}");
    }
    let deep_xml = format!("<ClinicalDocument xmlns='urn:hl7-org:v3'>{}", "<a>".repeat(1000));
    let doctype = CDA.replace("<ClinicalDocument", "<!DOCTYPE x [<!ENTITY a 'b'>]><ClinicalDocument");
    for broken in [
        "{",
        r#"{"resourceType":"Bundle","type":"message"}"#,
        r#"{"resourceType":"Bundle","type":"document","entry":[]}"#,
        &"[".repeat(100_000).replacen('[', "{\"a\":[", 1),
        "<ClinicalDocument xmlns='urn:hl7-org:v3'><a>",
        &deep_xml,
        &doctype,
    ] {
        assert!(
            describe(broken.as_bytes()).is_err(),
            "{}",
            &broken[..broken.len().min(60)]
        );
    }
}

#[test]
fn the_published_example_letter_is_described() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../shared/fixtures/letters/referral-example01.json"
    );
    let Ok(bytes) = std::fs::read(path) else {
        return crate::skip::skip(
            "the_published_example_letter_is_described",
            "no ../shared/fixtures beside the workspace",
        );
    };
    let letter = letter(&bytes);
    assert_eq!(letter.type_code.as_deref(), Some("57133-1"));
    assert!(letter.patient.name.is_some() && !letter.institutions.is_empty());
    assert!(
        letter.warnings.iter().any(|warning| warning.contains("identifier")),
        "ARGcode is a placeholder"
    );
}
