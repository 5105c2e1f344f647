//! Backups in a bucket: as those in a folder, and locked so that nobody removes them. Judged with the rights of the
//! bucket's owner.

use kit::{Bucket, RelayOptions, S3Fault, S3Faults, skip};

use super::*;

/// A relay whose configuration names the service.
fn house(bucket: &Bucket, endpoint: &str, letters: usize) -> House {
    let credentials = bucket.credentials().to_str().unwrap().to_owned();
    House::with(
        &RelayOptions {
            more: vec![
                ("backup", "endpoint", endpoint.to_owned().into()),
                ("backup", "credentials", credentials.into()),
            ],
            ..RelayOptions::default()
        },
        letters,
    )
}

/// Tries to remove every version of every object below a prefix, with requests signed by hand: how many there were, and how many the
/// server gave up.
const REMOVE: &str = "\
import datetime, hashlib, hmac, http.client, os, re, sys
host = os.environ['ENDPOINT'].removeprefix('http://')
digest = lambda text: hashlib.sha256(text.encode()).hexdigest()
def ask(method, path, query):
    now = datetime.datetime.now(datetime.timezone.utc).strftime('%Y%m%dT%H%M%SZ')
    headers = {'host': host, 'x-amz-content-sha256': digest(''), 'x-amz-date': now}
    names = ';'.join(sorted(headers))
    lines = [method, path, query] + [f'{name}:{headers[name]}' for name in sorted(headers)] + ['', names, digest('')]
    scope = f'{now[:8]}/us-east-1/s3/aws4_request'
    text = '\\n'.join(['AWS4-HMAC-SHA256', now, scope, digest('\\n'.join(lines))])
    key = ('AWS4' + os.environ['AWS_SECRET_ACCESS_KEY']).encode()
    for part in scope.split('/') + [text]:
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    headers['authorization'] = (f\"AWS4-HMAC-SHA256 Credential={os.environ['AWS_ACCESS_KEY_ID']}/{scope}, \"
                                f'SignedHeaders={names}, Signature={key.hex()}')
    connection = http.client.HTTPConnection(host)
    connection.request(method, f'{path}?{query}', headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()
bucket, prefix = sys.argv[1:]
status, listed = ask('GET', f'/{bucket}', f'prefix={prefix}&versions=')
assert status == 200 and '<IsTruncated>false' in listed, listed
found = re.findall('<Version>.*?<Key>(.*?)</Key>.*?<VersionId>(.*?)</VersionId>', listed, re.S)
answers = [ask('DELETE', f'/{bucket}/{key}', f'versionId={version}')[0] for key, version in found]
assert set(answers) <= {204, 403}, answers
print(len(found), answers.count(204))
";

#[test]
fn a_backup_in_a_bucket_is_incremental_and_is_restored() {
    let Some(bucket) = Bucket::shared() else {
        return skip(
            "a_backup_in_a_bucket_is_incremental_and_is_restored",
            "SeaweedFS is not installed",
        );
    };
    let mut house = house(&bucket, &bucket.endpoint(), 2);
    let place = format!("s3://{}/clinic/one", bucket.name());
    let first = house.backup(&place);
    house.send(2);
    let second = house.backup(&place);
    let bytes = |made: &Value, key: &str| made[key].as_u64().unwrap();
    assert!(bytes(&second, "new_bytes") < bytes(&second, "bytes"), "{second}");
    assert!(bytes(&second, "records") > bytes(&first, "records"));
    let config = house.stage.relay.config();
    let of = |arguments: &[&str]| {
        let mut command = std::process::Command::new(kit::bin("hikyaku-relay"));
        let output = command
            .arg("backup")
            .args(arguments)
            .args(["--from", &place, "--json", "--config"])
            .arg(&config);
        let output = output.output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    assert_eq!(of(&["list"]).as_array().unwrap().len(), 2);
    assert_eq!(of(&["verify"])["name"], second["name"]);
    assert_eq!(of(&["prune", "--keep", "1"])["generations"][0], first["name"]);
    house.stage.relay.kill9();
    fs::remove_dir_all(house.data()).unwrap();
    let (exit, restored, said) = house.ask(&["restore", "--from", &place]);
    assert_eq!(exit, 0, "{said}");
    assert_eq!(restored["name"], second["name"]);
    house.stage.relay.restart();
    house.serves(4);
    house.agrees();
}

#[test]
fn what_is_locked_nobody_removes_and_a_server_that_only_says_so_is_found_out() {
    let name = "what_is_locked_nobody_removes_and_a_server_that_only_says_so_is_found_out";
    let Some(bucket) = Bucket::shared() else {
        return skip(name, "SeaweedFS is not installed");
    };
    let way = S3Faults::before(bucket.port());
    let mut house = house(&bucket, &way.endpoint(), 1);
    let (locked, plain) = (bucket.locked(), bucket.name());
    let (place, keys) = (format!("s3://{locked}/clinic"), house.place("keys"));
    let run = |house: &House, to: &str, days: &str, keys_to: &[&str]| {
        let arguments = [&["backup", "--to", to, "--lock-days", days], keys_to].concat();
        house.ask(&arguments)
    };
    let apart = ["--keys-to", &keys];

    // Keys must be where what is removed is gone: not here.
    let (exit, _, said) = run(&house, &place, "1", &[]);
    assert!(exit != 0 && said.contains("--keys-to"), "{said}");
    // A folder cannot be locked; a bucket without object lock refuses, or would ignore it.
    let (exit, _, said) = run(&house, &house.place("folder"), "1", &apart);
    assert!(exit != 0 && said.contains("cannot be locked"), "{said}");
    let unlocked = format!("s3://{plain}/clinic");
    house.backup(&unlocked);
    let (exit, _, said) = run(&house, &unlocked, "1", &apart);
    assert!(exit == 1 && said.contains("is not locked"), "{said}");
    way.set(Some(S3Fault::Unlocked));
    let (exit, _, said) = run(&house, &place, "1", &apart);
    assert!(exit == 1 && said.contains("keeps no lock"), "{said}");
    way.set(None);

    let (exit, made, said) = run(&house, &place, "1", &apart);
    assert_eq!(exit, 0, "{said}");
    let objects = made["locked"]["objects"].as_u64().unwrap();
    assert!(objects > 3, "{made}");
    house.send(1);
    // What the next generation shares with it is locked for as long as its own.
    let (exit, again, said) = run(&house, &place, "2", &apart);
    assert_eq!(exit, 0, "{said}");
    let held = &again["locked"];
    assert!(
        held["extended"].as_u64().unwrap() > 0 && held["objects"].as_u64().unwrap() > objects,
        "{again}"
    );

    let removed = bucket
        .python()
        .args(["-c", REMOVE, &locked, "clinic%2Fobjects"])
        .output()
        .unwrap();
    assert!(removed.status.success(), "{}", super::said(&removed));
    let told = String::from_utf8(removed.stdout).unwrap();
    let (found, gone) = told.trim().split_once(' ').unwrap();
    assert!(found.parse::<u64>().unwrap() > objects && gone == "0", "{told}");
    println!("{found} versions of a locked backup, of which its owner could remove {gone}");
    // Keys are not locked: they lie apart, and can be destroyed.
    assert!(!files_below(Path::new(&keys)).is_empty());
    let (exit, _, said) = house.ask(&[
        "restore",
        "--from",
        &place,
        "--keys-from",
        &keys,
        "--to",
        &house.place("back"),
    ]);
    assert_eq!(exit, 0, "{said}");
}
