# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""The contract: its number, page, lists and rights"""
import pytest
from proteus import Model
from trytond.modules.currency.tests.tools import get_currency

from .refused import refused
from .tools import create, get, user_of, write

pytestmark = [
    pytest.mark.usefixtures('database'),
    pytest.mark.xdist_group('test_contract_record')]


def create_contract(party="Customer", **values):
    "Return a contract made by hand"
    contract = Model.get('account.progress_contract')(
        party=get('party.party', party))
    for name, value in values.items():
        setattr(contract, name, value)
    contract.save()
    return contract


@pytest.fixture(scope='module')
def company(database):
    "Another company"
    party = Model.get('party.party')(name="Other Company")
    party.save()
    company = Model.get('company.company')(
        party=party, currency=get_currency())
    company.save()
    return company


def test_number_follows_the_sequence():
    first, second = create_contract(), create_contract()
    assert int(second.number) == int(first.number) + 1


def test_number_is_not_typed():
    contract = create_contract()
    with refused():
        write(contract, number="7")
    with refused():
        create('account.progress_contract',
            party=contract.party.id, number="7")


def test_each_company_has_its_sequence(company):
    Configuration = Model.get('account.configuration')
    with user_of("Accounting", "Accounting Administration", company=company):
        configuration = Configuration(1)
        shared = configuration.progress_contract_sequence
        own = Model.get('ir.sequence')(
            name="Own", prefix="OWN-", company=company.__class__(company.id),
            sequence_type=shared.sequence_type)
        own.save()
        configuration.progress_contract_sequence = own
        configuration.save()
        assert create_contract().number == 'OWN-1'
    assert Configuration(1).progress_contract_sequence == shared
    assert not create_contract().number.startswith('OWN-')


def test_copy_has_a_number_of_its_own():
    contract = create_contract(description="House")
    copy, = contract.duplicate()
    assert copy.description == "House"
    assert copy.number not in {None, contract.number}


def test_name_of_the_contract():
    contract = create_contract(description="House", reference="PO-7")
    assert contract.rec_name == f"{contract.number} - Customer - House"
    Contract = Model.get('account.progress_contract')
    other = create_contract(party="Other Customer")
    assert other.rec_name == f"{other.number} - Other Customer"
    for name in [contract.number, "House", "PO-7", "Customer"]:
        found = Contract.find([('rec_name', '=', name)])
        assert contract in found and other not in found, name
        others = Contract.find([('rec_name', '!=', name)])
        assert contract not in others, name
    assert other in Contract.find([('rec_name', 'ilike', "other cust%")])


def test_project_is_of_the_company(company):
    project = Model.get('project.work')(name="Project", type='project')
    project.save()
    contract = create_contract(work=project)
    assert contract.work == project
    with user_of("Accounting", company=company):
        with refused(own=False):
            create_contract(work=Model.get('project.work')(project.id))
