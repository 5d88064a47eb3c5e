import hmac
import json
import os
import stat

import pytest

from taskhub.errors import ConfigurationError
from taskhub.host.http_keys import DURABLE_KEY, Access, HostKeys, KeyStore, opens

HOST = HostKeys("master", {"default": "host"}, {DURABLE_KEY: "system", "other": "of another extension"})


@pytest.mark.parametrize(
    ("access", "accepted"),
    [
        (Access.ANONYMOUS, {"master", "host", "system", "own", "of another extension", "wrong", "", None}),
        (Access.FUNCTION, {"master", "host", "own"}),
        (Access.SYSTEM, {"master", "system"}),
        (Access.ADMIN, {"master"}),
    ],
)
def test_a_key_opens_what_it_is_for(access, accepted):
    presented = ("master", "host", "system", "own", "of another extension", "wrong", "", None)

    assert {key for key in presented if opens(key, access, HOST, {"mine": "own"})} == accepted


@pytest.mark.parametrize("presented", ["", None, "h\u00e9", "\udcff"])
def test_an_empty_key_in_a_file_opens_nothing(presented):
    assert not opens(presented, Access.FUNCTION, HostKeys("", {"default": ""}), {"mine": ""})


def test_every_key_is_compared_in_constant_time_whichever_fits(monkeypatch):
    compared = []
    real = hmac.compare_digest

    def noted(given, key):
        compared.append(key)
        return real(given, key)

    monkeypatch.setattr(hmac, "compare_digest", noted)
    counts = set()
    for presented in ("master", "host", "own", "nothing", ""):
        compared.clear()
        opens(presented, Access.FUNCTION, HOST, {"mine": "own"})
        counts.add(tuple(compared))

    assert counts == {(b"master", b"host", b"own")}


def test_missing_keys_are_made_once_and_only_their_owner_can_read_them(tmp_path):
    folder = tmp_path / "secrets"

    first, second = KeyStore(folder).host(), KeyStore(folder).host()

    assert first == second
    assert len({first.master, first.functions["default"], first.system[DURABLE_KEY]}) == 3
    assert all(len(key) >= 40 for key in (first.master, first.functions["default"], first.system[DURABLE_KEY]))
    assert stat.S_IMODE((folder / "host.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert (folder / ".gitignore").read_text(encoding="utf-8") == "*\n"


def test_keys_that_are_there_stay(tmp_path):
    (tmp_path / "host.json").write_text(
        json.dumps({"masterKey": {"name": "master", "value": "m"}, "functionKeys": [{"name": "app", "value": "a"}]}),
        encoding="utf-8",
    )

    host = KeyStore(tmp_path).host()

    assert (host.master, host.functions, list(host.system)) == ("m", {"app": "a"}, [DURABLE_KEY])


def test_a_file_that_somebody_changed_counts_at_once(tmp_path):
    store = KeyStore(tmp_path)
    assert not store.allows("mine", Access.FUNCTION, "hello")

    KeyStore(tmp_path).save_function("Hello", {"default": "mine"})

    assert store.allows("mine", Access.FUNCTION, "hello")
    assert not store.allows("mine", Access.FUNCTION, "other")
    os.remove(tmp_path / "hello.json")
    assert not store.allows("mine", Access.FUNCTION, "hello")


def test_an_encrypted_key_opens_nothing(tmp_path):
    store = KeyStore(tmp_path)
    text = json.dumps({"keys": [{"name": "a", "value": "cipher", "encrypted": True}]})
    (tmp_path / "hello.json").write_text(text, encoding="utf-8")

    assert not store.allows("cipher", Access.FUNCTION, "hello")
    assert not store.allows("", Access.FUNCTION, "hello")


@pytest.mark.parametrize("text", ["{broken", "[]"])
def test_keys_that_cannot_be_read_end_the_start_without_being_shown(tmp_path, text):
    (tmp_path / "host.json").write_text(text, encoding="utf-8")

    with pytest.raises(ConfigurationError, match=r"host\.json cannot be read"):
        KeyStore(tmp_path)


def test_a_folder_that_cannot_be_made_says_which_setting_names_another(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")

    with pytest.raises(ConfigurationError, match="TASKHUB_SECRETS"):
        KeyStore(tmp_path / "file" / "secrets")


def test_the_key_of_the_management_urls_is_encoded(tmp_path):
    store = KeyStore(tmp_path)
    store.save_host(HostKeys("m", {}, {DURABLE_KEY: "a+b/c=="}))

    assert store.durable_code() == "code=a%2Bb%2Fc%3D%3D"
