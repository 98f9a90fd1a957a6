import json
import stat
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from securesystemslib.signer import SSlibKey
from tuf.api.metadata import Metadata, Root
from tuf.ngclient import Updater

from agent.contract.envelope import Signed, open_envelope, sign
from agent.contract.errors import BadContentError, UnavailableError
from agent.trust import FileFetcher
from cloud.keys import CONFIG_TARGET, Made, init_keys, load_signer, renew
from tests.makers import NOW


def fetched(made: Made, folder: Path) -> bytes:
    """The config key target as TUF's own client verifies and downloads it."""
    for name in ("metadata", "targets"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    base = made.repository.as_uri()
    updater = Updater(
        str(folder / "metadata"), f"{base}/metadata/", str(folder / "targets"), f"{base}/targets/",
        fetcher=FileFetcher(), bootstrap=made.root_file.read_bytes(),
    )  # fmt: skip
    updater.refresh()
    target = updater.get_targetinfo(CONFIG_TARGET)
    assert target
    return Path(updater.download_target(target)).read_bytes()


def test_device_with_the_root_file_gets_the_config_key(tmp_path: Path) -> None:
    made = init_keys(tmp_path / "keys")
    (entry,) = json.loads(fetched(made, tmp_path / "device"))["keys"]
    assert set(entry) == {"keyid", "keytype", "scheme", "keyval"}
    key = SSlibKey.from_dict(entry.pop("keyid"), entry)
    signed = Signed(seq=1, audience="*", issued=NOW, expires=NOW + 1, body={"a": 1})
    sealed = sign("desired", signed, load_signer(tmp_path / "keys"))
    assert open_envelope(sealed, "desired", [key]) == signed
    with pytest.raises(BadContentError, match="signature"):
        open_envelope(
            sign("desired", signed, load_signer(tmp_path / "keys", "targets")), "desired", [key]
        )


def test_root_needs_two_of_three(tmp_path: Path) -> None:
    made = init_keys(tmp_path / "keys")
    root = Metadata[Root].from_file(str(made.root_file))
    assert root.signed.roles["root"].threshold == 2
    assert len(root.signed.roles["root"].keyids) == 3
    assert root.signed.consistent_snapshot
    roles = [set(role.keyids) for role in root.signed.roles.values()]
    assert sum(len(keys) for keys in roles) == len(set.union(*roles)) == 6
    assert root.signed.get_verification_result("root", root.signed_bytes, root.signatures).verified
    only = dict(list(root.signatures.items())[:1])
    assert not root.signed.get_verification_result("root", root.signed_bytes, only).verified


def test_private_keys_are_for_the_owner_alone(tmp_path: Path) -> None:
    made = init_keys(tmp_path / "keys")
    files = {*made.offline, *made.online}
    assert {p.name for p in (tmp_path / "keys" / "private").iterdir()} == {p.name for p in files}
    assert {stat.S_IMODE(p.stat().st_mode) for p in files} == {0o600}
    public = b"".join(p.read_bytes() for p in made.repository.rglob("*") if p.is_file())
    assert b"PRIVATE" not in public


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    made = init_keys(tmp_path / "keys")
    before = made.root_file.read_bytes()
    with pytest.raises(BadContentError, match="not empty"):
        init_keys(tmp_path / "keys")
    assert made.root_file.read_bytes() == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "note").write_text("mine")
    with pytest.raises(BadContentError, match="not empty"):
        init_keys(tmp_path / "other")


def test_two_installations_differ(tmp_path: Path) -> None:
    keys = [load_signer(init_keys(tmp_path / n).root_file.parent).public_key.keyid for n in "ab"]
    assert keys[0] != keys[1]


def test_bad_keys_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="keys init"):
        load_signer(tmp_path)
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "config.pem").write_text("not a key")
    with pytest.raises(BadContentError, match="config\\.pem"):
        load_signer(tmp_path)
    with pytest.raises(UnavailableError):
        init_keys(tmp_path / "private" / "config.pem" / "x")


def test_renewal_keeps_devices_going(tmp_path: Path) -> None:
    now = datetime.now(timezone.utc)
    old = init_keys(tmp_path / "keys", now - timedelta(days=20))
    fetched(old, tmp_path / "device")
    assert renew(tmp_path / "keys", now)
    assert not renew(tmp_path / "keys", now)
    assert b"keyid" in fetched(old, tmp_path / "device")
    names = {p.name for p in (old.repository / "metadata").iterdir()}
    assert {"1.snapshot.json", "2.snapshot.json", "timestamp.json"} <= names


def test_expired_repository_is_refused_until_renewed(tmp_path: Path) -> None:
    now = datetime.now(timezone.utc)
    old = init_keys(tmp_path / "keys", now - timedelta(days=40))
    with pytest.raises(Exception, match="expired"):
        fetched(old, tmp_path / "device")
    renew(tmp_path / "keys", now)
    assert fetched(old, tmp_path / "device")


def test_renewal_without_online_keys_says_so(tmp_path: Path) -> None:
    now = datetime.now(timezone.utc)
    init_keys(tmp_path / "keys", now - timedelta(days=20))
    (tmp_path / "keys" / "private" / "timestamp.pem").unlink()
    with pytest.raises(UnavailableError, match=r"timestamp\.pem"):
        renew(tmp_path / "keys", now)
    with pytest.raises(UnavailableError, match="metadata"):
        renew(tmp_path / "none", now)
