# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""What a user of another company does not see, use nor change"""
from decimal import Decimal

import pytest
from proteus import Model
from trytond.model import fields
from trytond.model.exceptions import AccessError
from trytond.modules.account.tests.tools import create_chart, get_accounts
from trytond.modules.currency.tests.tools import get_currency
from trytond.tests.test_tryton import DB_NAME
from trytond.transaction import Transaction

from .refused import refused, snapshot
from .registry import call, get_added, get_buttons, get_fields, get_models
from .tools import (
    create, create_advance, create_deposit_account, create_intervention,
    create_invoice, create_project, create_project_type, create_sale, get,
    sell_advance, set_current, user_of, value, write)

pytestmark = [
    pytest.mark.usefixtures('database'),
    pytest.mark.xdist_group('test_companies')]

GROUPS = [
    "Project Intervention", "Project Advance Invoice",
    "Project Administration", "Accounting", "Sales"]
# What has no company and what is reached only through another model
SHARED = {'project.type', 'project.configuration', 'account.configuration'}


def get_records(project):
    request = create('project.intervention.request', work=project.id)
    advance = create_advance(project)
    intervention = create_intervention(project, ('service', 1, '500'))
    sale = create_sale((10, '100', "Untaxed Service"), state='quotation')
    invoice = create_invoice((10, '100', "Untaxed Service"))
    contract = create(
        'account.progress_contract',
        party=get('party.party', "Customer").id, work=project.id)
    return {r.__class__.__name__: r for r in [
            project, advance, request, intervention, intervention.lines[0],
            sale, sale.lines[0], invoice, invoice.lines[0], contract,
            invoice.lines[0].progress_line]}


@pytest.fixture(scope='module')
def records(database):
    "A record of each model in the first company"
    type_ = create_project_type(create_deposit_account())
    project = create_project(type_)
    posted = sell_advance(project)
    value(create_intervention(project, ('service', 1, '500')))
    records = get_records(project)
    records['account.tax'], = Model.get('account.tax').find([])
    records['account.account'] = posted.invoices[0].lines[0].account
    records['project.type'] = type_
    return records


@pytest.fixture(scope='module')
def company(records):
    "Another company with its accounts"
    party = Model.get('party.party')(name="Other Company")
    party.save()
    company = Model.get('company.company')(
        party=party, currency=get_currency())
    company.save()
    with user_of(
            "Accounting", "Accounting Administration", company=company):
        create_chart(company)
    return company


@pytest.fixture
def user(company):
    "Who has all the rights in the other company"
    with user_of(*GROUPS, company=company):
        yield


@pytest.fixture(scope='module')
def own(company, records):
    "A record of each model in the other company"
    with user_of("Product Administration", *GROUPS, company=company):
        accounts = get_accounts(company)
        category = get('product.category', "Untaxed")
        category.account_revenue = accounts['revenue']
        category.account_expense = accounts['expense']
        category.save()
        return get_records(create_project())


def get_calls(id_):
    return {
        'read': [[id_], ['id']],
        'write': [[id_], {}],
        'copy': [[id_], {}],
        'delete': [[id_]],
        'import_data': [['id'], [[id_]]],
        }


def test_nothing_of_another_company_is_reached(records, user):
    before = snapshot()
    calls = 0
    for name, Model_ in get_models().items():
        if name in SHARED or 'read' not in Model_.__rpc__:
            continue
        id_ = records[name].id
        domain = [('id', '=', id_)]
        assert not call(name, 'search', domain, 0, None, None)
        assert not call(name, 'search_read', domain, 0, None, None, ['id'])
        assert not call(name, 'export_data_domain', domain, ['id'])
        for method, args in get_calls(id_).items():
            with pytest.raises(AccessError):
                call(name, method, *args)
                pytest.fail(f"{name}.{method}")
            calls += 1
        for button in get_buttons(Model_):
            with pytest.raises(AccessError):
                call(name, button, [id_])
                pytest.fail(f"{name}.{button}")
            calls += 1
    for name in get_added('wizard'):
        action = Model.get('ir.action.wizard').find(
            [('wiz_name', '=', name)])[0]
        if action.model:
            id_ = records[action.model].id
            with pytest.raises(AccessError):
                call(name, 'create', type='wizard',
                    active_model=action.model, active_id=id_,
                    active_ids=[id_])
            calls += 1
    assert snapshot() == before
    assert calls >= 60


def get_target(definition):
    if hasattr(definition, 'get_target'):
        with Transaction().start(DB_NAME, 1, readonly=True):
            return definition.get_target().__name__


def test_nothing_of_another_company_is_used(records, own, user):
    "Each relation of the module refuses the record of another company"
    tried = 0
    for name, Model_ in get_models().items():
        if name not in own:
            continue
        for field, definition in get_fields(Model_).items():
            target = get_target(definition)
            if target not in records or target in SHARED:
                continue
            id_ = records[target].id
            if isinstance(definition, (fields.Many2One, fields.Many2Many)):
                if isinstance(definition, fields.Many2Many):
                    other = [('add', [id_])]
                else:
                    other = id_
                with refused(own=False):
                    call(name, 'write', [own[name].id], {field: other})
                    pytest.fail(f"{name}.{field}")
                tried += 1
            elif isinstance(definition, fields.One2Many):
                for command in ['add', 'write', 'delete', 'copy']:
                    values = [{}] if command in {'write', 'copy'} else []
                    with refused(own=False):
                        call(name, 'write', [own[name].id], {
                                field: [(command, [id_], *values)]})
                        pytest.fail(f"{name}.{field} {command}")
                    tried += 1
    assert tried >= 40


def test_nothing_is_created_for_another_company(records, own, user):
    project, intervention = records['project.work'], own[
        'project.intervention']
    for name, values in [
            ('project.advance_invoice', {
                    'work': project.id, 'line_type': 'uncoded',
                    'description': "Days", 'quantity': 1.,
                    'unit_price': Decimal(1)}),
            ('project.intervention.request', {'work': project.id}),
            ('project.intervention', {'work': project.id}),
            ('project.intervention', {
                    'work': project.id,
                    'company': own['project.work'].company.id}),
            ('project.intervention.line', {
                    'intervention': records['project.intervention'].id,
                    'description': "Work", 'quantity': 1.,
                    'unit_price': Decimal(1)}),
            ('project.intervention.line', {
                    'intervention': intervention.id,
                    'advance_invoice': records['project.advance_invoice'].id,
                    'description': "Work", 'quantity': 1.,
                    'unit_price': Decimal(1)}),
            ]:
        with refused(own=False):
            create(name, **values)
            pytest.fail(name)


def test_contract_of_another_company_is_not_continued(
        records, company, own):
    invoice = records['account.invoice']
    set_current(invoice, .5)
    invoice.click('post')
    with user_of(*GROUPS, company=company):
        draft = Model.get('account.invoice')(own['account.invoice'].id)
        with refused(own=False):
            write(draft, previous_progress_invoice=invoice.id)
        with refused(own=False):
            create('account.invoice',
                type='out', party=draft.party.id, account=draft.account.id,
                invoice_address=draft.invoice_address.id,
                previous_progress_invoice=invoice.id)


def test_sale_of_another_company_is_not_imported(records, own, user):
    invoice = own['account.invoice']
    context = {
        'active_model': 'account.invoice', 'active_id': invoice.id,
        'active_ids': [invoice.id]}
    session, *_ = call(
        'account.invoice.import_progress', 'create', type='wizard', **context)
    with refused(own=False):
        call('account.invoice.import_progress', 'execute', session,
            {'start': {'sales': [records['sale.sale'].id]}}, 'import_',
            type='wizard', **context)


def test_value_many_is_of_one_company(records, own, user):
    works = [records['project.work'].id, own['project.work'].id]
    session, *_ = call(
        'project.intervention.value_many', 'create', type='wizard')
    result = call('project.intervention.value_many', 'execute', session,
        {'start': {'works': works, 'parties': []}}, 'value', type='wizard')
    (_, data), = result['actions']
    invoice, = Model.get('account.invoice').find([
            ('id', 'in', data['res_id'])])
    assert len(data['res_id']) == 1
    assert invoice.company == own['project.work'].company


def test_deposit_account_of_another_company_is_not_set(records, company):
    type_, account = records['project.type'], records['account.account']
    value_, = type_.advance_accounts
    with user_of(*GROUPS, company=company):
        with refused(own=False):
            call('project.type', 'write', [type_.id], {
                    'advance_account': account.id})
        with refused(own=False):
            call('project.type', 'write', [type_.id], {
                    'advance_accounts': [
                        ('delete', [value_.id])]})
        seen = Model.get('project.type')(type_.id)
        assert seen.advance_account is None
        assert not seen.advance_accounts


def test_contracts_of_each_company_have_their_sequence(records, company):
    Configuration = Model.get('account.configuration')
    party = get('party.party', "Customer").id
    with user_of(*GROUPS, "Accounting Administration", company=company):
        configuration = Configuration(1)
        shared = configuration.progress_contract_sequence
        sequence = Model.get('ir.sequence')(
            name="Own", prefix="OWN-", company=company.__class__(company.id),
            sequence_type=shared.sequence_type)
        sequence.save()
        configuration.progress_contract_sequence = sequence
        configuration.save()
        contract = create('account.progress_contract', party=party)
        assert contract.number == 'OWN-1'
        configuration.progress_contract_sequence = shared
        configuration.save()
    assert Configuration(1).progress_contract_sequence == shared
    contract = create('account.progress_contract', party=party)
    assert not contract.number.startswith('OWN-')
