"""What an installation gets for keys. That they are kept is shown where the chart is installed."""

import base64
import re

import pytest
from estafette_common import keys
from estafette_common.bus.credentials import Key


def test_the_key_of_manifests_is_told_in_both_ways_that_people_and_services_know_it() -> None:
    made = keys.manifests({})
    assert base64.b64decode(made["secretKey"]).decode() == made["secretDecryptionKey"]
    assert len(made["secretDecryptionKey"]) == 32


def test_a_key_of_estafette_ci_is_taken_over() -> None:
    known = {"secretDecryptionKey": "abcdefghijklmnopqrstuvwxyz012345"}
    assert base64.b64decode(keys.manifests(known)["secretKey"]).decode() == known["secretDecryptionKey"]


def test_a_key_that_no_cipher_takes_is_refused_without_being_shown() -> None:
    with pytest.raises(keys.KeyRefusedError, match="has 8 bytes; 16, 24 or 32") as refused:
        keys.manifests({"secretDecryptionKey": "tooshort"})
    assert "tooshort" not in str(refused.value)


def test_accounts_of_nats_are_made_together() -> None:
    made = keys.nats({})
    assert set(made) == {"nats.conf", "services.creds", "jobs.seed", "routePassword"}
    assert Key(made["jobs.seed"]).public in made["nats.conf"]


def test_accounts_of_nats_that_are_there_are_kept_and_only_what_is_new_is_added() -> None:
    known = {"nats.conf": "as it was", "services.creds": "as it was", "jobs.seed": "as it was"}
    made = keys.nats(known)
    assert made == {**known, "routePassword": made["routePassword"]}


def test_passwords_can_stand_in_an_address() -> None:
    assert all(re.fullmatch(r"[a-zA-Z][a-zA-Z0-9]{39}", password) for password in keys.database({}).values())
