# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""Who may do what: without the group, with it, and with read access only"""
from decimal import Decimal

import pytest
from proteus import Model, Wizard
from trytond.exceptions import UserError
from trytond.model import ModelStorage, ModelView
from trytond.model.exceptions import AccessError
from trytond.model.modelview import AccessButtonError
from trytond.modules.project_progress_invoice.exceptions import (
    InterventionError)
from trytond.wizard import StateView

from .refused import refused, snapshot
from .registry import (
    call, get_added, get_buttons, get_models, get_pool, is_of_module)
from .tools import (
    create, create_advance, create_deposit_account, create_intervention,
    create_invoice, create_project, create_project_type, create_sale, credit,
    get, sell_advance, user_of, value)

pytestmark = [
    pytest.mark.usefixtures('database'),
    pytest.mark.xdist_group('test_access')]


@pytest.fixture
def project():
    return create_project(
        create_project_type(create_deposit_account(), propose_material=True))


def test_without_group(project):
    advance = sell_advance(project)
    draft = create_advance(project)
    intervention = create_intervention(project, ('service', 1, '500'))
    with user_of():
        for model in [
                'project.advance_invoice', 'project.intervention',
                'project.intervention.request', 'project.intervention.line']:
            with pytest.raises(AccessError):
                Model.get(model).find([])
        for record, wizard in [
                (draft, 'project.advance_invoice.valorize'),
                (intervention, 'project.intervention.valorize'),
                ]:
            with pytest.raises(UserError):
                record._proxy.valorize([record.id], record._context)
            with pytest.raises(UserError):
                Wizard(wizard, [record])
        with pytest.raises(UserError):
            Wizard('project.intervention.value_many')
        # The totals of the project are for whoever sees the project
        assert Model.get('project.work')(
            project.id).advance_residual_amount == 5000
    advance.reload()
    draft.reload()
    intervention.reload()
    assert not draft.billed and intervention.state == 'done'


def test_planner(project):
    "Who only plans and values needs no access to the accounting"
    advance = sell_advance(project)
    with user_of("Project Intervention"):
        intervention = create_intervention(project, ('service', 1, '500'))
        Wizard('project.intervention.valorize', [intervention])
        intervention.reload()
        assert intervention.state == 'invoiced'
        assert intervention.covered_amount == 500
        with pytest.raises(AccessError):
            Model.get('project.advance_invoice')(
                work=project, description="X", line_type='uncoded',
                quantity=1, unit_price=Decimal(1)).save()
        with pytest.raises(UserError):
            advance._proxy.valorize([advance.id], advance._context)
    intervention = Model.get('project.intervention')(intervention.id)
    assert intervention.invoices[0].untaxed_amount == 0


def test_seller(project):
    "Who sells advances needs no access to the accounting"
    with user_of("Project Advance Invoice"):
        advance = create_advance(project)
        Wizard('project.advance_invoice.valorize', [advance])
        advance.reload()
        assert advance.billed
        advance.click('update_residual')
    advance = Model.get('project.advance_invoice')(advance.id)
    assert advance.invoices[0].untaxed_amount == 5000


def test_accountant(project):
    "Who keeps the accounts needs no group of the project"
    advance = create_advance(project)
    invoice = value(advance)
    with user_of("Accounting"):
        invoice = Model.get('account.invoice')(invoice.id)
        invoice.click('post')
        assert invoice.lines[0].advance_invoice.rec_name == advance.rec_name
    intervention = create_intervention(project, ('service', 1, '500'))
    invoice = value(intervention)
    with user_of("Accounting"):
        invoice = Model.get('account.invoice')(invoice.id)
        invoice.click('post')
        assert invoice.lines[-1].advance_invoice.residual_amount == 4500
        credit(invoice).click('post')
        with pytest.raises(AccessError):
            advance.quantity = 2
            advance.save()
    intervention.reload()
    advance.reload()
    assert intervention.state == 'done'
    assert advance.residual_amount == 5000


def test_other_company(project):
    sell_advance(project)
    create_intervention(project, ('service', 1, '500'))
    with user_of(
            "Project Intervention", "Project Advance Invoice",
            company=False):
        for model in [
                'project.advance_invoice', 'project.intervention',
                'project.intervention.line']:
            assert not Model.get(model).find([])
        wizard = Wizard('project.intervention.value_many')
        with pytest.raises(InterventionError):
            # There is nothing to value
            wizard.execute('value')


# All what the module adds

# What everybody reads
PUBLIC = {
    'project.type', 'project.work', 'project.configuration',
    'account.configuration'}
# What is reached only through the fields of another model, which is checked
PRIVATE = {
    'account.configuration.progress',
    'account.configuration.progress_contract_sequence',
    'project.type.account',
    'project.configuration.sequence',
    'project.advance_invoice-account.tax',
    'project.intervention.line-account.tax',
    'account.progress_contract.line-account.tax'}
# What its parent gives access to
BY_PARENT = {
    'project.intervention.line': 'intervention',
    'account.progress_contract.line': 'contract'}


@pytest.fixture(scope='module')
def records(database):
    "A record of each model by name"
    project = create_project(create_project_type(create_deposit_account()))
    advance = create_advance(project)
    request = Model.get('project.intervention.request')(work=project)
    request.save()
    intervention = create_intervention(project, ('service', 1, '500'))
    sale = create_sale((10, '100'), state='quotation')
    invoice = create_invoice((10, '100'))
    contract = create(
        'account.progress_contract', party=get('party.party', "Customer").id)
    configurations = [
        Model.get(f'{n}.configuration')(1) for n in ['project', 'account']]
    return {r.__class__.__name__: r for r in [
            project, project.project_type, advance, request, intervention,
            intervention.lines[0], sale, sale.lines[0], invoice,
            invoice.lines[0], contract, invoice.lines[0].progress_line,
            *configurations]}


@pytest.fixture(scope='module')
def reader(records):
    "A group that reads everything"
    group = Model.get('res.group')(name="Reader")
    group.save()
    IrModel = Model.get('ir.model')
    for name in records:
        model, = IrModel.find([('name', '=', name)])
        values = {'model': name, 'group': group.id}
        for mode in ['read', 'write', 'create', 'delete']:
            values[f'perm_{mode}'] = mode == 'read'
        call('ir.model.access', 'create', [values])
    return group.name


def get_calls(record):
    "Return the calls of a client that read and those that change the record"
    id_ = record.id
    reads = {
        'read': [[id_], ['id']],
        'search': [[('id', '=', id_)], 0, None, None],
        'search_read': [[('id', '=', id_)], 0, None, None, ['id']],
        'search_count': [[('id', '=', id_)], 0, None],
        'export_data': [[id_], ['id'], False],
        }
    writes = {
        'write': [[id_], {}],
        'create': [[{}]],
        'copy': [[id_], {}],
        'delete': [[id_]],
        'import_data': [['id'], [[id_]]],
        }
    if record.__class__.__name__.endswith('.configuration'):
        # The singleton is read and written before it exists
        reads, writes = {'read': reads['read']}, {'write': writes['write']}
    return reads, writes


def refuse_call(name, method, *args, **kwargs):
    with pytest.raises((AccessError, AccessButtonError)):
        call(name, method, *args, **kwargs)
        pytest.fail(f"{name}.{method}")


def refuse_buttons(records):
    "Test that no button that the module adds can be clicked"
    buttons = 0
    for name, Model_ in get_models().items():
        for button in get_buttons(Model_):
            refuse_call(name, button, [records[name].id])
            buttons += 1
    assert buttons >= 18


def get_wizard_model(name):
    wizards = Model.get('ir.action.wizard').find([('wiz_name', '=', name)])
    assert wizards, name
    return wizards[0].model


def refuse_wizards(records, models):
    """
    Test that no wizard that the module adds can be started nor executed

    models is the model of each wizard.
    """
    assert len(models) >= 5
    for name, model in models.items():
        context = {}
        if model:
            id_ = records[model].id
            context = {
                'active_model': model, 'active_id': id_, 'active_ids': [id_]}
        for action in [None, -1]:
            # The client tells of which action it is
            context['action_id'] = action
            try:
                session = call(name, 'create', type='wizard', **context)[0]
            except AccessError:
                session = -1  # The access is checked before it is read
            for state, definition in get_pool().get(
                    name, type='wizard').states.items():
                if not model and isinstance(definition, StateView):
                    # The form alone shows no record
                    continue
                refuse_call(
                    name, 'execute', session, {}, state, type='wizard',
                    **context)


@pytest.fixture(scope='module')
def wizard_models(database):
    return {n: get_wizard_model(n) for n in get_added('wizard')}


def test_every_model_has_its_access():
    ModelAccess = Model.get('ir.model.access')
    for name, Model_ in get_added().items():
        if not issubclass(Model_, ModelStorage):
            continue
        if name in PRIVATE:
            assert not issubclass(Model_, ModelView), name
            assert not {'read', 'write'} & Model_.__rpc__.keys(), name
        elif name in BY_PARENT:
            assert Model_.__access__ == {BY_PARENT[name]}
        else:
            accesses = ModelAccess.find([('model', '=', name)])
            assert any(a.group is None for a in accesses), name
            assert any(
                a.group and a.perm_write for a in accesses), name


def test_every_button_is_declared():
    "Else it has neither label nor group"
    for name, Model_ in get_models().items():
        for button in get_buttons(Model_):
            assert Model.get('ir.model.button').find([
                    ('model', '=', name), ('name', '=', button)]), button


def test_every_action_has_its_group():
    "The wizards that start from a menu have no record to be checked by"
    for name in get_added('wizard'):
        for action in Model.get('ir.action.wizard').find(
                [('wiz_name', '=', name)]):
            assert action.model or action.groups, name


def test_only_buttons_are_exposed():
    for name, Model_ in get_pool().iterobject():
        exposed = {
            n for n in Model_.__rpc__
            if any(is_of_module(c) and n in c.__dict__
                for c in Model_.__mro__)}
        allowed = {
            'create', 'write', 'delete', 'copy',
            'fields_view_get', 'on_change_notify',
            *getattr(Model_, '_buttons', {}),
            # The selection methods
            *(getattr(f, 'selection', None) for f in Model_._fields.values()
                if isinstance(getattr(f, 'selection', None), str))}
        assert {
            n for n in exposed - allowed
            if not n.startswith('on_change_')} == set(), name


@pytest.mark.parametrize('model, method', [
        ('project.advance_invoice', 'get_figures'),
        ('project.advance_invoice', 'get_billing_invoices'),
        ('project.intervention', '_set_invoiced'),
        ('project.intervention', 'update_billing'),
        ('account.progress_contract', 'bill'),
        ('account.invoice', 'credit'),
        ('account.invoice', 'create_next_progress'),
        ('account.invoice', 'cancel_advances'),
        ('account.invoice', 'update_progress'),
        ('account.invoice', '_post'),
        ('account.invoice.line', 'set_progress_current'),
        ('sale.sale', 'import_progress'),
        ])
def test_what_is_no_button_is_not_callable(records, model, method):
    with pytest.raises(TypeError):
        call(model, method, [records[model].id])


def test_nobody(records, wizard_models):
    "Who has no group reads what is public and changes nothing"
    before = snapshot()
    with user_of():
        for name, record in records.items():
            reads, writes = get_calls(record)
            for method, args in reads.items():
                if name in PUBLIC:
                    call(name, method, *args)
                else:
                    refuse_call(name, method, *args)
            for method, args in writes.items():
                refuse_call(name, method, *args)
        refuse_buttons(records)
        refuse_wizards(records, wizard_models)
    assert snapshot() == before


def test_reader(records, reader, wizard_models):
    "Who only reads changes nothing"
    before = snapshot()
    with user_of(reader):
        for name, record in records.items():
            reads, writes = get_calls(record)
            for method, args in reads.items():
                assert call(name, method, *args)
            for method, args in writes.items():
                refuse_call(name, method, *args)
        refuse_buttons(records)
        refuse_wizards(records, wizard_models)
    assert snapshot() == before


def test_every_model_is_tried(records):
    for name in get_models():
        assert name in PRIVATE or name in records, name


def test_accountant_values_nothing(records):
    "Neither by a wizard whose groups the client leaves out"
    intervention = records['project.intervention']
    context = {
        'active_model': 'project.intervention',
        'active_id': intervention.id, 'active_ids': [intervention.id],
        'action_id': -1}
    before = snapshot()
    with user_of("Accounting"):
        for name, state, context in [
                ('project.intervention.valorize', 'valorize', context),
                ('project.intervention.value_many', 'value',
                    {'action_id': -1}),
                ]:
            with pytest.raises((AccessError, AccessButtonError)):
                session, *_ = call(name, 'create', type='wizard', **context)
                call(name, 'execute', session, {}, state, type='wizard',
                    **context)
    assert snapshot() == before


def test_button_group_holds_for_the_wizard(records):
    "Who writes interventions but is not in the group values none"
    group = Model.get('res.group')(name="Technician")
    group.save()
    for name in ['project.intervention', 'project.work']:
        call('ir.model.access', 'create', [{
                    'model': name, 'group': group.id, 'perm_read': True,
                    'perm_write': True, 'perm_create': True,
                    'perm_delete': True}])
    intervention = records['project.intervention']
    before = snapshot()
    with user_of("Technician"):
        for context in [{}, {'action_id': -1}]:
            with pytest.raises((AccessError, AccessButtonError)):
                Wizard(
                    'project.intervention.valorize', [intervention],
                    context=context)
            with pytest.raises((AccessError, AccessButtonError)):
                Wizard(
                    'project.intervention.value_many', context=context
                    ).execute('value')
        intervention = Model.get('project.intervention')(intervention.id)
        intervention.click('plan')
        intervention.click('do')
    after = snapshot()
    assert after['account_invoice'] == before['account_invoice']


def test_sales_are_imported_by_who_reads_them(records):
    sale, invoice = create_sale((10, '100')), create_invoice()
    before = snapshot()
    with user_of("Accounting"):
        invoice = Model.get('account.invoice')(invoice.id)
        for button in ['import_progress_sale', 'import_progress_quotation']:
            refuse_call('account.invoice', button, [invoice.id])
        context = {
            'active_model': 'account.invoice',
            'active_id': invoice.id, 'active_ids': [invoice.id]}
        session, *_ = call(
            'account.invoice.import_progress', 'create', type='wizard',
            **context)
        refuse_call(
            'account.invoice.import_progress', 'execute', session,
            {'start': {'sales': [sale.id]}}, 'import_', type='wizard',
            **context)
    with user_of("Sales"):
        # Who reads the invoices only, imports nothing either
        refuse_call(
            'account.invoice.import_progress', 'create', type='wizard',
            **context)
    assert snapshot() == before
    with user_of("Accounting", "Sales"):
        invoice = Model.get('account.invoice')(invoice.id)
        wizard = invoice.click('import_progress_sale')
        wizard.form.sales.append(Model.get('sale.sale')(sale.id))
        wizard.execute('import_')
        invoice.reload()
        assert [l.amount for l in invoice.lines] == [0]


def test_what_is_refused_tells_nothing_without_access(records):
    "Neither that an invoice is validated nor what a line may progress to"
    draft, validated = [create_invoice((10, '100')) for _ in range(2)]
    validated.click('validate_invoice')
    new = {
        'type': 'line', 'quantity': 1., 'unit_price': Decimal(1),
        'progress_current': 1.5}
    calls = [('account.invoice', 'create', [{
                    'type': 'out', 'previous_progress_invoice': draft.id}])]
    for invoice in [draft, validated]:
        line, = invoice.lines
        calls += [
            ('account.invoice.line', 'create',
                [{**new, 'invoice': invoice.id}])]
        for values in [
                {'invoice': None}, {'progress_current': 1.5},
                {'progress_current': .5}, {'progress_line': line.id},
                {'progress_total_amount': Decimal(1000)}]:
            calls.append(
                ('account.invoice.line', 'write', [line.id], values))
        for values in [
                {'progress': False}, {'state': 'draft'},
                {'previous_progress_invoice': invoice.id}]:
            calls.append(('account.invoice', 'write', [invoice.id], values))
    with user_of():
        for name, method, *args in calls:
            with pytest.raises(AccessError) as info:
                call(name, method, *args)
            assert type(info.value) is AccessError, (name, method, args)


def test_seller_bills_the_progress_of_a_sale(records):
    sale = create_sale((10, '100'))
    with user_of("Sales"):
        sale = Model.get('sale.sale')(sale.id)
        invoice, = sale.click('progress_invoice')
        refuse_call('account.invoice', 'set_progress', [invoice.id])
        refuse_call('account.invoice', 'add_progress_section', [invoice.id])
        refuse_call('account.invoice', 'write', [invoice.id], {
                'progress_closing': True})
    with user_of("Accounting"):
        invoice = Model.get('account.invoice')(invoice.id)
        wizard = invoice.click('set_progress')
        wizard.form.ratio = .5
        wizard.execute('set_')
        invoice.reload()
        invoice.click('post')
        assert invoice.untaxed_amount == 500
        draft, = invoice.click('next_progress_invoice')
        assert draft.progress_number == 2


def test_set_up_is_of_the_administrator(records):
    type_ = records['project.type']
    configuration = records['project.configuration']
    with user_of("Project Intervention", "Project Advance Invoice"):
        with refused(own=False):
            call('project.type', 'write', [type_.id], {'consume': 'paid'})
        with refused(own=False):
            call('project.configuration', 'write', [configuration.id], {
                    'intervention_sequence': None})
        with refused(own=False):
            call('project.work', 'write', [records['project.work'].id], {
                    'project_type': None})
    with user_of("Project Administration"):
        type_ = Model.get('project.type')(type_.id)
        type_.consume = 'paid'
        type_.save()
        type_.consume = 'posted'
        type_.save()


def test_archived_type_stays_the_one_of_its_projects(project):
    advance = sell_advance(project)
    project.project_type.active = False
    project.project_type.save()
    intervention = create_intervention(project, ('service', 1, '500'))
    assert intervention.lines[0].advance_invoice == advance
    assert value(intervention).untaxed_amount == 0
