//! Which profession may sign which kind of document (資格ポリシー). Data, not code. `CONTRACTS.md` §2.

use std::collections::BTreeMap;

use formats::envelope::DocumentKind;

/// For each kind the roles that may sign it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolePolicy(pub BTreeMap<DocumentKind, Vec<String>>);
