//! What happened and what to do next, in English. `{}` is the thing it happened to.

use super::Code;

pub(super) fn text(code: Code) -> (&'static str, &'static str) {
    match code {
        Code::NoArchive => (
            "The archive does not pass by its own evidence: {}",
            "Try again later; the container itself was fetched.",
        ),
        Code::Arguments => ("The command line is not right: {}", "See `hikyaku help`."),
        Code::FileUnreadable => ("Cannot read {}", "Check that the file exists and that you may read it."),
        Code::FileUnwritable => ("Cannot write {}", "Check the folder, your rights and the free space."),
        Code::FileExists => (
            "{} exists already",
            "Choose another name with --out, or remove the file.",
        ),
        Code::FileMalformed => (
            "{}",
            "The file is damaged or of another kind. Fetch it again, or ask whoever made it.",
        ),
        Code::Configuration => (
            "The configuration is not right: {}",
            "Correct config.toml, or enroll again.",
        ),
        Code::NotEnrolled => (
            "This machine is not enrolled with a relay: {}",
            "Ask the relay's operator for a code, then run `hikyaku enroll --relay URL --code CODE`.",
        ),
        Code::PolicyMalformed => ("policy.toml is not right: {}", "Correct the key named."),
        Code::TrustDirectory => (
            "The trust directory cannot be used: {}",
            "It needs hpki/ and tsa/ with the certificates you trust (DER or PEM).",
        ),
        Code::EnvelopeInvalid => (
            "The envelope is not right: {}",
            "Correct the field named and sign again.",
        ),
        Code::InputChanged => (
            "{} changed while it was being signed",
            "Wait until nothing writes to the file any more, then sign again.",
        ),
        Code::Container => (
            "The container is not right: {}",
            "Make it again from the original files.",
        ),
        Code::KeyUnreadable => (
            "The key cannot be read: {}",
            "Give a PKCS #12 file, or a PEM key with --cert.",
        ),
        Code::KeyPassword => ("The password does not open {}", "Check the password and try again."),
        Code::KeyMismatch => (
            "The key does not belong to the certificate: {}",
            "Give the key's own certificate.",
        ),
        Code::NoSigningCertificate => (
            "No certificate that can sign was found: {}",
            "Insert the HPKI signing card. `hikyaku card` shows what each token holds.",
        ),
        Code::SeveralSigningCertificates => (
            "Several certificates could sign: {}",
            "Name the one meant with --slot or --serial; `hikyaku card` lists them.",
        ),
        Code::MechanismNotOffered => (
            "The token does not offer what was asked for: {}",
            "Sign without --pss: every HPKI card offers RSA PKCS #1.",
        ),
        Code::ModuleNotFound => (
            "No PKCS #11 module was found: {}",
            "Install the card's driver, or name its module with --module.",
        ),
        Code::ModuleFailed => (
            "The card's module reports an error: {}",
            "Take the card out and put it in again; check reader and driver with `hikyaku diagnose`.",
        ),
        Code::NoToken => ("No card is present: {}", "Insert the card and try again."),
        Code::TokenRemoved => (
            "The card was taken out: {}",
            "Insert the card again and repeat the command. Nothing was signed.",
        ),
        Code::PinIncorrect => (
            "The PIN is wrong: {}",
            "Check the PIN before trying again: too many wrong tries lock the card for good.",
        ),
        Code::PinLocked => (
            "The PIN is locked: {}",
            "Only the card's issuer can help: unlock it, or order a new card.",
        ),
        Code::PinUnavailable => (
            "There is no PIN to use: {}",
            "Run the command in a terminal, or give the PIN with --pin-fd N.",
        ),
        Code::PinFdUnsupported => (
            "--pin-fd is not supported on this system: {}",
            "Run the command in a terminal and type the PIN.",
        ),
        Code::SignatureFailed => (
            "The signature made does not verify: {}",
            "Do not use it. Check card and driver with `hikyaku diagnose`.",
        ),
        Code::TimestampUnreachable => (
            "The time-stamp authority cannot be reached: {}",
            "Check the address and the network, then sign again.",
        ),
        Code::TimestampRefused => (
            "The time-stamp authority refused: {}",
            "Ask the authority, or use another.",
        ),
        Code::TimestampMismatch => (
            "The time stamp received is not for this signature: {}",
            "Do not use it. Use another time-stamp authority.",
        ),
        Code::RelayUnreachable => (
            "The relay cannot be reached: {}",
            "Check the address and the network, then run the command again. What `hikyaku status` lists as waiting goes with `hikyaku send`.",
        ),
        Code::RelayAnswer => (
            "The relay's answer cannot be used: {}",
            "Ask the relay's operator; client and relay may be of different versions.",
        ),
        Code::ReceiptInvalid => (
            "The relay's receipt does not prove that it has the letter: {}",
            "The letter stays in the outbox. Tell the relay's operator.",
        ),
        Code::LogKeyChanged => (
            "The relay's log is signed with another key than before: {}",
            "Ask the operator. If the change is right, remove log.vkey from this program's folder and try again.",
        ),
        Code::OtherRelay => (
            "The machine at {} is not the relay that the operator named",
            "Check the address, and ask the operator for the code again: it must be whole, with the part after the dot. Nothing was told to that machine.",
        ),
        Code::PortalNeeded => (
            "{} speaks with enrolled machines only",
            "Give the address of the relay's portal with --relay; the operator receives it together with the code.",
        ),
        Code::NothingSigned => (
            "Nothing was signed, as the relay, which gives the time stamp, cannot be reached: {}",
            "Try again later; or name a time-stamp authority with --tsa or as `tsa` in config.toml: then the letter is signed and waits in the outbox.",
        ),
        Code::OutboxBusy => ("Another program is sending: {}", "Wait until it is done."),
        Code::WouldBeRefused => (
            "The relay would refuse this: {}",
            "Correct what the report names; nothing was sent.",
        ),
    }
}
