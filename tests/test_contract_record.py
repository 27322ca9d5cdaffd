# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""The contract: its number, page, lists and rights"""
from decimal import Decimal

import pytest
from lxml import etree
from proteus import Model
from trytond.model.exceptions import AccessError
from trytond.modules.account.tests.tools import get_accounts
from trytond.pyson import PYSONDecoder

from .refused import refused
from .registry import call, get_related
from .tools import (
    create, create_invoice, create_project, create_sale, credit, get,
    next_invoice, pay, set_current, user_of, write)

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


def test_number_follows_the_sequence():
    first, second = create_contract(), create_contract()
    assert int(second.number) == int(first.number) + 1


def test_number_is_not_typed():
    contract = create_contract()
    with refused(own=False):
        write(contract, number="7")
    with refused(own=False):
        create('account.progress_contract',
            party=contract.party.id, number="7")


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
    set_current(first, .5)
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


# A contract by hand

def test_contract_by_hand_is_billed():
    contract = create_contract(description="House", reference="PO-7")
    first, = contract.click('progress_invoice')
    assert first.progress_contract == contract
    assert first.progress_number == 1
    assert (first.party, first.description, first.reference) == (
        contract.party, "House", "PO-7")
    assert not first.lines
    # What is open is opened
    assert contract.click('progress_invoice') == [first]
    add_line(first, 10, '100')
    set_current(first, .5)
    first.click('post')
    contract.reload()
    second, = contract.click('progress_invoice')
    assert second.previous_progress_invoice == first
    assert [l.progress_previous for l in second.lines] == [.5]


def add_line(invoice, quantity, unit_price):
    line = invoice.lines.new()
    line.account = get_accounts()['revenue']
    line.description = "Work"
    line.quantity = quantity
    line.unit_price = Decimal(unit_price)
    invoice.save()


def test_contract_by_hand_stays_without_documents():
    contract = create_contract()
    first, = contract.click('progress_invoice')
    first.delete()
    assert exists(contract)
    first, = contract.click('progress_invoice')
    first.click('cancel')
    contract.reload()
    second, = contract.click('progress_invoice')
    assert second.progress_number == 1
    assert set(second.progress_contract.invoices) == {first, second}


def test_draft_leaves_a_contract_by_hand():
    contract = create_contract()
    draft, = contract.click('progress_invoice')
    first = create_invoice((10, '100'))
    first.click('post')
    write(draft, previous_progress_invoice=first.id)
    assert draft.progress_contract == first.progress_contract
    contract.reload()
    assert not contract.invoices


def test_closing_invoice_of_a_contract():
    first = create_invoice((10, '100'))
    set_current(first, .4)
    contract = first.progress_contract
    with refused(contract, first):
        contract.click('closing_invoice')
    first.click('post')
    closing, = contract.click('closing_invoice')
    assert closing.untaxed_amount == 600
    closing.click('post')
    contract.reload()
    assert contract.state == 'closed'
    for button in ['progress_invoice', 'closing_invoice']:
        with refused(contract, closing):
            contract.click(button)


def test_contract_closed_by_its_first_invoice():
    contract = create_contract()
    invoice, = contract.click('closing_invoice')
    add_line(invoice, 10, '100')
    invoice.click('post')
    contract.reload()
    assert (contract.state, contract.billed_amount) == ('closed', 1000)


def test_several_contracts_are_billed_together():
    posted = create_invoice((10, '100'))
    posted.click('post')
    open_ = create_invoice((10, '100'))
    contracts = [
        posted.progress_contract, open_.progress_contract, create_contract()]
    invoices = Model.get('account.progress_contract').click(
        contracts, 'progress_invoice')
    assert [i.progress_contract for i in invoices] == contracts
    assert [i.progress_number for i in invoices] == [2, 1, 1]
    assert invoices[1] == open_


# The figures

def get_figures(contract):
    contract.reload()
    return (
        contract.total_amount, contract.billed_amount,
        contract.remaining_amount, contract.progress)


def test_figures_follow_what_bills():
    first = create_invoice((10, '100'), (2, '50'))
    contract = first.progress_contract
    set_current(first, .5, 0)
    # What a draft brings is sold, but not billed
    assert get_figures(contract) == (1100, 0, 1100, 0)
    first.click('post')
    assert get_figures(contract) == (1100, 500, 600, .4545)
    second = next_invoice(first, .5, 1, post=False)
    add_line(second, 1, '400')
    assert get_figures(contract) == (1500, 500, 1000, .3333)
    second.click('post')
    assert get_figures(contract) == (1500, 1000, 500, .6667)
    note = credit(second)
    assert get_figures(contract) == (1500, 1000, 500, .6667)
    note.click('post')
    assert get_figures(contract) == (1500, 500, 1000, .3333)


def test_figures_of_a_line_deleted_from_the_next():
    first = create_invoice((10, '100'), (2, '50'))
    set_current(first, .5, .5)
    first.click('post')
    second = next_invoice(first, post=False)
    second.lines.remove(second.lines[1])
    second.save()
    second.click('post')
    assert get_figures(first.progress_contract) == (1100, 550, 550, .5)


def test_figures_with_a_refund():
    first = create_invoice((10, '100'))
    set_current(first, .5)
    first.click('post')
    second = next_invoice(first, .8)
    credit(second, refund=True)
    contract = first.progress_contract
    assert get_figures(contract) == (1000, 500, 500, .5)
    assert len(contract.invoices) == 3
    assert (contract.paid_amount, contract.amount_to_pay) == (0, 500)


def test_figures_of_what_was_billed_before_tryton():
    first = create_invoice((10, '100'))
    line, = first.lines
    line.progress_previous = .3
    line.progress_current = .5
    first.save()
    contract = first.progress_contract
    assert get_figures(contract) == (1000, 300, 700, .3)
    first.click('post')
    assert get_figures(contract) == (1000, 500, 500, .5)
    second = next_invoice(first, .6)
    first.click('cancel')
    assert get_figures(contract) == (1000, 400, 600, .4)
    second.click('cancel')
    assert get_figures(contract) == (1000, 300, 700, .3)


def test_paid_and_to_pay():
    first = create_invoice((10, '100', "Taxed Service"))
    set_current(first, .5)
    contract = first.progress_contract
    assert (contract.paid_amount, contract.amount_to_pay) == (0, 0)
    first.click('post')
    contract.reload()
    assert (contract.paid_amount, contract.amount_to_pay) == (0, 600)
    pay(first)
    next_invoice(first, 1)
    contract.reload()
    assert (contract.paid_amount, contract.amount_to_pay) == (600, 600)


def test_contract_without_documents():
    contract = create_contract()
    assert get_figures(contract) == (0, 0, 0, None)
    assert (contract.paid_amount, contract.amount_to_pay) == (0, 0)
    assert contract.state == 'open'
    assert not contract.open_invoice and not contract.sales


def test_state_of_the_contract():
    Contract = Model.get('account.progress_contract')
    first = create_invoice((10, '100'))
    contract = first.progress_contract
    mine = ('id', '=', contract.id)

    def check(state):
        contract.reload()
        assert contract.state == state
        other = {'open': 'closed', 'closed': 'open'}[state]
        for clause in [
                ('state', '=', state), ('state', '!=', other),
                ('state', 'in', [state]), ('state', 'not in', [other])]:
            assert Contract.find([mine, clause]) == [contract], clause
        for clause in [
                ('state', '=', other), ('state', '!=', state),
                ('state', '=', None), ('state', 'in', [])]:
            assert not Contract.find([mine, clause]), clause

    first.progress_closing = True
    first.save()
    check('open')
    first.click('post')
    check('closed')
    pay(first)
    check('closed')
    note = credit(first)
    check('closed')
    note.click('post')
    check('open')


def test_sales_of_the_contract():
    Contract = Model.get('account.progress_contract')
    Sale = Model.get('sale.sale')
    sale, other = create_sale((10, '100')), create_sale((5, '10'))
    first, = sale.click('progress_invoice')
    wizard = first.click('import_progress_sale')
    wizard.form.sales.append(Sale(other.id))
    wizard.execute('import_')
    contract = first.progress_contract
    assert set(contract.sales) == {sale, other}
    for record in [sale, other]:
        record.reload()
        assert record.progress_contract == contract
        assert Contract.find([('sales', '=', record.id)]) == [contract]
    assert set(Sale.find([('progress_contract', '=', contract.id)])) == {
        sale, other}
    ordinary = create_sale((1, '10'), method='manual')
    assert not ordinary.progress_contract
    assert not Contract.find([('sales', '=', ordinary.id)])


def test_contract_that_bills_a_sale_again():
    sale = create_sale((10, '100'))
    first, = sale.click('progress_invoice')
    set_current(first, .5)
    first.click('post')
    first.click('cancel')
    sale.reload()
    assert sale.progress_contract == first.progress_contract
    second, = sale.click('progress_invoice')
    sale.reload()
    assert sale.progress_contract == second.progress_contract


# The screens

def get_tab(name):
    "Return the domain of the tab of the contracts and if it has a count"
    action, = Model.get('ir.action.act_window').find([
            ('name', '=', "Contracts"), ('act_window_domains', '!=', None)])
    tab, = [d for d in action.act_window_domains if d.name == name]
    return PYSONDecoder().decode(tab.domain or '[]'), bool(tab.count)


def test_tabs_of_the_contracts():
    Contract = Model.get('account.progress_contract')
    to_bill = create_invoice((10, '100'))
    to_bill.click('post')
    draft, validated = create_invoice((1, '10')), create_invoice((1, '10'))
    validated.click('validate_invoice')
    closed = create_invoice((10, '100'))
    closed.progress_closing = True
    closed.save()
    closed.click('post')
    credited = create_invoice((10, '100'))
    credited.click('post')
    credit(credited)
    tabs = {
        "To Bill": [
            to_bill.progress_contract, credited.progress_contract,
            create_contract()],
        "In Draft": [draft.progress_contract, validated.progress_contract],
        "Closed": [closed.progress_contract],
        }
    tabs["All"] = [c for contracts in tabs.values() for c in contracts]
    mine = ('id', 'in', [c.id for c in tabs["All"]])
    for name, contracts in tabs.items():
        domain, count = get_tab(name)
        assert set(Contract.find([mine, domain])) == set(contracts), name
        assert count == (name in {"To Bill", "In Draft"})
        shown = [c.id for c in Contract.find([domain])]
        assert call(
            Contract.__name__, 'search_count', domain, 0, None) == len(shown)


def test_one_click_to_the_contract():
    project = create_project()
    sale = create_sale((10, '100'))
    first, = sale.click('progress_invoice')
    contract = first.progress_contract
    write(contract, work=project.id)
    for record in [sale, project]:
        assert get_related(record, "Contracts") == [contract]
    assert contract in get_related(contract.party, "Contracts")
    assert get_related(contract, "Progress Invoices") == [first]


def is_hidden(record, button):
    "Test if the client hides the button on the form of the record"
    model = record.__class__.__name__
    view = call(model, 'fields_view_get', None, 'form')
    group, = etree.fromstring(view['arch']).xpath(
        f'//button[@name="{button}"]/..')
    values, = call(model, 'read', [record.id], list(view['fields']))
    return PYSONDecoder(values).decode(group.get('states'))['invisible']


def test_buttons_of_the_one_next_step():
    first = create_invoice((10, '100'))
    set_current(first, .4)
    contract = first.progress_contract

    def shown():
        return [
            b for b in ['progress_invoice', 'closing_invoice']
            if not is_hidden(contract, b)]

    assert shown() == ['progress_invoice']
    first.click('post')
    assert shown() == ['progress_invoice', 'closing_invoice']
    assert not is_hidden(first, 'next_progress_invoice')
    second = next_invoice(first, .5)
    assert is_hidden(first, 'next_progress_invoice')
    closing, = second.click('closing_progress_invoice')
    closing.click('post')
    assert shown() == []
    for document in [first, second, closing]:
        assert is_hidden(document, 'closing_progress_invoice')
    note = credit(closing)
    note.click('post')
    assert not is_hidden(note, 'next_progress_invoice')
