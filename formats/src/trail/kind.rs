//! Kinds of records, each named once: what must say something of every kind matches on these, and a new kind does not compile
//! until it does.

use super::Event;

macro_rules! kinds {
    ($($kind:ident),* $(,)?) => {
        /// What kind of thing happened: an [`Event`] without what it says.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "each is the event of that name")]
        pub enum Kind {
            $($kind),*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// Its name, as in a body's `kind`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => stringify!($kind)),*
                }
            }

            /// The kind of this name; `None` if this program knows none.
            #[must_use]
            pub fn named(name: &str) -> Option<Self> {
                match name {
                    $(stringify!($kind) => Some(Self::$kind),)*
                    _ => None,
                }
            }
        }
    };
}

kinds!(
    FacilityAdded,
    CodeIssued,
    DeviceEnrolled,
    DeviceRenewed,
    DeviceRevoked,
    MemberAdded,
    Accepted,
    Pending,
    Refused,
    Delivered,
    Viewed,
    Acknowledged,
    VerdictRevised,
    TrustChanged,
    ArchiveMade,
    ErasureAnnounced,
    ContainerErased,
    HoldSet,
    HoldLifted,
    KeyDestroyed,
    Head,
    CheckpointStamped,
    TrailRead,
);

impl Event {
    /// Of what kind it is.
    #[must_use]
    pub fn which(&self) -> Kind {
        match self {
            Self::FacilityAdded { .. } => Kind::FacilityAdded,
            Self::CodeIssued { .. } => Kind::CodeIssued,
            Self::DeviceEnrolled { .. } => Kind::DeviceEnrolled,
            Self::DeviceRenewed { .. } => Kind::DeviceRenewed,
            Self::DeviceRevoked { .. } => Kind::DeviceRevoked,
            Self::MemberAdded { .. } => Kind::MemberAdded,
            Self::Accepted(_) => Kind::Accepted,
            Self::Pending { .. } => Kind::Pending,
            Self::Refused { .. } => Kind::Refused,
            Self::Delivered(_) => Kind::Delivered,
            Self::Viewed(_) => Kind::Viewed,
            Self::Acknowledged { .. } => Kind::Acknowledged,
            Self::VerdictRevised { .. } => Kind::VerdictRevised,
            Self::TrustChanged { .. } => Kind::TrustChanged,
            Self::ArchiveMade { .. } => Kind::ArchiveMade,
            Self::ErasureAnnounced { .. } => Kind::ErasureAnnounced,
            Self::ContainerErased { .. } => Kind::ContainerErased,
            Self::HoldSet { .. } => Kind::HoldSet,
            Self::HoldLifted { .. } => Kind::HoldLifted,
            Self::KeyDestroyed { .. } => Kind::KeyDestroyed,
            Self::Head { .. } => Kind::Head,
            Self::CheckpointStamped { .. } => Kind::CheckpointStamped,
            Self::TrailRead { .. } => Kind::TrailRead,
        }
    }

    /// Name of its kind, as in the body's `kind`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.which().name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_bodies() {
        for kind in Kind::ALL {
            assert_eq!(Kind::named(kind.name()), Some(*kind));
            // A body of this name alone lacks everything else, but its name is known: serde says what it misses.
            let missing = serde_json::from_str::<Event>(&format!("{{\"kind\":\"{}\"}}", kind.name()))
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default();
            assert!(!missing.contains("unknown variant"), "{missing}");
        }
        assert_eq!(Kind::named("Sent"), None);
    }
}
