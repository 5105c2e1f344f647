//! Small letters of fictitious content, one of each form.

/// A valid PDF of one page.
#[must_use]
pub fn letter_pdf() -> Vec<u8> {
    let text = "BT /F1 18 Tf 72 760 Td (TEST referral letter - fictitious) Tj ET";
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>"
            .to_owned(),
        format!("<< /Length {} >>\nstream\n{text}\nendstream", text.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    let mut pdf = "%PDF-1.4\n".to_owned();
    let mut table = "0000000000 65535 f \n".to_owned();
    for (number, object) in (1..).zip(&objects) {
        table += &format!("{:010} 00000 n \n", pdf.len());
        pdf += &format!("{number} 0 obj\n{object}\nendobj\n");
    }
    let (start, size) = (pdf.len(), objects.len() + 1);
    pdf += &format!("xref\n0 {size}\n{table}trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n");
    pdf.into_bytes()
}

/// A FHIR document Bundle in the shape of a referral letter (HS038), minimal.
#[must_use]
pub fn letter_fhir() -> Vec<u8> {
    let bundle = serde_json::json!({
        "resourceType": "Bundle",
        "type": "document",
        "identifier": { "system": "urn:ietf:rfc:3986", "value": "urn:uuid:0193a000-0000-7000-8000-000000000001" },
        "timestamp": "2026-11-24T12:00:00+09:00",
        "entry": [
            { "fullUrl": "urn:uuid:0193a000-0000-7000-8000-000000000002", "resource": {
                "resourceType": "Composition", "status": "final",
                "type": { "coding": [{ "system": "http://loinc.org", "code": "57133-1" }] },
                "subject": { "reference": "urn:uuid:0193a000-0000-7000-8000-000000000003" },
                "date": "2026-11-24T12:00:00+09:00", "title": "診療情報提供書",
                "author": [{ "reference": "urn:uuid:0193a000-0000-7000-8000-000000000004" }] } },
            { "fullUrl": "urn:uuid:0193a000-0000-7000-8000-000000000003", "resource": {
                "resourceType": "Patient", "identifier": [{ "value": "12345" }],
                "name": [{ "text": "山田　太郎" }], "gender": "male", "birthDate": "1970-01-01" } },
            { "fullUrl": "urn:uuid:0193a000-0000-7000-8000-000000000004", "resource": {
                "resourceType": "Organization", "name": "テスト飛脚診療所" } }
        ]
    });
    bundle.to_string().into_bytes()
}

/// A CDA R2 ClinicalDocument in the shape of a referral letter, minimal.
#[must_use]
pub fn letter_cda() -> Vec<u8> {
    r#"<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3">
  <typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>
  <id root="2.25.1" extension="1"/>
  <code code="57133-1" codeSystem="2.16.840.1.113883.6.1"/>
  <title>診療情報提供書</title>
  <effectiveTime value="20261124120000+0900"/>
  <recordTarget><patientRole><id root="2.25.2" extension="12345"/>
    <patient><name><family>山田</family><given>太郎</given></name>
      <administrativeGenderCode code="M"/><birthTime value="19700101"/></patient>
  </patientRole></recordTarget>
  <component><structuredBody/></component>
</ClinicalDocument>
"#
    .as_bytes()
    .to_vec()
}
