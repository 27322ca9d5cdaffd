# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""The contract: its number, page, lists and rights"""
import pytest
from proteus import Model
from trytond.model.exceptions import AccessError
from trytond.modules.currency.tests.tools import get_currency

from .refused import refused
from .tools import (
    create, create_invoice, create_sale, credit, get, next_invoice, user_of,
    write)

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


# The first progress invoice begins a contract

def test_first_invoice_makes_its_contract():
    first, other = create_invoice((10, '100')), create_invoice((1, '10'))
    contract = first.progress_contract
    assert contract.number
    assert (contract.party, contract.company, contract.currency) == (
        first.party, first.company, first.currency)
    assert other.progress_contract != contract
    first.click('post')
    second = next_invoice(first, post=False)
    note = credit(first)
    contract.reload()
    assert contract.invoices == [first, second, note]


def test_invoice_put_on_progress_makes_its_contract():
    invoice = create_invoice((10, '100'), progress=False)
    assert not invoice.progress_contract
    write(invoice, progress=True)
    assert invoice.progress_contract.party == invoice.party


def test_contract_of_a_sale():
    sale = create_sale((10, '100'), state='draft')
    sale.description, sale.reference = "House", "PO-7"
    sale.click('quote')
    invoice, = sale.click('progress_invoice')
    contract = invoice.progress_contract
    assert (contract.description, contract.reference) == ("House", "PO-7")
    assert contract.invoices == [invoice]
    invoice.click('post')
    second, = sale.click('progress_invoice')
    assert second.progress_contract == contract


def test_copy_begins_a_contract():
    first = create_invoice((10, '100'))
    copy, = first.duplicate()
    assert copy.progress_contract not in {None, first.progress_contract}


def exists(contract):
    return bool(contract.find([('id', '=', contract.id)]))


def test_contract_goes_with_its_only_document():
    first = create_invoice((10, '100'))
    contract = first.progress_contract
    first.delete()
    assert not exists(contract)


def test_contract_stays_with_its_cancelled_documents():
    sale = create_sale((10, '100'))
    first, = sale.click('progress_invoice')
    contract = first.progress_contract
    first.click('post')
    second = next_invoice(first, post=False)
    first.click('cancel')
    second.delete()
    assert contract.find([('id', '=', contract.id)]) == [contract]
    contract.reload()
    assert contract.invoices == [first]


def test_contract_goes_when_its_only_document_leaves():
    first = create_invoice((10, '100'))
    first.click('post')
    for values in [
            {'previous_progress_invoice': first.id}, {'progress': False}]:
        draft = create_invoice((1, '10'))
        contract = draft.progress_contract
        write(draft, **values)
        assert draft.progress_contract in {None, first.progress_contract}
        assert not exists(contract)


def test_draft_that_continues_no_more_begins_a_contract():
    first = create_invoice((10, '100'))
    first.click('post')
    draft = next_invoice(first, post=False)
    write(draft, previous_progress_invoice=None)
    contract = draft.progress_contract
    assert contract != first.progress_contract
    assert draft.progress_number == 1
    # What is sent once more changes nothing
    write(draft, previous_progress_invoice=None, progress=True)
    assert draft.progress_contract == contract


def test_contract_follows_its_only_draft():
    other = get('party.party', "Other Customer")
    values = {'party': other.id, 'invoice_address': other.addresses[0].id}
    first = create_invoice((10, '100'))
    write(first, **values)
    contract = first.progress_contract
    assert contract.party == other
    first.click('cancel')
    first.click('draft')
    assert first.progress_contract == contract
    first.click('post')
    draft = next_invoice(first, post=False)
    party = get('party.party', "Customer")
    with refused(contract, party):
        write(draft, party=party.id, invoice_address=party.addresses[0].id)


def test_contract_with_documents_is_fixed():
    contract = create_invoice((10, '100')).progress_contract
    document, = contract.invoices
    other = get('party.party', "Other Customer")
    with refused(contract, document):
        write(contract, party=other.id)
    write(contract, party=contract.party.id, description="House")
    with refused(contract, document):
        contract.delete()
    empty = create_contract()
    write(empty, party=other.id)
    empty.delete()


def test_document_is_put_in_a_contract_by_its_buttons_only():
    contract = create_contract()
    draft = create_invoice((10, '100'), progress=False)
    for values in [
            {'invoices': [('add', [draft.id])]},
            {'invoices': [('create', [{
                            'type': 'out', 'progress': True,
                            'party': draft.party.id,
                            'invoice_address': draft.invoice_address.id,
                            'account': draft.account.id}])]},
            ]:
        with refused():
            write(contract, **values)


def test_who_may_invoice_begins_a_contract():
    with user_of("Accounting"):
        first = create_invoice((10, '100'))
        assert first.progress_contract.number
    sale = create_sale((10, '100'))
    with user_of("Sales"):
        sale = Model.get('sale.sale')(sale.id)
        invoice, = sale.click('progress_invoice')
        contract = invoice.progress_contract
        assert contract.invoices == [invoice]
        for change in [
                lambda: write(contract, description="House"),
                create_contract, contract.delete]:
            with pytest.raises(AccessError):
                change()
