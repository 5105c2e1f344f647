//! Letters recognised and described: FHIR document Bundle, CDA R2, PDF.
