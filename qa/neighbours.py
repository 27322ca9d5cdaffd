# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""
The scenarios of other modules with this one activated beside them and what
this one does with all of them

It is not collected by default because it needs the extra "neighbours".
"""
import os
import unittest
from decimal import Decimal
from importlib import import_module

import pytest
from proteus import Model, Wizard
from proteus.config import set_trytond
from trytond.tests import tools
from trytond.tests.test_tryton import (
    backup_db_cache, load_doc_tests, restore_db_cache)
from trytond.tests.tools import activate_modules

from ..tests.refused import refused
from ..tests.test_scenario import run_scenario
from ..tests.tools import (
    billed, create_deposit_account, create_sale, credit, get, next_invoice,
    pay, set_current, setup_company, work)

MODULE = 'project_progress_invoice'
NEIGHBOURS = [
    'account_credit_limit',
    'account_deposit',
    'account_dunning',
    'account_invoice',
    'account_invoice_correction',
    'analytic_invoice',
    'analytic_sale',
    'project_invoice',
    'sale',
    'sale_advance_payment',
    'sale_amendment',
    'sale_complaint',
    'sale_credit_limit',
    'sale_discount',
    'sale_invoice_grouping',
    'sale_project_task',
    'sale_shipment_cost',
    ]
# The scenarios that can not pass and why
EXPECTED = dict.fromkeys([
        'account_dunning/scenario_account_dunning.rst',
        'account_dunning/scenario_account_dunning_final.rst',
        ],
    "They create a fiscal year without the invoice sequences that "
    "account_invoice, on which the module depends, requires.")


def get_scenarios():
    "Return the scenarios of the neighbours"
    params = []
    for neighbour in NEIGHBOURS:
        package = f'trytond.modules.{neighbour}.tests'
        scenarios = load_doc_tests(
            package, import_module(package).__file__,
            unittest.defaultTestLoader, unittest.TestSuite(), None)
        for scenario in sorted(scenarios, key=str):
            id_ = f'{neighbour}/{os.path.basename(str(scenario))}'
            marks = []
            if reason := EXPECTED.get(id_):
                marks.append(pytest.mark.xfail(reason=reason, strict=True))
            params.append(pytest.param(scenario, id=id_, marks=marks))
    return params


def activate_beside(modules, *setup):
    "Activate the modules, as tools.activate_modules, in a base that has ours"
    modules = {modules} if isinstance(modules, str) else set(modules)
    name = '-'.join(sorted(modules | {MODULE}))
    name += '|'.join(['', *(f.__qualname__ for f in setup)])
    if restore_db_cache(name):
        return set_trytond()
    # The base is cached as well
    config = activate_modules(MODULE)
    Module = Model.get('ir.module')
    others = Module.find([
            ('name', 'in', list(modules)),
            ('state', '=', 'not activated'),
            ])
    if others:
        Module.click(others, 'activate')
        Wizard('ir.module.activate_upgrade').execute('upgrade')
    activated = Module.find([
            ('name', 'in', list(modules | {MODULE})),
            ('state', '=', 'activated'),
            ])
    assert {m.name for m in activated} == modules | {MODULE}
    for func in setup:
        func(config=config)
    backup_db_cache(name)
    return config


@pytest.fixture
def beside(monkeypatch):
    "Activate the module beside those that a scenario asks for"
    monkeypatch.setattr(tools, 'activate_modules', activate_beside)


@pytest.mark.usefixtures('beside')
@pytest.mark.parametrize('scenario', get_scenarios())
def test_scenario(scenario):
    run_scenario(scenario)


@pytest.fixture(scope='module')
def all_beside():
    activate_beside(NEIGHBOURS, setup_company)
    # A sale without carrier has no cost of shipment
    configuration = Model.get('sale.configuration')(1)
    configuration.sale_shipment_cost_method = None
    configuration.save()
    AnalyticAccount = Model.get('analytic_account.account')
    root = AnalyticAccount(type='root', name="Root")
    root.save()
    AnalyticAccount(root=root, parent=root, name="Analytic").save()
    AnalyticAccount(root=root, parent=root, name="Other Analytic").save()


def analytic(invoice):
    invoice.reload()
    return [
        e.account.name for l in work(invoice) for e in l.analytic_accounts]


@pytest.mark.usefixtures('all_beside')
def test_analytic_accounts_are_carried():
    sale = create_sale((10, '100'), state='draft')
    line, = sale.lines
    entry, = line.analytic_accounts
    entry.account = get('analytic_account.account', "Analytic")
    sale.click('quote')
    sale.click('confirm')

    first, = sale.click('progress_invoice')
    set_current(first, .3)
    assert analytic(first) == ["Analytic"]
    first.click('post')
    move_line, = [
        l for l in first.move.lines if l.account == work(first)[0].account]
    assert [l.credit for l in move_line.analytic_lines] == [300]

    second = next_invoice(first, .5, post=False)
    entry, = work(second)[0].analytic_accounts
    entry.account = get('analytic_account.account', "Other Analytic")
    second.save()
    second.click('post')
    third = next_invoice(second, .7)
    assert analytic(first) == ["Analytic"]
    assert analytic(second) == analytic(third) == ["Other Analytic"]
    assert analytic(credit(third)) == ["Other Analytic"]


@pytest.mark.usefixtures('all_beside')
def test_discount_is_billed_by_progress():
    sale = create_sale((3, '33.33'), state='draft')
    line, = sale.lines
    line.base_price = Decimal('33.3333')
    line.discount_rate = Decimal('0.0725')
    sale.click('quote')
    sale.click('confirm')
    line, = sale.lines
    assert line.unit_price == Decimal('30.9166')
    invoice, = sale.click('progress_invoice')
    set_current(invoice, .3333)
    invoice.click('post')
    amount = invoice.untaxed_amount
    for ratio in [.6667, 1.]:
        invoice = next_invoice(invoice, ratio)
        amount += invoice.untaxed_amount
    assert amount == sale.untaxed_amount == Decimal('92.75')


@pytest.mark.usefixtures('all_beside')
def test_grouped_invoices_keep_out_of_the_contracts():
    party = Model.get('party.party')(name="Grouped")
    party.sale_invoice_grouping_method = 'standard'
    party.save()

    def sell(method):
        return create_sale((1, '100'), party="Grouped", method=method)

    ordinary, = sell('order').invoices
    contract, = sell('progress').click('progress_invoice')
    assert contract != ordinary
    manual = sell('manual')
    manual.click('manual_invoice')
    for sale in [sell('order'), manual]:
        sale.reload()
        assert sale.invoices == [ordinary]
    contract.reload()
    assert (len(contract.lines), ordinary.progress) == (1, False)


@pytest.mark.usefixtures('all_beside')
@pytest.mark.parametrize('method', ['order', 'invoice'])
def test_tasks_of_sale(method):
    template = get('product.template', "Untaxed Service")
    if not template.taskable:
        template.taskable = True
        template.tasks.new(name="Task").timesheet_available = True
        template.save()
    sale = create_sale((1, '100'), state='draft')
    sale.task_creation_method = method
    sale.click('quote')
    sale.click('confirm')
    line, = sale.lines
    assert bool(line.tasks) == (method == 'order')

    first, = sale.click('progress_invoice')
    set_current(first, .6)
    first.click('post')
    pay(first)
    sale.reload()
    line, = sale.lines
    # Once it is paid in full
    assert bool(line.tasks) == (method == 'order')

    pay(next_invoice(first, 1.))
    sale.reload()
    line, = sale.lines
    assert len(line.tasks) == 1
    assert sale.invoice_state == 'paid'
    assert sale.state == 'processing'
    task, = line.tasks
    task.progress = 1.
    task.save()
    sale.reload()
    assert sale.state == 'done'


@pytest.mark.usefixtures('all_beside')
def test_credit_amount_and_dunning():
    customer = get('party.party', "Customer")
    before = customer.credit_amount
    sale = create_sale((10, '100'))
    first, = sale.click('progress_invoice')
    set_current(first, .3)
    first.click('post')
    next_invoice(first, .5)
    customer.reload()
    # What is to pay and what is to bill
    assert customer.credit_amount - before == 500 + 500


@pytest.mark.usefixtures('all_beside')
def test_credit_amount_of_what_is_completed():
    customer = get('party.party', "Customer")
    before = customer.credit_amount
    sale = create_sale((10, '100'))
    first, = sale.click('progress_invoice')
    set_current(first, .3)
    first.click('post')
    pay(first)
    second = next_invoice(first, post=False)
    line, = work(second)
    line.progress_current = .5
    line.progress_completed = True
    second.save()
    second.click('post')
    customer.reload()
    assert customer.credit_amount - before == 200


def complain(origin, **values):
    "Return the result of the complaint"
    Type = Model.get('sale.complaint.type')
    model, = Model.get('ir.model').find(
        [('name', '=', origin.__class__.__name__)])
    type_ = Type(name=model.name, origin=model)
    type_.save()
    complaint = Model.get('sale.complaint')()
    complaint.customer = get('party.party', "Customer")
    complaint.type = type_
    complaint.origin = origin
    action = complaint.actions.new()
    action.action = 'credit_note'
    for name, value in values.items():
        setattr(action, name, value)
    complaint.save()
    for button in ['wait', 'approve']:
        complaint.click(button)
    action, = complaint.actions
    return action.result


@pytest.mark.usefixtures('all_beside')
@pytest.mark.parametrize('lines, ratio, quantity, amount', [
        ((20, '100'), .5, 2, -200),
        ((1, '1000'), .3, None, -300),
        ])
def test_complaint_makes_no_contract(lines, ratio, quantity, amount):
    sale = create_sale(lines)
    first, = sale.click('progress_invoice')
    set_current(first, ratio)
    first.click('post')
    contracts = len(Model.get('account.progress_contract').find([]))
    note = complain(work(first)[0], quantity=quantity)
    assert note.untaxed_amount == amount
    assert not note.progress
    note.click('post')
    assert len(Model.get('account.progress_contract').find([])) == contracts
    assert billed(next_invoice(first, 1)) == [
        lines[0] * Decimal(lines[1]) * (1 - Decimal(str(ratio)))]


@pytest.mark.usefixtures('all_beside')
def test_freight_is_billed():
    Carrier = Model.get('carrier')
    Party = Model.get('party.party')
    party = Party(name="Carrier")
    party.save()
    product, = Model.get('product.product').find(
        [('template.name', '=', "Untaxed Service")])
    carrier = Carrier(party=party, carrier_product=product)
    carrier.save()
    sale = create_sale((10, '100', "Untaxed Goods"), state='draft')
    sale.carrier = carrier
    sale.shipment_cost_method = 'shipment'
    sale.save()
    sale.click('quote')
    freight, = [l for l in sale.lines if l.shipment_cost is not None]
    sale.click('confirm')
    first, = sale.click('progress_invoice')
    set_current(first, .5, 0)
    first.click('post')
    shipment, = sale.shipments
    for button in ['assign_force', 'pick', 'pack', 'do']:
        shipment.click(button)
    closing, = first.click('closing_progress_invoice')
    closing.click('post')
    sale.reload()
    assert first.untaxed_amount + closing.untaxed_amount == (
        1000 + freight.amount)
    assert freight.amount and not sale.to_invoice


def correct(invoice, *lines):
    "Return the invoice that corrects the lines"
    wizard = invoice.click('correct')
    wizard.form.lines.extend(
        wizard.form.lines.find([('id', 'in', [l.id for l in lines])]))
    wizard.execute('correct')
    (correction,), = wizard.actions
    return correction


@pytest.mark.usefixtures('all_beside')
def test_line_of_contract_is_not_corrected():
    sale = create_sale((10, '100'))
    first, = sale.click('progress_invoice')
    set_current(first, .5)
    first.click('post')
    with refused(first):
        correct(first, *work(first))

    # The way out
    second = next_invoice(first, post=False)
    line, = work(second)
    line.unit_price = Decimal(90)
    second.save()
    assert billed(second) == [-50]


@pytest.mark.usefixtures('all_beside')
def test_line_not_of_contract_is_corrected():
    sale = create_sale((10, '100'))
    first, = sale.click('progress_invoice')
    line = first.lines.new()
    line.account = create_deposit_account()
    line.description = "Deposit"
    line.quantity = -1
    line.unit_price = Decimal(0)
    set_current(first, .5)
    first.click('post')
    deposit, = [l for l in first.lines if not l.progress_line]
    correction = correct(first, deposit)
    assert not correction.progress
    assert [l.quantity for l in correction.lines] == [1, -1]
    first.reload()
    assert first.progress_current_amount == 500
