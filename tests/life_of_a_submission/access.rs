//! Who may see what, and what looking means.

use super::*;

#[test]
fn looking_and_taking_in_are_different_acts_and_both_need_a_person() {
    let stage = stage();
    let pair = stage.pair();
    let id = submitted(&stage, &pair);
    let state = || {
        let inbox = pair.hospital.get(&stage.relay, "/v1/inbox").json();
        inbox["items"][0]["state"].as_str().unwrap().to_owned()
    };
    let letter = format!("/v1/submissions/{id}/files/letter/letter.pdf");
    let container = format!("/v1/submissions/{id}/container");

    let nobody = pair.hospital.get(&stage.relay, &container);
    assert_eq!((nobody.status, nobody.code().as_str()), (428, "person_required"));
    let stranger = pair.hospital.get_as(&stage.relay, &container, "nobody", &[]);
    assert_eq!((stranger.status, stranger.code().as_str()), (403, "person_unknown"));
    assert_eq!(state(), "Waiting");
    let early = Request::post(format!("/v1/submissions/{id}/acknowledgement")).header("hikyaku-person", "staff");
    let early = pair.hospital.https(&stage.relay).send(early, &[]).unwrap();
    assert_eq!((early.status, early.code().as_str()), (409, "state_conflict"));

    let imported = pair.hospital.get_as(&stage.relay, &container, "staff", &[]);
    assert_eq!((imported.status, state().as_str()), (200, "Delivered"));
    let viewed = pair.hospital.get_as(&stage.relay, &letter, "staff", &[]);
    assert_eq!((viewed.status, state().as_str()), (200, "Viewed"));
    assert_eq!(
        (viewed.body.as_slice(), viewed.header("content-type")),
        (&*kit::letter_pdf(), "application/pdf")
    );

    // A part of either, by RFC 9110 ranges; the account tells which bytes went out.
    let part = pair
        .hospital
        .get_as(&stage.relay, &container, "staff", &[("range", "bytes=10-19")]);
    assert_eq!((part.status, &part.body[..]), (206, &imported.body[10..20]));
    assert_eq!(
        part.header("content-range"),
        format!("bytes 10-19/{}", imported.body.len())
    );
    let last = pair
        .hospital
        .get_as(&stage.relay, &letter, "staff", &[("range", "bytes=-6")]);
    assert_eq!(
        (last.status, &last.body[..]),
        (206, &kit::letter_pdf()[kit::letter_pdf().len() - 6..])
    );
    let beyond = pair
        .hospital
        .get_as(&stage.relay, &letter, "staff", &[("range", "bytes=999999-")]);
    assert_eq!((beyond.status, beyond.code().as_str()), (416, "range_invalid"));
    let events = pair
        .clinic
        .get(&stage.relay, &format!("/v1/submissions/{id}/events"))
        .json();
    let scopes: Vec<&str> = events
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|event| event["scope"][0].as_str())
        .collect();
    assert!(scopes.contains(&"* bytes 10-19"), "{events}");
    stage.relay.assert_log_keeps_quiet(&SECRETS);
}

#[test]
fn what_is_not_yours_does_not_exist() {
    let stage = stage();
    let (pair, stranger) = (stage.pair(), stage.pair());
    let id = submitted(&stage, &pair);
    for what in [
        "",
        "/container",
        "/files/letter/letter.pdf",
        "/events",
        "/receipt",
        "/report",
        "/evidence",
    ] {
        let reply = stranger
            .hospital
            .get_as(&stage.relay, &format!("/v1/submissions/{id}{what}"), "staff", &[]);
        assert_eq!((reply.status, reply.code().as_str()), (404, "not_found"), "{what}");
    }
    for path in [
        "/v1/submissions/0193a000-0000-7000-8000-000000000001",
        "/v1/submissions/nonsense",
        "/v1/nothing",
    ] {
        assert_eq!(stranger.hospital.get(&stage.relay, path).status, 404, "{path}");
    }
    let upload = pair
        .clinic
        .begin_upload(&stage.relay, 10, None)
        .header("location")
        .to_owned();
    let taken = stranger
        .clinic
        .https(&stage.relay)
        .send(append(&upload, 0), b"0123456789")
        .unwrap();
    assert_eq!((taken.status, taken.code().as_str()), (404, "upload_unknown"));
    assert_eq!(stranger.clinic.submit_upload(&stage.relay, &upload).status, 404);
    assert_eq!(
        stranger.hospital.get(&stage.relay, "/v1/inbox").json()["items"],
        serde_json::json!([])
    );

    // Without a device certificate there is not even an answer.
    let ca = std::fs::read(stage.relay.folder().join("keys/ca.pem")).unwrap();
    let unknown = kit::Https::new(stage.relay.api_port(), &ca, None).unwrap();
    assert!(unknown.get("/healthz").is_err());
}

#[test]
fn a_device_renews_by_itself_and_ends_at_once() {
    let stage = stage();
    let pair = stage.pair();
    let certificate = || std::fs::read(pair.clinic.home().join("device.pem")).unwrap();

    // Near its end, the certificate is renewed before anything else is done.
    let before = certificate();
    pair.clinic.json(["inbox"]).expect(0);
    assert_eq!(certificate(), before, "90 days ahead there is nothing to renew");
    let config = pair.clinic.home().join("config.toml");
    let mut typed: toml::Table = std::fs::read_to_string(&config).unwrap().parse().unwrap();
    let soon = time::OffsetDateTime::now_utc().replace_nanosecond(0).unwrap() + time::Duration::days(20);
    let soon = soon.format(&time::format_description::well_known::Rfc3339).unwrap();
    assert!(
        typed.insert("not_after".to_owned(), soon.into()).is_some(),
        "the home says when the certificate ends"
    );
    std::fs::write(&config, typed.to_string()).unwrap();
    pair.clinic.json(["inbox"]).expect(0);
    assert_ne!(certificate(), before);
    pair.clinic.json(["inbox"]).expect(0);

    // Revoked, it is out: the connection it holds, a new one, the client.
    let https = pair.clinic.https(&stage.relay);
    let mut open = https.open().unwrap();
    assert_eq!(open.send(Request::get("/v1/inbox"), &[]).unwrap().status, 200);
    let devices = stage.relay.admin(&["device", "list", &pair.from, "--json"]);
    let devices: Value = serde_json::from_str(&devices).unwrap();
    stage
        .relay
        .admin(&["device", "revoke", &pair.from, devices[0]["id"].as_str().unwrap()]);
    let refused = |reply: anyhow::Result<kit::Reply>| reply.map_or(true, |reply| reply.code() == "device_revoked");
    assert!(
        refused(open.send(Request::get("/v1/inbox"), &[])),
        "an open connection goes on"
    );
    assert!(refused(https.get("/v1/inbox")), "a new connection is taken");
    let said = pair.clinic.json(["inbox"]);
    assert_ne!(said.exit, 0, "{}", said.text);
    // Whoever says nothing is closed too, soon after.
    let deadline = Instant::now() + Duration::from_secs(20);
    while open.send(Request::get("/healthz"), &[]).is_ok() {
        assert!(
            Instant::now() < deadline,
            "the connection of a revoked device stays open"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A net that has a CA already: the operator gives its certificate and P-256 key, and a TLS certificate it has issued.
#[test]
fn the_operators_own_ca_enrols_desks() {
    let stage = Stage::new(&RelayOptions::default());
    stage.relay.stop();
    let own = tempfile::tempdir().unwrap();
    let path = |name: &str| own.path().join(name).to_str().unwrap().to_owned();
    let openssl = |arguments: &[&str]| {
        let output = kit::openssl(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    // Nothing but what is said here: the system's configuration adds extensions.
    let bare = path("openssl.cnf");
    std::fs::write(&bare, "[req]\ndistinguished_name = subject\n[subject]\n").unwrap();
    let key = [
        "-config",
        &bare,
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ];
    let (ca, ca_key, tls, tls_key, chain) = (
        path("net.pem"),
        path("net.key"),
        path("t.pem"),
        path("t.key"),
        path("c.pem"),
    );
    let subject = ["-subj", "/C=JP/O=TEST Medical Network/CN=TEST Net CA", "-days", "3650"];
    let usages = [
        "-addext",
        "basicConstraints=critical,CA:TRUE",
        "-addext",
        "keyUsage=critical,keyCertSign,cRLSign",
    ];
    openssl(
        &[
            &["req", "-x509", "-keyout", &ca_key, "-out", &ca],
            &key[..],
            &subject,
            &usages,
        ]
        .concat(),
    );
    let subject = ["-subj", "/CN=relay", "-days", "90", "-CA", &ca, "-CAkey", &ca_key];
    let extensions = [
        ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"],
        ["-addext", "extendedKeyUsage=serverAuth"],
        ["-addext", "basicConstraints=critical,CA:FALSE"],
    ];
    let request = ["req", "-x509", "-keyout", &tls_key, "-out", &tls];
    openssl(&[&request, &key[..], &subject, &extensions.concat()].concat());
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    std::fs::write(&chain, read(&tls) + &read(&ca)).unwrap();

    let mut config: toml::Table = std::fs::read_to_string(stage.relay.config()).unwrap().parse().unwrap();
    for (table, certificate, key) in [("ca", &ca, &ca_key), ("tls", &chain, &tls_key)] {
        let files = [("certificate", certificate), ("key", key)];
        let files = files.map(|(name, path)| (name.to_owned(), path.as_str().into()));
        config.insert(table.to_owned(), toml::Table::from_iter(files).into());
    }
    std::fs::write(stage.relay.config(), config.to_string()).unwrap();
    stage.relay.restart();

    let pair = stage.pair();
    let sent = send(&stage, &pair, &letter_and_images(&pair.clinic)).expect(0);
    assert_eq!(sent.json["state"], "Accepted", "{}", sent.text);
    let inbox = pair.hospital.json(["inbox"]).expect(0);
    assert_eq!(inbox.json["items"][0]["id"], sent.json["id"], "{}", inbox.text);
    // The desk's certificate is of that CA, and the desk trusts the relay by it alone.
    let device = pair.clinic.home().join("device.pem");
    openssl(&["verify", "-CAfile", &ca, device.to_str().unwrap()]);
    let trusted = read(pair.clinic.home().join("relay-ca.pem").to_str().unwrap());
    assert_eq!(trusted.trim(), read(&ca).trim());
}
