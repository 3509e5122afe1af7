"""The shop's vocabulary: what use cases declare themselves on."""

import subprocess
import sys

import pytest

from pipelines.core.contract import Contract
from pipelines.shop.contracts import CONTRACTS, SIMULATED


def test_importing_the_contracts_needs_the_standard_library_only():
    code = "import sys; import pipelines.shop.contracts, pipelines.shop.incidents; print([m for m in ('numpy', 'pyarrow', 'pandas', 'sqlalchemy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
def test_a_contract_survives_being_written_down(contract):
    assert Contract.from_dict(contract.to_dict()) == contract
    assert contract.doc
    assert contract.keys


def test_every_field_of_the_shops_own_feeds_says_what_it_is():
    assert [f"{kind}.{field.name}" for kind in SIMULATED for field in CONTRACTS[kind].fields if not field.doc] == []


def test_what_joins_feeds_is_a_key_in_both():
    for key, kinds in {
        "payment_id": ("payment", "chargeback"),
        "review_id": ("review", "rating"),
        "item": ("listing", "purchase", "view_item"),
    }.items():
        assert all(key in CONTRACTS[kind].keys for kind in kinds)
