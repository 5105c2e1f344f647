//! The columns of an entry, the same for every form: what each kind of record says where not all kinds say something.

use std::borrow::Cow;

use super::entry::{Document, Entry, Party, Text};

/// One record as the columns of `CONTRACTS.md` §9.
pub(super) struct Row<'a> {
    pub(super) position: u64,
    pub(super) entry: &'a Entry<'a>,
    /// Whose account this is, else the facility it concerns first of all.
    pub(super) facility: &'a str,
    pub(super) sequence: Option<u64>,
    pub(super) partner: List<'a>,
    pub(super) scope: List<'a>,
    pub(super) categories: List<'a>,
    pub(super) sha256: &'a str,
    pub(super) outcome: List<'a>,
}

/// A cell of several parts.
pub(super) enum List<'a> {
    Empty,
    /// Joined by `;`.
    Parties(&'a [Party<'a>]),
    /// Joined by `;`.
    Texts(&'a [Text<'a>]),
    /// Joined by `;`.
    Paths(&'a [Document<'a>]),
    /// Each once, joined by `;`.
    Categories(&'a [Document<'a>]),
    /// One after the other, with nothing between.
    Parts([&'a str; 4]),
    Made(String),
}

impl<'a> List<'a> {
    pub(super) fn one(text: &'a str) -> Self {
        Self::Parts([text, "", "", ""])
    }

    /// Hands on the elements, and whether they are joined by `;`.
    pub(super) fn each(&self, mut to: impl FnMut(&str)) {
        match self {
            Self::Empty => {}
            Self::Parties(parties) => parties.iter().for_each(|party| to(party.0.as_str())),
            Self::Texts(texts) => texts.iter().for_each(|text| to(text.as_str())),
            Self::Paths(documents) => documents.iter().for_each(|document| to(document.path.as_str())),
            Self::Categories(documents) => {
                let mut seen: Vec<&str> = Vec::new();
                for document in *documents {
                    let category = document.category.as_str();
                    if !seen.contains(&category) {
                        seen.push(category);
                        to(category);
                    }
                }
            }
            Self::Parts(parts) => parts.iter().filter(|part| !part.is_empty()).for_each(|part| to(part)),
            Self::Made(text) => to(text),
        }
    }

    pub(super) fn joined(&self) -> bool {
        !matches!(self, Self::Parts(_))
    }

    /// As one text.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        self.each(|part| {
            if self.joined() && !text.is_empty() {
                text.push(';');
            }
            text.push_str(part);
        });
        text
    }
}

impl<'a> Row<'a> {
    /// The row of an entry in the account of `of`, or of all.
    pub(super) fn of(position: u64, entry: &'a Entry<'a>, of: Option<&'a str>) -> Self {
        let facility = of.unwrap_or_else(|| entry.owner());
        let mut row = Self {
            position,
            entry,
            facility,
            sequence: entry.sequence(facility),
            partner: partner(entry, of),
            scope: List::Empty,
            categories: List::Texts(&entry.categories),
            sha256: entry.container_sha256.as_str(),
            outcome: List::Empty,
        };
        row.fill(entry);
        row
    }

    fn fill(&mut self, entry: &'a Entry<'a>) {
        let (scope, outcome) = match entry.kind.as_str() {
            "Accepted" | "Pending" => {
                self.categories = List::Categories(&entry.documents);
                let accepted = entry.kind.as_str() == "Accepted";
                let outcome = if accepted { "accepted" } else { "pending" };
                (List::Paths(&entry.documents), List::one(outcome))
            }
            "Refused" => {
                let sub = entry.sub_indication.as_str();
                let space = if sub.is_empty() { "" } else { " " };
                let outcome = List::Parts(["refused: ", entry.code.as_str(), space, sub]);
                (List::Empty, outcome)
            }
            "Delivered" => (List::Texts(&entry.scope), List::one("delivered")),
            "Viewed" => (List::Texts(&entry.scope), List::one("viewed")),
            "Acknowledged" => (List::Empty, List::one("acknowledged")),
            "VerdictRevised" => {
                let revision = &entry.revision;
                let verdict = if revision.sub_indication.is_empty() {
                    revision.indication.as_str()
                } else {
                    revision.sub_indication.as_str()
                };
                self.sha256 = revision.report_sha256.as_str();
                let outcome = List::Parts(["stopped: ", verdict, "", ""]);
                (List::one(revision.because.as_str()), outcome)
            }
            "TrustChanged" => {
                self.sha256 = entry.digest.as_str();
                (List::one("trust"), List::one("changed"))
            }
            "FacilityAdded" => (List::one(entry.name.as_str()), List::one("added")),
            "CodeIssued" => {
                let outcome = List::Parts(["issued until ", entry.expires.as_str(), "", ""]);
                (List::Empty, outcome)
            }
            "DeviceEnrolled" | "DeviceRenewed" => {
                self.sha256 = entry.certificate_sha256.as_str();
                let enrolled = entry.kind.as_str() == "DeviceEnrolled";
                let outcome = if enrolled { "enrolled" } else { "renewed" };
                (List::one(entry.device.as_str()), List::one(outcome))
            }
            "DeviceRevoked" => (List::one(entry.device.as_str()), List::one("revoked")),
            "MemberAdded" => {
                let scope = List::Parts([entry.member.as_str(), " ", entry.name.as_str(), ""]);
                (scope, List::one("added"))
            }
            "ArchiveMade" => {
                self.sha256 = entry.archive_sha256.as_str();
                let outcome = List::Parts([
                    "stamped ",
                    entry.stamps.as_str(),
                    ", stands until ",
                    entry.stands_until.as_str(),
                ]);
                (List::one("archive"), outcome)
            }
            "ErasureAnnounced" => {
                let outcome = List::Parts(["erased after ", entry.erase_after.as_str(), "", ""]);
                (List::one("*"), outcome)
            }
            "ContainerErased" => (List::one("*"), List::one("erased")),
            "HoldSet" => (List::one(entry.reason.as_str()), List::one("held")),
            "HoldLifted" => (List::one(entry.reason.as_str()), List::one("hold lifted")),
            "KeyDestroyed" => {
                let outcome = match entry.erased(self.facility) {
                    Some(own) => List::Made(format!(
                        "{} records erased, facility_seq {} to {}",
                        own.records, own.first, own.last
                    )),
                    None => List::one("records erased"),
                };
                (List::one(entry.month.as_str()), outcome)
            }
            "Head" => (List::one(entry.day.as_str()), List::one("complete")),
            "CheckpointStamped" => {
                self.sha256 = entry.token_sha256.as_str();
                let scope = List::Parts(["checkpoint ", entry.size.as_str(), "", ""]);
                (scope, List::Parts(["stamped ", entry.gen_time.as_str(), "", ""]))
            }
            "TrailRead" => (List::Made(reading(entry)), List::one("read")),
            // Kinds without columns of their own.
            _ => (List::Texts(&entry.scope), List::Empty),
        };
        (self.scope, self.outcome) = (scope, outcome);
    }
}

/// Who is on the other side: of what was received its sender, else whom it went to.
fn partner<'a>(entry: &'a Entry<'a>, of: Option<&str>) -> List<'a> {
    let sender = entry.sender.0.as_str();
    if sender.is_empty() {
        return List::Empty;
    }
    let received = matches!(entry.kind.as_str(), "Delivered" | "Viewed" | "Acknowledged");
    if of.map_or(received, |of| of != sender) {
        return List::one(sender);
    }
    if entry.recipient.is_empty() {
        List::Parties(&entry.recipients)
    } else {
        List::one(entry.recipient.as_str())
    }
}

/// What was read: form and period, and of an extract that it is one, and of what.
pub(super) fn reading(entry: &Entry<'_>) -> String {
    let mut text = format!(
        "{} {}/{}",
        entry.format.as_str(),
        entry.from.as_str(),
        entry.to.as_str()
    );
    let filter = &entry.filter;
    let parts: Vec<Cow<'_, str>> = [
        ("patient ", &filter.patient),
        ("person ", &filter.person),
        ("submission ", &filter.submission),
    ]
    .iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(name, value)| Cow::Owned(format!("{name}{}", value.as_str())))
    .chain((!filter.narrowed.is_empty()).then_some(Cow::Borrowed("as the operator's own record says")))
    .collect();
    if !parts.is_empty() {
        text.push_str(" extract, not complete: ");
        text.push_str(&parts.join(", "));
    }
    if !filter.position.is_empty() {
        text.push_str(" position ");
        text.push_str(filter.position.as_str());
    }
    if !filter.after.is_empty() {
        text.push_str(" after position ");
        text.push_str(filter.after.as_str());
    }
    text
}
